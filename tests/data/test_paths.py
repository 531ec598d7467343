"""Paths of images: of another system, as URLs, as text, and texts that are none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.data.forms import FORMS, Items
from tlengine.data import load_dataset
from tlengine.errors import DatasetError, InputError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("cat/1.jpg", "dog/my 2.PNG"):
        path = tmp_path / "img" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(path)
    return tmp_path


SPELLINGS: dict[str, Callable[[Path], list[str]]] = {
    "backslashes": lambda _: ["img\\cat\\1.jpg", "img\\dog\\my 2.PNG"],
    "a dot and backslashes": lambda _: [".\\img\\cat\\1.jpg", ".\\img\\dog\\my 2.PNG"],
    "both slashes": lambda _: ["img/cat\\1.jpg", "img\\dog/my 2.PNG"],
    "blanks around": lambda _: [" img/cat/1.jpg", "img/dog/my 2.PNG "],
    "absolute": lambda root: [f"{root}/img/cat/1.jpg", f"{root}/img/dog/my 2.PNG"],
    "file URLs": lambda root: [f"file://{root}/img/cat/1.jpg", f"file://{root}/img/dog/my%202.PNG"],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_spellings_in_tables(images: Path, spelling: str, form: str) -> None:
    columns = {"path": SPELLINGS[spelling](images), "label": ["cat", "dog"]}
    ds = load_dataset(FORMS[form](columns, images))
    assert ds.contents is not None
    assert all(path.is_file() for path in ds.contents)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_in_objects(images: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)
    paths, y = SPELLINGS[spelling](images), ["cat", "dog"]
    sources: list[Any] = [
        (paths, y),
        (tuple(paths), y),
        (np.array(paths), y),
        (pd.Series(paths), y),
        list(zip(paths, y, strict=True)),
        {"image": paths, "label": y},
        pd.DataFrame({"file": paths, "label": y}),
        Items([{"image": path, "label": label} for path, label in zip(paths, y, strict=True)]),
    ]
    for source in sources:
        ds = load_dataset(source)
        assert ds.modality == "image"
        assert ds.contents is not None
        assert all(path.is_file() for path in ds.contents)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("C:\\data\\1.jpg", "Windows machine.*\n.*relative to the table"),
        ("c:/data/1.jpg", "Windows machine"),
        ("\\\\server\\share\\1.jpg", "Windows machine"),
        ("file:///C:/data/1.jpg", "Windows machine"),
        ("https://example.org/1.jpg", "https URL.*\n.*fetch the images first"),
        ("S3://bucket/1.jpg", "S3 URL"),
        ("data:image/png;base64,iVBORw0KGgo=", "data URL"),
        ("", "no image path"),
        ("\u200b", "no image path"),
    ],
)
def test_what_no_path_can_mean(tmp_path: Path, form: str, path: str, message: str) -> None:
    source = FORMS[form]({"image": ["1.jpg", path], "label": ["a", "b"]}, tmp_path)
    with pytest.raises(InputError, match=message):
        list(load_dataset(source).contents or [])


def test_a_name_with_a_backslash_is_a_name_where_it_exists(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a\\b.png")
    (tmp_path / "t.csv").write_text("image,label\na\\b.png,x\n")
    assert load_dataset(tmp_path / "t.csv").contents == [tmp_path / "a\\b.png"]


# ---- strings that are paths, or look so ----


@pytest.mark.parametrize("convert", [list, tuple, np.array, pd.Series])
def test_strings_that_look_like_paths_are_never_embedded_unasked(
    images: Path, convert: Callable[[list[str]], Any]
) -> None:
    y = ["a", "b"]
    missing = convert(["nowhere/1.jpg", "nowhere/2.jpeg"])
    with pytest.raises(DatasetError, match=r"X\[0\]: 'nowhere/1.jpg'.*no such file.*\n.*modality='text'"):
        load_dataset((missing, y))
    assert load_dataset((missing, y), modality="text").contents == ["nowhere/1.jpg", "nowhere/2.jpeg"]
    assert load_dataset((missing, y), modality="image").contents == [
        Path("nowhere/1.jpg"),
        Path("nowhere/2.jpeg"),
    ]
    (images / "a.txt").write_text("hello")
    with pytest.raises(DatasetError, match=r"names of files.*\n.*read_text"):
        load_dataset((convert([str(images / "a.txt")] * 2), y))
    mixed = convert([str(images / "img/cat/1.jpg"), "a text"])
    with pytest.raises(DatasetError, match=r"X\[1\]: 'a text' stands for an image"):
        load_dataset((mixed, y))


@pytest.mark.parametrize("form", FORMS)
def test_a_column_called_text_that_holds_paths_asks(tmp_path: Path, form: str) -> None:
    source = FORMS[form]({"text": ["a/1.jpg", "b/2.png"], "label": ["a", "b"]}, tmp_path)
    if form == "map style":
        assert load_dataset(source).modality == "image"
        return
    with pytest.raises(DatasetError, match=r"'text' holds paths of images.*\n.*--image text"):
        load_dataset(source)
    assert load_dataset(source, text="text").contents == ["a/1.jpg", "b/2.png"]
    assert load_dataset(source, image="text").modality == "image"


def test_texts_about_images_are_texts() -> None:
    texts = ["see cat.jpg for the cat.", "what is a .png?", "dog.jpg is a dog"]
    assert load_dataset(texts).contents == texts
