"""``tlengine cache``: what is kept, is it sound, and what may go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tlengine.cli.common import echo, json_option, print_json, quiet_option, say
from tlengine.cli.quantities import AGES, SIZES, Quantity
from tlengine.settings import hidden_bar

if TYPE_CHECKING:
    from tlengine.features.cache import EmbeddingCache

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])

dir_option = click.option(
    "--cache-dir",
    "--dir",
    "path",
    type=click.Path(exists=True, file_okay=False),
    help="The cache. [default: the usual place]",
)
dry_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
tables_argument = click.argument("tables", nargs=-1, metavar="[TABLE]...")


@click.group(name="cache")
def command() -> None:
    """Look after the embedding cache.

    TABLE is a table's name as 'tlengine cache ls' shows it, or the beginning of one.
    """


@command.command()
@dir_option
@json_option
def ls(path: str | None, as_json: bool) -> None:
    """List the tables."""
    tables = _open(path).tables()
    if as_json:
        print_json({"tables": [asdict(table) | {"outdated": table.is_outdated} for table in tables]})
        return
    if not tables:
        say("the cache is empty")
    for table in tables:
        kind = f"{table.dim} × {table.dtype}" if table.dim else "manifest lost"
        echo(
            f"{table.name[:16]}  {table.rows:>9,} rows  {kind:<14}  {_bytes(table.bytes):>9}  "
            f"{_seconds(table.seconds):>9} to compute  {_title(table.recipe)}"
            + ("  [old kind]" if table.is_outdated else "")
        )
    if old := [table.name[:16] for table in tables if table.is_outdated]:
        say("[old kind]: keys of an earlier tlengine, whose rows are no longer found; to remove them:")
        say(f"tlengine cache clear {' '.join(old)}{f' --cache-dir {path}' if path else ''}")


@command.command()
@dir_option
@json_option
def stats(path: str | None, as_json: bool) -> None:
    """Show how large the cache is and what it saves."""
    found = _open(path).stats()
    if as_json:
        print_json(asdict(found))
        return
    echo(f"path         {found.path}{' (read-only)' if found.read_only else ''}")
    echo(f"tables       {found.tables}")
    echo(f"rows         {found.rows:,} in {found.segments} segments")
    echo(f"size         {_bytes(found.bytes)}")
    echo(f"computed in  {_seconds(found.seconds)}")
    echo(f"out of service  {found.quarantined} files")
    if not found.folder_sync:
        echo("note         this file system does not sync folders: a power cut may cost the youngest files")


@command.command()
@tables_argument
@click.option("--recompute", type=click.IntRange(min=1), metavar="N", help="Embed N samples anew, too.")
@click.option("--data", type=click.Path(), help="The data set that --recompute takes them from.")
@click.option("--backbone", help="The backbone that --recompute uses. [default: of the data's modality]")
@click.option("--tolerance", type=float, default=1e-3, show_default=True, help="Relative distance allowed.")
@dir_option
@json_option
@quiet_option
def verify(
    tables: tuple[str, ...],
    recompute: int | None,
    data: str | None,
    backbone: str | None,
    tolerance: float,
    path: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare every byte with its checksum. Exit code 1 if one is wrong.

    With --recompute, some samples are embedded anew and compared with their rows, so that drift shows.
    """
    if recompute:
        _recompute(_open(path, read_only=True), recompute, data, backbone, tolerance, as_json)
        return
    reports = _open(path, read_only=True).verify(tables or None, progress=_bar("verify", quiet))
    broken = [report for report in reports if not report.is_sound]
    if as_json:
        print_json(
            {
                "sound": not broken,
                "rows": sum(report.rows for report in reports),
                "bad_rows": sum(len(report.bad_rows) for report in reports),
                "segments": [asdict(report) for report in reports],
            }
        )
    for report in broken if not as_json else ():
        rows = [f"rows {_few(report.bad_rows)}"] if report.bad_rows else []
        echo(f"{report.table[:16]}/{report.segment}: {'; '.join(rows + report.damage)}")
    if broken:
        say("hint: 'tlengine cache repair' keeps every good row; damaged ones are computed anew", quiet=quiet)
        raise click.exceptions.Exit(1)
    say(f"{sum(report.rows for report in reports):,} rows are what was written", quiet=quiet)


