"""One table of the cache: the rows of one recipe, put, read and viewed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine._core import TableHandle
from tlengine.errors import (
    CacheCorruptionError,
    CacheCorruptionWarning,
    DtypeError,
    KeyConflictWarning,
    ShapeMismatchError,
)
from tlengine.features.cache import maintenance
from tlengine.features.cache.claims import Claim
from tlengine.features.cache.keys import blake3_hex
from tlengine.features.cache.spare import Spare
from tlengine.features.cache.views import SegmentView
from tlengine.settings import num_threads

if TYPE_CHECKING:
    from tlengine.features.cache.embedding_cache import EmbeddingCache

__all__ = ["Dtype", "Keys", "Table"]

_ROUNDING = {"float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}
"""How far two computations of one row may be apart, relative to its largest number."""

Keys = npt.NDArray[np.uint8] | Sequence[bytes]
Dtype = Literal["float32", "float16", "bfloat16"]


class Table:
    """The rows of one recipe; made by :meth:`EmbeddingCache.table`.

    Safe to use from several threads, after a fork, and while other processes write the same table.

    Attributes:
        name: the digest of the recipe, 64 hex digits.
        dim: numbers per row.
        dtype: how they are stored.
    """

    def __init__(self, cache: EmbeddingCache, recipe: bytes, dim: int, dtype: str) -> None:
        self.cache, self.dim, self.dtype = cache, dim, dtype
        self._recipe = recipe
        self._reported: set[str] = set()
        self._spare = Spare()
        self.name: str = self._handle().name

    def _handle(self) -> TableHandle:
        return self.cache._handles.table(self._recipe, self.dim, self.dtype)

    def put(self, keys: Keys, X: npt.ArrayLike, *, seconds: float = 0.0) -> int:
        """Store rows; durable after :meth:`flush`.

        A key that is there keeps its row. If the vectors differ by more than rounding does, a
        ``KeyConflictWarning`` says so: the backbone is not deterministic, or the recipe leaves something
        out. The same sample in a batch of another size comes out a few bits apart, which is no conflict:
        up to 1e-5 of the row's largest number, or one step of a 16-bit ``dtype``.

        Args:
            keys: (n, 32) uint8, or n digests of 32 bytes.
            X: (n, dim) float32 or a 16-bit float; stored as the table's ``dtype``.
            seconds: what these rows cost to compute, to report later what was saved.

        Returns:
            How many rows were new.

        Raises:
            ShapeMismatchError, DtypeError: arrays that do not fit the table.
            RangeError: a number too large for a 16-bit table.
            CacheReadOnlyError: the cache cannot be written.
            CacheFullError: no space left. Rows flushed earlier are safe.
            CacheIOError: the disk failed. Rows flushed earlier are safe.
        """
        digests, rows = _as_keys(keys), _as_rows(X, self.dim)
        if len(digests) != len(rows):
            raise ShapeMismatchError(f"{len(digests)} keys for {len(rows)} rows")
        new, conflicts = self._handle().put(digests, rows, float(seconds))
        if conflicts.size:
            self._warn_conflicts(digests[conflicts], rows[conflicts])
        return new

    def flush(self) -> None:
        """Publish and sync everything put so far: when it returns, it survives SIGKILL and power loss.

        Raises:
            CacheFullError: no space left; the rows stay pending, and flushing again tries again.
            CacheIOError: the disk failed; the pending rows are lost and must be put again.
        """
        self._handle().flush()

    def get(
        self, keys: Keys, *, out: npt.NDArray[np.float32] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Read rows; every byte is checked after it was copied.

        Args:
            keys: (n, 32) uint8, or n digests of 32 bytes.
            out: (n, dim) float32, contiguous, to be filled and returned as ``X``: new memory for a large
                read costs as much as its rows. Without it, up to 64 MiB of the last result are used again
                once nobody holds a part of it.

        Returns:
            ``X`` (n, dim) float32 with zeros where there is no row, and ``hit`` (n,) bool.

        Raises:
            CacheCorruptionError: a damaged row, if the cache was opened with ``on_corrupt="raise"``.
            ShapeMismatchError: ``out`` cannot hold the rows.
        """
        digests = _as_keys(keys)
        X = self._spare.empty(len(digests), self.dim) if out is None else out
        if X.shape != (len(digests), self.dim) or X.dtype != np.float32 or not _is_writable(X):
            raise ShapeMismatchError(
                f"out is {X.dtype} of shape {X.shape}, not ({len(digests)}, {self.dim}) float32 to write to",
                hint="np.empty((len(keys), table.dim), np.float32) fits",
            )
        hit = np.zeros(len(digests), np.bool_)
        handle = self._handle()
        damaged = handle.get(digests, X, hit, num_threads())
        self._report(handle, damaged)
        return X, hit

    def view(self, segment: str | None = None, *, check: bool = True) -> SegmentView:
        """The rows of one segment without copying them: a read-only array over the file.

        Args:
            segment: its name, see :meth:`segments`; None where there is only one.
            check: compare every row with its checksum first, once for each open table. Without it the
                view opens in constant time, and a flipped bit on the disk would go unseen.

        Returns:
            (rows, dim); float32, float16, or the bits of bfloat16 as uint16. ``.keys`` names the rows,
            ``.to_torch()`` is a tensor on the same memory.

        Raises:
            CacheCorruptionError: a row is not what was written.
            InputError: there is no such segment, or several to choose from.

        Note:
            A file that another program cuts short *while it is viewed* ends this process with SIGBUS, as
            with any mapped file. tlengine never does that; :meth:`get` is immune.
        """
        handle = self._handle()
        return SegmentView.over(handle.view(segment, check, num_threads()), handle, segment)

    def keys(self, segment: str | None = None) -> npt.NDArray[np.uint8]:
        """The keys (rows, 32) of the rows of one segment, in order."""
        return self._handle().keys(segment)

    def segments(self) -> list[tuple[str, int, bool]]:
        """Name, number of rows, and whether it is sealed, of every segment with published rows."""
        return self._handle().segments()

    def claim(self, keys: Keys) -> Claim:
        """The right to compute these rows, so that processes which want the same ones do not all do it.

        ``claim.take()`` is True for one process at a time. Whoever does not get it looks for the rows
        with :meth:`get` until they are there or the claim is free.
        """
        return Claim.on(self.cache.path, self.name, _as_keys(keys))

    def compact(self) -> int:
        """Merge the segments that nobody writes into one, so that :meth:`view` shows the whole table.

        Returns:
            How many segments were merged.

        Raises:
            CacheLockTimeout: another process maintains this cache.
        """
        return len(maintenance.compact(self.cache._handles.cache(), self._handle()).segments)

    @property
    def seconds_per_row(self) -> float:
        """What a row cost to compute on average; 0.0 where nobody said."""
        return self._handle().seconds_per_row()

    def _report(self, handle: TableHandle, damaged: list[tuple[str, int]]) -> None:
        for path, why in handle.quarantined():
            if path not in self._reported:
                self._reported.add(path)
                self._damage(f"{path}: {why}; it is left out", [])
        if damaged:
            path, row = damaged[0]
            more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            self._damage(f"{path}: row {row}{more} is not what was written", damaged)

    def _damage(self, message: str, rows: list[tuple[str, int]]) -> None:
        if self.cache.on_corrupt == "raise":
            raise CacheCorruptionError(
                message, hint="run 'tlengine cache verify', then 'tlengine cache repair'", rows=rows
            )
        warnings.warn(f"{message}; computing it anew", CacheCorruptionWarning, stacklevel=4)

    def _warn_conflicts(self, keys: npt.NDArray[np.uint8], rows: npt.NDArray[np.float32]) -> None:
        stored, hit = self.get(keys)
        largest = np.abs(stored).max(axis=1, initial=0)
        is_rounding = np.abs(rows - stored).max(axis=1, initial=0) <= _ROUNDING[self.dtype] * largest
        real = np.flatnonzero(hit & ~is_rounding)
        if not real.size:
            return
        keys, rows, stored = keys[real], rows[real], stored[real]
        old, new = blake3_hex([stored[0]])[:16], blake3_hex([rows[0]])[:16]
        warnings.warn(
            f"{len(keys)} keys were put again with other vectors, the first ones stay; "
            f"key {keys[0].tobytes().hex()[:16]}: stored {old}, put {new}",
            KeyConflictWarning,
            stacklevel=3,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.cache, self._recipe, self.dim, self.dtype)

    def __repr__(self) -> str:
        return f"<Table {self.name[:16]} dim={self.dim} {self.dtype} in {self.cache.path}>"


