"""``tlengine probe``: a whole path of linear probes, each with its certificate."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.common import (
    DataOptions,
    GateNotMet,
    array_options,
    backbone_option,
    data_options,
    echo,
    print_json,
    say,
)
from tlengine.cli.keeping import save_model, to_be_kept
from tlengine.cli.loading import open_features, open_labelled
from tlengine.settings import cache_root

if TYPE_CHECKING:
    from tlengine.probes import LinearProbeCV, PathProgress
    from tlengine.types import Features

__all__ = ["command"]

_MONTH = 30 * 24 * 3600.0


@click.command("probe")
@click.argument("data", type=click.Path())
@backbone_option
@array_options
@click.option(
    "--Cs",
    "n_Cs",
    type=click.IntRange(min=1),
    default=45,
    show_default=True,
    help="How many values of C from 1e-6 to 1e5.",
)
@click.option(
    "--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Folds to choose C by."
)
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    metavar="N",
    help="End the path after N values of C in a row without a better log-loss; 0 solves all.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="End the path after S seconds; what is solved by then counts.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to save the probe.",
)
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Exit 3 if the accuracy stays below.")
@data_options
def command(
    data: str,
    backbone: str | None,
    labels: Path | None,
    groups: Path | None,
    n_Cs: int,
    folds: int,
    patience: int,
    max_seconds: float | None,
    out: Path | None,
    min_accuracy: float | None,
    options: DataOptions,
) -> None:
    """Fit linear probes for many C on the features of DATA, and choose C by cross-validated log-loss.

    DATA is a .npz that extract wrote, a .npy of features with --labels, or anything that extract takes. With
    a split of your own the probe is fitted on its training part and scored on its test part as well
    (validation rows, where there is no test). Rows of one group, and copies of one sample, stay together.

    \b
    tlengine probe features.npz --Cs 45 --json
    tlengine probe X.npy --labels y.npy --groups patients.npy
    tlengine probe features.npz --Cs 45 --patience 0 --out model/

    A path that is interrupted keeps every C that was done, and how far it is with the next one: the same
    command goes on from there. The first Ctrl-C ends it after the pass under way, a second one at once.

    Each C comes with its certificate: the objective, how far at most it is above the optimum (gap_bound), the
    norm of its gradient, the passes over the data that it took, and whether it converged.
    """
    dataset = open_labelled(data, labels, groups, options)
    features = open_features(dataset, backbone, options, keep=out is not None)
    document, probe, keeping = fit_path(
        features, n_Cs, folds, patience or None, max_seconds=max_seconds, quiet=options.quiet
    )
    for note in document["notes"]:
        say(f"note: {note}", quiet=options.quiet)
    if out is not None:
        kept = to_be_kept(features, data)
        chosen = {"C": probe.C_}
        document["model"] = save_model(
            probe, kept, dataset, out, strategy="probe", chosen=chosen, rows=document["rows"]
        )
    if options.as_json:
        print_json(document)
    else:
        _print(document)
    # What is kept goes once the output is there: a full disk costs no solution.
    keeping.forget()
    accuracy = document["test_accuracy"] if document["test_accuracy"] is not None else document["accuracy"]
    if min_accuracy is not None and accuracy < min_accuracy:
        raise GateNotMet(f"accuracy {accuracy:.4f} is below --min-accuracy {min_accuracy:g}")


def fit_path(
    features: Features,
    n_Cs: int,
    n_folds: int,
    patience: int | None = 2,
    *,
    max_seconds: float | None = None,
    quiet: bool = True,
) -> tuple[dict[str, Any], LinearProbeCV, Keeping]:
    """The path on the training rows, as the command's document, the probe, and what is kept of the path."""
    import numpy as np

    from tlengine.data.parts import parts_of
    from tlengine.probes import LinearProbeCV

    parts = parts_of(features)
    X, y = features.X[parts.train], np.asarray(features.y)[parts.train]
    pairs = parts.folds(n_folds)
    start = time.perf_counter()
    keeping = Keeping(X, y, pairs, quiet)
    probe = LinearProbeCV(
        Cs=n_Cs, cv=pairs, patience=patience, max_seconds=max_seconds, resume=keeping.file,
        callback=keeping.look, progress=not quiet,
    )  # fmt: skip
    with keeping:
        probe.fit(X, y)
    keeping.is_whole = not probe.cut_short_
    seconds = time.perf_counter() - start
    best = int(np.flatnonzero(probe.Cs_ == probe.C_)[0])
    document = {
        "rows": len(X),
        "dim": features.dim,
        "classes": [str(label) for label in probe.classes_],
        "backbone": features.backbone,
        "C": probe.C_,
        "log_loss": -float(probe.scores_.mean(axis=0)[best]),
        "accuracy": float(probe.accuracy_.mean(axis=0)[best]),
        "test_accuracy": _score(probe, features, parts.test),
        "seconds": round(seconds, 4),
        "path": _records(probe),
        "notes": list(parts.notes),
        "model": None,
    }
    return document, probe, keeping


