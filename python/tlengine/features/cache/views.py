"""Rows of the cache as arrays over the file itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from tlengine._core import Rows, TableHandle

__all__ = ["SegmentView"]

_STORED = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}


class SegmentView(np.ndarray[tuple[int, int], np.dtype[Any]]):
    """Rows on disk as a read-only array; made by :meth:`tlengine.features.cache.Table.view`."""

    _rows: Rows | None = None
    _table: TableHandle | None = None
    _segment: str | None = None

    @classmethod
    def over(cls, rows: Rows, table: TableHandle, segment: str | None) -> SegmentView:
        """The array over the memory of ``rows``."""
        view: SegmentView = (
            np.frombuffer(memoryview(rows), dtype=_STORED[rows.dtype]).reshape(rows.shape).view(cls)
        )
        view.flags.writeable = False
        view._rows, view._table, view._segment = rows, table, segment
        return view

    @property
    def keys(self) -> npt.NDArray[np.uint8]:
        """(rows, 32): the digest that each row belongs to."""
        if self._table is None:
            raise InputError("a part of a view has no keys", hint="take them from the whole view")
        return self._table.keys(self._segment)[: len(self)]

    def to_torch(self) -> Tensor:
        """The whole view as a tensor on the same memory: float32, float16 or bfloat16.

        Writing to it never changes the cache (the memory is a private copy-on-write mapping), but
        changes what this view shows.
        """
        import torch

        if self._rows is None:
            raise InputError("a part of a view is not a tensor", hint="slice the tensor of the whole view")
        tensor = torch.frombuffer(self._rows, dtype=getattr(torch, self._rows.dtype))
        return tensor.reshape(self._rows.shape)
