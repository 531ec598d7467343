"""Contents that change between their key and their embedding: the row of another content is never stored."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tlengine as tl
from tlengine.data import Dataset
from tlengine.errors import (
    BackboneError,
    DecodeError,
    InputError,
    TlengineWarning,
    UnhashableRecipeError,
)
from tlengine.features import EmbeddingCache, ImagePreprocess

N = 12


def image_of(value: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(value).integers(0, 256, (16, 16, 3), dtype=np.uint8)


class Augmented:
    """A map-style dataset whose items are drawn anew each time, in the form that is asked for."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.targets = [i % 2 for i in range(N)]

    def __len__(self) -> int:
        return N

    def __getitem__(self, row: int) -> Any:
        draw = random.randrange(10**9)
        if self.form == "text":
            return f"text {row} {draw}", row % 2
        image = image_of(draw)
        if self.form == "tensor":
            return torch.from_numpy(image).permute(2, 0, 1), row % 2
        return (Image.fromarray(image) if self.form == "PIL" else image), row % 2


class Fixed(Augmented):
    """The same items each time."""

    def __getitem__(self, row: int) -> Any:
        random.seed(row)
        return super().__getitem__(row)


def backbone(modality: str) -> tl.Backbone:
    if modality == "text":
        return tl.Backbone(nn.Flatten(), preprocess=letters, modality="text", name="letters", embedding_dim=8)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    prep = ImagePreprocess(resize=16, crop=16)
    return tl.Backbone(pool, preprocess=prep, modality="image", name="pool", embedding_dim=12)


def letters(text: str) -> np.ndarray[Any, Any]:
    return np.bincount(np.frombuffer(text.encode(), np.uint8) % 8, minlength=8).astype(np.float32)


def stored(cache: EmbeddingCache) -> int:
    return sum(table.rows for table in cache.tables())


@pytest.mark.parametrize("form", ["PIL", "array", "tensor", "text"])
@pytest.mark.parametrize("workers", [0, 1])
def test_random_items_are_refused_and_nothing_is_stored(form: str, workers: int, tmp_path: Path) -> None:
    ds = tl.load_dataset(Augmented(form))
    with EmbeddingCache(tmp_path) as cache:
        with pytest.raises(InputError, match=r"another one each time(.|\n)*turn random augmentation off"):
            tl.extract(ds, backbone(ds.modality), cache=cache, workers=workers, progress=False)
        assert stored(cache) == 0


@pytest.mark.parametrize("form", ["PIL", "array", "tensor", "text"])
def test_items_that_stay_are_embedded_once(form: str, tmp_path: Path) -> None:
    ds = tl.load_dataset(Fixed(form))
    counts = [
        tl.extract(ds, backbone(ds.modality), cache=tmp_path, progress=False).stats.embedded  # type: ignore[union-attr]
        for _ in range(2)
    ]
    assert counts == [N, 0]


class Replacing(Sequence[Any]):
    """Paths; a file is replaced as soon as it was handed out a second time."""

    def __init__(self, paths: list[Path], how: str) -> None:
        self._paths, self._how, self._seen = paths, how, set[int]()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: Any) -> Any:
        path = self._paths[row]
        if row in self._seen and row == 3:
            if self._how == "removed":
                path.unlink(missing_ok=True)
            elif self._how == "renamed over":
                Image.fromarray(image_of(999)).save(path.with_suffix(".new.png"))
                path.with_suffix(".new.png").replace(path)
            else:
                Image.fromarray(image_of(999)).save(path)
        self._seen.add(row)
        return path


@pytest.mark.parametrize("how", ["removed", "renamed over", "written over"])
def test_a_file_that_changes_during_the_run_is_a_failure_and_not_a_wrong_row(
    how: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{row}.png" for row in range(N)]
    for row, path in enumerate(paths):
        Image.fromarray(image_of(row)).save(path)
    ds = Dataset(
        name="moving",
        modality="image",
        ids=np.array([path.name for path in paths]),
        contents=Replacing(paths, how),
    )
    with pytest.warns(TlengineWarning, match=r"1 of 12 samples cannot be read: 3\.png"):
        feats = tl.extract(ds, backbone("image"), cache=tmp_path / "cache", workers=0, progress=False)
    assert feats.ids.tolist() == [path.name for row, path in enumerate(paths) if row != 3]
    assert feats.failures[0].reason
    whole = tl.load_dataset([image_of(row) for row in range(N) if row != 3])
    expected = tl.extract(whole, backbone("image"), cache=None, progress=False)
    assert np.abs(feats.X - expected.X).max() < 1e-6


def noisy(image: Any) -> np.ndarray[Any, Any]:
    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)
    return pixels + np.random.default_rng().normal(size=pixels.shape).astype(np.float32)


