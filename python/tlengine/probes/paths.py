"""Whole regularisation paths in one call, each solution with a certificate."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError, SingleClassError
from tlengine.probes.inputs import ClassWeight, TrainingSet, check_positive, training_set
from tlengine.settings import num_threads

__all__ = ["ProbePath", "probe_path"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbePath:
    """Logistic probes for every C, solved in one sweep. All arrays have one entry per C, in the order given.

    Attributes:
        Cs: (n_C,) float64.
        classes_: (K,) sorted labels.
        coef_: (n_C, K, d) in the dtype of X; (n_C, 1, d) for two classes.
        intercept_: (n_C, K), or (n_C, 1), float64.
        objective_: (n_C,) ``C * sum(weight * loss) + |W|^2 / 2``, in float64 at these coefficients.
        gap_bound_: (n_C,) certified distance of ``objective_`` to the optimum, at most.
        gradient_norm_: (n_C,) norm of the gradient of ``objective_ / (C * sum(weight))``.
        converged_: (n_C,) bool: ``gap_bound_ <= tol * objective_``.
        separable_: (n_C,) bool: every row lies on its own side with these coefficients, so the loss can
            be driven to zero and only the penalty keeps the coefficients finite.
        n_iter_: (n_C,) L-BFGS steps, counting the start. ``n_passes_``: passes over X, certificate included.
        accuracy_, log_loss_: (n_C,) weighted scores on held-out rows; None where nothing was held out.
        folds: one path per fold; empty without ``folds=``.
    """

    Cs: npt.NDArray[np.float64]
    classes_: npt.NDArray[Any]
    coef_: npt.NDArray[Any]
    intercept_: npt.NDArray[Any]
    objective_: npt.NDArray[np.float64]
    gap_bound_: npt.NDArray[np.float64]
    gradient_norm_: npt.NDArray[np.float64]
    converged_: npt.NDArray[np.bool_]
    separable_: npt.NDArray[np.bool_]
    n_iter_: npt.NDArray[np.int64]
    n_passes_: npt.NDArray[np.int64]
    accuracy_: npt.NDArray[np.float64] | None = None
    log_loss_: npt.NDArray[np.float64] | None = None
    folds: tuple[ProbePath, ...] = ()


def probe_path(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    Cs: int | npt.ArrayLike = 45,
    *,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: ClassWeight = None,
    folds: Any = None,
    fit_intercept: bool = True,
    tol: float = 1e-4,
    max_iter: int = 1000,
    n_jobs: int | None = None,
) -> ProbePath:
    """Fits a logistic probe for every C in one warm sweep from small to large C.

    Minimises scikit-learn's ``LogisticRegression`` objective, ``C * sum(weight * loss) + |W|^2 / 2``, with
    the intercept free; two classes use the binomial loss. Each solution is certified: from strong
    convexity its objective is within ``gap_bound_`` of the optimum, evaluated in float64 at the
    coefficients returned. L-BFGS (Nocedal & Wright 2006, ch. 7) with an exact-diagonal preconditioner
    carries its curvature pairs from C to C. float32 input is solved in float32 with float64 sums,
    float64 input in float64. Memory: one centred copy of X and O(K d) besides; no n x K array.

    Args:
        X: (n, d) features.
        y: (n,) class labels.
        Cs: values of C; an integer n means ``logspace(-6, 5, n)``, unlike scikit-learn's (-4, 4).
        sample_weight: (n,) weights, 0 or more; rows of weight 0 are dropped first.
        class_weight: None, ``"balanced"`` or {label: weight}, as in scikit-learn.
        folds: None, a number of stratified folds, a splitter, or an iterable of (train, test) index
            arrays; all folds are solved together with the path on all rows.
        fit_intercept: whether there is an intercept.
        tol: certified relative gap at which a C is done.
        max_iter: L-BFGS steps per C after which it is left, with ``converged_`` False and a warning.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Raises:
        NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    >>> path = probe_path(X, X[:, 0] > 0, Cs=[0.1, 1.0, 10.0])
    >>> path.coef_.shape, bool(path.converged_.all())
    ((3, 1, 5), True)
    """
    train = training_set(None, X, y, sample_weight)
    splits = fold_rows(folds, train)
    return solve(
        train, grid(Cs), splits, class_weight=class_weight, fit_intercept=fit_intercept, tol=tol,
        max_iter=max_iter, n_jobs=n_jobs,
    )  # fmt: skip


def grid(Cs: int | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The values of C: as given, or ``logspace(-6, 5, n)`` for an integer n.

    >>> grid(12).round(6).tolist()[:3]
    [1e-06, 1e-05, 0.0001]
    """
    if isinstance(Cs, int | np.integer):
        if Cs < 1:
            raise InputError(f"Cs={Cs}; an integer is a number of values, at least 1")
        return np.logspace(-6, 5, int(Cs)) if Cs > 1 else np.array([1.0])
    return check_positive("C", Cs)


