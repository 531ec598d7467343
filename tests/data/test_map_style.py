"""Torch map-style datasets: labels are those of the items, whatever a wrapper stores beside them."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Subset
from torchvision import datasets as tv

from tlengine.data import load_dataset, targets
from tlengine.errors import DatasetError, InputError, LabelError, TlengineWarning

N, NOISY = 200, (30, 77, 120)
GRAY = Image.new("RGB", (2, 2))


class Pictures(torch.utils.data.Dataset[Any]):
    """Somebody's own dataset, as torchvision's are."""

    classes = ["cat", "dog"]  # noqa: RUF012 - as torchvision has it

    def __init__(self, n: int = N) -> None:
        self.targets = [i % 2 for i in range(n)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        return GRAY, self.targets[row]


class NoisyHeir(Pictures):
    """Relabels a few rows, and leaves ``targets`` as they were."""

    def __getitem__(self, row: int) -> Any:
        image, label = super().__getitem__(row)
        return image, 1 - label if row in NOISY else label


class Wrapper:
    """Keeps a dataset, and passes on what it does not know."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Any:
        image, label = self.dataset[row]
        return image, 1 - label if row in NOISY else label


class Copied(Pictures):
    """Its own ``__getitem__`` under torchvision's name."""

    @functools.wraps(tv.CIFAR10.__getitem__)
    def __getitem__(self, row: int) -> Any:
        return GRAY, 1 - self.targets[row] if row in NOISY else self.targets[row]


class NoisySubset(Subset[Any]):
    """A subset that relabels."""

    def __getitem__(self, row: Any) -> Any:
        image, label = super().__getitem__(row)
        return image, 1 - label if row in NOISY else label

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [self[row] for row in rows]


def _own_cifar() -> tv.CIFAR10:
    """CIFAR-10 as torchvision has it when its files are there."""
    cifar = tv.CIFAR10.__new__(tv.CIFAR10)
    cifar.data, cifar.targets = np.zeros((N, 2, 2, 3), np.uint8), [i % 2 for i in range(N)]
    cifar.classes, cifar.transform, cifar.target_transform = ["cat", "dog"], None, None
    return cifar


class NoisyCifar(tv.CIFAR10):
    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return image, 1 - label if index in NOISY else label


def _noisy_cifar() -> NoisyCifar:
    noisy = NoisyCifar.__new__(NoisyCifar)
    vars(noisy).update(vars(_own_cifar()))
    return noisy


def _read(source: Any) -> list[Any]:
    return [int(source[row][1]) for row in range(len(source))]


@pytest.mark.parametrize(
    "source",
    [
        NoisyHeir(),
        Wrapper(Pictures()),
        Copied(),
        NoisySubset(Pictures(), range(N)),
        _noisy_cifar(),
        Wrapper(_own_cifar()),
        Subset(NoisyHeir(), range(20, 150)),
        ConcatDataset([NoisyHeir(), NoisyHeir()]),
    ],
    ids=["heir", "wrapper", "copied name", "subset", "CIFAR-N", "wrapped CIFAR", "below", "joined"],
)
def test_a_few_changed_labels_are_seen(source: Any) -> None:
    assert load_dataset(source).labels().tolist() == _read(source)


@pytest.mark.parametrize(
    "source", [Pictures(), _own_cifar(), Subset(_own_cifar(), range(N)), Wrapper(Pictures(30))]
)
def test_labels_that_agree_have_names(source: Any) -> None:
    expected = [["cat", "dog"][label] for label in _read(source)]
    assert load_dataset(source).labels().tolist() == expected


