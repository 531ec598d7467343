"""Any probe in a grid: an estimator of scikit-learn's kind, cloned for each job."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.probes.grid_groups import groups_parameter, warn_of_parted, weight_parameter
from tlengine.probes.grid_jobs import Draws, Job, Key, where
from tlengine.probes.grid_notes import Notes
from tlengine.probes.grid_records import Finished, Kind, Said, place
from tlengine.probes.grid_targets import Target, learnt_labels
from tlengine.probes.offered import own_scores
from tlengine.probes.scoring import Scoring, reason_of, score_of
from tlengine.probes.sparse import is_sparse
from tlengine.settings import thread_limit

__all__ = ["EstimatorJobs", "chosen"]

_CHOSEN = {"C": ("C_", "C"), "alpha": ("alpha_", "alpha"), "k": ("k_", "k", "n_neighbors")}


class EstimatorJobs:
    """Fits a clone of an estimator for each job and scores it, one after the other.

    Args:
        estimator: with ``fit`` and ``predict``; it stays as it is.
        arrays, targets, draws, scorings, predictions, notes: as
            :class:`~tlengine.probes.grid_logistic.LogisticJobs`.
        threads: that our own probes use.
        weight: (n,) of each row, or None.

    Raises:
        InputError: sparse features, or weights, that the estimator does not take.
    """

    most = 1
    scores_beside = False

    def __init__(
        self,
        estimator: Any,
        arrays: Mapping[str, Any],
        targets: Mapping[str, Target],
        draws: Mapping[str, Draws],
        *,
        scorings: Mapping[str, Scoring] | None,
        predictions: bool,
        notes: Notes,
        threads: int,
        weight: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self.estimator, self.arrays, self.targets, self.draws = estimator, arrays, targets, draws
        self.scorings, self.predictions, self.notes, self.threads = scorings, predictions, notes, threads
        self._groups = groups_parameter(estimator)
        self.weight, self._weighs = weight, weight_parameter(estimator)
        _check_takes(estimator, arrays, is_weighted=weight is not None and self._weighs is None)
        units = next(iter(draws.values())).units
        if units is not None and self._groups is None:
            warn_of_parted(estimator, units, stacklevel=4)

    def kind(self, key: Key) -> Any:
        """A job is a batch."""
        return key

    def prepare(self, keys: Sequence[Key]) -> list[Job]:
        """The rows of jobs."""
        return [next(self.draws[key.target].jobs([key])) for key in keys]

    def solve(self, batch: Sequence[Job]) -> list[Any]:
        """Fitted clones; what they warn of is said at the end, once for each kind."""
        return [self._fitted(job) for job in batch]

    def _fitted(self, job: Job) -> Any:
        from sklearn.base import clone

        draws = self.draws[job.key.target]
        with warnings.catch_warnings(record=True) as caught, thread_limit(self.threads):
            warnings.simplefilter("always")
            probe = clone(self.estimator)
            more: dict[str, Any] = {}
            if self._groups is not None and draws.units is not None:
                more[self._groups] = draws.units[job.rows]
            if self._weighs is not None and self.weight is not None:
                more[self._weighs] = self.weight[job.rows]
            labels = self.targets[job.key.target].labels(job.rows)
            try:
                probe.fit(self.arrays[job.key.features][job.rows], labels, **more)
            except Exception as error:
                error.add_note(where(job.key))
                raise
        self.notes.warned(job.key, caught)
        return probe

    def score(self, batch: Sequence[Job], found: Sequence[Any]) -> list[Finished]:
        """What is kept of each job."""
        with thread_limit(self.threads):
            return [self._finished(job, probe) for job, probe in zip(batch, found, strict=True)]

    def _finished(self, job: Job, probe: Any) -> Finished:
        target, X = self.targets[job.key.target], self.arrays[job.key.features][job.test]
        y, weight = target.labels(job.test), None if self.weight is None else self.weight[job.test]
        own, said = self._by_own(job, probe, X, y, weight)
        record = place(job) | chosen(probe) | own | self._by_scorers(job, probe, X, y, weight)
        if isinstance(converged := _converged(probe), bool):
            record["converged"] = converged
        kept = None
        if self.predictions and said is not None:
            kept = Said(job.test, said[0][None].astype(np.float32), said[1])
        return Finished(job.key, [record], kept, note=self.notes.of(job.key))

    def _by_own(
        self, job: Job, probe: Any, X: Any, y: Any, weight: Any
    ) -> tuple[dict[str, float], tuple[npt.NDArray[Any], Kind] | None]:
        """Accuracy and log-loss, and what the probe says of the test rows.

        Beside scorers that were asked for, a regressor has neither, and a classifier that fails here has NaN.
        """
        target, is_asked = self.targets[job.key.target], self.scorings is None or self.predictions
        if not is_asked and not hasattr(probe, "classes_"):
            return {}, None
        try:
            said = _said(probe, target, X)
            return _own_scores(probe, target, X, y, *said, self._learnt(job, target), weight), said
        except Exception as error:  # predict and predict_proba are the user's
            if is_asked:
                raise
            self.notes.unjudged(job.key, type(probe).__name__, reason_of(error))
            names = ["accuracy", "log_loss"] if hasattr(probe, "predict_proba") else ["accuracy"]
            return dict.fromkeys(names, np.nan), None

    def _learnt(self, job: Job, target: Target) -> npt.NDArray[np.bool_] | slice:
        """The labels that some training rows have and others do not: by these a probe is judged."""
        return learnt_labels(job.key, target, job.rows, self.notes) if target.several else slice(None)

    def _by_scorers(self, job: Job, probe: Any, X: Any, y: Any, weight: Any) -> dict[str, float]:
        scores = {}
        for name, scoring in (self.scorings or {}).items():
            found = score_of(scoring, probe, X, y, weight)
            self.notes.scored(job.key, name, found)
            scores[name] = float(found.values[0])
        return scores


def _check_takes(estimator: Any, arrays: Mapping[str, Any], *, is_weighted: bool) -> None:
    from sklearn.utils import get_tags

    name = type(estimator).__name__
    sparse = [features for features, X in arrays.items() if is_sparse(X)]
    if sparse and not get_tags(estimator).input_tags.sparse:
        raise InputError(
            f"features {sparse[0]!r} are sparse, and {name} takes no sparse X",
            hint='probe="logistic" and probe="svm" do; X.toarray() fills it',
        )
    if is_weighted:
        raise InputError(f"{name} takes no sample_weight", hint=_way_to_weigh(estimator))


def _way_to_weigh(estimator: Any) -> str:
    from sklearn.pipeline import Pipeline

    inner = getattr(estimator, "estimator", None)
    if isinstance(inner, Pipeline) and weight_parameter(inner) is not None:
        name, last = type(estimator).__name__, type(inner.steps[-1][1]).__name__
        return (
            f"search inside the pipeline's last step, make_pipeline(..., {name}({last}(), ...)), or turn "
            "scikit-learn's metadata routing on, with set_fit_request and "
            "set_score_request(sample_weight=True) of that step"
        )
    return 'probe="logistic", "svm" and "ridge" do; or leave it out'


def chosen(probe: Any) -> dict[str, Any]:
    """The C, alpha or k of a fitted probe: what it chose, else what it was given.

    >>> from tlengine.probes import KNeighborsProbe
    >>> chosen(KNeighborsProbe(k=3))
    {'k': 3}
    """
    found = {}
    for column, names in _CHOSEN.items():
        values = [np.asarray(getattr(probe, name)) for name in names if hasattr(probe, name)]
        one = [v for v in values if v.size and v.dtype.kind in "iuf" and (v == v.flat[0]).all()]
        if values and one:
            found[column] = one[0].flat[0].item()
    best = getattr(probe, "best_params_", {})
    return found | {name: value for name, value in best.items() if isinstance(value, str | int | float)}


def _converged(probe: Any) -> bool | None:
    found = getattr(probe, "converged_", None)
    return None if found is None else bool(np.all(found))


def _said(probe: Any, target: Target, X: Any) -> tuple[npt.NDArray[Any], Kind]:
    """(m, K) or (m, L), and what it is."""
    if target.several:
        return _of_labels(probe, X)
    kind, scores = own_scores(probe, X)
    order = np.argsort(probe.classes_, kind="stable")
    classes = np.asarray(probe.classes_)[order]
    known = np.minimum(np.searchsorted(target.classes, classes), len(target.classes) - 1)
    if not (target.classes[known] == classes).all():
        raise InputError(
            f"probe {type(probe).__name__!r} has classes_ that were not fitted", hint="keep the classes of y"
        )
    values = np.full((len(scores), len(target.classes)), -np.inf if kind == "logits" else 0.0)
    values[:, known] = scores[:, order]
    if kind == "votes":
        return values, "votes"
    if hasattr(probe, "predict_proba"):
        return np.exp(values), "probabilities"
    return values, "scores"


def _of_labels(probe: Any, X: Any) -> tuple[npt.NDArray[Any], Kind]:
    if hasattr(probe, "predict_proba"):
        shares = probe.predict_proba(X)
        if isinstance(shares, list):  # scikit-learn's form: (m, 2) for each label, or (m, 1) for a constant
            columns = [_positive(one, seen) for one, seen in zip(shares, probe.classes_, strict=True)]
            return np.stack(columns, axis=1), "probabilities"
        return np.asarray(shares), "probabilities"
    if hasattr(probe, "decision_function"):
        return np.asarray(probe.decision_function(X)), "scores"
    return np.asarray(probe.predict(X)), "votes"


def _positive(shares: npt.NDArray[Any], seen: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The probability of 1, which may be the only class or none."""
    if shares.shape[1] == 2:
        return shares[:, 1]
    return np.full(len(shares), float(seen[0]))


def _own_scores(
    probe: Any,
    target: Target,
    X: Any,
    y: Any,
    values: npt.NDArray[Any],
    kind: Kind,
    learnt: Any,
    weight: npt.NDArray[np.float64] | None,
) -> dict[str, float]:
    """Accuracy (of each label, where a row has several), and the log-loss of probabilities."""
    answers = np.asarray(probe.predict(X))
    if answers.shape != y.shape:
        raise InputError(
            f"probe {type(probe).__name__!r}: predict has shape {answers.shape}, expected {y.shape}",
            hint="return a class for each row",
        )
    right = answers == y

    def mean(each: npt.NDArray[Any]) -> float:
        return float(np.average(each.mean(axis=1) if each.ndim == 2 else each, weights=weight))

    scores = {"accuracy": mean(right[:, learnt] if target.several else right)}
    if kind == "probabilities":
        if target.several:
            own = np.where(y == 1, values, 1 - values)[:, learnt]
        else:
            own = values[np.arange(len(y)), np.searchsorted(target.classes, y)]
        scores["log_loss"] = mean(-np.log(np.maximum(own, 1e-15)))
    return scores
