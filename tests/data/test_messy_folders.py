"""Folders as people have them: boxes, splits under many names, NAS litter, links, and what is passed over."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.test_folders import plant
from tlengine.data import Dataset, load_dataset
from tlengine.data.walk import scan
from tlengine.errors import (
    DatasetError,
    EmptyInputError,
    InputError,
    LabelError,
    TlengineError,
    TlengineWarning,
)

PNG = b"\x89PNG\r\n\x1a\n"


def told(root: Path, **options: object) -> tuple[Dataset, str]:
    """The dataset, and all warnings as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ds = load_dataset(root, **options)  # type: ignore[arg-type]
    assert all(issubclass(warning.category, TlengineWarning) for warning in caught)
    return ds, "\n".join(str(warning.message) for warning in caught)


def roles(ds: Dataset) -> dict[str, str]:
    assert ds.splits is not None
    return {
        id_.partition("/")[0]: role for id_, role in zip(ds.ids.tolist(), ds.splits.tolist(), strict=True)
    }


# -- a class named like a split


@pytest.mark.parametrize("word", ["train", "Train", "test", "val", "validation", "DEV", "training", "eval"])
@pytest.mark.parametrize("suffix", ["jpg", "PNG"])
def test_a_class_named_like_a_split(tmp_path: Path, word: str, suffix: str) -> None:
    ds, words = told(plant(tmp_path, f"bus/1.{suffix}", f"car/2.{suffix}", f"{word}/3.{suffix}"))
    assert (sorted(ds.labels().tolist()), ds.splits, words) == (sorted(["bus", "car", word]), None, "")


@pytest.mark.parametrize("word", ["train", "TRAINING", "train_set"])
def test_a_training_folder_with_folders_beside_classes_is_refused(tmp_path: Path, word: str) -> None:
    root = plant(tmp_path, "bus/1.jpg", "car/2.jpg", f"{word}/steam/3.jpg", f"{word}/diesel/4.jpg")
    with pytest.raises(DatasetError, match=f"'bus' stands beside the split folders {word}") as caught:
        load_dataset(root)
    assert "--split none" in str(caught.value.hint)
    ds, _ = told(root, split="none")
    assert (sorted(set(ds.labels().tolist())), ds.splits) == (sorted(["bus", "car", word]), None)
    assert load_dataset(root, labels="ignore").y is None


def test_two_splits_without_classes_beside_a_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="'extra' stands beside the split folders test, train"):
        load_dataset(plant(tmp_path, "train/1.jpg", "test/2.jpg", "extra/3.jpg"))


def test_splits_can_be_classes(tmp_path: Path) -> None:
    root = plant(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "test/b/2.jpg")
    ds = load_dataset(root, split="none")
    assert (sorted(set(ds.labels().tolist())), ds.splits) == (["test", "train"], None)


@pytest.mark.parametrize("role", ["text", "image", "label", "group", "domain", "split"])
def test_a_folder_has_no_columns(tmp_path: Path, role: str) -> None:
    with pytest.raises(InputError, match="column"):
        load_dataset(plant(tmp_path, "a/1.jpg", "b/2.jpg"), **{role: "species"})


# -- splits

SPELLINGS = {
    "train": [
        "train",
        "Train",
        "TRAINING",
        "train_set",
        "Training Set",
        "train2017",
        "train-images",
        "trainset",
    ],
    "select": ["val", "valid", "Validation", "dev", "VAL2017", "validation_data", "development"],
    "test": [
        "test",
        "Testing",
        "test1",
        "eval",
        "evaluation",
        "holdout",
        "hold-out",
        "held_out",
        "test images",
    ],
}


@pytest.mark.parametrize(
    ("role", "word"), [(role, word) for role, words in SPELLINGS.items() for word in words]
)
def test_splits_have_many_names(tmp_path: Path, role: str, word: str) -> None:
    other = "training" if role != "train" else "testing"
    names = [f"{top}/{name}/{n}.jpg" for top in (word, other) for name in ("cat", "dog") for n in range(2)]
    ds, words = told(plant(tmp_path, *names))
    assert (roles(ds)[word], sorted(set(ds.labels().tolist())), words) == (role, ["cat", "dog"], "")


