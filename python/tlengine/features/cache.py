"""The embedding cache: a row that was computed once is read ever after, and is never wrong.

>>> import tempfile
>>> cache = EmbeddingCache(tempfile.mkdtemp())
>>> table = cache.table({"weights": "…", "pooling": "mean"}, dim=4)
>>> keys = [sample_key("a text"), sample_key("another")]
>>> table.put(keys, np.ones((2, 4), np.float32))
2
>>> table.flush()
>>> X, hit = table.get([sample_key("another"), sample_key("not there")])
>>> X.tolist(), hit.tolist()
([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]], [True, False])
>>> cache.close()
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine._core import TableHandle
from tlengine.errors import (
    CacheCorruptionError,
    CacheCorruptionWarning,
    DtypeError,
    InputError,
    KeyConflictWarning,
    ShapeMismatchError,
)
from tlengine.features import maintenance
from tlengine.features.handles import Handles
from tlengine.features.keys import Hasher, blake3_hex, canonical_json, sample_key
from tlengine.features.maintenance import CacheStats, Progress, Removal, Repair, SegmentReport, TableInfo
from tlengine.features.views import View
from tlengine.settings import cache_root, num_threads

__all__ = ["EmbeddingCache", "Hasher", "Table", "View", "blake3_hex", "sample_key"]

Keys = npt.NDArray[np.uint8] | Sequence[bytes]
Dtype = Literal["float32", "float16", "bfloat16"]


class EmbeddingCache:
    """A directory of embeddings, shared by any number of processes and threads.

    Args:
        path: the directory; None is ``embeddings`` under :func:`tlengine.settings.cache_root`. It is
            made when missing. Where it cannot be written, the cache serves what it has, and
            :meth:`Table.put` raises ``CacheReadOnlyError``.
        read_only: never write, not even where it would be possible.
        durability: ``"batch"``: flushed rows survive a power cut. ``"process"``: they survive the death
            of the process only, and flushing is faster.
        on_corrupt: what :meth:`Table.get` does about a damaged row: ``"recompute"`` warns and treats it
            as missing; ``"raise"`` raises.

    Raises:
        CacheIOError: the directory cannot be opened.
        InputError: an unknown option.
    """

    lock_timeout = 10.0
    """Seconds that maintenance waits for maintenance by another process."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        durability: Literal["batch", "process"] = "batch",
        on_corrupt: Literal["recompute", "raise"] = "recompute",
    ) -> None:
        _one_of("durability", durability, ("batch", "process"))
        _one_of("on_corrupt", on_corrupt, ("recompute", "raise"))
        self.path = cache_root() / "embeddings" if path is None else Path(path)
        self.durability, self.on_corrupt = durability, on_corrupt
        self._handles = Handles(self.path.absolute(), read_only, durability == "batch", self.lock_timeout)
        self._finalizer = weakref.finalize(self, self._handles.close_at_exit)

    @property
    def read_only(self) -> bool:
        """Whether rows can only be read."""
        return self._handles.cache().read_only_reason is not None

    def table(self, recipe: Mapping[str, Any], *, dim: int, dtype: Dtype = "float32") -> Table:
        """The rows of one recipe.

        Args:
            recipe: everything that determines an embedding except the sample, as strings, numbers, lists
                and mappings: weights digest, preprocessing, layer, pooling, precision, prompt. Its digest
                is the identity of the table.
            dim: numbers per row.
            dtype: how they are stored. ``float16`` and ``bfloat16`` halve the space and round.

        Raises:
            UnhashableRecipeError: a value in the recipe that does not say what it does.
            ShapeMismatchError: the table exists with another ``dim`` or ``dtype``.
            CacheFormatError: it was written by a newer tlengine.
        """
        return Table(self, canonical_json(recipe), dim, dtype)

    def tables(self) -> list[TableInfo]:
        """What is in the cache, sorted by name."""
        return list(maintenance.describe(self._handles.cache()))

    def stats(self) -> CacheStats:
        """The sums over all tables, and how durable they are."""
        tables = self.tables()
        return CacheStats(
            path=os.fspath(self.path),
            tables=len(tables),
            rows=sum(table.rows for table in tables),
            segments=sum(table.segments for table in tables),
            bytes=sum(table.bytes for table in tables),
            seconds=sum(table.seconds for table in tables),
            quarantined=sum(table.quarantined for table in tables),
            durability=self.durability,
            read_only=self.read_only,
        )

    def verify(
        self, tables: Iterable[str] | None = None, *, progress: Progress = iter
    ) -> list[SegmentReport]:
        """Compare every byte on disk with its checksum.

        Args:
            tables: their names, or the beginnings of them; None is all.
            progress: wraps the segments, as ``tqdm.tqdm`` does.
        """
        return maintenance.verify(self._handles.cache(), self._names(tables), progress)

    def repair(
        self, tables: Iterable[str] | None = None, *, dry_run: bool = False, progress: Progress = iter
    ) -> list[Repair]:
        """Copy the good rows of damaged segments into new ones; damaged rows become missing.

        The old files are renamed to ``*.bad``, which :meth:`gc` removes.

        Raises:
            CacheLockTimeout: another process maintains this cache.
            CacheReadOnlyError: it cannot be written.
        """
        return maintenance.repair(self._handles.cache(), self._names(tables), dry_run, progress)

    def gc(
        self, *, max_bytes: int | None = None, unused_for: float | None = None, dry_run: bool = False
    ) -> Removal:
        """Remove what is no longer needed: leftovers always, whole tables by age or size.

        Args:
            max_bytes: remove the longest unused tables until the cache is not larger.
            unused_for: remove tables that nobody opened for so many seconds.
            dry_run: only say what would go.

        Raises:
            CacheLockTimeout: another process maintains this cache, or writes to a table that should go.
        """
        return maintenance.collect(
            self._handles.cache(), max_bytes=max_bytes, unused_for=unused_for, dry_run=dry_run
        )

    def clear(self, tables: Iterable[str] | None = None, *, dry_run: bool = False) -> Removal:
        """Remove tables, by default all of them."""
        names = self._names(tables)
        if not dry_run:
            self._handles.forget()
        return maintenance.remove(self._handles.cache(), names, dry_run)

    def export(self, table: Table | str, path: str | os.PathLike[str]) -> int:
        """Write the rows and keys of a table to one file that needs no tlengine to be read.

        Args:
            table: the table, or the beginning of its name.
            path: ``*.safetensors`` (tensors ``embeddings`` and ``keys``, the recipe as metadata),
                ``*.npy`` (keys beside it in ``*.keys.npy``), or ``*.parquet`` (columns ``key`` and
                ``embedding``; needs pyarrow).

        Returns:
            The number of rows. The file appears whole or not at all.

        Raises:
            InputError: no such table, or a suffix of another kind.
            MissingPackageError: pyarrow is not installed.
        """
        from tlengine.features.exporting import export

        name = table.name if isinstance(table, Table) else self._names([table])[0]
        handle = self._handles.cache().open_table(name)
        if handle is None:
            raise InputError(f"no table {name}", hint="see 'tlengine cache ls'")
        if isinstance(table, Table):
            table.flush()
        info = next(info for info in self.tables() if info.name == name)
        return export(handle, info, Path(path))

    def _names(self, wanted: Iterable[str] | None) -> list[str]:
        known = [name for name, _ in self._handles.cache().tables()]
        if wanted is None:
            return known
        names = []
        for prefix in wanted:
            matches = [name for name in known if prefix and name.startswith(prefix)]
            if len(matches) != 1:
                what = "no table" if not matches else f"{len(matches)} tables"
                raise InputError(
                    f"{what} with a name that begins with {prefix!r}", hint="see 'tlengine cache ls'"
                )
            names += matches
        return names

    def close(self) -> None:
        """Flush every table and end this process's segments. Further calls raise ``CacheClosedError``."""
        self._finalizer.detach()
        self._handles.close()

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (os.fspath(self.path), self._handles.read_only, self.durability, self.on_corrupt)

    def __repr__(self) -> str:
        return f"EmbeddingCache({os.fspath(self.path)!r})"


