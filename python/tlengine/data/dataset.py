"""The record that every source becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt

from tlengine.data.filenames import writable
from tlengine.errors import EmptyInputError, InputError, LabelError, ShapeMismatchError
from tlengine.types import ROLES, Features

__all__ = ["Contents", "Dataset", "LazyContents", "check_text", "select"]

Contents = Sequence[Any]
"""One entry per row: a ``Path`` or bytes of an image file, a uint8 array or ``PIL.Image``, or a str."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    r"""Samples with ids, and labels and columns where the source has them.

    Attributes:
        name: a short name of the source, for people.
        modality: ``"image"``, ``"text"`` or ``"features"``.
        ids: (n,) str; a byte that is no UTF-8 is written ``\xe9``.
        contents: n samples to embed, read when they are needed; None for features.
        X: (n, d) float32, row-major, finite, for the modality ``"features"``; else None.
        y: (n,) labels as the user wrote them, or None.
        groups, domains: (n,) str, or None.
        splits: (n,) roles ``"train"``, ``"select"`` or ``"test"`` of the user's own split, or None.
        keys: (n, 32) uint8 digests of the contents that features were made from, or None.
        metadata: what else the source says about itself, such as the backbone of saved features.

    Raises:
        EmptyInputError: no rows.
        ShapeMismatchError: columns of different length.
        InputError: a split that is no role.

    >>> ds = Dataset(name="two", modality="text", ids=np.array(["a", "b"]), contents=["hello", "bye"])
    >>> len(ds), ds.take([1]).contents
    (2, ['bye'])
    """

    name: str
    modality: Literal["image", "text", "features"]
    ids: npt.NDArray[np.str_]
    contents: Contents | None = None
    X: npt.NDArray[np.float32] | None = None
    y: npt.NDArray[Any] | None = None
    groups: npt.NDArray[np.str_] | None = None
    domains: npt.NDArray[np.str_] | None = None
    splits: npt.NDArray[np.str_] | None = None
    keys: npt.NDArray[np.uint8] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    _ARRAYS: ClassVar[tuple[str, ...]] = ("ids", "X", "y", "groups", "domains", "splits", "keys")

    def __post_init__(self) -> None:
        if not len(self.ids):
            raise EmptyInputError(f"{self.name}: no samples", hint="it needs one row at least")
        for name in (*self._ARRAYS, "contents"):
            column = getattr(self, name)
            if column is None:
                continue
            if len(column) != len(self.ids):
                raise ShapeMismatchError(
                    f"{self.name}: {name} has {len(column)} rows, there are {len(self.ids)} samples",
                    hint="every column has one row per sample",
                )
            if isinstance(column, np.ndarray) and name != "contents":
                object.__setattr__(self, name, writable(column))
        if self.splits is not None and (unknown := set(np.unique(self.splits).tolist()) - set(ROLES)):
            raise InputError(
                f"{self.name}: {min(unknown)!r} is no role for a row", hint=f"roles are: {', '.join(ROLES)}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.ArrayLike) -> Dataset:
        """The chosen rows (indices or a mask), in the order given; contents stay unread."""
        index = np.arange(len(self))[np.asarray(rows)]
        chosen: dict[str, Any] = {n: c[index] for n in self._ARRAYS if (c := getattr(self, n)) is not None}
        if self.contents is not None:
            chosen["contents"] = select(self.contents, index)
        return replace(self, **chosen)

    def labels(self) -> npt.NDArray[Any]:
        """``y``, for work that cannot be done without.

        Raises:
            LabelError: the dataset has no labels.
        """
        if self.y is None:
            columns = self.metadata.get("columns")
            hint = (
                f"name one with --label; columns are: {columns}" if columns else "put each class in a folder"
            )
            raise LabelError(f"{self.name}: no labels", hint=hint)
        return self.y

    @classmethod
    def from_features(cls, features: Features) -> Dataset:
        """A dataset of the modality ``"features"``; what belongs to the rows comes along.

        >>> import numpy as np
        >>> f = Features(X=np.eye(2, dtype=np.float32), ids=np.array(["a", "b"]), backbone="tiny")
        >>> Dataset.from_features(f).to_features().backbone
        'tiny'
        """
        told = {"backbone": features.backbone, "fingerprint": features.fingerprint}
        return cls(
            name=features.dataset,
            modality="features",
            **{column: getattr(features, column) for column in cls._ARRAYS},
            metadata={name: value for name, value in told.items() if value is not None},
        )

    def to_features(self) -> Features:
        """The features that this dataset holds, as :func:`tlengine.extract` returns them.

        Raises:
            InputError: images or texts, which need a backbone.
        """
        if self.modality != "features":
            raise InputError(
                f"{self.name} holds {self.modality}, not features",
                hint="embed it with tl.extract(ds, backbone)",
            )
        return Features(
            **{column: getattr(self, column) for column in self._ARRAYS},
            backbone=self.metadata.get("backbone") or None,
            fingerprint=self.metadata.get("fingerprint") or None,
            dataset=self.name,
        )


def check_text(text: str, place: str) -> None:
    """Refuse half a character, which no encoding can write.

    Raises:
        InputError: a lone surrogate in ``text``.
    """
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: the text holds half a character (a lone surrogate) at {error.start}",
            hint="save it again as UTF-8",
        ) from None


def select(contents: Contents, index: npt.NDArray[np.intp]) -> Contents:
    """The entries of ``contents`` at ``index``, without reading those of a lazy sequence."""
    if isinstance(contents, np.ndarray):
        return contents[index]
    if isinstance(contents, list | tuple):
        return [contents[i] for i in index.tolist()]
    return LazyContents(len(index), partial(_at, contents, index))


def _at(contents: Contents, index: npt.NDArray[np.intp], row: int) -> Any:
    return contents[int(index[row])]


class LazyContents(Sequence[Any]):
    """``n`` samples that are read when they are asked for; as picklable as ``read`` is.

    >>> squares = LazyContents(3, lambda row: row * row)
    >>> squares[-1], squares[:2], list(squares)
    (4, [0, 1], [0, 1, 4])
    """

    def __init__(self, n: int, read: Callable[[int], Any]) -> None:
        self._n, self._read = n, read

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self._read(i) for i in range(*row.indices(self._n))]
        return self._read(range(self._n)[row])