def noisy_text(text: str) -> np.ndarray[Any, Any]:
    return letters(text) + random.random()


@pytest.mark.parametrize("modality", ["image", "text"])
def test_random_preprocessing_is_refused(modality: str, tmp_path: Path) -> None:
    """By its code where that can be read, else by what comes out."""
    contents: list[Any] = [image_of(i) for i in range(3)] if modality == "image" else ["a", "b", "c"]
    preprocess = noisy if modality == "image" else noisy_text
    settings = {"preprocess": preprocess, "modality": modality, "name": "x", "embedding_dim": 12}
    module = backbone(modality).module
    with pytest.raises(UnhashableRecipeError, match="draws by chance"):
        tl.Backbone(module, **settings).fingerprint  # noqa: B018
    named = tl.Backbone(module, preprocess_name="noisy-v1", **settings)
    with pytest.raises(BackboneError, match=r"another result each time(.|\n)*computed once"):
        tl.extract(tl.load_dataset(contents), named, cache=tmp_path, progress=False)


def broken(sample: Any) -> Any:
    return 1 / 0


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_preprocessing_that_always_fails_blames_the_backbone_not_the_data(modality: str) -> None:
    contents: list[Any] = [image_of(i) for i in range(3)] if modality == "image" else ["a", "b", "c"]
    bb = backbone(modality)
    bb.preprocess = broken
    with pytest.raises(
        BackboneError, match=r"your module\) cannot preprocess any of 3 samples: .*ZeroDivision"
    ):
        tl.extract(tl.load_dataset(contents), bb, cache=None, progress=False)


def fussy(text: str) -> np.ndarray[Any, Any]:
    if text == "b":
        raise ValueError("not b")
    return letters(text)


def test_one_that_fails_on_some_leaves_these_out() -> None:
    bb = backbone("text")
    bb.preprocess = fussy
    with pytest.warns(TlengineWarning, match="1 of 3 samples"):
        feats = tl.extract(tl.load_dataset(["a", "b", "c"]), bb, cache=None, progress=False)
    assert feats.ids.tolist() == ["0", "2"]
    with pytest.raises(DecodeError, match="not b"):
        tl.extract(tl.load_dataset(["a", "b", "c"]), bb, cache=None, progress=False, strict=True)


def test_a_lazily_opened_image_whose_metadata_follow_the_pixels_is_not_taken_for_random(
    tmp_path: Path,
) -> None:
    import io
    import struct
    import zlib

    buffer = io.BytesIO()
    Image.fromarray(image_of(0)).save(buffer, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    whole = buffer.getvalue()
    (tmp_path / "late.png").write_bytes(whole[:-12] + chunk + whole[-12:])
    images = [Image.open(tmp_path / "late.png"), Image.fromarray(image_of(1))]
    feats = tl.extract(tl.load_dataset(images), backbone("image"), cache=None, progress=False)
    assert feats.X.shape == (2, 12)


def test_an_item_that_fails_the_second_time_is_a_failure(tmp_path: Path) -> None:
    class Fragile(Fixed):
        def __init__(self, form: str) -> None:
            super().__init__(form)
            self.reads = 0

        def __getitem__(self, row: int) -> Any:
            self.reads += row == 5
            if row == 5 and self.reads > 1:
                raise OSError("the disk is gone")
            return super().__getitem__(row)

    ds = tl.load_dataset(Fragile("array"))
    with pytest.warns(TlengineWarning, match=r"1 of 12 samples cannot be read: 5 \(.*the disk is gone"):
        feats = tl.extract(ds, backbone("image"), cache=None, workers=0, progress=False)
    assert len(feats) == N - 1