class Unread(tv.CIFAR10):
    """Items cannot be read beyond the first, which says whether they are images."""

    def _transform(self, image: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        return image


def test_what_torchvision_stores_is_read_without_the_items() -> None:
    cifar = Unread.__new__(Unread)
    vars(cifar).update(vars(_own_cifar()))
    cifar.transform = cifar._transform
    assert load_dataset(Subset(cifar, [5, 2, 7])).labels().tolist() == ["dog", "cat", "dog"]
    assert load_dataset(cifar).labels().tolist() == ["cat", "dog"] * (N // 2)
    assert cifar.seen < 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("bee", "ant"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{i}.JPG", format="JPEG")
    return tmp_path


def test_image_folders_say_what_their_samples_say(folder: Path) -> None:
    source = tv.ImageFolder(str(folder))
    assert load_dataset(Subset(source, [4, 0])).labels().tolist() == ["bee", "ant"]
    source.targets = [1] * 6
    assert load_dataset(source).labels().tolist() == ["ant"] * 3 + ["bee"] * 3
    source.samples = [(path, 1 - label) for path, label in source.samples]
    assert load_dataset(source).labels().tolist() == ["bee"] * 3 + ["ant"] * 3
    source.target_transform = lambda label: label + 5
    assert load_dataset(source).labels().tolist() == [6] * 3 + [5] * 3


def test_made_up_images() -> None:
    fake = tv.FakeData(6, (3, 4, 4), 3)
    assert load_dataset(fake).labels().tolist() == _read(fake)


class OneHot(Pictures):
    def __getitem__(self, row: int) -> Any:
        return GRAY, torch.eye(2)[self.targets[row]]


def test_one_hot_items_are_no_single_labels() -> None:
    with pytest.raises(LabelError, match=r"\[0\]: label .*one class here"):
        load_dataset(OneHot(6))


class Shots:
    """Episodes: another length than ``indices``."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.indices = dataset, [3, 1, 0]

    def __len__(self) -> int:
        return 2

    def __getitem__(self, row: int) -> Any:
        return GRAY, [1, 0][row]


class Renamed(Shots):
    """Labels of its own, of which the names below say nothing."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.indices = dataset, [0, 2]


@pytest.mark.parametrize("kind", [Shots, Renamed])
def test_what_looks_like_a_subset_need_be_none(kind: Any) -> None:
    assert load_dataset(kind(Pictures(6))).labels().tolist() == [1, 0]
    assert load_dataset(Subset(kind(Pictures(6)), [1])).labels().tolist() == [0]


class Declared(torch.utils.data.Dataset[Any]):
    """Names, and no ``targets``."""

    def __init__(self) -> None:
        self.classes = ["cat", "dog"]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> Any:
        return GRAY, row % 2


class Heir(Declared):
    def __getitem__(self, row: int) -> Any:
        return GRAY, (row + 1) % 2


def test_names_belong_to_the_code_that_gives_the_labels() -> None:
    assert load_dataset(Declared()).labels().tolist() == ["cat", "dog"] * 2
    assert load_dataset(Heir()).labels().tolist() == [1, 0] * 2
    assert load_dataset(Wrapper(Declared())).labels().tolist() == [0, 1] * 2


def test_a_long_read_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_PATIENCE", -1.0)
    with pytest.warns(TlengineWarning, match="Pictures: labels are read item by item, 0 of 6 so far") as told:
        load_dataset(Pictures(6))
    assert len(told) == 1


class Listed:
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


@pytest.mark.parametrize(
    "more",
    [(1,), ("cat",), (True,), (np.int64(3),), (torch.tensor(1),), (b"cat",), ({"a": 1}, 2), (0.5,)],
    ids=str,
)
def test_two_entries_that_may_be_the_label_are_refused(more: tuple[Any, ...]) -> None:
    source = Listed((GRAY, 0, *more), (GRAY, 1, *more))
    with pytest.raises(LabelError, match=r"\[0\]: an item of [34] entries") as caught:
        load_dataset(source)
    assert "dict" in str(caught.value.hint)
    assert len(load_dataset(source, labels="ignore")) == 2


@pytest.mark.parametrize(
    "more",
    [({"a": 1},), (None,), ("img/1.jpg",), ("/data/1",), (np.zeros(2),), (torch.zeros(3),), ([1, 2],)],
    ids=str,
)
def test_what_cannot_be_a_label_may_follow_it(more: tuple[Any, ...]) -> None:
    assert load_dataset(Listed((GRAY, 4, *more), (GRAY, 5, *more))).labels().tolist() == [4, 5]


@pytest.mark.parametrize("form", [tuple, lambda pair: {"image": pair[0], "label": pair[1]}])
@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_the_first_content_that_is_there_says_what_they_are(form: Any, nothing: Any) -> None:
    ds = load_dataset(Listed(*map(form, [(nothing, "a"), (GRAY, "b"), (nothing, "a")])))
    assert (ds.modality, ds.labels().tolist()) == ("image", ["a", "b", "a"])
    assert ds.contents is not None
    assert [content == b"" for content in ds.contents] == [True, False, True]
    with pytest.raises(DatasetError, match=r"\[2\]: 'no' is no image"):
        list(load_dataset(Listed(*map(form, [(nothing, "a"), (GRAY, "b"), ("no", "a")]))).contents or [])


def test_texts_after_nothing_are_texts() -> None:
    ds = load_dataset(Listed((None, "a"), ("good", "b")))
    assert (ds.modality, list(ds.contents or [])) == ("text", ["", "good"])
    assert load_dataset(Listed((None, "a"), (None, "b"))).modality == "text"
    with pytest.raises(InputError, match="neither text nor image"):
        load_dataset(Listed((None, "a"), (3, "b")))
