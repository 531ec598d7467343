"""A frozen part that is computed once: training is that of the plain loop, and what is kept is kept right."""

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from tests.finetuning.cut_networks import CNN, CNN_BLOCKS, VIT_BLOCKS, Encoder, ViT, randomised
from tests.finetuning.plain_loop import called, prepared, train
from tlengine.errors import CacheCorruptionWarning, CacheFullError, CutRefused, InputError
from tlengine.features import Backbone, EmbeddingCache, load_backbone, sample_key
from tlengine.features.cache import Table
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.prefix import PrefixStore, prefix_recipe

ROWS = 24
LENGTHS = [3, 9, 15, 16, 17, 30, 33, 40] * 3


@dataclass
class Case:
    """A backbone, samples in two views, and where it is cut."""

    backbone: Backbone
    samples: Callable[[int, int], npt.NDArray[Any]]
    views: tuple[int, ...] = (0, 1)
    loads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        return len(self.backbone.blocks) - 1

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(self.backbone.blocks[-1])

    def load(self, row: int, view: int) -> npt.NDArray[Any]:
        self.loads.append((row, view))
        return self.samples(row, view)

    def collate(self, samples: Sequence[npt.NDArray[Any]]) -> Any:
        if samples[0].ndim > 1:
            return torch.from_numpy(np.stack(samples))
        lengths = torch.tensor([len(sample) for sample in samples])
        ids = nn.utils.rnn.pad_sequence([torch.from_numpy(sample) for sample in samples], batch_first=True)
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    def keys(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        digests = [sample_key(self.samples(int(row), 0)) for row in rows]
        return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)

    def batch(self, rows: Sequence[int], views: Sequence[int]) -> Any:
        return self.collate([self.samples(r, v) for r, v in zip(rows, views, strict=True)])

    def cut(self, first: int | None = None) -> Cut:
        cut = Cut(self.backbone.module, self.backbone.blocks, self.first if first is None else first)
        cut.check(self.batch([0, 1, 2], [self.views[0]] * 3))
        return cut

    def store(self, cut: Cut | None = None, **options: Any) -> PrefixStore:
        options = {"rows": range(ROWS), "views": self.views, **options}
        return PrefixStore(
            self.backbone, cut or self.cut(), load=self.load, collate=self.collate, keys=self.keys, **options
        )


def picture(size: int) -> Callable[[int, int], npt.NDArray[Any]]:
    def sample(row: int, view: int) -> npt.NDArray[Any]:
        pixels = np.random.default_rng(row).standard_normal((3, size, size)).astype(np.float32)
        return pixels if view <= 0 else np.ascontiguousarray(np.roll(pixels, view, axis=2)[..., ::-1])

    return sample


def words(most: int) -> Callable[[int, int], npt.NDArray[Any]]:
    def sample(row: int, view: int) -> npt.NDArray[Any]:
        return np.random.default_rng(row).integers(1, most, LENGTHS[row])

    return sample


def made(network: nn.Module, blocks: Any, modality: Any = "image") -> Backbone:
    return Backbone(
        randomised(network),
        preprocess=print,
        preprocess_name="own",
        modality=modality,
        name="made",
        embedding_dim=16,
        blocks=blocks,
    )


def cnn() -> Case:
    return Case(made(CNN(), CNN_BLOCKS), picture(16))


def vit() -> Case:
    return Case(made(ViT(), VIT_BLOCKS), picture(16))


def encoder() -> Case:
    blocks = (("embed", "place"), ("layers.0",), ("layers.1",), ("layers.2",))
    return Case(made(Encoder(), blocks, "text"), words(50), views=(-1,))


def lite0() -> Case:
    return Case(load_backbone("efficientnet-lite0"), picture(64))


def minilm() -> Case:
    return Case(load_backbone("minilm"), words(20_000), views=(-1,))


SMALL = [cnn, vit, encoder]


def close(ours: Sequence[torch.Tensor], told: Sequence[torch.Tensor], limit: float) -> None:
    """Apart by at most ``limit`` of the largest number of each tensor."""
    for one, other in zip(ours, told, strict=True):
        assert float((one - other).abs().max()) <= limit * float(other.abs().max()) + 1e-9