class Keeping:
    """Where a path is kept until what it is for is written, and what is said of it.

    While it is entered the first Ctrl-C ends the path after the pass under way, so that the C it is at is
    kept as well; it is then raised. A second one ends it at once, as does the first where nothing was done
    or can be kept.

    Args:
        X: (n, d) training rows.
        y: (n,) labels.
        pairs: the folds, by row numbers.
        quiet: say nothing.

    Attributes:
        file: of these rows and folds; None where nothing can be kept.
        is_whole: whether the path came to its end.
    """

    def __init__(self, X: Any, y: Any, pairs: Any, quiet: bool) -> None:
        import numpy as np

        from tlengine.probes.path_journal import problem_digest

        self._quiet, self.is_whole, self._is_ending = quiet, False, False
        self._handler: Any = signal.SIG_DFL
        self._filters = warnings.catch_warnings()
        self._last: PathProgress | None = None
        folder = cache_root() / "paths"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _forget_old(folder)
        except OSError as error:
            say(f"note: finished C cannot be kept in {folder}: {error.strerror}", quiet=quiet)
        self.file: Path | None = None
        if os.access(folder, os.W_OK):
            classes, codes = np.unique(y, return_inverse=True)
            digest = problem_digest(
                X, [(codes, *(part for pair in pairs for part in pair))], classes.tolist()
            )
            self.file = folder / f"{digest}.path"

    def forget(self) -> None:
        """Deletes what is kept of a path that is whole, where that can be deleted."""
        if self.is_whole and self.file is not None:
            try:
                self.file.unlink(missing_ok=True)
            except OSError as error:
                say(f"note: {self.file} cannot be deleted: {error.strerror}", quiet=self._quiet)

    def look(self, progress: PathProgress) -> bool:
        """The callback of the path: whether Ctrl-C was pressed."""
        if self._last is None and progress.taken_up:
            say(f"{progress.taken_up} of {progress.total} values of C taken up", quiet=self._quiet)
        self._last = progress
        return self._is_ending

    def _end(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._handler)
        if self._last is None:
            raise KeyboardInterrupt
        self._is_ending = True
        # What a path that was ended has to warn of is not news to who ended it.
        warnings.simplefilter("ignore")
        say("ending after this pass; Ctrl-C again ends at once", quiet=self._quiet)

    def __enter__(self) -> None:
        self._filters.__enter__()
        if self.file is not None and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._end)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.file is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._handler)
        self._filters.__exit__(None, None, None)
        if not self._is_ending and kind is not KeyboardInterrupt:
            return
        has_ended = kind is None
        if self._last is not None and self.file is not None and (self._last.solved or has_ended):
            done = f"{self._last.solved} of {self._last.total} values of C are kept"
            more = ", and how far the next one is" if has_ended else ""
            say(f"{done}{more}: the same command goes on from there", quiet=self._quiet)
        raise KeyboardInterrupt


def _forget_old(folder: Path) -> None:
    """Deletes what was kept of paths that nobody has gone on with for a month."""
    for file in folder.glob("*.path"):
        if time.time() - file.stat().st_mtime > _MONTH:
            file.unlink(missing_ok=True)


def _score(probe: Any, features: Features, test: Any) -> float | None:
    if test is None:
        return None
    import numpy as np

    return float((probe.predict(features.X[test]) == np.asarray(features.y)[test]).mean())


def _records(probe: Any) -> list[dict[str, Any]]:
    """One record per C, with its certificate."""
    return [
        {
            "C": float(probe.Cs_[i]),
            "log_loss": -float(probe.scores_[:, i].mean()),
            "objective": float(probe.objective_[i]),
            "gap_bound": float(probe.gap_bound_[i]),
            "gradient_norm": float(probe.gradient_norm_[i]),
            "n_passes": int(probe.n_passes_[i]),
            "converged": bool(probe.converged_[i]),
        }
        for i in range(len(probe.Cs_))
    ]


def _print(document: dict[str, Any]) -> None:
    echo(f"{'C':>10}  {'log-loss':>9}  {'relative gap':>12}  passes")
    for record in document["path"]:
        mark = "*" if record["C"] == document["C"] else " "
        gap = record["gap_bound"] / record["objective"] if record["objective"] else 0.0
        certified = "" if record["converged"] else "  not certified"
        numbers = f"{record['log_loss']:>9.4f}  {gap:>12.1e}  {record['n_passes']:>6}"
        echo(f"{record['C']:>10.3g}{mark} {numbers}{certified}")
    echo(
        f"\nC = {document['C']:.3g}: cross-validated accuracy {document['accuracy']:.2%}, log-loss "
        f"{document['log_loss']:.4f}; {len(document['path'])} values of C in {document['seconds']:.2f} s"
    )
    if document["test_accuracy"] is not None:
        echo(f"test accuracy {document['test_accuracy']:.2%}")
    if document["model"]:
        echo(f"model: {document['model']}")
