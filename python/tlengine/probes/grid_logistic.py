"""The logistic probes of a grid, many solved in one call of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError
from tlengine.probes.choice import is_idle
from tlengine.probes.grid_choice import Choice, choose
from tlengine.probes.grid_jobs import Draws, Job, Key, where
from tlengine.probes.grid_notes import Notes
from tlengine.probes.grid_records import Finished, Said, records_of
from tlengine.probes.grid_scores import class_scores, label_scores, logits_to_proba
from tlengine.probes.grid_targets import Target, learnt_labels
from tlengine.probes.paths import target as goal
from tlengine.probes.scoring import Scoring, held_out_scores
from tlengine.probes.sparse import as_core, is_sparse
from tlengine.probes.weights import ClassWeight, weights_of_classes

__all__ = ["LogisticJobs"]

Array = npt.NDArray[Any]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Problem:
    """A job as the core takes it.

    Attributes:
        tasks: on all rows first, then one for each fold.
        cells: weight of held-out rows, times labels where a row has several, that each fold is judged by.
        learnt: (L,) labels that some training rows have and others do not; None where a row has one class.
    """

    job: Job
    tasks: list[Any]
    cells: list[float]
    learnt: npt.NDArray[np.bool_] | None


class LogisticJobs:
    """Solves batches of jobs by the core and scores them.

    Args:
        arrays: features by name.
        targets: by name.
        draws: by target.
        Cs: (n_C,).
        scorings: by column; None for accuracy and log-loss.
        predictions: whether probabilities are kept.
        notes: told of rare labels and of scorers without a number.
        settings: ``tol``, ``max_iter``, ``patience`` and ``threads`` of the core.
        weight: (n,) of each row, or None.
        class_weight: as :func:`tlengine.probes.probe_path`.

    Raises:
        InputError: a ``class_weight`` that does not fit the labels.
    """

    most = 64

    def __init__(
        self,
        arrays: Mapping[str, Any],
        targets: Mapping[str, Target],
        draws: Mapping[str, Draws],
        Cs: npt.NDArray[np.float64],
        *,
        scorings: Mapping[str, Scoring] | None,
        predictions: bool,
        notes: Notes,
        settings: Mapping[str, Any],
        weight: npt.NDArray[np.float64] | None = None,
        class_weight: ClassWeight = None,
    ) -> None:
        self.arrays, self.targets, self.draws, self.Cs = arrays, targets, draws, Cs
        self.scorings, self.predictions, self.notes, self.settings = scorings, predictions, notes, settings
        self.weight, self.class_weight = weight, class_weight
        for target in targets.values():
            self._training_weight(target, target.codes, np.ones(len(target.codes)))
        # Scorers are Python of anybody's, and warnings can be caught on one thread alone.
        self.scores_beside = scorings is None

    def kind(self, key: Key) -> Any:
        """The core solves problems of one dtype in a call."""
        return self.arrays[key.features].dtype.str

    def prepare(self, keys: Sequence[Key]) -> list[_Problem]:
        """The rows and tasks of jobs."""
        return [self._problem(next(self.draws[key.target].jobs([key]))) for key in keys]

    def solve(self, batch: Sequence[_Problem]) -> list[Any]:
        """The solutions of each task of each job."""
        problems = [(*self._rows(p.job), p.tasks) for p in batch]
        found: list[Any] = _core.solve_paths(problems, self.Cs.tolist(), fit_intercept=True, **self.settings)
        return found

    def score(self, batch: Sequence[_Problem], found: Sequence[Any]) -> list[Finished]:
        """What is kept of each job."""
        done: list[Finished] = []
        # Test parts of one size are scored together: with groups they need not be of one size.
        pairs = zip(batch, found, strict=True)
        for (name, _), same in groupby(pairs, lambda pair: (pair[0].job.key.target, len(pair[0].job.test))):
            solved = [(problem, *self._kept(problem, paths)) for problem, paths in same]
            logits = [self._logits(problem.job, path) for problem, _, path in solved]
            scores = self._scores(self.targets[name], solved, logits)
            for (problem, chosen, path), columns, values in zip(solved, scores, logits, strict=True):
                kept = {"C": chosen.Cs, **columns, "converged": path["converged"]}
                job, records = problem.job, records_of(problem.job, kept)
                said, note = self._said(job, values), self.notes.of(job.key)
                done.append(Finished(job.key, records, said, chosen.edge, note))
        return done

    def _problem(self, job: Job) -> _Problem:
        target = self.targets[job.key.target]
        labels = target.codes[job.rows]
        every = np.ones(len(job.rows)) if self.weight is None else self.weight[job.rows]
        whole = goal(labels, len(target.classes))
        tasks, cells = [(*whole, self._training_weight(target, labels, every), None)], []
        for fold in range(int(job.folds.max(initial=-1)) + 1):
            held = job.folds == fold
            task = whole
            if target.several and not (seen := self._learnt(job, job.rows[~held])).all():
                task = goal(labels[:, seen], int(seen.sum()))
            if task[1]:
                held_out = every * held
                tasks.append((*task, self._training_weight(target, labels, every * ~held), held_out))
                cells.append(float(held_out.sum()) * (task[1] if target.several else 1))
        if len(judged := labels[job.folds >= 0]) and (judged == judged[0]).all():
            self.notes.one_class(job.key, "the same labels" if target.several else target.classes[judged[0]])
        learnt = self._learnt(job, job.rows) if target.several else None
        if (learnt is not None and not learnt.any()) or (job.folds.max(initial=-1) >= 0 and not cells):
            raise InputError(f"no label can be learnt {where(job.key)}", hint="a larger budget")
        return _Problem(job, tasks, cells, learnt)

    def _training_weight(
        self, target: Target, labels: Array, weight: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Weights of rows times those of their classes, which ``"balanced"`` counts among these rows."""
        if self.class_weight is None:
            return weight
        if target.several:
            raise InputError("class_weight with a column per label", hint="use sample_weight")
        return weight * weights_of_classes(self.class_weight, target.classes, labels, weight)[labels]

    def _rows(self, job: Job) -> tuple[Any, Any]:
        """X and row numbers; the rows themselves where X is sparse."""
        X = self.arrays[job.key.features]
        return (as_core(X[job.rows]), None) if is_sparse(X) else (X, job.rows)

    def _learnt(self, job: Job, rows: Array) -> npt.NDArray[np.bool_]:
        return learnt_labels(job.key, self.targets[job.key.target], rows, self.notes)

    def _kept(self, problem: _Problem, paths: Sequence[Columns]) -> tuple[Choice, Columns]:
        """The chosen C, or each C where nothing chooses, and its solution."""
        choice = Choice(slice(None), self.Cs)
        if len(paths) > 1:
            pairs = zip(paths[1:], problem.cells, strict=True)
            losses = np.array([fold["held_out_loss"] / cells for fold, cells in pairs])
            choice = choose(losses, self.Cs, idle=lambda: self._is_idle(problem.job, paths[0]["coef"]))
        return choice, {name: paths[0][name][choice.kept] for name in ("coef", "intercept", "converged")}

    def _is_idle(self, job: Job, coefs: Array) -> bool:
        return is_idle(self.arrays[job.key.features], coefs[self.Cs[: len(coefs)].argmin()], job.rows)

    def _logits(self, job: Job, path: Columns) -> Array:
        """(n_C, K, m) of the test rows."""
        X, (coef, intercept) = self.arrays[job.key.features], (path["coef"], path["intercept"])
        if not is_sparse(X):
            return _core.solution_logits(X, job.test, coef, intercept)
        scores = X[job.test] @ coef.reshape(-1, coef.shape[2]).T + intercept.reshape(-1)
        return np.ascontiguousarray(scores.T.reshape(*intercept.shape, -1), dtype=coef.dtype)

    def _scores(self, target: Target, solved: Sequence[Any], logits: Sequence[Any]) -> list[Columns]:
        """The scores (n_C,) of each job, by column."""
        tests = np.stack([problem.job.test for problem, *_ in solved])
        weights = [None] * len(tests) if self.weight is None else self.weight[tests]
        if target.several:
            pairs = [
                label_scores(values[:, problem.learnt], target.codes[test][:, problem.learnt], weight)
                for (problem, *_), values, test, weight in zip(solved, logits, tests, weights, strict=True)
            ]
        else:
            every = None if self.weight is None else np.asarray(weights)
            pairs = list(zip(*class_scores(np.stack(logits), target.codes[tests], every), strict=True))
        own = [{"accuracy": accuracy, "log_loss": loss} for accuracy, loss in pairs]
        if self.scorings is None:
            return own
        jobs = zip(own, solved, strict=True)
        return [one | self._by_scorers(target, problem.job, path) for one, (problem, _, path) in jobs]

    def _by_scorers(self, target: Target, job: Job, path: Columns) -> Columns:
        assert self.scorings is not None
        X, labels = self.arrays[job.key.features][job.test], target.codes[job.test]
        solutions, columns = (target.classes, path["coef"], path["intercept"]), {}
        weight = None if self.weight is None else self.weight[job.test]
        for name, scoring in self.scorings.items():
            found = held_out_scores(scoring, "multinomial", *solutions, X, labels, weight)
            self.notes.scored(job.key, name, found)
            columns[name] = found.values
        return columns

    def _said(self, job: Job, logits: Array | None) -> Said | None:
        if not self.predictions:
            return None
        assert logits is not None
        several = self.targets[job.key.target].several
        return Said(job.test, logits_to_proba(logits, several=several), "probabilities")