@pytest.mark.parametrize("word", ["training_shoes", "protest", "valley", "contest", "test drive", "trainer"])
def test_words_that_hold_a_split_are_none(tmp_path: Path, word: str) -> None:
    ds, _ = told(plant(tmp_path, f"{word}/1.jpg", "train/1.jpg"))
    assert ds.splits is None


@pytest.mark.parametrize("flat", ["test", "Test", "testing", "val", "holdout"])
@pytest.mark.parametrize("box", ["", "unknown/", "images/", "test/"])
def test_a_test_without_labels_is_no_class(tmp_path: Path, flat: str, box: str) -> None:
    root = plant(
        tmp_path,
        "train/cat/1.jpg",
        "train/dog/2.png",
        f"{flat}/{box}3.jpg",
        f"{flat}/{box}4.jpg",
        "dev/cat/5.jpg",
    )
    ds, words = told(root)
    assert sorted(set(ds.labels().tolist())) == ["cat", "dog"]
    assert sorted(ds.ids.tolist()) == ["dev/cat/5.jpg", "train/cat/1.jpg", "train/dog/2.png"]
    assert f"{flat}/{box} has no class folders: its 2 images are left out" in words
    whole, silence = told(root, labels="ignore")
    assert (len(whole), silence) == (5, "")
    assert len(told(root / flat, labels="ignore")[0]) == 2


