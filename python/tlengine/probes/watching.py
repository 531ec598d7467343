"""Long solves are shown while they go on, can be ended, and keep every C that is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError, TimeLimitError
from tlengine.probes.bars import DelayedBar, TimeLeft, clock
from tlengine.probes.parameters import check_values
from tlengine.probes.path_journal import Kept, PathJournal, Solution, problem_digest
from tlengine.probes.path_said import warn_of_time
from tlengine.probes.sparse import as_core

__all__ = ["Callback", "PathProgress", "Start", "Watching", "solve_watched"]

_FORMAT = "{percentage:3.0f}%|{bar}| {elapsed}{postfix}"


@dataclass(frozen=True, kw_only=True)
class PathProgress:
    """How far a path is, as a ``callback=`` gets it some twenty times a second.

    Attributes:
        C: the value that is being solved. ``solved``, ``total``: values that are certified, of all.
        taken_up: of those solved, the ones that an earlier call had kept.
        passes: passes over X so far, certificates left out.
        gap: the relative gap of the current step by its gradient; infinity before the first one.
        seconds: since the start.
        passes_left: estimated.
    """

    C: float
    solved: int
    taken_up: int
    total: int
    passes: int
    gap: float
    seconds: float
    passes_left: float


Callback = Callable[[PathProgress], object]
Start = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Coefficients (columns, d) and intercepts (columns,) to start from."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How a solve is shown, ended and kept.

    Attributes:
        callback: called with a :class:`PathProgress`; a true answer ends the solve, after the pass under way.
        max_seconds: after which the solve is ended likewise.
        resume: a file of solutions, that of the C that was under way at the end among them.
        progress: show a bar on stderr where that is a terminal and the solve takes seconds.
        kept: solutions of an earlier solve; those of this one are added.
    """

    callback: Callback | None = None
    max_seconds: float | None = None
    resume: str | Path | None = None
    progress: bool = False
    kept: dict[str, Kept] | None = None

    def __post_init__(self) -> None:
        check_values({name: getattr(self, name) for name in ("max_seconds", "resume", "progress")})
        if self.callback is not None and not callable(self.callback):
            raise InputError(f"callback={self.callback!r:.40} cannot be called", hint="pass a function")


def solve_watched(
    X: Any,
    tasks: Sequence[tuple[Any, ...]],
    Cs: npt.NDArray[np.float64],
    watching: Watching,
    *,
    patience: int | None,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
    threads: int,
    start: Start | None = None,
) -> tuple[list[dict[str, Any]], npt.NDArray[np.intp], bool]:
    """The solutions of each task, arrays over C; which of ``Cs`` they are; whether the solve came to its end.

    Of a solve that is ended every C that was done is the result. Where there is none it is the C that was
    under way, if a step was made at it: with the gap that it has. It is kept in any case, and a
    ``TimeLimitWarning`` says what the result is.

    Args:
        X: (n, d) features, or a ``csr_array``.
        tasks: as the core takes them.
        Cs: (n_C,) in any order.
        watching: how it is shown, ended and kept.
        patience: as :func:`tlengine.probes.probe_path`, and so the following.
        fit_intercept: whether there is one.
        tol: certified relative gap.
        max_iter: steps per C.
        threads: at most.
        start: coefficients and intercepts to start all tasks from, where nothing that was kept is nearer.

    Raises:
        TimeLimitError: no step was made in time.
        KeyboardInterrupt: Ctrl-C; what was done by then is kept.
    """
    x = as_core(X)
    digest = problem_digest(x, tasks, fit_intercept) if _is_kept(watching) else ""
    with PathJournal(_file(watching.resume, digest), digest) as journal:
        if watching.kept is not None:
            journal.kept.update(watching.kept.get(digest, {}))
            watching.kept.clear()
            watching.kept[digest] = journal.kept
        asked = np.unique(Cs)
        taken, is_over = _taken_up(journal.kept, asked.tolist(), tasks, patience, tol)
        left = np.setdiff1d(asked, taken) if taken else asked
        show = _Show(watching, left, len(asked), len(tasks), journal)
        with show:
            is_whole = is_over or show.kept(_core.watch_paths)(
                x, list(tasks), left.tolist(), tol=tol, max_iter=max_iter, fit_intercept=fit_intercept,
                threads=threads, look=show.look, patience=patience,
                before=[_held_out_loss(journal.kept[C], tasks) for C in taken] if patience else [],
                starts=_starts(journal.kept, left.min(initial=np.inf), start, len(tasks)),
            )  # fmt: skip
        # What was under way may turn out to be certified.
        is_whole = is_whole or len(show.done) == len(left)
        if is_whole and watching.resume is not None and Path(watching.resume).is_dir():
            journal.remove()
        solved = np.flatnonzero(np.isin(Cs, [*taken, *show.done] or show.unfinished))
        if not len(solved):
            raise TimeLimitError(
                f"no step was made after {show.seconds:.0f} s and {show.passes} passes",
                hint="raise max_seconds",
            )
        if not is_whole:
            warn_of_time(len(taken) + len(show.done), len(asked), kept=_is_kept(watching))
        paths = [journal.kept[float(Cs[i])] for i in solved]
        last = watching.kept is None and len(set(Cs[solved])) == len(solved)
        found = _joined(paths, last=last)
        for path in found:
            path["converged"] = path["gap_bound"] <= tol * path["objective"]
        return found, solved, bool(is_whole)