@command.command()
@tables_argument
@dir_option
@dry_option
@json_option
@quiet_option
def repair(tables: tuple[str, ...], path: str | None, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Keep the good rows of damaged segments and drop the others."""
    done = _open(path).repair(tables or None, dry_run=dry_run, progress=_bar("verify", quiet))
    if as_json:
        print_json({"dry_run": dry_run, "repaired": [asdict(repair) for repair in done]})
        return
    if not done:
        say("nothing to repair", quiet=quiet)
    for one in done:
        echo(f"{one.table[:16]}: {len(one.segments)} segments, {one.rows:,} rows kept, {one.lost:,} lost")


@command.command()
@click.option("--max-bytes", type=Quantity("size", SIZES, "b?"), help="Keep no more than this, e.g. 20GB.")
@click.option("--unused-for", type=Quantity("age", AGES), help="Remove tables not opened for, e.g. 30d.")
@dir_option
@dry_option
@json_option
def gc(max_bytes: int | None, unused_for: int | None, path: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove leftovers, and tables by size or age."""
    _print_removal(_open(path).gc(max_bytes=max_bytes, unused_for=unused_for, dry_run=dry_run), as_json)


@command.command()
@tables_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@dir_option
@dry_option
@json_option
def clear(tables: tuple[str, ...], yes: bool, path: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove tables, by default all."""
    cache = _open(path)
    if not (yes or dry_run):
        size = sum(t.bytes for t in cache.tables() if not tables or t.name.startswith(tables))
        click.confirm(f"Remove {_bytes(size)} of embeddings from {cache.path}?", abort=True, err=True)
    _print_removal(cache.clear(tables or None, dry_run=dry_run), as_json)


@command.command()
@click.argument("table")
@click.argument("file", type=click.Path(dir_okay=False))
@dir_option
@json_option
def export(table: str, file: str, path: str | None, as_json: bool) -> None:
    """Write TABLE to FILE (.safetensors, .npy or .parquet)."""
    rows = _open(path, read_only=True).export(table, file)
    if as_json:
        print_json({"rows": rows, "file": file})
    else:
        say(f"{rows:,} rows in {file}")


def _open(path: str | None, read_only: bool = False) -> EmbeddingCache:
    from tlengine.features.cache import EmbeddingCache

    return EmbeddingCache(path, read_only=read_only)


def _recompute(
    cache: EmbeddingCache, rows: int, data: str | None, backbone: str | None, tolerance: float, as_json: bool
) -> None:
    from tlengine.data import load_dataset
    from tlengine.features import default_backbone
    from tlengine.features.drift import measure_drift

    if data is None:
        raise click.UsageError("--recompute needs --data: the cache holds rows, not samples")
    dataset = load_dataset(data, labels="ignore")
    drift = measure_drift(dataset, backbone or default_backbone(dataset.modality), cache, rows=rows)
    if as_json:
        print_json(asdict(drift) | {"tolerance": tolerance})
    elif not drift.compared:
        say(f"none of {drift.rows} samples is in the cache with this backbone")
    else:
        echo(f"{drift.compared} rows computed anew; largest difference {drift.largest:.2g} ({drift.id})")
    if drift.largest > tolerance:
        say("hint: something that determines the rows is not in the recipe; clear the table")
        raise click.exceptions.Exit(1)


def _bar(what: str, quiet: bool) -> Callable[[Iterable[Any]], Iterable[Any]]:
    from tqdm import tqdm

    return lambda items: tqdm(items, desc=what, unit="segment", disable=hidden_bar(not quiet))


def _print_removal(removal: Any, as_json: bool) -> None:
    if as_json:
        print_json(asdict(removal))
        return
    verb = "would free" if removal.dry_run else "freed"
    echo(f"{verb} {_bytes(removal.bytes)}: {len(removal.tables)} tables, {removal.files} leftover files")
    for name in removal.tables:
        echo(f"  {name}")


def _title(recipe: dict[str, Any] | None) -> str:
    if not recipe:
        return ""
    return str(recipe.get("backbone") or recipe.get("name") or next(iter(recipe.values()), ""))[:40]


def _few(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:8])) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _seconds(number: float) -> str:
    if number < 60:
        return f"{number:.1f} s"
    minutes, seconds = divmod(round(number), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