def test_a_test_with_some_labels_is_refused(tmp_path: Path) -> None:
    root = plant(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/4.jpg")
    with pytest.raises(LabelError, match=r"1 of 4 images have no class folder, such as test/4.jpg"):
        load_dataset(root)


def test_splits_without_classes_have_no_labels(tmp_path: Path) -> None:
    ds, words = told(plant(tmp_path, "train/1.jpg", "test/2.jpg"))
    assert (ds.y, sorted(roles(ds)), words) == (None, ["test", "train"], "")


def test_splits_inside_the_classes_are_told_of(tmp_path: Path) -> None:
    names = [f"{name}/{split}/{name}{split}.jpg" for name in ("cat", "dog") for split in ("train", "test")]
    ds, words = told(plant(tmp_path, *names))
    assert sorted(set(ds.labels().tolist())) == ["cat", "dog"]
    assert "split folders inside the classes, such as cat/test/, are not used" in words


# -- boxes around the classes


@pytest.mark.parametrize("box", ["flower_photos", "flower_photos/flower_photos", "a/b/c", "images"])
@pytest.mark.parametrize(
    "beside", [(), ("README", "LICENSE.txt"), ("box/readme.md", "labels.csv"), ("docs/index.html",)]
)
def test_classes_in_a_box(tmp_path: Path, box: str, beside: tuple[str, ...]) -> None:
    names = [name.replace("box/", f"{box}/") for name in beside]
    ds, words = told(plant(tmp_path, f"{box}/roses/1.jpg", f"{box}/tulips/deep/2.jpg", *names))
    assert ds.labels().tolist() == ["roses", "tulips"]
    assert ds.ids.tolist() == [f"{box}/roses/1.jpg", f"{box}/tulips/deep/2.jpg"]
    assert f"the classes are the 2 folders in {box}/" in words


@pytest.mark.parametrize("box", ["archive", "seg/seg"])
def test_splits_in_a_box(tmp_path: Path, box: str) -> None:
    ds, words = told(
        plant(tmp_path, *(f"{box}/{s}/{c}/{s}{c}.png" for s in ("train", "test") for c in ("cat", "dog")))
    )
    assert sorted(set(ds.labels().tolist())) == ["cat", "dog"]
    assert sorted(set(ds.splits.tolist())) == ["test", "train"]  # type: ignore[union-attr]
    assert words == ""


@pytest.mark.parametrize("box", ["images", "{split}", "data/images"])
def test_boxes_inside_the_splits(tmp_path: Path, box: str) -> None:
    names = [
        f"{split}/{box.format(split=split)}/{name}/1.jpg"
        for split in ("train", "val")
        for name in ("cat", "dog")
    ]
    ds, words = told(plant(tmp_path, *names))
    assert (sorted(set(ds.labels().tolist())), sorted(set(roles(ds).values()))) == (
        ["cat", "dog"],
        ["select", "train"],
    )
    assert words.count("the classes are the 2 folders in") == 2


@pytest.mark.parametrize(
    "names",
    [
        ("cat/1.jpg", "cat/2.jpg"),
        ("cat/deep/1.jpg",),
        ("cat/1.jpg", "cat/deep/2.jpg"),
        ("cat/a/1.jpg", "cat/2.jpg"),
    ],
)
def test_one_class_alone_is_no_box(tmp_path: Path, names: tuple[str, ...]) -> None:
    ds, words = told(plant(tmp_path, *names))
    assert (set(ds.labels().tolist()), words) == ({"cat"}, "")


def test_a_class_of_the_test_alone_keeps_its_folders(tmp_path: Path) -> None:
    ds, _ = told(
        plant(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/cat/a/1.jpg", "test/cat/b/1.jpg")
    )
    assert ds.labels().tolist() == ["cat", "cat", "cat", "dog"]


@pytest.mark.parametrize("name", ["0", "猫", "images of cats", "test猫"])
def test_a_sole_class_of_a_split_is_a_class(tmp_path: Path, name: str) -> None:
    ds, words = told(plant(tmp_path, f"train/{name}/1.jpg", f"test/{name}/2.jpg"))
    assert (set(ds.labels().tolist()), words) == ({name}, "")


@pytest.mark.parametrize("box", ["{split}", "images", "data/imgs", "Image"])
def test_splits_of_boxes_without_classes_have_no_labels(tmp_path: Path, box: str) -> None:
    names = [f"{split}/{box.format(split=split)}/1.jpg" for split in ("train", "val")]
    ds, words = told(plant(tmp_path, *names, "train/labels/1.txt"))
    assert ds.y is None
    assert words == "no images in train/labels/: not among the classes"


# -- what is no sample

LITTER = [
    "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", ".@__thumb/1.jpg",
    "cat/.thumbnails/1.png", "#recycle/cat/old.jpg", "$RECYCLE.BIN/1.jpg", "@Recycle/1.jpg",
    "lost+found/1.jpg", "__MACOSX/cat/._1.jpg", "cat/._1.jpg", "cat/Thumbs.db", "cat/desktop.ini",
    ".AppleDouble/1.jpg",
    "cat/.ipynb_checkpoints/1-checkpoint.jpg", ".Trash-1000/files/1.jpg", "System Volume Information/1.jpg",
    "cat/.DS_Store", "#snapshot/1.jpg", "@Recently-Snapshot/1.jpg", ".git/1.png", "cat/EHTHUMBS.DB",
    "cat/Icon\r",
]  # fmt: skip


@pytest.mark.parametrize("name", LITTER)
def test_litter_is_neither_sample_nor_class(tmp_path: Path, name: str) -> None:
    ds, words = told(plant(tmp_path, "cat/1.jpg", "dog/2.jpg", name))
    assert (ds.labels().tolist(), words) == (["cat", "dog"], "")


@pytest.mark.parametrize("name", LITTER)
def test_litter_does_not_hide_a_box(tmp_path: Path, name: str) -> None:
    ds, _ = told(plant(tmp_path, "photos/cat/1.jpg", "photos/dog/2.jpg", name))
    assert ds.labels().tolist() == ["cat", "dog"]


@pytest.mark.parametrize("name", ["@home/1.jpg", "cat/@thumbs/2.png"])
def test_another_folder_with_an_at_is_named(tmp_path: Path, name: str) -> None:
    ds, words = told(plant(tmp_path, "cat/1.jpg", "dog/2.jpg", name))
    assert (ds.labels().tolist(), name.rpartition("/")[0] in words) == (["cat", "dog"], True)
    assert "rename" in words


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat/1.mp4", "cat/2.MP4", "dog/3.cr2"), "3 files are no images and are passed over: .mp4 2, .cr2"),
        (("cat/1.jpg~",), ".jpg~ 1"),
        (("cat/noise",), "no suffix 1"),
        (("cat/1.npy", "2.psd"), "2 files are no images and are"),
        (("owl/1.cr2",), "no images in owl/: not among the classes"),
        (("owl/readme.txt",), "no images in owl/"),
    ],
)  # fmt: skip
def test_nothing_vanishes_without_a_word(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    ds, words = told(plant(tmp_path, "cat/1.jpg", "dog/2.jpg", *names))
    assert (ds.labels().tolist(), message in words) == (["cat", "dog"], True), words


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "test/readme.txt")
    assert told(tmp_path)[1] == "no images in test/: not among the classes"


