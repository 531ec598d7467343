"""Logistic regression; all fits on one view are solved together, by row numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.evaluation.strategies.base import pad, unseen
from tlengine.plugins.contracts import Codes, Fitted, Job, Kind, Matrix, Roles, Rows, Scores, View

__all__ = ["LogisticStrategy", "TfidfStrategy"]

GRID = np.logspace(-3, 3.5, 14)
"""C times the scale of the features."""
DEFAULT = 10.0
"""The same where nothing can be held out."""
PATIENCE = 3
"""Values of C in a row without a better held-out loss that end the path."""
ROUGH, FINE = 1e-2, 1e-3
"""Certified relative gap of the fits that choose C, and of the one that is kept."""


class LogisticStrategy:
    """The linear probe: C by the log-loss of held-out rows, on a grid relative to the features' scale."""

    reads: Literal["features", "contents"] = "features"
    seeded = False

    def settings(self) -> Mapping[str, Any]:
        """The grid and the tolerances."""
        grid = [float(f"{C:.6g}") for C in GRID]
        return {"class": type(self).__name__, "grid": grid, "patience": PATIENCE, "tol": [ROUGH, FINE]}

    def matrix(self, view: View, roles: Roles) -> Matrix:
        """(n, d) what is fitted: the rows of the view as they are."""
        return view.matrix()

    def scale(self, view: View) -> float:
        """The mean squared distance of the fitted rows from their mean, to which the grid is relative."""
        return view.scale or 1.0

    def make(self, C: float) -> Any:
        """An unfitted classifier of the view's rows."""
        from tlengine.probes import LinearProbe

        return LinearProbe(C=C, tol=FINE)

    def fit(self, view: View, roles: Roles, *, seed: int = 0, folder: Path | None = None) -> Fitted:
        """See the contract."""
        (found,) = self.fit_many([Job(view, roles, seed)])
        return found

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        """All paths in one call of the solver, then all that is kept, C by C."""
        scale = self.scale(jobs[0].view) if jobs else 1.0
        problems = [_Problem.of(job, self.matrix(job.view, job.roles), DEFAULT / scale) for job in jobs]
        Cs = GRID / scale
        choosing = [problem for problem in problems if problem.roles.inner]
        for problem, found in zip(choosing, _solve(choosing, Cs, ROUGH, PATIENCE), strict=True):
            problem.choose(found, np.sort(Cs))
        for C in sorted({problem.C for problem in problems}):
            same = [problem for problem in problems if problem.C == C]
            for problem, (kept, *_) in zip(same, _solve(same, np.array([C]), FINE), strict=True):
                problem.kept = kept
        for problem in problems:
            yield problem.fitted(partial(self.make, C=problem.C), weigh=self._weigh(problem))

    def _weigh(self, problem: _Problem) -> Any:
        return None


class TfidfStrategy(LogisticStrategy):
    """The same on hashed counts of terms, with inverse document frequencies of the training rows."""

    def matrix(self, view: View, roles: Roles) -> Matrix:
        """(n, d) sparse term frequencies weighed by what is rare among the training rows."""
        from tlengine.probes.tfidf import idf, weigh

        found: Matrix = weigh(view.matrix(), idf(view.features(roles.train)))
        return found

    def scale(self, view: View) -> float:
        """Of rows of length 1, far from each other, whatever the lengths of the texts."""
        return 1.0

    def make(self, C: float) -> Any:
        """The probe that weighs for itself."""
        from tlengine.probes import TfidfProbe

        return TfidfProbe(C=C, tol=FINE)

    def fit_many(self, jobs: Sequence[Job]) -> Iterator[Fitted]:
        """One after the other: each has its own weights."""
        for job in jobs:
            yield from super().fit_many([job])

    def _weigh(self, problem: _Problem) -> Any:
        from tlengine.probes.tfidf import idf, weigh

        return partial(weigh, weights=idf(problem.view.features(problem.roles.train)))


