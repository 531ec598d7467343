"""Objects in memory: what they hold is read right, or refused with the way out; never a wrong label."""

import enum
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import sklearn.utils
import torch
from PIL import Image
from sklearn.datasets import load_iris
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset, random_split

from tests.data.forms import Items
from tlengine.data import Dataset, load_dataset
from tlengine.errors import DatasetError, DtypeError, InputError, LabelError, NonFiniteError, TlengineWarning
from tlengine.types import Features

X = np.arange(12.0).reshape(4, 3)
Pet = enum.Enum("Pet", "CAT DOG")
Named = enum.StrEnum("Named", {"CAT": "cat", "DOG": "dog"})
Numbered = enum.IntEnum("Numbered", {"CAT": 3, "DOG": 5})

RIGHT: dict[str, tuple[Any, list[Any]]] = {
    "bytes": ([b"cat", b"dog", b"cat", b"dog"], ["cat", "dog", "cat", "dog"]),
    "bytearrays": ([bytearray(b"a"), memoryview(b"b"), b"a", "b"], ["a", "b", "a", "b"]),
    "array of bytes": (np.array(["é", "b", "é", "b"]).astype("U1").astype(object), ["é", "b", "é", "b"]),
    "S": (np.array([b"cat", b"dog"] * 2), ["cat", "dog"] * 2),
    "NumPy scalars": ([np.int64(1), np.int8(2), np.uint8(1), 2], [1, 2, 1, 2]),
    "NumPy text": ([np.str_("a"), "b", "a", "b"], ["a", "b", "a", "b"]),
    "NumPy bool": ([np.True_, False, True, np.False_], [True, False, True, False]),
    "enumeration": ([Pet.CAT, Pet.DOG] * 2, ["CAT", "DOG"] * 2),
    "enumeration of text": ([Named.CAT, Named.DOG] * 2, ["cat", "dog"] * 2),
    "enumeration of numbers": ([Numbered.CAT, Numbered.DOG] * 2, [3, 5] * 2),
    "categories": (pd.Categorical(["a", "b"] * 2), ["a", "b"] * 2),
    "series of categories": (pd.Series(["a", "b"] * 2, dtype="category"), ["a", "b"] * 2),
    "StringDtype": (pd.Series(["a", "b"] * 2, dtype="string"), ["a", "b"] * 2),
    "Arrow strings": (pd.Series(["a", "b"] * 2, dtype="string[pyarrow]"), ["a", "b"] * 2),
    "Int64": (pd.Series([1, 2] * 2, dtype="Int64"), [1, 2] * 2),
    "an index": (pd.Index(["a", "b"] * 2), ["a", "b"] * 2),
    "Arrow": (pa.chunked_array([["a", "b"], ["a", "b"]]), ["a", "b"] * 2),
    "NumPy's StringDType": (np.array(["a", "b"] * 2, np.dtypes.StringDType()), ["a", "b"] * 2),
    "column": (np.array([["a"], ["b"]] * 2), ["a", "b"] * 2),
    "frame of one column": (pd.DataFrame({"y": ["a", "b"] * 2}), ["a", "b"] * 2),
    "lists of one": ([["a"], ["b"]] * 2, ["a", "b"] * 2),
    "tensor": (torch.tensor([0, 1] * 2), [0, 1] * 2),
    "tensor with a gradient": (torch.tensor([0.0, 1.0] * 2, requires_grad=True), [0.0, 1.0] * 2),
    "bfloat16": (torch.tensor([0, 1] * 2, dtype=torch.bfloat16), [0.0, 1.0] * 2),
    "tensor column": (torch.tensor([[0], [1]] * 2), [0, 1] * 2),
    "list of tensors": ([torch.tensor(i % 2) for i in range(4)], [0, 1] * 2),
    "minus one": ([-1, 1, -1, 1], [-1, 1, -1, 1]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_labels_are_what_they_say(case: str) -> None:
    y, expected = RIGHT[case]
    for source in ((X, y), {"X": X, "y": y}, (["a", "b", "c", "d"], y)):
        labels = load_dataset(source).labels()
        assert labels.tolist() == expected
        assert labels.dtype.kind in "Uifb"


REFUSED: dict[str, tuple[Any, str]] = {
    "lists": ([["a"], ["b", "a"], [], ["c"]], r"y\[0\]: .*one class here.*\n.*MultiLabelBinarizer"),
    "sets": ([{"a"}, {"b", "a"}, {"c"}, {"a"}], r"y\[0\]: .*\n.*MultiLabelBinarizer"),
    "frozensets": ([frozenset("ab")] * 4, r"y\[0\]: .*\n.*MultiLabelBinarizer"),
    "dicts": ([{"a": 1}] * 4, r"y\[0\]: .*\n.*MultiLabelBinarizer"),
    "tuples": ([("a",), ("a", "b")] * 2, r"y\[0\]: .*\n.*MultiLabelBinarizer"),
    "arrays": ([np.array([1, 2]), np.array([1])] * 2, r"y\[0\]: .*\n.*MultiLabelBinarizer"),
    "one-hot": (np.eye(4), r"2 dimensions.*\n.*argmax"),
    "one-hot tensor": (torch.eye(4), r"2 dimensions.*\n.*argmax"),
    "frame of two columns": (pd.DataFrame({"y": list("abab"), "z": 1}), "2 dimensions"),
    "structured": (np.zeros(4, [("a", "i4")]), r"y\[0\]"),
    "NA": (["a", pd.NA, "b", "a"], r"y\[1\]: the label is missing \(<NA>\)"),
    "NaT": (["a", pd.NaT, "b", "a"], r"y\[1\]: the label is missing \(NaT\)"),
    "None": (["a", None, "b", "a"], r"y\[1\]: the label is missing"),
    "NaN": (["a", float("nan"), "b", "a"], r"y\[1\]: the label is missing"),
    "NA in a series": (pd.Series([1, None, 1, 2], dtype="Int64"), r"y\[1\]: the label is missing"),
    "NA among categories": (
        pd.Series(["a", None, "a", "b"], dtype="category"),
        r"y\[1\]: the label is missing",
    ),
    "masked": (np.ma.array([1, 2, 1, 2], mask=[0, 1, 0, 0]), r"y\[1\]: the label is missing"),
    "dates": (np.array(["2020-01-01"] * 4, "datetime64[ns]"), r"y\[0\].*datetime64"),
    "decimals": ([Decimal(1)] * 4, r"y\[0\].*Decimal"),
    "complex": ([1j] * 4, r"y\[0\].*complex"),
    "paths": ([Path("a")] * 4, r"y\[0\].*Path"),
    "bytes that are no text": ([b"\xff", b"a"] * 2, r"y\[0\].*bytes"),
    "mixed objects": (np.array(["a", 1, "a", 1], dtype=object), r"y\[1\]: label 1 is a int"),
    "targets": ([0.12, 1.5, 2.25, 3.75], "regression"),
    "too short": (["a", "b"], "X has 4 rows, y has 2"),
    "a text": ("abab", "dimensions"),
    "a set": ({"a", "b"}, "dimensions"),
    "a generator": ((c for c in "abab"), "dimensions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_label_is_refused(case: str) -> None:
    y, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        load_dataset((X, y))
    assert caught.value.hint


# ---- samples ----

ROWS = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS.clone().requires_grad_(),
        ROWS.bfloat16(),
        ROWS.half(),
        ROWS.to(torch.float8_e4m3fn),
        ROWS.T.contiguous().T,
        [ROWS[0].clone().requires_grad_(), ROWS[1]],
        [np.array([0, 1, 2]), np.array([3, 4, 5])],
        np.array([[0, 1, 2], [3, 4, 5]], dtype=object),
        pd.DataFrame([[0, 1, 2], [3, 4, 5]], index=[7, 3]),
        pa.table({"a": [0, 3], "b": [1, 4], "c": [2, 5]}),
        TensorDataset(ROWS, torch.tensor([0, 1])),
        [(row, label) for row, label in zip(ROWS, "ab", strict=True)],
    ],
    ids=lambda rows: str(type(rows).__name__),
)
def test_features(rows: Any) -> None:
    ds = load_dataset(rows)
    assert ds.X is not None
    assert ds.X.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert ds.X.dtype == np.float32


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (torch.eye(2).to_sparse(), DtypeError, "sparse.*\n.*to_dense"),
        (scipy.sparse.coo_array(np.eye(2)), DtypeError, "sparse.*\n.*toarray"),
        (torch.empty(2, 3, device="meta"), DtypeError, "meta"),
        (np.zeros(2, [("a", "f4")]), DtypeError, "structured.*\n.*structured_to_unstructured"),
        (np.ma.array([[1.0, 2], [3, 4]], mask=[[0, 1], [0, 0]]), NonFiniteError, "row 0, column 1"),
        (np.array([[1, 2.5], [3, None]], dtype=object), NonFiniteError, "row 1, column 1"),
        (np.array([[1, "x"], [3, 4]], dtype=object), DtypeError, "row 0, column 1"),
        (pd.DataFrame({"a": pd.array([1.0, None], dtype="Float64")}), NonFiniteError, "row 1, column 0"),
        ([[1, 2], [1]], InputError, "different length"),
        ([["1", "2", "3"], ["3", "4", "5"]], DtypeError, "real numbers"),
        (np.zeros((2, 3, 4, 5), np.uint8), InputError, r"channels first.*\n.*transpose"),
        (torch.zeros(2, 4, 5, 3), DatasetError, "permute"),
        (torch.randn(2, 3, 4, 5) * 9, DatasetError, "normalisation"),
        (np.random.default_rng(0).random((2, 4, 5, 3)), InputError, "images are uint8"),
    ],
)
def test_what_is_no_sample_is_refused(rows: Any, error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_dataset((rows, ["a", "b"]))
    assert caught.value.hint


@pytest.mark.parametrize("images", [torch.ones(2, 3, 4, 5), torch.full((2, 1, 4, 5), 255, dtype=torch.uint8)])
def test_tensors_of_images(images: torch.Tensor) -> None:
    for source in (images, list(images)):
        ds = load_dataset((source, ["a", "b"]))
        assert ds.contents is not None
        assert (ds.modality, ds.contents[1].shape, int(ds.contents[1].min())) == ("image", (4, 5, 3), 255)


def test_tensors_with_channels_last() -> None:
    ds = load_dataset((torch.full((2, 4, 5, 3), 7, dtype=torch.uint8), ["a", "b"]))
    assert ds.contents is not None
    assert (ds.modality, ds.contents[1].shape, int(ds.contents[1].max())) == ("image", (4, 5, 3), 7)


# ---- frames and other tables in memory ----

FRAME = pd.DataFrame({"text": ["good", "bad"], "label": ["pos", "neg"], "patient": ["p", "q"]}, index=[7, 3])


@pytest.mark.parametrize(
    "source",
    [
        FRAME,
        FRAME.set_index("patient", append=True, drop=False),
        FRAME.rename(columns={"label": " label\u200b"}),
        FRAME.assign(label=pd.Categorical(FRAME["label"])),
        FRAME.convert_dtypes(),
        pa.Table.from_pandas(FRAME),
        pa.RecordBatch.from_pandas(FRAME),
        FRAME.to_dict("list"),
        FRAME.to_dict("series"),
        FRAME.to_dict("records"),
        datasets.Dataset.from_pandas(FRAME),
        Items(FRAME.to_dict("records")),
    ],
    ids=lambda source: f"{type(source).__module__}.{type(source).__name__}",
)
def test_tables_in_memory(source: Any) -> None:
    ds = load_dataset(source)
    assert ds.groups is not None
    assert (list(ds.contents or []), ds.labels().tolist(), ds.groups.tolist(), ds.ids.tolist()) == (
        ["good", "bad"],
        ["pos", "neg"],
        ["p", "q"],
        ["0", "1"],
    )
    assert load_dataset(source, label="patient").labels().tolist() == ["p", "q"]
    with pytest.raises(InputError, match="no column 'zork'"):
        load_dataset(source, group="zork")


def test_polars() -> None:
    polars = pytest.importorskip("polars", reason="polars is not among the test dependencies")
    ds = load_dataset(polars.from_dict(FRAME.to_dict("list")))
    assert (ds.contents, ds.labels().tolist()) == (["good", "bad"], ["pos", "neg"])
    ds = load_dataset(polars.DataFrame({"a": [1.0, 2.0], "label": ["x", "y"]}).select("a"))
    assert ds.X is not None
    assert ds.X.tolist() == [[1], [2]]
    with pytest.raises(DatasetError, match="collect"):
        load_dataset(polars.LazyFrame({"text": ["a"]}))


def test_frames_with_labels_apart() -> None:
    for y in (
        FRAME["label"],
        FRAME["label"].tolist(),
        FRAME[["label"]],
        FRAME["label"].reset_index(drop=True),
    ):
        ds = load_dataset((FRAME[["text"]], y))
        assert (ds.contents, ds.labels().tolist()) == (["good", "bad"], ["pos", "neg"])
        assert load_dataset((FRAME["text"], y)).labels().tolist() == ["pos", "neg"]
    numbers = pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 3])
    for X in (FRAME[["text"]], FRAME["text"], numbers):
        with pytest.raises(DatasetError, match=r"another order.*\n.*y.loc\[X.index\]"):
            load_dataset((X, FRAME["label"].iloc[::-1]))
    with pytest.raises(InputError, match="beside y"):
        load_dataset((FRAME, [0, 1]), label="label")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            pd.DataFrame([["a", "b", "c"]], columns=["text", "label", "label "]),
            "two columns are named 'label'",
        ),
        (pd.DataFrame([["a"]], columns=pd.MultiIndex.from_tuples([("x", "text")])), "in levels"),
        (FRAME.iloc[:0], "no rows"),
        ({"text": ["a", "b"], "label": ["x"]}, "'label' has 1 rows, others have 2"),
        ({"train": FRAME, "test": FRAME}, "'train' is a DataFrame, not a column"),
        ({"text": "a"}, "'text' is a str, not a column"),
        ({"X": X, "label": [1]}, "keys are: X, y"),
        ((x for x in "ab"), r"generator.*\n.*list\(source\)"),
        ({"a", "b"}, r"list\(source\)"),
        ("https://example.org/t.csv", "URL"),
        (b"text", "a bytes is no dataset"),
    ],
)
def test_what_is_no_table_is_refused(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(source)
    assert caught.value.hint


# ---- options are honoured or refused ----


@pytest.mark.parametrize("option", ["text", "image", "label", "group", "domain", "split"])
def test_a_column_named_for_a_source_without_columns_is_refused(tmp_path: Path, option: str) -> None:
    np.savez(tmp_path / "f.npz", X=X)
    (tmp_path / "a").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "a" / "1.png")
    ready = load_dataset((X, list("abab")))
    features = Features(X=X.astype(np.float32), ids=np.array(list("abcd")))
    pairs = [(str(i), "ab"[i % 2]) for i in range(4)]
    for source in ((X, list("abab")), X, ready, features, tmp_path / "f.npz", tmp_path, pairs, Base()):
        with pytest.raises(InputError, match=f"column 'patient'|{option}='patient'") as caught:
            load_dataset(source, **{option: "patient"})
        assert caught.value.hint