def _taken_up(
    kept: Kept,
    asked: list[float],
    tasks: Sequence[tuple[Any, ...]],
    patience: int | None,
    tol: float,
) -> tuple[list[float], bool]:
    """Those of ``asked``, ascending values of C, that need not be solved, and whether that is all.

    What is kept counts where it is certified to ``tol``; else it is a place to start from. With patience
    those from the smallest on that are kept without a gap, up to where it ends the path.
    """

    def is_done(C: float) -> bool:
        return C in kept and all(found["gap_bound"][0] <= tol * found["objective"][0] for found in kept[C])

    if not patience:
        taken = [C for C in asked if is_done(C)]
        return taken, len(taken) == len(asked)
    taken = list(takewhile(is_done, asked))
    count = _core.patient_count([_held_out_loss(kept[C], tasks) for C in taken], patience, tol)
    return taken[:count], count is not None or len(taken) == len(asked)


def _file(resume: str | Path | None, digest: str) -> Path | None:
    """The file of finished solutions: in a folder, that of the problem."""
    if resume is None:
        return None
    return Path(resume) / f"{digest}.path" if Path(resume).is_dir() else Path(resume)


def _is_kept(watching: Watching) -> bool:
    return watching.resume is not None or watching.kept is not None


def _starts(kept: Kept, smallest: float, start: Start | None, tasks: int) -> list[Start] | None:
    """Where each task starts: at what is kept of the largest C up to the rest, else at ``start``."""
    below = [C for C in kept if smallest >= C]
    if below:
        return [_point(found["coef"][0], found["intercept"][0]) for found in kept[max(below)]]
    return None if start is None else [_point(*start)] * tasks


def _point(coef: Any, intercept: Any) -> Start:
    return np.ascontiguousarray(coef, np.float64), np.ascontiguousarray(intercept, np.float64)


def _held_out_loss(solutions: Sequence[Solution], tasks: Sequence[tuple[Any, ...]]) -> float:
    """The mean held-out loss over the tasks that hold rows out, as patience counts it."""
    pairs = zip(solutions, tasks, strict=True)
    losses = [found["held_out_loss"][0] / task[4].sum() for found, task in pairs if task[4] is not None]
    return float(np.mean(losses)) if losses else float("nan")


def _joined(kept: Sequence[Sequence[Solution]], *, last: bool) -> list[dict[str, Any]]:
    """For each task the arrays of all its solutions, joined over C; if ``last``, nothing is left of them."""

    def taken(found: Solution, name: str) -> Any:
        return found.pop(name) if last else found[name]

    return [
        {name: np.concatenate([taken(found, name) for found in path]) for name in tuple(path[0])}
        for path in zip(*kept, strict=True)
    ]