@dataclass(kw_only=True, eq=False)
class _Problem:
    """One job as the core takes it: rows of a matrix, and a weight for each in every fold."""

    view: View
    roles: Roles
    X: Matrix
    rows: Rows
    codes: Codes
    known: Codes
    labels: Codes
    C: float
    held_out: Scores | None = None
    kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, X: Matrix, C: float) -> _Problem:
        roles, view = job.roles, job.view
        held = roles.held
        rows = np.union1d(roles.train, held) if roles.inner else roles.train
        codes = view.codes(rows)
        known = np.unique(codes[np.searchsorted(rows, roles.train)])
        # Rows of other classes are held out alone; `tasks` has them count for nothing.
        labels = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        return cls(view=view, roles=roles, X=X, rows=rows, codes=codes, known=known, labels=labels, C=C)

    def chosen_rows(self) -> tuple[Any, Rows | None]:
        """The rows as the core takes them: by number where X is dense; of a sparse X a copy."""
        from tlengine.probes.sparse import as_core, is_sparse

        return (as_core(self.X[self.rows]), None) if is_sparse(self.X) else (self.X, self.rows)

    def tasks(self, *, choosing: bool) -> list[Any]:
        """The fit on all training rows, and where C is chosen those on inner parts."""
        from tlengine.probes.paths import target

        goal = target(self.labels.astype(np.uint32), len(self.known))
        found: list[Any] = [(*goal, self._weights(self.roles.train), None)]
        if choosing:
            for fit, held in self.roles.inner:
                counted = np.isin(self.codes, self._seen(fit))
                found.append((*goal, self._weights(fit), self._weights(held) * counted))
        return found

    def _seen(self, fit: Rows) -> Codes:
        """The classes of an inner part to fit."""
        return np.unique(self.codes[np.searchsorted(self.rows, fit)])

    def _weights(self, rows: Rows) -> npt.NDArray[np.float64]:
        found = np.zeros(len(self.rows))
        found[np.searchsorted(self.rows, rows)] = 1.0
        return found

    def choose(self, found: Sequence[Mapping[str, Any]], Cs: npt.NDArray[np.float64]) -> None:
        """The C of the least held-out log-loss, and the scores it gave."""
        losses = np.sum([fold["held_out_loss"] for fold in found[1:]], axis=0)
        best = int(np.argmin(losses))
        self.C = float(Cs[best])
        parts = []
        for (fit, held), fold in zip(self.roles.inner, found[1:], strict=True):
            scores = _scores(self.X[held], fold["coef"][best], fold["intercept"][best])
            parts.append(unseen(scores, self.known, self._seen(fit)))
        self.held_out = pad(np.concatenate(parts), self.known, self.view.classes)

    def fitted(self, make: Any, weigh: Any) -> Fitted:
        coef, intercept = self.kept["coef"][0], self.kept["intercept"][0]
        return _LogisticFitted(
            coef=coef,
            intercept=intercept,
            known=self.known,
            make=make,
            weigh=weigh,
            chosen={"C": self.C},
            held_out=self.held_out,
            converged=bool(self.kept["converged"][0]),
            nbytes=coef.nbytes + intercept.nbytes,
        )


def _solve(
    problems: Sequence[_Problem], Cs: npt.NDArray[np.float64], tol: float, patience: int | None = None
) -> list[list[dict[str, Any]]]:
    if not problems:
        return []
    from tlengine.probes.paths import solve_problems

    asked = [(*p.chosen_rows(), p.tasks(choosing=patience is not None)) for p in problems]
    return solve_problems(asked, Cs, tol=tol, patience=patience)


def _scores(X: Matrix, coef: npt.NDArray[Any], intercept: npt.NDArray[Any]) -> Scores:
    """(m, k) logits; where two classes share a column s they are -s/2 and s/2."""
    found = np.asarray(X @ coef.T + intercept, dtype=np.float64)
    return np.concatenate([-found / 2, found / 2], axis=1) if found.shape[1] == 1 else found


@dataclass(kw_only=True, eq=False)
class _LogisticFitted:
    coef: npt.NDArray[Any]
    intercept: npt.NDArray[Any]
    known: Codes
    make: Any
    weigh: Any
    chosen: Mapping[str, Any]
    held_out: Scores | None
    converged: bool
    nbytes: int | None
    kind: Kind = "logits"
    reading = "decision_function"
    flops: float | None = None

    def scores(self, view: View, rows: Rows) -> Scores:
        X = view.features(rows)
        X = X if self.weigh is None else self.weigh(X)
        return pad(_scores(X, self.coef, self.intercept), self.known, view.classes)

    def estimator(self, view: View, rows: Rows, labels: npt.NDArray[Any]) -> Any:
        return self.make().fit(view.features(rows), labels)