def test_a_dict_of_arrays_has_columns() -> None:
    more = {
        "groups": [1, 1.0, 2, 2],
        "splits": ["train", "dev", "TEST", "test"],
        "ids": [b"a", "b", "c", "d"],
    }
    ds = load_dataset({"X": X, "y": list("abab"), **more})
    assert [c.tolist() for c in (ds.groups, ds.splits, ds.ids) if c is not None] == [
        ["1", "1", "2", "2"],
        ["train", "select", "test", "test"],
        ["a", "b", "c", "d"],
    ]
    with pytest.raises(DatasetError, match=r"groups\[1\]: group column is empty"):
        load_dataset({"X": X, "groups": ["a", None, "b", "b"]})
    with pytest.raises(DatasetError, match=r"splits\[1\]: 'tets' is no split"):
        load_dataset({"X": X, "splits": ["train", "tets", "test", "test"]})


def test_options_of_a_dataset_that_is_loaded() -> None:
    ds = load_dataset((["a", "b"], ["x", "y"]))
    assert load_dataset(ds, labels="ignore").y is None
    assert load_dataset(ds, name="mine").name == "mine"
    with pytest.raises(InputError, match="modality='image' was asked for"):
        load_dataset(ds, modality="image")
    with pytest.raises(InputError, match="modality='audio'"):
        load_dataset(ds, modality="audio")  # type: ignore[arg-type]