@pytest.mark.parametrize("make", [*SMALL, lite0, minilm])
def test_training_is_that_of_the_plain_loop(make: Callable[[], Case], tmp_path: Path) -> None:
    case = make()
    order = np.random.default_rng(0)
    plan = [(order.permutation(ROWS)[:8].tolist(), order.choice(case.views, 8).tolist()) for _ in range(10)]
    labels = [torch.tensor([row % 3 for row in rows]) for rows, _ in plan]
    torch.manual_seed(0)
    head = nn.Linear(int(called(case.backbone.module, case.batch(*plan[0])).shape[1]), 3)

    plain, its_head = copy.deepcopy(case.backbone.module), copy.deepcopy(head)
    parameters = [*prepared(plain, case.trained), *its_head.parameters()]
    batches = [(case.batch(*step), y) for step, y in zip(plan, labels, strict=True)]
    inputs: list[torch.Tensor] = []
    entry = case.cut().entry
    hook = plain.get_submodule(entry).register_forward_pre_hook(
        lambda _, args, words: inputs.append(words.get("x", args[0] if args else None)), with_kwargs=True
    )
    told = train(lambda batch: its_head(called(plain, batch)), parameters, batches)
    hook.remove()

    with EmbeddingCache(tmp_path) as cache:
        cut = case.cut()
        store = case.store(cut, cache=cache)
        for (rows, views), expected in zip(plan, inputs, strict=True):
            hidden, lengths = store.hidden(rows, views)
            if lengths is not None:
                for i, length in enumerate(lengths.tolist()):
                    close([hidden[i, :length]], [expected[i, :length]], 1e-5)
                    assert not hidden[i, length:].any()
            else:
                close([hidden], [expected], 1e-5)
        parameters = [*prepared(case.backbone.module, case.trained), *head.parameters()]
        ours = train(
            lambda step: head(cut.suffix(*store.hidden(*step))), parameters, zip(plan, labels, strict=True)
        )
    assert abs(ours.loss - told.loss) <= 1e-6 * max(1, told.loss)
    close(ours.gradients, told.gradients, 1e-4)
    close(ours.parameters, told.parameters, 1e-4)
    assert store.computed <= ROWS * len(case.views)


@pytest.mark.parametrize("make", SMALL)
def test_a_second_store_computes_nothing_and_gives_the_same_bytes(
    make: Callable[[], Case], tmp_path: Path
) -> None:
    case = make()
    rows, views = list(range(ROWS)), [case.views[-1]] * ROWS
    with EmbeddingCache(tmp_path) as cache:
        told, _ = case.store(cache=cache).hidden(rows, views)
    with EmbeddingCache(tmp_path) as cache:
        again = make()
        store = again.store(cache=cache, views=case.views[-1:])
        assert store.notes == []
        ours, _ = store.hidden(rows[::-1], views)
        assert (store.computed, store.read) == (0, ROWS)
        assert store.seconds_saved > 0
        assert torch.equal(ours.flip(0), told)
        store.hidden(rows, views)
        assert store.read == ROWS  # at hand


@pytest.mark.parametrize("make", SMALL)
def test_a_row_has_the_same_bytes_whatever_is_computed_beside_it(make: Callable[[], Case]) -> None:
    case = make()
    view = case.views[0]
    whole, _ = case.store().hidden(range(ROWS), [view] * ROWS)
    for row in (0, 5, 23):
        own, lengths = case.store(rows=[row], views=[view]).hidden([row], [view])
        assert torch.equal(own[0], whole[row, : own.shape[1]] if lengths is not None else whole[row])


def test_each_row_and_view_is_computed_once() -> None:
    case = cnn()
    store = case.store()
    for _ in range(3):
        store.hidden([3, 3, 1, 20], [0, 1, 0, 1])
        store.hidden(range(ROWS), [1] * ROWS)
        store.hidden(range(ROWS), [0] * ROWS)
    assert store.computed == 2 * ROWS
    assert sorted(case.loads) == sorted((row, view) for row in range(ROWS) for view in (0, 1))


def test_a_batch_is_the_callers_own() -> None:
    store = cnn().store()
    told, _ = store.hidden([1, 2], [0, 0])
    told_before = told.clone()
    told.zero_()
    assert torch.equal(store.hidden([1, 2], [0, 0])[0], told_before)


def recipe(case: Case, first: int = 2, **options: Any) -> dict[str, Any]:
    return prefix_recipe(case.backbone, case.cut(first), **options)


@pytest.mark.parametrize("name", ["stem.weight", "norm.running_var", "blocks.0.norm.bias"])
def test_weights_in_front_of_the_cut_enter_the_key(name: str) -> None:
    told, case = recipe(cnn()), cnn()
    case.backbone.module.state_dict()[name].view(-1)[0] += 1
    assert recipe(case) != told


@pytest.mark.parametrize("name", ["blocks.1.conv.weight", "blocks.2.norm.running_mean", "last.bias"])
def test_weights_behind_the_cut_do_not(name: str) -> None:
    told, case = recipe(cnn()), cnn()
    case.backbone.module.state_dict()[name].view(-1)[0] += 1
    assert recipe(case) == told


