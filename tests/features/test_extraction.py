"""Extraction: each content once, failures told, results that depend on nothing but the samples."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.features.networks import PREPROCESS, TinyNet
from tests.requirements import require_root, require_tools
from tlengine.data import Dataset, load_dataset
from tlengine.errors import (
    BackboneError,
    CacheFullError,
    CacheReadOnlyWarning,
    DecodeError,
    InputError,
    TlengineWarning,
)
from tlengine.features import Backbone, EmbeddingCache, extract


@pytest.fixture
def ds(photos: Path) -> Dataset:
    return load_dataset(photos)


def test_rows_are_those_of_the_network_in_dataset_order(
    ds: Dataset, backbone: Backbone, net: TinyNet
) -> None:
    feats = extract(ds, backbone)
    assert ds.contents is not None
    images = torch.from_numpy(np.stack([PREPROCESS(Image.open(path)) for path in ds.contents]))
    with torch.no_grad():
        expected = net.eval()(images).numpy()
    assert np.abs(feats.X - expected).max() < 1e-5
    assert feats.X.dtype == np.float32
    assert feats.ids.tolist() == ds.ids.tolist()
    assert feats.y is not None
    assert feats.y.tolist() == ds.labels().tolist()
    assert (feats.backbone, feats.fingerprint, feats.dataset) == ("tiny", backbone.fingerprint, "photos")


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 0), (3, 2), (100, 1)])
def test_batch_size_and_workers_change_nothing(
    ds: Dataset, backbone: Backbone, batch_size: int, workers: int
) -> None:
    reference = extract(ds, backbone, workers=0)
    feats = extract(ds, backbone, batch_size=batch_size, workers=workers)
    assert np.abs(feats.X - reference.X).max() < 1e-5
    backwards = extract(ds.take(np.arange(len(ds))[::-1]), backbone, batch_size=batch_size)
    assert np.abs(backwards.X[::-1] - reference.X).max() < 1e-5


def test_the_second_time_nothing_is_computed(
    ds: Dataset, backbone: Backbone, net: TinyNet, cache: EmbeddingCache
) -> None:
    first = extract(ds, backbone, cache=cache)
    assert first.stats is not None
    assert (first.stats.embedded, first.stats.cached, first.stats.seconds_saved) == (10, 0, 0.0)
    net.rows.clear()
    again = extract(ds, backbone, cache=cache)
    assert again.stats is not None
    assert (again.stats.embedded, again.stats.cached, net.rows) == (0, 10, [])
    assert again.stats.seconds_saved > 0
    assert np.array_equal(first.X, again.X)


def test_what_enters_the_key(ds: Dataset, backbone: Backbone, net: TinyNet, cache: EmbeddingCache) -> None:
    extract(ds, backbone, cache=cache)

    def embedded(bb: Backbone, **options: Any) -> int:
        stats = extract(ds, bb, cache=cache, **options).stats
        assert stats is not None
        return stats.embedded

    assert embedded(backbone, batch_size=3, workers=1, max_pixels=10**6) == 0
    assert embedded(backbone, precision="bf16") == 10
    assert embedded(Backbone(net, preprocess=PREPROCESS, modality="image", name="tiny", revision="2")) == 10
    with torch.no_grad():
        net.conv.weight[0, 0, 0, 0] += 1
    assert embedded(backbone) == 10


def test_only_new_and_changed_files_are_computed(
    ds: Dataset, backbone: Backbone, cache: EmbeddingCache, photos: Path
) -> None:
    extract(ds, backbone, cache=cache)
    shutil.move(photos / "a" / "0.png", photos / "b" / "renamed.png")
    Image.new("RGB", (20, 20), "red").save(photos / "a" / "2.png")
    feats = extract(load_dataset(photos), backbone, cache=cache)
    assert feats.stats is not None
    assert (feats.stats.rows, feats.stats.embedded, feats.stats.cached) == (10, 1, 9)


def test_equal_contents_are_embedded_once(photos: Path, backbone: Backbone, net: TinyNet) -> None:
    shutil.copy(photos / "a" / "0.png", photos / "b" / "copy.png")
    feats = extract(load_dataset(photos), backbone)
    assert feats.stats is not None
    assert feats.keys is not None
    assert (feats.stats.rows, feats.stats.embedded, feats.stats.cached) == (11, 10, 1)
    assert sum(net.rows) == 10 + 1, "ten contents, and one pass to find the dimension"
    one, other = (feats.ids.tolist().index(name) for name in ("a/0.png", "b/copy.png"))
    assert np.array_equal(feats.X[one], feats.X[other])
    assert np.array_equal(feats.keys[one], feats.keys[other])


def test_unreadable_rows_are_left_out_and_told(
    photos: Path, backbone: Backbone, cache: EmbeddingCache
) -> None:
    whole = (photos / "a" / "0.png").read_bytes()
    for name, data in {
        "cut": whole[: len(whole) // 2],
        "text": b"hello",
        "empty": b"",
        "twin": b"hello",
    }.items():
        (photos / "b" / f"{name}.png").write_bytes(data)
    (photos / "b" / "gone.png").symlink_to("/nowhere.png")
    ds = load_dataset(photos)
    with pytest.warns(TlengineWarning, match=r"5 of 15 samples cannot be read: b/cut.png \("):
        feats = extract(ds, backbone, cache=cache)
    assert feats.stats is not None
    assert (feats.stats.rows, feats.stats.embedded, feats.stats.failed) == (15, 10, 5)
    assert {failure.id for failure in feats.failures} == {
        f"b/{name}.png" for name in ("cut", "text", "empty", "twin", "gone")
    }
    assert all(failure.reason for failure in feats.failures)
    assert len(feats) == 10
    assert "b/cut.png" not in feats.ids.tolist()
    assert feats.y is not None
    assert [i[0] for i in feats.ids.tolist()] == feats.y.tolist()
    with pytest.raises(DecodeError, match="5 of 15"):
        extract(ds, backbone, cache=cache, strict=True)


def test_nothing_readable_is_an_error(tmp_path: Path, backbone: Backbone) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DecodeError, match="1 of 1"):
        extract(load_dataset(tmp_path), backbone)


def test_a_failed_batch_leaves_nothing_and_what_was_before_stays(
    ds: Dataset, cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaks(TinyNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out = super().forward(images)
            return out * torch.nan if len(self.rows) == 3 else out

    net = Breaks()
    backbone = Backbone(net, preprocess=PREPROCESS, modality="image", name="tiny", embedding_dim=8)
    with pytest.raises(BackboneError, match="NaN"):
        extract(ds, backbone, cache=cache, batch_size=2)
    feats = extract(ds, backbone, cache=cache, batch_size=2)
    assert feats.stats is not None
    assert (feats.stats.cached, feats.stats.embedded) == (4, 6)


def test_an_interrupt_keeps_the_batches_before(ds: Dataset, cache: EmbeddingCache) -> None:
    class Interrupted(TinyNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(self.rows) == 2:
                self.rows.append(0)
                raise KeyboardInterrupt
            return super().forward(images)

    backbone = Backbone(Interrupted(), preprocess=PREPROCESS, modality="image", name="tiny", embedding_dim=8)
    with pytest.raises(KeyboardInterrupt):
        extract(ds, backbone, cache=cache, batch_size=3)
    stats = extract(ds, backbone, cache=cache, batch_size=3).stats
    assert stats is not None
    assert (stats.cached, stats.embedded) == (6, 4)


def test_a_read_only_cache_serves_hits_and_says_so_once(
    ds: Dataset, backbone: Backbone, tmp_path: Path
) -> None:
    with EmbeddingCache(tmp_path / "c") as cache:
        extract(ds.take(range(4)), backbone, cache=cache)
    with EmbeddingCache(tmp_path / "c", read_only=True) as cache:
        with pytest.warns(CacheReadOnlyWarning) as warned:
            feats = extract(ds, backbone, cache=cache, batch_size=2)
        assert len(warned) == 1
        assert feats.stats is not None
        assert (feats.stats.cached, feats.stats.embedded) == (4, 6)
        assert np.array_equal(feats.X, extract(ds, backbone).X)


def test_a_full_disk_is_an_error_and_keeps_the_rows(ds: Dataset, tmp_path: Path) -> None:
    require_root()
    require_tools("mount", "umount")
    small = tmp_path / "small"
    small.mkdir()
    wide = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 20_000))
    backbone = Backbone(wide, preprocess=PREPROCESS, modality="image", name="wide", embedding_dim=20_000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], check=True)
    try:
        with pytest.raises(CacheFullError), EmbeddingCache(small / "c") as cache:
            extract(ds, backbone, cache=cache, batch_size=1)
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        with EmbeddingCache(small / "c") as cache:
            stats = extract(ds, backbone, cache=cache, batch_size=1).stats
    finally:
        subprocess.run(["umount", small], check=True)
    assert stats is not None
    assert stats.cached > 0
    assert stats.cached + stats.embedded == 10


class Words:
    """A tokenizer of letters."""

    pad_id = 0

    def __call__(self, text: str) -> Any:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)

    def describe(self) -> dict[str, str]:
        return {"kind": "letters"}


class TextNet(torch.nn.Module):
    """The mean of letter vectors, by the mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(256, 6)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.unsqueeze(-1)
        mean: torch.Tensor = (self.table(input_ids) * mask).sum(1) / mask.sum(1).clamp(min=1)
        return mean