@pytest.mark.parametrize("root", ["", "train/"])
def test_an_empty_class_folder_is_named(tmp_path: Path, root: str) -> None:
    plant(tmp_path, f"{root}cat/1.jpg", f"{root}dog/2.jpg", *(["test/cat/3.jpg"] if root else []))
    (tmp_path / root / "owl").mkdir()
    ds, words = told(tmp_path)
    assert set(ds.labels().tolist()) == {"cat", "dog"}
    assert words == f"no images in {root}owl/: not among the classes"


@pytest.mark.parametrize("names", [("a/1.mp4", "b/2.mp4"), ("@x/1.jpg",), ("a/1.dcm",)])
def test_a_folder_without_images_says_what_is_there(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(EmptyInputError, match=r"it holds .*(2 \.mp4|@x/|1 \.dcm)") as caught:
        load_dataset(plant(tmp_path, *names))
    assert caught.value.hint


@pytest.mark.parametrize("name", [".train", "@eaDir", ".hidden/train", "__MACOSX"])
def test_hidden_folders_are_counted_where_nothing_else_is(tmp_path: Path, name: str) -> None:
    root = plant(tmp_path, f"{name}/cat/1.jpg", f"{name}/dog/2.jpg", ".git/x.jpg")
    with pytest.raises(
        EmptyInputError, match=r"2 hidden folders that are passed over, such as \S+/"
    ) as caught:
        load_dataset(root)
    assert caught.value.hint


# -- suffixes


@pytest.mark.parametrize("name", ["000123", "photo", "scan.2023", "x.jpg_large", "Dr. Who portrait", "1.1"])
@pytest.mark.parametrize("head", [PNG, b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBPVP8 "])
def test_without_a_suffix_the_first_bytes_decide(tmp_path: Path, name: str, head: bytes) -> None:
    plant(tmp_path, "cat/1.jpg", "dog/2.jpg")
    (tmp_path / "cat" / name).write_bytes(head)
    assert f"cat/{name}" in load_dataset(tmp_path).ids.tolist()


@pytest.mark.parametrize(
    "name", ["1.JPG", "2.Jpeg", "3.PNG", "4.WebP", "5.jpg ", "6.JFIF", "7.gif", "8.BMP", "9.TIFF", "10.heic"]
)
def test_suffixes_in_any_case(tmp_path: Path, name: str) -> None:
    ds, words = told(plant(tmp_path, f"cat/{name}", "dog/2.jpg"))
    assert (ds.ids.tolist()[0], words) == (f"cat/{name}", "")


# -- links, loops, special files, permissions


def test_links_to_folders_at_any_depth(tmp_path: Path) -> None:
    plant(tmp_path / "store", "1.png")
    plant(tmp_path / "photos", "train/b/2.png", "train/a/x/3.png", "test/b/4.png")
    for place in ("train/c", "test/a", "train/a/x/deep"):
        (tmp_path / "photos" / place).symlink_to(tmp_path / "store", target_is_directory=True)
    ds = load_dataset(tmp_path / "photos")
    assert {"train/c/1.png", "test/a/1.png", "train/a/x/deep/1.png"} < set(ds.ids.tolist())


@pytest.mark.parametrize("place", ["up", "cat/up", "cat/deep/up"])
@pytest.mark.parametrize("target", [".", "cat"])
def test_loops_end_and_add_nothing(tmp_path: Path, place: str, target: str) -> None:
    root = plant(tmp_path / "photos", "cat/1.png", "dog/2.png", "cat/deep/3.png")
    (root / place).symlink_to(root / target, target_is_directory=True)
    ds, words = told(root)
    assert {"cat/1.png", "dog/2.png", "cat/deep/3.png"} <= set(ds.ids.tolist())
    assert len(ds) <= 6
    assert words == ""


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_links_across_end(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = plant(tmp_path, *(f"{name}/1.png" for name in names))
    for name in names:
        for other in names:
            (root / name / f"to-{other}").symlink_to(root / other, target_is_directory=True)
    assert set(load_dataset(root).labels().tolist()) == set(names)


def test_broken_links_are_samples_that_cannot_be_read_or_are_told_of(tmp_path: Path) -> None:
    root = plant(tmp_path, "cat/1.png", "dog/2.png")
    (root / "cat" / "3.png").symlink_to(root / "nowhere.png")
    (root / "owl").symlink_to(root / "nowhere")
    (root / "cat" / "self.png").symlink_to(root / "cat" / "self.png")
    ds, words = told(root)
    assert ds.ids.tolist() == ["cat/1.png", "cat/3.png", "cat/self.png", "dog/2.png"]
    assert words == "1 file is no image and is passed over: broken link 1"


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    root = plant(tmp_path, "cat/1.png", "dog/2.png")
    os.mkfifo(root / "cat" / "pipe.png")
    os.mkfifo(root / "cat" / "pipe")
    ds, words = told(root)
    assert ds.ids.tolist() == ["cat/1.png", "dog/2.png"]
    assert "special file 2" in words


@pytest.fixture
def somebody() -> Iterator[None]:
    """Not root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    root = plant(tmp_path / "photos", "cat/1.png", "dog/2.png", "owl/3.png", "cat/deep/4.png")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    yield root
    for folder in (root, root / "owl", root / "cat/deep"):
        os.chmod(folder, 0o755)
    shutil.rmtree(root)


def test_folders_that_may_not_be_read_are_named(closed: Path, request: pytest.FixtureRequest) -> None:
    for folder in ("owl", "cat/deep"):
        os.chmod(closed / folder, 0)
    request.getfixturevalue("somebody")
    ds, words = told(closed)
    assert ds.ids.tolist() == ["cat/1.png", "dog/2.png"]
    assert (
        "cannot be read and is passed over: cat/deep/ (Permission denied), owl/ (Permission denied)" in words
    )


def test_a_root_that_may_not_be_read(closed: Path, request: pytest.FixtureRequest) -> None:
    os.chmod(closed, 0)
    request.getfixturevalue("somebody")
    with pytest.raises(DatasetError, match="the folder cannot be read"):
        load_dataset(closed)


# -- roots


@pytest.mark.parametrize("form", ["{}/", "{}/.", "{}/cat/..", "{}/../{name}", "{}//"])
def test_spellings_of_the_root(tmp_path: Path, form: str) -> None:
    root = plant(tmp_path / "photos", "cat/1.png", "dog/2.png")
    ds = load_dataset(form.format(root, name=root.name))
    assert (ds.name, ds.ids.tolist()) == ("photos", ["cat/1.png", "dog/2.png"])


def test_relative_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "photos", "cat/1.png", "dog/2.png")
    monkeypatch.chdir(tmp_path / "photos")
    assert load_dataset(".").name == "photos"
    monkeypatch.chdir(tmp_path / "photos" / "cat")
    assert load_dataset("..").labels().tolist() == ["cat", "dog"]


@pytest.mark.parametrize("what", ["empty", "file.png", "file.xyz", "nowhere"])
def test_roots_that_are_none(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.xyz").write_bytes(b"")
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(TlengineError) as caught:
        load_dataset(tmp_path / what, labels="require")
    assert caught.value.hint


def test_a_deep_tree_does_not_overflow(tmp_path: Path) -> None:
    deep = "/".join("d" * 1 for _ in range(1_500))
    plant(tmp_path, "cat/1.png", "dog/2.png")
    before = Path.cwd()
    os.chdir(tmp_path / "cat")
    try:
        for part in deep.split("/"):
            os.mkdir(part)
            os.chdir(part)
        Path("3.png").write_bytes(b"")
    finally:
        os.chdir(before)
    assert scan(tmp_path).count == 3
    assert set(load_dataset(tmp_path).labels().tolist()) == {"cat", "dog"}
    subprocess.run(["rm", "-r", str(tmp_path / "cat" / "d")], check=True)  # shutil overflows itself


def test_images_beside_class_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"1 of 3 images have no class folder, such as cover\.jpg") as caught:
        load_dataset(plant(tmp_path, "cat/1.jpg", "dog/2.jpg", "cover.jpg"))
    assert "out of this folder" in str(caught.value.hint)
