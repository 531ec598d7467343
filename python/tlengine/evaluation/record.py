"""The run record: one JSON document that holds everything a report shows.

Its parts are listed in :mod:`.schema`. Numbers are plain JSON; NaN and infinity do not occur.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlengine.documents import installed_versions, plain, replace_text
from tlengine.errors import InputError, MissingPackageError, RunFormatError
from tlengine.evaluation.samples import Failed
from tlengine.evaluation.schema import FORMAT, VERSION, check_document
from tlengine.evaluation.verdict import Verdict

if TYPE_CHECKING:
    from tlengine.evaluation.model import Model
    from tlengine.finetuning import NetworkModel

__all__ = ["RunResult", "environment", "load_run", "run_document"]

_LIMIT = 1 << 30
_FILES = {
    "report": ("report.html",),
    "model": ("model/config.json", "model/model.safetensors", "model/check.safetensors", "model/README.md"),
}
_PACKAGES = ("tlengine", "numpy", "scikit-learn", "torch", "pillow")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunResult:
    """A finished run.

    Attributes:
        document: the content of ``run.json``.
        model: what is recommended, refitted on all labelled rows: a probe that takes features, or a network
            that takes samples; None for a run that was read from a file.
    """

    document: Mapping[str, Any]
    model: Model | NetworkModel | None = None

    def __repr__(self) -> str:
        return f"<RunResult of {self.document['dataset']['name']}: {self.document['verdict']['answer']}>"

    @property
    def verdict(self) -> Verdict:
        """The answer: recommendation, does transfer help, how sure is that."""
        known = {f.name for f in fields(Verdict)}
        return Verdict(**{k: v for k, v in self.document["verdict"].items() if k in known})

    @property
    def results(self) -> list[dict[str, Any]]:
        """Records ``{backbone, strategy, budget, seed, fold, metric, value}``."""
        return list(self.document["results"])

    def table(self) -> str:
        """One line per strategy and budget: accuracy, its interval, other metrics, gain over a control."""
        from tlengine.evaluation.table import summary_table

        return summary_table(self.document)

    def to_html(self) -> str:
        """The report, by the exporter registered as ``html``.

        Raises:
            UnknownNameError: no plugin offers it.
        """
        from tlengine.plugins import render

        return render("html", self.document)

    def to_json(self) -> str:
        """The text of ``run.json``."""
        return json.dumps(self.document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, directory: str | os.PathLike[str]) -> dict[str, str]:
        """Write ``run.json``, ``report.html`` and, where there is one, ``model/`` with its card.

        The answer comes first. What cannot be written beside it (a report whose exporter fails, a probe that
        cannot be saved) becomes an entry in ``document["failed"]``, with ``step`` ``"report"`` or ``"save"``;
        what an earlier run left in its place is removed, so that nothing there belongs to another answer.
        What it took to write them is booked in ``document["costs"]``, as stages ``"report"`` and ``"save"``.

        Returns:
            Paths by ``"run"``, ``"report"`` and ``"model"``, of what was written.

        Raises:
            InputError: ``directory`` is a file.
            OSError: ``run.json`` cannot be written.
        """
        folder = Path(directory)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file, not a directory", hint="choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        written = {"run": str(replace_text(folder / "run.json", self.to_json()))}
        steps: dict[str, tuple[str, Callable[[], Any]]] = {
            "report": ("report", lambda: replace_text(folder / "report.html", self.to_html())),
            "model": ("save", lambda: self._save_model(folder / "model")),
        }
        spent: dict[str, tuple[float, float]] = {}
        for name, (step, write) in steps.items():
            start, cpu = time.perf_counter(), time.process_time()
            try:
                path = write()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may even exit
                self._note_failure(step, error)
                path = None
            spent[step] = time.perf_counter() - start, time.process_time() - cpu
            if path is None:
                _forget(folder, name)
            else:
                written[name] = str(path)
        self._book(spent)
        with suppress(OSError):  # a disk that was full for the report: the answer is on it already
            replace_text(folder / "run.json", self.to_json())
        return written

    def to_pandas(self) -> Any:
        """``results`` as a ``pandas.DataFrame``.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingPackageError("to_pandas needs pandas", hint="pip install pandas") from None
        return pd.DataFrame.from_records(self.results)

    def _book(self, spent: Mapping[str, tuple[float, float]]) -> None:
        """Seconds and CPU seconds of writing, by step: those of the last time it was done."""
        costs = self.document["costs"]
        stages = {stage["stage"]: stage for stage in costs["stages"] if stage["stage"] in spent}
        kept = [stage for stage in costs["stages"] if stage["stage"] not in spent]
        none = {"gpu_seconds": None, "flops": None, "peak_bytes": 0, "joules": None, "source": "none"}
        for name, (seconds, cpu) in spent.items():
            clocks = {"seconds": round(seconds, 4), "cpu_seconds": round(cpu, 4)}
            kept.append({"stage": name, "what": "", **clocks, **none})
            for clock, found in clocks.items():
                before = stages[name][clock] if name in stages else 0.0
                costs["totals"][clock] = round(costs["totals"][clock] + found - before, 4)
        costs["stages"] = kept
        costs["total_seconds"] = round(costs["totals"]["seconds"], 3)

    def _save_model(self, folder: Path) -> Path | None:
        """The model and its card; None where there is none."""
        if self.model is None:
            return None
        from tlengine.evaluation.card import card_of_run

        text = card_of_run(self.document, self.model.metadata, self.model.reads)
        saved = self.model.save(folder)
        replace_text(folder / "README.md", text)
        return saved

    def _note_failure(self, step: str, error: BaseException) -> None:
        verdict = self.document["verdict"]
        failed = Failed.of(verdict["backbone"], verdict["strategy"], error, step=step)
        self.document["failed"].append(plain(asdict(failed)))


