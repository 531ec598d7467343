"""Tables of 20,000 columns and huge cells: linear in time, and no message lists them."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlengine.data import load_dataset
from tlengine.data.columns import named
from tlengine.errors import DatasetError, InputError, LabelError, TlengineWarning

N = 20_000
NUMBERS = [f"gene_{i}" for i in range(N)]


def _text(delimiter: str, suffix: str) -> Callable[[Path, list[str]], Any]:
    def write(folder: Path, first: list[str]) -> Path:
        cells = {"tweet": "tweet {}", "label": "{}", "stars": "{}"}
        head = [*first, *NUMBERS]
        lines = [[cells.get(n, "1").format("ab"[row % 2]) for n in first] + ["1"] * N for row in range(4)]
        path = folder / f"t{suffix}"
        path.write_text("\n".join(delimiter.join(line) for line in [head, *lines]))
        return path

    return write


def _frame(folder: Path, first: list[str]) -> pd.DataFrame:
    numbers = pd.DataFrame(np.ones((4, N)), columns=NUMBERS)
    cells = {"tweet": [f"tweet {i}" for i in range(4)], "label": list("abab"), "stars": list("abab")}
    return pd.concat([pd.DataFrame({name: cells[name] for name in first}), numbers], axis=1)


def _parquet(folder: Path, first: list[str]) -> Path:
    pq.write_table(pa.Table.from_pandas(_frame(folder, first)), folder / "t.parquet")
    return folder / "t.parquet"


FORMS = {"csv": _text(",", ".csv"), "tsv": _text("\t", ".tsv"), "parquet": _parquet, "pandas": _frame}


@pytest.mark.parametrize("form", FORMS)
def test_the_one_column_of_texts_is_found(tmp_path: Path, form: str) -> None:
    ds = load_dataset(FORMS[form](tmp_path, ["tweet", "label"]))
    assert ds.contents is not None
    assert (ds.contents[1][:5], ds.labels().tolist()) == ("tweet", list("abab"))
    assert len(ds.metadata["columns"]) < 300


@pytest.mark.parametrize("form", FORMS)
def test_messages_stay_short(tmp_path: Path, form: str) -> None:
    source = FORMS[form](tmp_path, ["tweet", "stars"])
    for options, message in (
        ({"label": "gene_x"}, "did you mean 'gene_"),
        ({"label": "star"}, "did you mean 'stars'"),
        ({"labels": "require", "text": "tweet"}, r"20002 in all"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_dataset(source, **options)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_a_table_of_features_is_said_to_be_one(tmp_path: Path, form: str) -> None:
    with pytest.raises(InputError, match=r"20001 in all.*\(X, y\)") as caught:
        load_dataset(FORMS[form](tmp_path, ["label"]))
    assert len(str(caught.value)) < 600


def test_a_frame_of_features_has_its_labels_apart() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "label": [0, 1], "patient": [7, 8], "id": [5, 6]})
    ds = load_dataset(frame)
    assert ds.X is not None
    assert ds.groups is not None
    assert (ds.X.tolist(), ds.labels().tolist()) == ([[1, 3], [2, 4]], [0, 1])
    assert (ds.groups.tolist(), ds.ids.tolist()) == (["7", "8"], ["5", "6"])
    assert load_dataset((frame[["a", "b"]], frame["label"])).labels().tolist() == [0, 1]


def test_what_stands_beside_features() -> None:
    iris = pd.DataFrame({"sepal": [1.0, 2.0], "petal": [3.0, 4.0], "species": ["x", "y"]}, index=[10, 20])
    for source in (iris, pa.Table.from_pandas(iris)):
        ds = load_dataset(source, label="species")
        assert ds.X is not None
        assert (ds.X.tolist(), ds.labels().tolist()) == ([[1, 3], [2, 4]], ["x", "y"])
    saved = iris[["sepal"]].rename_axis("").reset_index(names="Unnamed: 0")
    with pytest.warns(TlengineWarning, match="'?Unnamed: 0'? has no name"):
        ds = load_dataset((saved, [0, 1]))
    assert ds.X is not None
    assert ds.X.tolist() == [[1], [2]]
    with pytest.warns(TlengineWarning, match="0, 1 are no words for splits"):
        ds = load_dataset(pd.DataFrame({"a": [1.0, 2.0], "split": [0, 1]}))
    assert ds.splits is None


def test_the_header_is_read_once_for_each_column(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work grows with the columns, not with their square: counted, not timed."""
    from tlengine.data import names

    calls = 0
    canonical = names.canonical

    def counted(name: str) -> str:
        nonlocal calls
        calls += 1
        return canonical(name)

    for module in ("names", "columns", "files", "frames"):
        monkeypatch.setattr(f"tlengine.data.{module}.canonical", counted)
    load_dataset(FORMS["csv"](tmp_path, ["tweet", "label"]))
    assert N < calls < 40 * N


def test_huge_cells(tmp_path: Path) -> None:
    long = "word " * 400_000
    (tmp_path / "t.csv").write_text(f'text,label\n"{long}",a\nx,b\n')
    assert load_dataset(tmp_path / "t.csv").contents == [long, "x"]
    (tmp_path / "u.csv").write_text(f"text,label\nx,{long}\ny,b\n")
    tracemalloc.start()
    with pytest.raises(LabelError, match=r"line 2, .*a label of 2,000,000 characters") as caught:
        load_dataset(tmp_path / "u.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value)) < 500
    assert peak < 50 << 20


def test_nearest_names() -> None:
    with pytest.raises(InputError, match="did you mean 'Species'"):
        named("specie", "label", ["id", "Species"], "t.csv")
    with pytest.raises(InputError, match=r"hint: columns are: id, Species$"):
        named("zork", "label", ["id", "Species"], "t.csv")


def test_classes_under_an_unknown_name_beside_numbers_are_no_texts(tmp_path: Path) -> None:
    """The iris table as people have it: its species are not to be embedded as texts."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(species=np.array(["s", "t", "u"])[y])
    frame.to_csv(tmp_path / "iris.csv", index=False)
    frame.to_parquet(tmp_path / "iris.parquet")
    for source in (frame, tmp_path / "iris.csv", tmp_path / "iris.parquet"):
        with pytest.raises(DatasetError, match="'species' repeats 3 words beside 4 columns"):
            load_dataset(source)
        assert load_dataset(source, text="species").modality == "text"
    assert load_dataset(frame, label="species").modality == "features"
    reviews = pd.DataFrame({"stars": [1, 2, 3], "votes": [4, 5, 6], "said": ["good one", "bad", "so so"]})
    assert load_dataset(reviews).modality == "text"
