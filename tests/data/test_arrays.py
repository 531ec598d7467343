"""Arrays, ``.npz``, map-style datasets and Hugging Face datasets."""

import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from tlengine.data import load_dataset
from tlengine.errors import (
    DatasetError,
    DtypeError,
    EmptyInputError,
    InputError,
    LabelError,
    NonFiniteError,
    RangeError,
    ShapeMismatchError,
    UnsafeArtifactError,
)

PIXELS = np.zeros((2, 4, 5, 3), np.uint8)


def test_digits_are_features() -> None:
    X, y = load_digits(return_X_y=True)
    ds = load_dataset((X, y))
    assert ds.X is not None
    assert (ds.modality, ds.X.dtype, ds.X.shape) == ("features", np.float32, (1797, 64))
    assert np.array_equal(ds.labels(), y)
    assert np.array_equal(ds.take(np.arange(1797) % 2 == 0).labels(), y[::2])


@pytest.mark.parametrize(
    ("X", "modality"),
    [
        (PIXELS, "image"),
        (PIXELS[..., 0], "image"),
        ([PIXELS[0], PIXELS[1]], "image"),
        ([Path("a.png"), Path("b.png")], "image"),
        ([Image.new("RGB", (2, 2))] * 2, "image"),
        ([b"one", b"two"], "image"),
        (["one", "two"], "text"),
        (np.array(["one", "two"]), "text"),
        (np.array(["one", "two"], dtype=object), "text"),
        ([[1, 2], [3, 4]], "features"),
        (np.ones((2, 3), np.float64)[:, ::-1], "features"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "features"),
    ],
)
def test_what_an_array_is(X: Any, modality: str) -> None:
    ds = load_dataset((X, pd.Series(["a", "b"])))
    assert (ds.modality, len(ds), ds.labels().tolist()) == (modality, 2, ["a", "b"])
    assert load_dataset(X).y is None


NAN = np.array([[1.0, 2.0], [3.0, np.nan]])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ((NAN, [0, 1]), NonFiniteError, "nan at row 1, column 1; 1 of 4"),
        (([[1.0, -np.inf]], ["a"]), NonFiniteError, "inf at row 0, column 1"),
        (([[1e300, 1.0]], ["a"]), RangeError, "row 0, column 0"),
        (([[1.0]], ["a", "b"]), ShapeMismatchError, "X has 1 rows, y has 2"),
        (([[1.0]], [[1, 0]]), ShapeMismatchError, "y has 2 dimensions"),
        ((np.zeros(3), [1, 2, 3]), ShapeMismatchError, r"shape \(3,\)"),
        ((np.zeros((2, 2, 2, 2)), [1, 2]), ShapeMismatchError, "images are uint8"),
        ((np.zeros((2, 0)), [1, 2]), ShapeMismatchError, "shape"),
        ((np.zeros((0, 2)), []), EmptyInputError, "no samples"),
        ((np.zeros((2, 2), complex), [1, 2]), DtypeError, "complex"),
        (([{"a": 1}], ["a"]), DtypeError, "a dict is no sample"),
        ((["a", 1], ["a", "b"]), DtypeError, r"X\[1\]|X\[0\]"),
        ((["\ud800"], ["a"]), InputError, "surrogate"),
        (([[1.0], [2.0]], [0.0, np.nan]), LabelError, r"y\[1\]"),
        ((1, 2, 3), DatasetError, "a tuple of 3"),
        ({"a": [1]}, DatasetError, "dict: no column of texts"),
        (7, DatasetError, "a int is no dataset"),
    ],
)
def test_bad_arrays(source: Any, error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message):
        load_dataset(source)


def test_sparse_matrix_is_refused() -> None:
    from scipy.sparse import csr_matrix

    with pytest.raises(DtypeError, match="toarray"):
        load_dataset((csr_matrix(np.eye(2)), [0, 1]))


