"""An extraction that ends in the middle: committed rows are not computed again, and the reason is named."""

import os
import signal
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cache_faults import DIM, keys_of, rows_of, table_in
from tlengine.data import Dataset, load_dataset
from tlengine.errors import BackboneError, ResourceError
from tlengine.features import Backbone, EmbeddingCache, ImagePreprocess, extract

PREPROCESS = ImagePreprocess(resize=16, crop=16)
IMAGES, BATCH = 12, 4


class Net(torch.nn.Module):
    """Means of the colours; fails as it is told at the batch with this number."""

    def __init__(self, fails_at: int, error: BaseException, at_most: int = 0) -> None:
        super().__init__()
        # Not under the names of the arguments: these would be settings of the network, and part of its key.
        self.plan = (fails_at, error, at_most)
        self.asked: list[int] = []
        self.failures = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fails_at, error, at_most = self.plan
        self.asked.append(len(images))
        if len(self.asked) > fails_at and len(images) > at_most:
            self.failures += 1
            raise error
        return images.mean(dim=(2, 3))

    def backbone(self) -> Backbone:
        return Backbone(self, preprocess=PREPROCESS, modality="image", name="means", embedding_dim=3)


@pytest.fixture
def ds(tmp_path: Path) -> Dataset:
    chance = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(IMAGES):
        pixels = chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02}.png")
    return load_dataset(tmp_path / "photos")


@pytest.mark.parametrize("batch", range(IMAGES // BATCH))
@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (RuntimeError("sizes do not match"), BackboneError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (torch.OutOfMemoryError("CUDA out of memory."), ResourceError),
    ],
    ids=["exception", "ctrl-c", "no memory"],
)
def test_batches_before_are_committed_and_the_next_run_goes_on(
    batch: int, error: BaseException, seen: type[BaseException], ds: Dataset, tmp_path: Path
) -> None:
    net = Net(batch, error)
    with EmbeddingCache(tmp_path / "cache") as cache, pytest.raises(seen) as caught:
        extract(ds, net.backbone(), cache=cache, batch_size=BATCH)
    assert net.failures >= 1
    if isinstance(caught.value, ResourceError):
        assert net.asked[batch:] == [4, 2, 1], "halved, down to one"
        assert caught.value.context == {"batch": 1, "shape": (16, 16, 3)}
    sound = Net(IMAGES, error)
    with EmbeddingCache(tmp_path / "cache") as cache:
        resumed = extract(ds, sound.backbone(), cache=cache, batch_size=BATCH)
    assert resumed.stats is not None
    assert (resumed.stats.cached, resumed.stats.embedded) == (batch * BATCH, IMAGES - batch * BATCH)
    assert sum(sound.asked) == IMAGES - batch * BATCH
    np.testing.assert_array_equal(resumed.X, extract(ds, Net(IMAGES, error).backbone()).X)


def test_a_batch_that_is_too_large_is_halved_and_all_rows_come(ds: Dataset, tmp_path: Path) -> None:
    net = Net(1, torch.OutOfMemoryError("CUDA out of memory."), at_most=2)
    with EmbeddingCache(tmp_path / "cache") as cache:
        feats = extract(ds, net.backbone(), cache=cache, batch_size=BATCH)
    assert net.failures == 1
    assert net.asked == [4, 4, 2, 2, 2, 2]
    np.testing.assert_array_equal(feats.X, extract(ds, Net(9, KeyboardInterrupt()).backbone()).X)


class Reading(torch.utils.data.Dataset[int]):
    """Looks its rows up in the cache and stores what is missing; its worker is killed at one of them."""

    def __init__(self, folder: Path, moment: str) -> None:
        self.folder, self.moment = folder, moment

    def __len__(self) -> int:
        return 40

    def __getitem__(self, at: int) -> int:
        table = table_in(self.folder / "cache")
        keys = keys_of(2, salt=at)
        if table.get(keys)[1].all():
            self.die(at, "reading")
            return 0
        table.put(keys, rows_of(keys))
        self.die(at, "writing")
        table.flush()
        with (self.folder / "acknowledged").open("a") as file:
            file.write(f"{at}\n")
        return 1

    def die(self, at: int, moment: str) -> None:
        """The worker's end, once."""
        once = self.folder / "died"
        if at == 23 and moment == self.moment and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _loader(folder: Path, moment: str) -> "torch.utils.data.DataLoader[int]":
    return torch.utils.data.DataLoader(
        Reading(folder, moment), num_workers=1, multiprocessing_context="spawn"
    )


def _load_all(folder: Path, moment: str) -> None:
    list(_loader(folder, moment))


@pytest.mark.parametrize("moment", ["reading", "writing"])
def test_a_killed_worker_of_a_data_loader(moment: str, tmp_path: Path) -> None:
    # In a process of its own: torch's handler of the worker's end raises wherever its parent happens to be.
    loading = get_context("spawn").Process(target=_load_all, args=(tmp_path, moment))
    loader = _loader(tmp_path, moment)
    if moment == "reading":
        assert sum(int(stored) for stored in loader) == 40
    loading.start()
    loading.join()
    assert loading.exitcode == 1, "the loader tells its parent that a worker died"
    assert (tmp_path / "died").exists()
    before = (tmp_path / "acknowledged").read_text().split()
    assert sum(int(stored) for stored in loader) == 40 - len(before), "committed rows are not computed again"
    after = (tmp_path / "acknowledged").read_text().split()
    assert sorted(map(int, after)) == list(range(40))
    X, hit = table_in(tmp_path / "cache").get(np.concatenate([keys_of(2, salt=at) for at in range(40)]))
    assert hit.all()
    assert X.shape == (80, DIM)