def test_texts_of_all_lengths_come_back_in_order() -> None:
    rng = np.random.default_rng(0)
    texts = ["a" + "".join(rng.choice(list("abc "), size=n)) for n in rng.integers(0, 300, 60)]
    backbone = Backbone(TextNet(), preprocess=Words(), modality="text", name="letters")
    feats = extract(load_dataset(texts), backbone, batch_size=4)
    table = backbone.module.table.weight.detach().numpy()  # type: ignore[union-attr, operator]
    for text, row in zip(texts, feats.X, strict=True):
        expected = table[list(text.encode())].mean(0)
        assert np.abs(row - expected).max() < 1e-5


def test_what_does_not_fit_together_is_refused(ds: Dataset, backbone: Backbone) -> None:
    with pytest.raises(InputError, match="holds text, backbone 'tiny' takes image"):
        extract(load_dataset(["a", "b"]), backbone)
    with pytest.raises(InputError, match="a TinyNet is no backbone"):
        extract(ds, backbone.module)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="features need no backbone"):
        extract(load_dataset(np.eye(2)), backbone)
    for options in ({"batch_size": 0}, {"workers": -1}, {"precision": "fp7"}):
        with pytest.raises(InputError, match=next(iter(options))):
            extract(ds, backbone, **options)  # type: ignore[arg-type]