def test_all_else_that_determines_a_row_enters_the_key() -> None:
    case = cnn()
    told = recipe(case)
    other_preprocessing = Case(copy.copy(case.backbone), case.samples)
    other_preprocessing.backbone._preprocess_name = "another"
    other_structure = cnn()
    other_structure.backbone.module.stem.padding_mode = "reflect"  # type: ignore[union-attr]
    keys = [
        told,
        recipe(case, 3),
        recipe(case, augmentation={"kind": "crop", "area": 0.7}),
        recipe(other_preprocessing),
        recipe(other_structure),
    ]
    assert len({str(sorted(key.items())) for key in keys}) == 5
    other_rest = cnn()
    other_rest.backbone.module.last = nn.Conv2d(8, 8, 1, bias=False)
    assert recipe(other_rest) == told


def test_views_and_dtypes_do_not_meet_in_the_cache(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path) as cache:
        case = cnn()
        case.store(cache=cache, views=[0]).hidden(range(ROWS), [0] * ROWS)
        for options in ({"views": [1]}, {"dtype": "fp16", "views": [0]}, {"augmentation": {"kind": "crop"}}):
            store = case.store(cache=cache, **options)
            assert len(store._missing) == ROWS * len(options.get("views", case.views))


def test_half_precision_is_half_the_disk_and_rounds_the_first_time_too(tmp_path: Path) -> None:
    case = cnn()
    exact, _ = case.store().hidden(range(ROWS), [0] * ROWS)
    with EmbeddingCache(tmp_path) as cache:
        store = case.store(cache=cache, dtype="fp16")
        rounded, _ = store.hidden(range(ROWS), [0] * ROWS)
        assert torch.equal(rounded, exact.half().float())
        assert torch.equal(case.store(cache=cache, dtype="fp16").hidden(range(ROWS), [0] * ROWS)[0], rounded)
        full = case.store(cache=cache).bytes_needed(range(ROWS), [0])
        assert 0.5 <= store.bytes_needed(range(ROWS), [0]) / full < 0.55


def test_numbers_too_large_for_half_precision_stay_whole(tmp_path: Path) -> None:
    case = cnn()
    case.backbone.module.blocks[1].norm.bias.data += 1e6  # type: ignore[index, union-attr]
    with EmbeddingCache(tmp_path) as cache:
        store = case.store(cache=cache, dtype="fp16")
        hidden, _ = store.hidden(range(ROWS), [0] * ROWS)
        assert torch.equal(hidden, case.store().hidden(range(ROWS), [0] * ROWS)[0])
        assert cache.stats().rows == 0


@pytest.mark.parametrize("make", SMALL)
def test_the_disk_is_said_before_it_is_taken_and_no_more_is_taken(
    make: Callable[[], Case], tmp_path: Path
) -> None:
    case = make()
    said: list[str] = []
    with EmbeddingCache(tmp_path) as cache:
        store = case.store(cache=cache, say=said.append)
        assert store.notes == said
        assert "of disk: " in said[0]
        assert f"{ROWS * len(case.views)} rows" in said[0]
        assert cache.stats().rows == 0
        needed = store.bytes_needed(range(ROWS), case.views)
        for view in case.views:
            store.hidden(range(ROWS), [view] * ROWS)
        stats = cache.stats()
        assert stats.rows == ROWS * len(case.views)
        assert 0.8 * needed < stats.bytes < needed + 4096 * (stats.tables + stats.segments)