def test_features_and_datasets_are_one_pair(tmp_path: Path) -> None:
    features = Features(
        X=np.eye(2, dtype=np.float32),
        ids=np.array(["a", "b"]),
        y=np.array(["x", "y"]),
        domains=np.array(["d", "e"]),
        keys=np.zeros((2, 32), np.uint8),
        backbone="tiny",
        fingerprint="00",
        dataset="pets",
    )
    again = Dataset.from_features(features).to_features()
    for name in (
        "X",
        "ids",
        "y",
        "groups",
        "domains",
        "splits",
        "keys",
        "backbone",
        "fingerprint",
        "dataset",
    ):
        assert np.array_equal(getattr(again, name), getattr(features, name)), name
    np.savez(tmp_path / "f.npz", X=features.X, keys=features.keys, splits=np.array(["dev", "train"]))
    ds = load_dataset(tmp_path / "f.npz")
    assert ds.keys is not None
    assert ds.splits is not None
    assert (ds.keys.shape, ds.splits.tolist()) == ((2, 32), ["select", "train"])
    with pytest.raises(InputError, match="holds text, not features"):
        load_dataset(["a", "b"]).to_features()
    with pytest.raises(InputError, match="'val' is no role"):
        Dataset(name="n", modality="text", ids=np.array(["a"]), contents=["a"], splits=np.array(["val"]))