def _reopen(path: str, read_only: bool, durability: Any, on_corrupt: Any) -> EmbeddingCache:
    return EmbeddingCache(path, read_only=read_only, durability=durability, on_corrupt=on_corrupt)


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
        self.name: str = self._handle().name

    def _handle(self) -> TableHandle:
        return self.cache._handles.table(self._recipe, self.dim, self.dtype)

    def put(self, keys: Keys, X: npt.ArrayLike, *, seconds: float = 0.0) -> int:
        """Store rows; durable after :meth:`flush`.

        A key that is there keeps its row. If the vectors differ, a ``KeyConflictWarning`` says so: the
        backbone is not deterministic, or the recipe leaves something out.

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

    def get(self, keys: Keys) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Read rows; every byte is checked after it was copied.

        Args:
            keys: (n, 32) uint8, or n digests of 32 bytes.

        Returns:
            ``X`` (n, dim) float32 with zeros where there is no row, and ``hit`` (n,) bool.

        Raises:
            CacheCorruptionError: a damaged row, if the cache was opened with ``on_corrupt="raise"``.
        """
        digests = _as_keys(keys)
        X = np.empty((len(digests), self.dim), np.float32)
        hit = np.zeros(len(digests), np.bool_)
        handle = self._handle()
        damaged = handle.get(digests, X, hit, num_threads())
        self._report(handle, damaged)
        return X, hit

    def view(self, segment: str | None = None, *, check: bool = True) -> View:
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
        return View.over(handle.view(segment, check, num_threads()), handle, segment)

    def keys(self, segment: str | None = None) -> npt.NDArray[np.uint8]:
        """The keys (rows, 32) of the rows of one segment, in order."""
        return self._handle().keys(segment)

    def segments(self) -> list[tuple[str, int, bool]]:
        """Name, number of rows, and whether it is sealed, of every segment with published rows."""
        return self._handle().segments()

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
                self._damage(f"{path}: {why}; it was taken out of service", [])
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
        stored, _ = self.get(keys[:1])
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


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name}={value!r}", hint=f"one of: {', '.join(choices)}")


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