def test_npz_keeps_its_columns(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "f.npz",
        X=np.eye(2),
        y=np.array(["a", "b"]),
        ids=np.array(["x", "y"]),
        splits=np.array(["train", "test"]),
        backbone=np.array("tiny"),
    )
    ds = load_dataset(tmp_path / "f.npz")
    assert ds.splits is not None
    assert (ds.ids.tolist(), ds.splits.tolist(), ds.metadata["backbone"]) == (
        ["x", "y"],
        ["train", "test"],
        "tiny",
    )
    assert load_dataset(tmp_path / "f.npz", labels="ignore").y is None


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "object array", "garbage", "cut", "no X"])
def test_bad_npz(tmp_path: Path, kind: str) -> None:
    path, canary = tmp_path / "f.npz", tmp_path / "canary"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(canary)))
    elif kind == "object array":
        np.savez(path, X=np.array([Bomb(canary)], dtype=object))
    elif kind == "garbage":
        path.write_bytes(b"PK\3\4" + bytes(40))
    elif kind == "cut":
        np.savez(path, X=np.eye(100))
        path.write_bytes(path.read_bytes()[:-3000])
    else:
        np.savez(path, features=np.eye(2))
    expected = UnsafeArtifactError if kind in ("pickle", "object array") else DatasetError
    with pytest.raises(expected) as caught:
        load_dataset(path)
    assert caught.value.hint  # type: ignore[attr-defined]
    assert not canary.exists()


class Pairs(torch.utils.data.Dataset[Any]):
    """A map-style dataset of ``(tensor, number)``."""

    classes = ("cat", "dog")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, row: int) -> Any:
        return torch.full((3, 2, 4), row / 2), row % 2


def test_map_style_dataset() -> None:
    ds = load_dataset(Pairs())
    assert (ds.modality, ds.labels().tolist()) == ("image", ["cat", "dog", "cat"])
    assert ds.contents is not None
    assert ds.contents[2].shape == (2, 4, 3)
    assert ds.contents[2].dtype == np.uint8
    assert (int(ds.contents[0].max()), int(ds.contents[2].min())) == (0, 255)
    part = ds.take([2, 1])
    assert part.contents is not None
    assert int(part.contents[0].max()) == 255


class Mapped(Pairs):
    def __getitem__(self, row: int) -> Any:
        return {"text": f"text {row}", "label": "ab"[row % 2]}


class Broken(Pairs):
    def __getitem__(self, row: int) -> Any:
        if row == 2:
            raise RuntimeError("the disk is gone")
        return super().__getitem__(row)


class Unscaled(Pairs):
    def __getitem__(self, row: int) -> Any:
        return torch.full((3, 2, 2), -1.5), 0


def test_map_style_items() -> None:
    ds = load_dataset(Mapped())
    assert ds.contents is not None
    assert (ds.modality, list(ds.contents), ds.labels().tolist()) == (
        "text",
        ["text 0", "text 1", "text 2"],
        ["a", "b", "a"],
    )
    with pytest.raises(DatasetError, match=r"Broken\[2\]: RuntimeError: the disk is gone"):
        load_dataset(Broken())
    with pytest.raises(DatasetError, match="leave normalisation to the backbone"):
        load_dataset(Unscaled())


def test_hub_dataset() -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    source = datasets.Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]}, features=features)
    ds = load_dataset(source)
    assert (ds.contents, ds.labels().tolist()) == (["good", "bad"], ["pos", "neg"])
    both = load_dataset(datasets.DatasetDict({"train": source, "validation": source}))
    assert both.splits is not None
    assert both.splits.tolist() == ["train", "train", "select", "select"]
    with pytest.raises(DatasetError, match="split 'unsupervised' has no role"):
        load_dataset(datasets.DatasetDict({"unsupervised": source}))
    with pytest.raises(DatasetError, match="streaming"):
        load_dataset(source.to_iterable_dataset())


def test_hub_images_stay_encoded() -> None:
    images = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    source = datasets.Dataset.from_dict({"image": images, "label": ["r", "b"]}, features=features)
    ds = load_dataset(source)
    assert ds.contents is not None
    assert ds.modality == "image"
    assert ds.contents[1][:4] == b"\x89PNG"
    again = pickle.loads(pickle.dumps(ds.take([1]).contents))  # noqa: S301 - what a decoding process is sent
    assert again[0][:4] == b"\x89PNG"