@pytest.mark.parametrize("name", ["fold", "Subset", "partition", "splits"])
@pytest.mark.parametrize("form", [pd.DataFrame, pa.table])
def test_numbers_under_the_name_of_a_split_do_not_vanish_without_a_word(name: str, form: Any) -> None:
    source = form({"a": [1.0, 2.0, 3.0], name: [0.5, 1.5, 2.5], "label": ["x", "y", "x"]})
    with pytest.warns(TlengineWarning, match=f"'{name}': 0.5, 1.5, 2.5 are no words.*not used.*rename it"):
        ds = load_dataset(source)
    assert ds.X is not None
    assert ds.X.tolist() == [[1], [2], [3]]
    apart = load_dataset(
        (source.drop(columns="label") if form is pd.DataFrame else source.drop(["label"]), [0, 1, 0])
    )
    assert apart.X is not None
    assert apart.X.shape == (3, 2)


# ---- everyday spellings ----


@pytest.mark.parametrize("y", [range(2), {"p": 0, "q": 1}.values(), deque([0, 1]), (0, 1)], ids=str)
def test_labels_in_any_sequence(y: Any) -> None:
    assert load_dataset((X[:2], y)).labels().tolist() == [0, 1]


@pytest.mark.parametrize("y", [{0, 1}, 3, "ab", iter([0, 1])], ids=["set", "number", "text", "iterator"])
def test_labels_without_an_order_are_refused(y: Any) -> None:
    with pytest.raises(InputError, match=r"y is a \w+, which has 0 dimensions") as caught:
        load_dataset((X[:2], y))
    assert caught.value.hint