class _Show:
    """What the core calls while it solves: the bar, the callback, the clock, and the journal."""

    def __init__(
        self, watching: Watching, Cs: npt.NDArray[np.float64], total: int, tasks: int, journal: PathJournal
    ) -> None:
        self._watching, self._Cs, self._total, self._journal = watching, Cs, total, journal
        self._waiting: dict[int, dict[int, tuple[bool, Solution]]] = {}
        self._tasks, self._begun = tasks, time.monotonic()
        self._ends = [0]
        self.done: list[float] = []
        self.unfinished: list[float] = []
        self._first_gap = np.inf
        self._is_over = False
        self.passes = 0
        self._bar, self._time_left = DelayedBar(watching.progress, bar_format=_FORMAT), TimeLeft()
        self._has_gap = False

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begun

    def look(self, solved: int, C: float, passes: int, gap: float, finished: Sequence[Any]) -> bool:
        """Takes what the core tells; whether that is enough."""
        for task, place, *found in finished:
            of_place = self._waiting.setdefault(place, {})
            of_place[task] = (found[0], found[1])
            if len(of_place) == self._tasks:
                C, of_tasks = float(self._Cs[place]), [of_place[i] for i in range(self._tasks)]
                self._journal.add(C, [solution for _, solution in of_tasks])
                del self._waiting[place]
                (self.done if all(is_whole for is_whole, _ in of_tasks) else self.unfinished).append(C)
        is_new, self.passes = passes > self.passes or bool(finished), passes
        while len(self._ends) <= solved:
            self._ends.append(passes)
            self._first_gap = np.inf
        if 0 < gap < np.inf and self._first_gap == np.inf:
            self._first_gap = gap
        if self._is_over:  # what was solved is kept; nobody is asked again
            return True
        # So it stays where the callback fails.
        self._is_over = True
        enough = self._tell(solved, C, gap) if is_new else False
        limit = self._watching.max_seconds
        self._is_over = enough or (limit is not None and self.seconds > limit)
        return self._is_over

    def _tell(self, solved: int, C: float, gap: float) -> bool:
        left, done = self._passes_left(solved, gap), self._total - len(self._Cs) + len(self.done)
        self._show(C, gap, left, done)
        if self._watching.callback is None:
            return False
        progress = PathProgress(
            C=C, solved=done, taken_up=done - len(self.done), total=self._total, passes=self.passes, gap=gap,
            seconds=self.seconds, passes_left=left,
        )  # fmt: skip
        return bool(self._watching.callback(progress))

    def _show(self, C: float, gap: float, passes_left: float, done: int) -> None:
        """Nothing before the first gap, by which passes to come are estimated."""
        known, seconds = np.isfinite(gap), self.seconds
        self._has_gap = self._has_gap or bool(known)
        left = self._time_left.told(seconds, self.passes, passes_left) if self._has_gap else None
        if left is not None:
            text = f"{clock(left)} left, {self.passes} passes, C={C:.3g} ({done}/{self._total} done)"
            self._bar.show(seconds, seconds + left, text + (f", gap {gap:.0e}" if known else ""))

    def _passes_left(self, solved: int, gap: float) -> float:
        """Those of this C by how fast its gap falls; those of each larger one as many as the last took."""
        last = self._ends[-1] - self._ends[-2] if len(self._ends) > 1 else 10
        taken = self.passes - self._ends[-1]
        fallen = np.log(self._first_gap / gap) if 0 < gap < self._first_gap < np.inf else 0.0
        needed = np.log(self._first_gap / 1e-4) if self._first_gap < np.inf else 0.0
        here = taken * (needed / fallen - 1) if 0 < fallen < needed else max(last - taken, 1)
        rest = max(len(self._Cs) - solved - 1, 0) * max(last, taken)
        return float(here + rest) if solved < len(self._Cs) else 0.0

    def kept(self, solve: Callable[..., bool]) -> Callable[..., bool]:
        """``solve``, whose ``KeyboardInterrupt`` says what is kept."""

        def run(*args: Any, **kwargs: Any) -> bool:
            try:
                return solve(*args, **kwargs)
            except KeyboardInterrupt as error:
                if _is_kept(self._watching):
                    done = self._total - len(self._Cs) + len(self.done)
                    where = "for the next fit" if self._watching.resume is None else self._watching.resume
                    error.add_note(f"{done} of {self._total} values of C are kept ({where})")
                raise

        return run

    def __enter__(self) -> _Show:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