def test_preprocessing_of_uneven_shapes_is_refused(ds: Dataset, net: TinyNet) -> None:
    from tlengine.features import ImagePreprocess

    uneven = ImagePreprocess(resize=16, crop=None)
    backbone = Backbone(net, preprocess=uneven, modality="image", name="uneven", embedding_dim=8)
    with pytest.raises(BackboneError, match="different shapes"):
        extract(ds, backbone)


def test_your_own_transform_goes_through(ds: Dataset, net: TinyNet) -> None:
    from torchvision import transforms

    steps = [
        transforms.Resize((16, 16), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize(PREPROCESS.mean, PREPROCESS.std),
    ]
    theirs = Backbone(net, preprocess=transforms.Compose(steps), modality="image", name="tv")
    from tlengine.features import ImagePreprocess

    ours = Backbone(
        net, preprocess=ImagePreprocess(resize=(16, 16), crop=None), modality="image", name="ours"
    )
    assert np.abs(extract(ds, theirs).X - extract(ds, ours).X).max() < 1e-5


def test_the_raw_control_goes_through_the_cache(ds: Dataset, cache: EmbeddingCache) -> None:
    first, again = (extract(ds, "raw", cache=cache) for _ in range(2))
    assert first.stats is not None
    assert again.stats is not None
    assert (first.dim, first.stats.embedded, again.stats.embedded) == (3072, 10, 0)
    assert float(np.abs(first.X).max()) <= 1.0


@pytest.mark.parametrize(
    ("option", "values", "error"),
    [
        ("batch_size", ["4", 2.5, 0, [4]], InputError),
        ("workers", ["1", 1.5, -1, [1]], InputError),
        ("precision", ["f8", 16, ["bf16"], None], InputError),
        ("device", ["abacus", 0, ["cpu"], None], BackboneError),
    ],
)
def test_options_of_another_kind_are_refused(option, values, error):
    texts = load_dataset(["a text", "another one"], labels="ignore")
    for value in values:
        with pytest.raises(error):
            extract(texts, "raw", cache=None, **{option: value})
