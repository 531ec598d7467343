"""The cache as a whole: a directory of tables, opened, verified, repaired and cleaned."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tlengine.errors import InputError
from tlengine.features.cache import maintenance
from tlengine.features.cache.handles import Handles
from tlengine.features.cache.keys import blake3_hex, canonical_json
from tlengine.features.cache.maintenance import (
    CacheStats,
    Progress,
    Removal,
    Repair,
    SegmentReport,
    TableInfo,
)
from tlengine.features.cache.table import Dtype, Table
from tlengine.settings import cache_root

__all__ = ["EmbeddingCache"]


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

    def find(self, recipe: Mapping[str, Any], *, dim: int, dtype: Dtype = "float32") -> Table | None:
        """As :meth:`table`, but None where no row of that recipe was ever kept; nothing is made."""
        name = blake3_hex([canonical_json(recipe)])
        return self.table(recipe, dim=dim, dtype=dtype) if (self.path / name).is_dir() else None

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
            folder_sync=self._handles.cache().syncs_folders(),
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
        from tlengine.features.cache.exporting import export

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


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name}={value!r}", hint=f"one of: {', '.join(choices)}")