def _forget(folder: Path, name: str) -> None:
    """Remove what an earlier run wrote under this name, and what is half written."""
    for file in _FILES[name]:
        with suppress(OSError):
            (folder / file).unlink()
    with suppress(OSError):  # not there, or not empty
        (folder / name).rmdir()


def load_run(path: str | os.PathLike[str]) -> RunResult:
    """Read a ``run.json``, or that of the folder which ``compare --out`` wrote.

    Raises:
        InputError: ``path`` is no path, or a folder with the fits of a run that was not saved.
        FileNotFoundError: nothing is there.
        RunFormatError: not a run document of tlengine, or one of another version.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a {type(path).__name__} is no path", hint="pass the path of a run.json")
    file = Path(path)
    if file.is_dir():
        file = file / "run.json"
        if not file.exists() and (file.parent / "journal.jsonl").exists():
            raise InputError(
                f"{file.parent} has the fits of a run, and no run.json",
                hint="compare(out=...) keeps the fits; run.save(folder) writes the rest",
            )
    if file.stat().st_size > _LIMIT:
        raise RunFormatError(f"{file}: {file.stat().st_size} bytes; the limit is {_LIMIT}")
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunFormatError(
            f"{file} is not JSON: {error}", hint="pass a run.json that tlengine compare --out wrote"
        ) from None
    check_document(document, str(file))
    return RunResult(document=document)


def run_document(**parts: Any) -> dict[str, Any]:
    """A run document of the parts, in plain JSON types.

    >>> import numpy as np
    >>> run_document(answer="yes", rows=np.int64(3))["rows"]
    3
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"format": FORMAT, "version": VERSION, "created": created, **parts}
    found: dict[str, Any] = plain(document)
    return found


def environment() -> dict[str, Any]:
    """Versions and machine, for the reproducibility block."""
    from tlengine import settings
    from tlengine.plugins import describe_plugins

    return {
        "versions": installed_versions(_PACKAGES),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "threads": settings.num_threads(),
        "plugins": describe_plugins(),
    }