def _as_keys(keys: Keys) -> npt.NDArray[np.uint8]:
    if isinstance(keys, np.ndarray):
        if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != 32:
            raise ShapeMismatchError(
                f"keys are {keys.dtype} of shape {keys.shape}, not (n, 32) uint8",
                hint="use the digests of tl.sample_key",
            )
        return np.ascontiguousarray(keys)
    for position, key in enumerate(keys):
        if not isinstance(key, bytes | bytearray | memoryview) or len(key) != 32:
            raise ShapeMismatchError(
                f"key {position} is not 32 bytes: {key!r:.80}", hint="use the digests of tl.sample_key"
            )
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32)


def _is_writable(X: npt.NDArray[np.float32]) -> bool:
    return bool(X.flags.c_contiguous and X.flags.writeable and X.flags.aligned)


def _as_rows(X: npt.ArrayLike, dim: int) -> npt.NDArray[np.float32]:
    if isinstance(X, np.ma.MaskedArray):
        raise DtypeError("X is a masked array, which has no value where it is masked", hint="fill it first")
    array = np.asarray(X)
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    if not narrow and array.dtype.name != "bfloat16":
        raise DtypeError(
            f"X has dtype {array.dtype}, not float32, float16 or bfloat16",
            hint="X.astype(np.float32) rounds it",
        )
    if array.ndim != 2 or array.shape[1] != dim:
        raise ShapeMismatchError(f"X has shape {array.shape}, the table holds rows of {dim} numbers")
    return np.ascontiguousarray(array, dtype=np.float32)
