"""Looking after a cache: what is in it, is it sound, and what may go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tlengine.errors import InputError
from tlengine.settings import num_threads

if TYPE_CHECKING:
    from tlengine._core import CacheHandle, TableHandle

__all__ = [
    "CacheStats",
    "Removal",
    "Repair",
    "SegmentReport",
    "TableInfo",
    "collect",
    "compact",
    "describe",
    "remove",
    "repair",
    "verify",
]

_SIZE = ("rows", "segments", "bytes", "seconds", "quarantined", "idle_seconds")

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """One table of a cache.

    Attributes:
        name: the digest of its recipe, 64 hex digits.
        recipe: what determined its rows; None where the manifest is lost (asking for the table by its
            recipe writes it anew).
        dim, dtype: of its rows; None where the manifest is lost.
        libraries: versions in use when the table was made.
        rows, segments, bytes: its size; bytes of all files.
        seconds: what its rows cost to compute.
        quarantined: files that were taken out of service.
        idle_seconds: since it was last opened.
    """

    name: str
    recipe: dict[str, Any] | None
    dim: int | None
    dtype: str | None
    libraries: dict[str, str]
    rows: int = 0
    segments: int = 0
    bytes: int = 0
    seconds: float = 0.0
    quarantined: int = 0
    idle_seconds: int = 0

    @property
    def is_outdated(self) -> bool:
        """Whether rows of a backbone are keyed as before 0.1: without its structure, layer and pooling."""
        recipe = self.recipe or {}
        return "fingerprint" in recipe and "layer" not in recipe


@dataclass(frozen=True, kw_only=True)
class CacheStats:
    """The sums over the tables of a cache.

    Attributes:
        path: of the cache.
        tables, rows, segments, bytes, seconds, quarantined: the sums of :class:`TableInfo`.
        durability: what a flushed row survives, ``"batch"`` or ``"process"``.
        folder_sync: False on a file system (some on a network) that refuses to sync folders: names of new
            files are then as durable as it makes them by itself, and a power cut may cost the youngest.
        read_only: whether nothing can be stored.
    """

    path: str
    tables: int
    rows: int
    segments: int
    bytes: int
    seconds: float
    quarantined: int
    durability: str
    folder_sync: bool
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class SegmentReport:
    """What :func:`verify` found in one segment.

    Attributes:
        table, segment: names.
        rows: published rows; ``sealed``: whether it is complete.
        bad_rows: numbers of rows that are not what was written.
        damage: whatever else is wrong, in words.
        unfinished: bytes of a commit that never finished, or is being written now.
    """

    table: str
    segment: str
    rows: int
    sealed: bool
    bad_rows: list[int]
    damage: list[str]
    unfinished: int

    @property
    def is_sound(self) -> bool:
        """Whether every byte is what was written."""
        return not self.bad_rows and not self.damage


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What :func:`repair` or :func:`compact` did to a table: segments replaced, rows kept, rows lost."""

    table: str
    segments: list[str]
    rows: int
    lost: int


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What :func:`collect` or :func:`remove` took away, or would with ``dry_run``."""

    tables: list[str]
    files: int
    bytes: int
    dry_run: bool


def describe(cache: CacheHandle) -> Iterator[TableInfo]:
    """Every table, sorted by name."""
    for name, manifest in cache.tables():
        if manifest is None:
            yield TableInfo(name=name, recipe=None, dim=None, dtype=None, libraries={})
            continue
        dim, dtype, recipe, libraries = manifest
        table = cache.open_table(name)
        size = dict(zip(_SIZE, table.summary(), strict=True)) if table else {}
        yield TableInfo(
            name=name,
            recipe=json.loads(recipe),
            dim=dim,
            dtype=dtype,
            libraries=json.loads(libraries or b"{}"),
            **cast("dict[str, Any]", size),
        )


def verify(cache: CacheHandle, names: Iterable[str], progress: Progress) -> list[SegmentReport]:
    """Compare every byte of the named tables with its checksum, read from disk again."""
    segments = [
        (name, table, segment) for name, table in _open(cache, names) for segment in table.segment_names()
    ]
    reports = []
    for name, table, segment in progress(segments):
        rows, sealed, bad_rows, damage, unfinished = table.verify(segment, num_threads())
        reports.append(
            SegmentReport(
                table=name,
                segment=segment,
                rows=rows,
                sealed=sealed,
                bad_rows=bad_rows,
                damage=damage,
                unfinished=unfinished,
            )
        )
    return reports


def repair(cache: CacheHandle, names: Iterable[str], dry_run: bool, progress: Progress) -> list[Repair]:
    """Copy the good rows of damaged segments into new ones; the old files stay, out of service."""
    reports = verify(cache, names, progress)
    done = []
    for name, table in _open(cache, dict.fromkeys(report.table for report in reports)):
        broken = [r for r in reports if r.table == name and not r.is_sound]
        if not broken:
            continue
        segments = [report.segment for report in broken]
        if dry_run:
            lost = sum(len(report.bad_rows) for report in broken)
            rows = sum(report.rows for report in broken) - lost
            done.append(Repair(table=name, segments=segments, rows=rows, lost=lost))
        else:
            replaced, rows, lost = cache.rewrite(table, segments, keep=True)
            done.append(Repair(table=name, segments=replaced, rows=rows, lost=lost))
    return done


def compact(cache: CacheHandle, table: TableHandle) -> Repair:
    """Merge the segments of a table that nobody writes into one."""
    table.flush()
    segments = [name for name, _, _ in table.segments()]
    replaced, rows, lost = cache.rewrite(table, segments, keep=False) if len(segments) > 1 else ([], 0, 0)
    return Repair(table=table.name, segments=replaced, rows=rows, lost=lost)


def collect(cache: CacheHandle, *, max_bytes: int | None, unused_for: float | None, dry_run: bool) -> Removal:
    """Remove leftovers; then tables unused for so many seconds; then the longest unused until it fits."""
    for name, limit in (("max_bytes", max_bytes), ("unused_for", unused_for)):
        if limit is not None and limit < 0:
            raise InputError(f"{name}={limit} is negative", hint="use 0 or more")
    files, freed = cache.sweep(dry_run)
    tables = sorted(describe(cache), key=lambda table: -table.idle_seconds)
    left = sum(table.bytes for table in tables) - (freed if dry_run else 0)
    removed = []
    for table in tables:
        is_old = unused_for is not None and table.idle_seconds >= unused_for
        is_over = max_bytes is not None and left > max_bytes
        if is_old or is_over:
            removed.append(table.name)
            left -= table.bytes
            freed += table.bytes
            if not dry_run:
                cache.remove(table.name)
    return Removal(tables=removed, files=files, bytes=freed, dry_run=dry_run)


def remove(cache: CacheHandle, names: Iterable[str], dry_run: bool) -> Removal:
    """Remove tables with all their files."""
    chosen = set(names)
    tables = [table for table in describe(cache) if table.name in chosen]
    if not dry_run:
        for table in tables:
            cache.remove(table.name)
    return Removal(
        tables=[table.name for table in tables],
        files=0,
        bytes=sum(table.bytes for table in tables),
        dry_run=dry_run,
    )


def _open(cache: CacheHandle, names: Iterable[str]) -> Iterator[tuple[str, TableHandle]]:
    for name in names:
        if table := cache.open_table(name):
            yield name, table