def test_a_list_of_features_and_labels_is_no_list_of_images() -> None:
    with pytest.raises(InputError, match=r"X\[1\]: an array of shape \(4,\) is no image.*\n.*\(X, y\)"):
        load_dataset([X, np.array([0, 1, 0, 1])])


@pytest.mark.parametrize("as_frame", [False, True])
def test_what_loaders_of_scikit_learn_give(as_frame: bool) -> None:
    iris = load_iris(as_frame=as_frame)
    ds = load_dataset(iris)
    assert ds.X is not None
    assert ds.X.shape == (150, 4)
    assert ds.labels().tolist() == list(iris.target)
    with pytest.raises(LabelError, match="regression"):
        load_dataset(sklearn.utils.Bunch(data=X, target=[0.12, 1.5, 2.25, 3.75]))


def test_a_dict_of_splits_of_the_hub() -> None:
    part = hub(["good", "bad"], [1, 0])
    ds = load_dataset({"train": part, "validation": part})
    assert ds.splits is not None
    assert ds.splits.tolist() == ["train", "train", "select", "select"]


def test_pictures_in_a_column_called_images() -> None:
    pictures = [Image.new("RGB", (2, 2)) for _ in range(2)]
    ds = load_dataset({"images": pictures, "labels": ["a", "b"]})
    assert (ds.modality, ds.labels().tolist()) == ("image", ["a", "b"])


