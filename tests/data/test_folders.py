"""Folders of images: classes, splits, and what stands in the way."""

from pathlib import Path

import pytest

from tlengine.data import load_dataset
from tlengine.errors import DatasetError, EmptyInputError, LabelError


def plant(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_one_folder_per_class(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "photos", "dog/2.png", "cat/1.JPG", "cat/deep/er/3.webp", "cat/notes.txt", ".x/4.png"
    )
    ds = load_dataset(root)
    assert (ds.name, ds.modality, ds.splits) == ("photos", "image", None)
    assert ds.ids.tolist() == ["cat/1.JPG", "cat/deep/er/3.webp", "dog/2.png"]
    assert ds.labels().tolist() == ["cat", "cat", "dog"]
    assert ds.contents == [root / name for name in ds.ids]


def test_splits_become_roles(tmp_path: Path) -> None:
    ds = load_dataset(plant(tmp_path, "train/a/1.png", "Val/a/2.png", "test/b/3.png"))
    assert ds.splits is not None
    assert dict(zip(ds.ids.tolist(), ds.splits.tolist(), strict=True)) == {
        "Val/a/2.png": "select",
        "test/b/3.png": "test",
        "train/a/1.png": "train",
    }
    assert ds.labels().tolist() == ["a", "b", "a"]


def test_images_without_classes(tmp_path: Path) -> None:
    root = plant(tmp_path, "1.png", "2.png")
    ds = load_dataset(root)
    assert ds.y is None
    with pytest.raises(LabelError, match="no class folder"):
        load_dataset(root, labels="require")
    assert load_dataset(root / "1.png").ids.tolist() == ["1.png"]


def test_classes_called_like_a_split_are_classes(tmp_path: Path) -> None:
    ds = load_dataset(plant(tmp_path, "test/1.png", "control/2.png"))
    assert (ds.labels().tolist(), ds.splits) == (["control", "test"], None)


def test_linked_class_folders_are_followed(tmp_path: Path) -> None:
    plant(tmp_path / "store", "1.png")
    plant(tmp_path / "photos", "b/2.png")
    (tmp_path / "photos" / "a").symlink_to(tmp_path / "store", target_is_directory=True)
    assert load_dataset(tmp_path / "photos").ids.tolist() == ["a/1.png", "b/2.png"]


def test_a_link_to_its_own_parent_ends(tmp_path: Path) -> None:
    root = plant(tmp_path, "a/1.png")
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    assert "a/1.png" in load_dataset(root).ids.tolist()


def test_labels_can_be_ignored(tmp_path: Path) -> None:
    assert load_dataset(plant(tmp_path, "a/1.png", "2.png"), labels="ignore").y is None


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ((), EmptyInputError, "no images"),
        (("a/readme.txt",), EmptyInputError, "no images"),
        (("a/1.png", "2.png", "b/3.png"), LabelError, "1 of 3 images have no class folder, such as 2.png"),
        (("train/a/1.png", "extra/2.png"), DatasetError, "'extra' stands beside the split folders train"),
        (("train/a/1.png", "test/2.png"), LabelError, "such as test/2.png"),
    ],
)
def test_bad_folders(tmp_path: Path, names: tuple[str, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_dataset(plant(tmp_path, *names))
    assert getattr(caught.value, "hint", None)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        load_dataset(tmp_path / "nowhere")