def solve(
    train: TrainingSet,
    Cs: npt.NDArray[np.float64],
    splits: Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
    *,
    class_weight: ClassWeight,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
    n_jobs: int | None,
) -> ProbePath:
    """Solves the path on all rows and on every fold's training rows, sharing each pass over X."""
    check_positive("tol", tol)
    if max_iter < 1:
        raise InputError(f"max_iter={max_iter}; it must be 1 or more")
    classes = len(train.classes)
    tasks = [task(train.labels, classes, train.weight(class_weight), None)]
    for rows, test in splits:
        held_out = np.zeros(len(train.X))
        held_out[test] = train.sample_weight[test]
        tasks.append(task(train.labels, classes, train.weight(class_weight, rows), held_out))
    (found,) = _core.solve_paths(
        [(train.X, tasks)], Cs.tolist(), tol=tol, max_iter=max_iter, fit_intercept=fit_intercept,
        threads=num_threads(n_jobs),
    )  # fmt: skip
    folds = tuple(_path(f, Cs, train.classes, t[4]) for f, t in zip(found[1:], tasks[1:], strict=True))
    path = _path(found[0], Cs, train.classes, None, folds)
    warn_unless_converged([path, *folds], tol)
    return path


def task(
    labels: npt.NDArray[np.uint32],
    classes: int,
    weight: npt.NDArray[np.float64],
    held_out: npt.NDArray[np.float64] | None,
) -> Any:
    """A problem as the core takes it: binomial for two classes, softmax for more."""
    if classes == 2:
        signs = np.where(labels == 1, 1, -1).astype(np.int8).reshape(1, -1)
        return ("logistic", 1, signs, weight, held_out)
    return ("softmax", classes, labels, weight, held_out)


def _path(
    found: dict[str, Any],
    Cs: npt.NDArray[np.float64],
    classes: npt.NDArray[Any],
    held_out: npt.NDArray[np.float64] | None,
    folds: tuple[ProbePath, ...] = (),
) -> ProbePath:
    total = None if held_out is None else held_out.sum()
    return ProbePath(
        Cs=Cs,
        classes_=classes,
        coef_=found["coef"],
        intercept_=found["intercept"],
        objective_=found["objective"],
        gap_bound_=found["gap_bound"],
        gradient_norm_=found["gradient_norm"],
        converged_=found["converged"],
        separable_=found["margin"] > 0,
        n_iter_=found["n_iter"],
        n_passes_=found["n_passes"],
        accuracy_=None if total is None else found["held_out_hits"] / total,
        log_loss_=None if total is None else found["held_out_loss"] / total,
        folds=folds,
    )


def warn_unless_converged(paths: Iterable[ProbePath], tol: float) -> None:
    """One ``ConvergenceWarning`` for all solutions whose certificate is not within ``tol``."""
    from sklearn.exceptions import ConvergenceWarning

    missed = [
        (C, gap)
        for p in paths
        for C, gap in zip(p.Cs[~p.converged_], (p.gap_bound_ / p.objective_)[~p.converged_], strict=True)
    ]
    if missed:
        C, gap = max(missed, key=lambda pair: pair[1])
        warnings.warn(
            f"{len(missed)} solutions are not certified to tol={tol:g}; the worst, at C={C:g}, is within "
            f"{gap:.1e} of the optimum. Raise max_iter, or tol if this is good enough",
            ConvergenceWarning,
            stacklevel=4,
        )


def fold_rows(
    folds: Any, train: TrainingSet, groups: Any = None
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """(train, test) positions among the rows that are used, for every way of naming folds."""
    if folds is None:
        return []
    splits = []
    for number, (rows, test) in enumerate(_splitter(folds, train)):
        rows, test = (_kept(part, train) for part in (rows, test))
        if len(np.unique(train.labels[rows])) < 2:
            raise SingleClassError(f"fold {number} has only one class to learn from", hint="use fewer folds")
        if not len(test):
            raise InputError(f"fold {number} has no row to score on", hint="use fewer folds")
        splits.append((rows, test))
    if not splits:
        raise InputError("folds is empty", hint="pass a number of folds or pairs of index arrays")
    return splits


def _splitter(folds: Any, train: TrainingSet) -> Iterable[tuple[Any, Any]]:
    from sklearn.model_selection import StratifiedKFold

    if isinstance(folds, int | np.integer):
        if folds < 2:
            raise InputError(f"{folds} folds; at least 2 are needed")
        fewest = int(np.bincount(train.labels).min())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            found = StratifiedKFold(max(2, min(int(folds), fewest))).split(train.X, train.labels)
            return [(_original(a, train), _original(b, train)) for a, b in found]
    pairs = folds.split(train.X, train.classes[train.labels]) if hasattr(folds, "split") else None
    if pairs is None:
        return [(a, b) for a, b in folds]
    return [(_original(a, train), _original(b, train)) for a, b in pairs]


def _original(rows: npt.NDArray[np.intp], train: TrainingSet) -> npt.NDArray[np.intp]:
    return rows if train.rows is None else train.rows[rows]


def _kept(rows: Any, train: TrainingSet) -> npt.NDArray[np.intp]:
    """Input positions (or a mask) as positions among the rows that were not dropped."""
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)
    if train.rows is None:
        found: npt.NDArray[np.intp] = rows
        return found
    at = np.minimum(np.searchsorted(train.rows, rows), len(train.rows) - 1)
    kept: npt.NDArray[np.intp] = at[train.rows[at] == rows]
    return kept