# ---- torch ----


class Base(torch.utils.data.Dataset[Any]):
    """As torchvision's: ``targets``, ``classes`` and ``target_transform``."""

    classes: list[str] = ["cat", "dog"]  # noqa: RUF012 - as torchvision has it

    def __init__(self, target_transform: Any = None) -> None:
        self.targets = [0, 1, 0, 1]
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        target = self.targets[row]
        return torch.full((3, 2, 2), 0.5), self.target_transform(target) if self.target_transform else target


class Vehicles(Base):
    classes = ["car", "bus"]  # noqa: RUF012 - as torchvision has it


class Swapped(Base):
    """Changes its labels without a word in ``target_transform``."""

    def __getitem__(self, row: int) -> Any:
        image, target = super().__getitem__(row)
        return image, 1 - target


def _swap(target: int) -> int:
    return 1 - target


def _letter(target: int) -> str:
    return "xy"[target]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Base(), ["cat", "dog", "cat", "dog"]),
        (Base(_swap), [1, 0, 1, 0]),
        (Base(_letter), ["x", "y", "x", "y"]),
        (Swapped(), [1, 0, 1, 0]),
        (Subset(Base(), [3, 0]), ["dog", "cat"]),
        (Subset(Subset(Base(), [3, 0, 1]), [0, 1]), ["dog", "cat"]),
        (Subset(Base(_swap), [3, 0]), [0, 1]),
        (Subset(Swapped(), [3, 0]), [0, 1]),
        (ConcatDataset([Base(), Vehicles()]), ["cat", "dog", "cat", "dog", "car", "bus", "car", "bus"]),
        (ConcatDataset([Subset(Base(), [1]), Vehicles()]), ["dog", "car", "bus", "car", "bus"]),
        (ConcatDataset([Base(_letter), Base(_letter)]), ["x", "y"] * 4),
    ],
)
def test_labels_are_what_the_items_say(source: Any, expected: list[Any]) -> None:
    ds = load_dataset(source)
    assert ds.labels().tolist() == expected
    assert ds.contents is not None
    assert ds.contents[0].shape == (2, 2, 3)


def test_random_split_keeps_labels_with_their_items() -> None:
    parts = random_split(Base(), [0.5, 0.5], generator=torch.Generator().manual_seed(3))
    for part in parts:
        assert load_dataset(part).labels().tolist() == [["cat", "dog"][part[i][1]] for i in range(2)]


