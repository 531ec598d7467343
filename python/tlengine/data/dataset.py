"""The record that every source becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from tlengine.errors import EmptyInputError, LabelError, ShapeMismatchError

__all__ = ["Contents", "Dataset"]

Contents = Sequence[Any]
"""One entry per row: a ``Path`` or bytes of an image file, a uint8 array or ``PIL.Image``, or a str."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Samples with ids, and labels and columns where the source has them.

    Attributes:
        name: a short name of the source, for people.
        modality: ``"image"``, ``"text"`` or ``"features"``.
        ids: (n,) str.
        contents: n samples to embed, read when they are needed; None for features.
        X: (n, d) float32, row-major, finite, for the modality ``"features"``; else None.
        y: (n,) labels as the user wrote them, or None.
        groups, domains: (n,) str, or None.
        splits: (n,) roles ``"train"``, ``"select"`` or ``"test"`` of the user's own split, or None.
        metadata: what else the source says about itself, such as the backbone of saved features.

    Raises:
        EmptyInputError: no rows.
        ShapeMismatchError: columns of different length.

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
    metadata: Mapping[str, str] = field(default_factory=dict)

    _ARRAYS = ("ids", "X", "y", "groups", "domains", "splits")

    def __post_init__(self) -> None:
        if not len(self.ids):
            raise EmptyInputError(f"{self.name}: no samples")
        for name in (*self._ARRAYS, "contents"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.ids):
                raise ShapeMismatchError(
                    f"{self.name}: {name} has {len(column)} rows, there are {len(self.ids)} samples"
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


def select(contents: Contents, index: npt.NDArray[np.intp]) -> Contents:
    """The entries of ``contents`` at ``index``, without reading those of a lazy sequence."""
    if isinstance(contents, np.ndarray):
        return contents[index]
    if isinstance(contents, list | tuple):
        return [contents[i] for i in index.tolist()]
    return _Selection(contents, index)


class _Selection(Sequence[Any]):
    """Some rows of a lazy sequence."""

    def __init__(self, base: Contents, index: npt.NDArray[np.intp]) -> None:
        self._base, self._index = base, index

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return _Selection(self._base, self._index[row])
        return self._base[int(self._index[row])]