def test_max_disk_refuses_before_anything_is_computed(tmp_path: Path) -> None:
    case = cnn()
    with EmbeddingCache(tmp_path) as cache:
        needed = case.store(cache=cache).bytes_needed(range(ROWS), case.views)
        case.store(cache=cache, max_disk=needed)
        with pytest.raises(CutRefused, match=r"takes 101\.\d kB, more than 101\.\d kB on disk \(max_disk\)"):
            case.store(cache=cache, max_disk=needed - 1)
        assert case.loads == []
        assert cache.tables() == []
        case.store(cache=cache).hidden(range(ROWS), [0] * ROWS)
        case.store(cache=cache, max_disk=needed // 2)  # half of it is there


def test_a_disk_without_room_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with EmbeddingCache(tmp_path) as cache, pytest.raises(CutRefused, match=r"1\.0 kB on the disk"):
        cnn().store(cache=cache)


def test_without_a_cache_memory_is_the_limit() -> None:
    with pytest.raises(CutRefused, match="of memory"):
        cnn().store(memory=10_000)


def test_little_memory_beside_a_cache(tmp_path: Path) -> None:
    case = cnn()
    with EmbeddingCache(tmp_path) as cache:
        store = case.store(cache=cache, memory=5 * 8 * 8 * 8 * 4)
        told, _ = case.store().hidden(range(ROWS), [0] * ROWS)
        for _ in range(2):
            assert torch.equal(store.hidden(range(ROWS), [0] * ROWS)[0], told)
        assert store._bytes == 5 * 8 * 8 * 8 * 4
        assert store.computed == ROWS
        assert store.read >= ROWS - 5


def test_a_disk_that_fills_up_costs_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = cnn()
    told, _ = case.store().hidden(range(ROWS), [0] * ROWS)
    puts: list[int] = []

    def full(table: Table, keys: Any, X: Any, *, seconds: float = 0.0) -> int:
        puts.append(len(keys))
        raise CacheFullError("no space left on the disk")

    with EmbeddingCache(tmp_path) as cache:
        store = case.store(cache=cache)
        store.hidden(range(8), [0] * 8)
        monkeypatch.setattr(Table, "put", full)
        assert torch.equal(store.hidden(range(ROWS), [0] * ROWS)[0], told)
        store.hidden(range(ROWS), [1] * ROWS)
        assert len(puts) == 1
        assert store.notes[1:] == [
            "what the frozen part gives is not kept any more: no space left on the disk"
        ]
        monkeypatch.undo()
        again = case.store(cache=cache)
        again.hidden(range(8), [0] * 8)
        assert (again.read, again.computed) == (8, 0)


def test_a_damaged_row_is_computed_again(tmp_path: Path) -> None:
    case = cnn()
    with EmbeddingCache(tmp_path) as cache:
        told, _ = case.store(cache=cache).hidden(range(ROWS), [0] * ROWS)
    segment = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    with EmbeddingCache(tmp_path) as cache:
        store = case.store(cache=cache)
        with pytest.warns(CacheCorruptionWarning):
            assert torch.equal(store.hidden(range(ROWS), [0] * ROWS)[0], told)
        assert store.read == ROWS - 1


def test_a_read_only_cache_is_read_and_a_note_says_that_nothing_is_kept(tmp_path: Path) -> None:
    case = cnn()
    with EmbeddingCache(tmp_path) as cache:
        told, _ = case.store(cache=cache).hidden(range(8), [0] * 8)
    with EmbeddingCache(tmp_path, read_only=True) as cache:
        store = case.store(cache=cache)
        assert "read-only" in store.notes[0]
        assert torch.equal(store.hidden(range(ROWS), [0] * ROWS)[0][:8], told)
        assert (store.read, store.computed) == (8, ROWS - 8)


@pytest.mark.parametrize(("row", "view"), [(ROWS, 0), (-1, 0), (0, 2), (0, -1)])
def test_rows_and_views_that_were_not_announced_are_bad_input(row: int, view: int) -> None:
    store = cnn().store()
    with pytest.raises(InputError, match=f"row {row} in view {view}"):
        store.hidden([row], [view])
    with pytest.raises(InputError, match=f"row {row} in view {view}"):
        store.bytes_needed([row], [view])


def test_an_unknown_dtype_is_bad_input() -> None:
    with pytest.raises(InputError, match="int8"):
        cnn().store(dtype="int8")


class Wide(nn.Module):
    """Much between two small layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = nn.functional.interpolate(self.first(images), (2048, 2049))
        return self.last(x).mean((2, 3))


def test_a_row_too_wide_for_the_cache_is_refused(tmp_path: Path) -> None:
    wide = Case(made(Wide(), (("first",), ("last",))), picture(8))
    with (
        EmbeddingCache(tmp_path) as cache,
        pytest.raises(CutRefused, match=r"16\.8 MB in a row of the cache"),
    ):
        wide.store(cache=cache)


def test_tables_of_texts_are_by_sixteen_tokens(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path) as cache:
        encoder().store(cache=cache).hidden(range(ROWS))
        widths = {table.recipe["tokens"]: (table.rows, table.dim) for table in cache.tables() if table.recipe}
    assert widths == {16: (12, 16 * 16), 32: (6, 32 * 16), 48: (6, 48 * 16)}


@dataclass(frozen=True)
class Cutting:
    """Stands for a tokenizer that cuts at so many tokens."""

    max_tokens: int = 40

    def __call__(self, text: str) -> npt.NDArray[np.int64]:
        raise NotImplementedError


def test_texts_are_padded_to_no_more_than_the_network_takes(tmp_path: Path) -> None:
    case = encoder()
    network = case.backbone.module
    network.place = nn.Embedding(40, 16)
    with pytest.raises(CutRefused, match="fails with 48 tokens"):
        case.store()
    case.backbone.preprocess = Cutting()
    told = network(**case.batch([7, 15], [-1, -1]))
    cut = case.cut()
    torch.testing.assert_close(cut.suffix(*case.store(cut).hidden([7, 15])), told, rtol=1e-5, atol=1e-6)


def test_mixed_precision_around_it_leaves_the_frozen_part_alone() -> None:
    store, told = cnn().store(), cnn().store().hidden([1], [0])[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(store.hidden([1], [0])[0], told)