class Listed(torch.utils.data.Dataset[Any]):
    """Gives the items of a list."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield "a", 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Listed((3, "a text"), (4, "another")), r"\[0\]: 3 is neither text nor image.*\n.*in this order"),
        (Listed(("a", torch.eye(2)[0]), ("b", torch.eye(2)[1])), r"\[0\]: label .*one class here"),
        (Listed(("a", {"x"}), ("b", {"x", "y"})), r"\[0\]: label .*one class here"),
        (Listed({"text": "a", "label": 1}, {"text": "b"}), r"\[1\]: no 'label' in this item"),
        (Listed(("a", 1), ("b",)), r"\[1\]: no 1 in this item"),
        (Listed((torch.zeros(5), 1), (torch.zeros(5), 0)), r"shape \(5,\).*\n.*\(X, y\)"),
        (Stream(), r"Stream is no dataset.*\n.*list\(source\)"),
        (DataLoader(Base()), "loader.dataset"),
    ],
)
def test_odd_items_are_refused(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(source)
    assert caught.value.hint


def test_groups_domains_and_splits_of_items() -> None:
    records = [
        {
            "text": f"t{i}",
            "label": "ab"[i % 2],
            "patient": i // 2,
            "clinic": "x",
            "fold": ["train", "test"][i % 2],
        }
        for i in range(4)
    ]
    ds = load_dataset(Items(records), domain="clinic", split="fold")
    assert [c.tolist() for c in (ds.groups, ds.domains, ds.splits) if c is not None] == [
        ["0", "0", "1", "1"],
        ["x"] * 4,
        ["train", "test", "train", "test"],
    ]


# ---- Hugging Face datasets ----

HUB = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
)


def hub(texts: list[str], labels: list[Any]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=HUB)


@pytest.mark.parametrize("kind", ["torch", "numpy", "pandas", "arrow", "columns"])
def test_formats_change_nothing(kind: str) -> None:
    source = hub(["good", "bad"], [1, 0])
    source = source.with_format("torch", columns=["label"]) if kind == "columns" else source.with_format(kind)
    ds = load_dataset(source)
    assert (ds.contents, ds.labels().tolist()) == (["good", "bad"], ["pos", "neg"])
    both = load_dataset(datasets.DatasetDict({"train": source, "Test": source}))
    assert both.ids.tolist() == ["train[0]", "train[1]", "Test[0]", "Test[1]"]


def _shout(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        "text": [text.upper() for text in batch["text"]],
        "label": [1 - label for label in batch["label"]],
    }


def test_a_transform_is_not_passed_over() -> None:
    source = hub(["good", "bad"], [1, 0]).with_transform(_shout)
    ds = load_dataset(source)
    assert (list(ds.contents or []), ds.labels().tolist()) == (["GOOD", "BAD"], [0, 1])
    with pytest.raises(DatasetError, match=r"set_transform.*\n.*map\(\)"):
        load_dataset(datasets.DatasetDict({"train": source}))


def test_splits_without_labels_as_glue_has_them() -> None:
    source = datasets.DatasetDict({"train": hub(["good", "bad"], [1, 0]), "test": hub(["?", "!"], [-1, -1])})
    with pytest.warns(TlengineWarning, match="no row of the split test has a label; its 2 rows are left out"):
        ds = load_dataset(source)
    assert (ds.labels().tolist(), ds.ids.tolist()) == (["pos", "neg"], ["train[0]", "train[1]"])
    assert len(load_dataset(source, labels="ignore")) == 4
    for labels in ([1, -1], [-1, -1], [0, None]):
        with pytest.raises(
            LabelError, match=r"row [01], column 'label': (-1 is none of|the label is missing)"
        ):
            load_dataset(hub(["a", "b"], labels))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (datasets.Dataset.from_dict({"text": ["u"]}), "split 'test': column 'label' of 'train' is missing"),
        (
            datasets.Dataset.from_dict(
                {"text": ["u"], "label": [0]},
                features=datasets.Features({**HUB, "label": datasets.ClassLabel(names=["pos", "neg"])}),
            ),
            "other names of classes",
        ),
    ],
)
def test_splits_that_do_not_fit_are_refused(other: datasets.Dataset, message: str) -> None:
    source = datasets.DatasetDict({"train": hub(["good", "bad"], [1, 0]), "test": other})
    with pytest.raises(DatasetError, match=message):
        load_dataset(source)
    with pytest.raises(DatasetError, match="leave split out"):
        load_dataset(source, split="text")


def test_hub_images_that_are_not_decoded() -> None:
    features = datasets.Features({"image": datasets.Image(decode=False), "label": datasets.Value("string")})
    images = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    source = datasets.Dataset.from_dict({"image": images, "label": ["r", "b"]}, features=features)
    for kind in (None, "numpy", "torch"):
        ds = load_dataset(source.with_format(kind))
        assert ds.contents is not None
        assert (ds.modality, ds.contents[1][:4]) == ("image", b"\x89PNG")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [["a", "b"], ["c"]], "label": [0, 1]}, r"row 0: the text is \['a', 'b'\]"),
        ({"text": ["a", "b"], "label": [[0], [0, 1]]}, r"row 0, column 'label'.*one class here"),
    ],
)
def test_sequences_are_refused(columns: dict[str, Any], message: str) -> None:
    for source in (datasets.Dataset.from_dict(columns), pa.table(columns), pd.DataFrame(columns)):
        with pytest.raises(InputError, match=message):
            load_dataset(source)
