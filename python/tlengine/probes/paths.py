"""Whole regularisation paths in one call, each solution with a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError
from tlengine.probes.choice import is_idle
from tlengine.probes.held_out import held_out, means
from tlengine.probes.inputs import TrainingSet, training_set
from tlengine.probes.parameters import check_positive, check_values
from tlengine.probes.path import Head, ProbePath
from tlengine.probes.path_said import warn_unless_converged
from tlengine.probes.scales import warn_of_scales
from tlengine.probes.splits import FOLDS, check_groups, fold_rows, learnt_labels
from tlengine.probes.watching import Callback, Start, Watching, solve_watched
from tlengine.probes.weights import ClassWeight
from tlengine.settings import num_threads

__all__ = ["FOLDS", "Head", "ProbePath", "check_groups", "fold_rows", "probe_path"]

MultiClass = Literal["multinomial", "ovr"]

_CERTAIN = float(np.log(1e9))
"""The intercept of a label that all training rows have, as in the core."""


def probe_path(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    Cs: int | npt.ArrayLike = 45,
    *,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: ClassWeight = None,
    folds: Any = None,
    patience: int | None = None,
    multi_class: MultiClass = "multinomial",
    fit_intercept: bool = True,
    tol: float = 1e-4,
    max_iter: int = 1000,
    callback: Callback | None = None,
    max_seconds: float | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
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
        X: (n, d) features; a sparse matrix is solved as it is, never filled.
        y: (n,) class labels; or (n, L), 0 and 1 for each label: all labels are solved together, each with a
            binomial loss.
        Cs: values of C; an integer n means ``logspace(-6, 5, n)``, unlike scikit-learn's (-4, 4).
        sample_weight: (n,) weights, 0 or more; rows of weight 0 are dropped first.
        class_weight: None, ``"balanced"`` or {label: weight}, as in scikit-learn.
        folds: None, a number of stratified folds, a splitter, or an iterable of (train, test) index
            arrays; all folds are solved together with the path on all rows.
        patience: with ``folds``, end the path after so many values of C in a row without a held-out loss,
            averaged over the folds, that is better by more than ``tol``; the result holds those solved.
            None: solve all.
        multi_class: ``"multinomial"``, or ``"ovr"``: each class against the rest, objectives summed.
        fit_intercept: whether there is an intercept.
        tol: certified relative gap at which a C is done.
        max_iter: L-BFGS steps per C after which it is left, with ``converged_`` False and a warning.
        callback: called some twenty times a second with a :class:`tlengine.probes.PathProgress`; a true
            answer ends the path.
        max_seconds: after which the path ends, once the pass under way is over. What is done by then is the
            result, with a ``TimeLimitWarning``; where that is nothing, the smallest C as far as it got, with
            the gap that it has and a ``ConvergenceWarning`` as well.
        resume: a file that every finished C goes to once it is certified, and the C that was under way when
            the path was ended. A later call on the same data, with these or other ``Cs``, ``tol`` and
            ``max_iter``, takes them up and starts from the nearest smaller one, or goes on with the one
            under way; solutions then differ within ``tol`` from those of a path in one go. A folder gets a
            file for each problem, removed once the path is whole.
        progress: show a bar on stderr, where that is a terminal and the path takes seconds.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Raises:
        NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
        TimeLimitError: no step was made in time, or before ``callback`` ended the path.
        RunFormatError: ``resume`` belongs to other data or settings, or another version of tlengine.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    >>> path = probe_path(X, X[:, 0] > 0, Cs=[0.1, 1.0, 10.0])
    >>> path.coef_.shape, bool(path.converged_.all())
    ((3, 1, 5), True)
    """
    head = check_multi_class(multi_class)
    train = training_set(None, X, y, sample_weight, multilabel=True, sparse=True)
    warn_of_scales(train.X, train.names)
    splits = fold_rows(folds, train, name="folds")
    if patience is not None and not splits:
        raise InputError(f"patience={patience} without held-out rows", hint="pass folds=5 as well")
    watching = Watching(callback=callback, max_seconds=max_seconds, resume=resume, progress=progress)
    return solve(
        train, regularisation_grid(Cs), splits, head=head, class_weight=class_weight, patience=patience,
        fit_intercept=fit_intercept, tol=tol, max_iter=max_iter, n_jobs=n_jobs, watching=watching,
    )  # fmt: skip


def check_multi_class(multi_class: MultiClass) -> MultiClass:
    """Raises ``InputError`` for anything but ``"multinomial"`` and ``"ovr"``."""
    if multi_class not in ("multinomial", "ovr"):
        raise InputError(f"multi_class={multi_class!r}", hint="use 'multinomial' or 'ovr'")
    return multi_class


def regularisation_grid(Cs: int | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The values of C: as given, or ``logspace(-6, 5, n)`` for an integer n.

    >>> regularisation_grid(12).round(6).tolist()[:3]
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
    head: Head,
    class_weight: ClassWeight,
    patience: int | None,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
    n_jobs: int | None,
    watching: Watching,
    start: Start | None = None,
) -> ProbePath:
    """Solves the path on all rows and on every fold's training rows, sharing each pass over X."""
    check_values({"tol": tol, "max_iter": max_iter, "fit_intercept": fit_intercept, "n_jobs": n_jobs})
    if patience is not None and not (isinstance(patience, int | np.integer) and patience >= 1):
        raise InputError(f"patience={patience!r}; it must be None or 1 or more")
    goal = target(train.labels, len(train.classes), head)
    tasks: list[Any] = [(*goal, train.weight(class_weight), None)]
    # A fold is solved, and judged, without the labels that it cannot learn. Patience sums losses over labels,
    # so that there a fold of fewer labels counts for less.
    seen = [learnt_labels(train, rows) for rows, _ in splits]
    for (rows, test), learnt in zip(splits, seen, strict=True):
        counted = train.weight(None, test)
        own = target(train.labels[:, learnt], int(learnt.sum()), head) if train.multilabel else goal
        tasks.append((*own, train.weight(class_weight, rows), counted))
    found, solved, is_whole = solve_watched(
        train.X, tasks, Cs, watching, patience=patience, fit_intercept=fit_intercept, tol=tol,
        max_iter=max_iter, threads=num_threads(n_jobs), start=start,
    )  # fmt: skip
    ended_early, Cs = len(solved) < len(Cs), Cs[solved]
    scores = [held_out(f, train, test, head) for f, (_, test) in zip(found[1:], splits, strict=True)]
    if train.multilabel:
        first = [train.labels[rows[0]] for rows, _ in splits]
        found[1:] = [_filled(*fold) for fold in zip(found[1:], seen, first, strict=True)]
    folds = tuple(_path(f, Cs, train, head, *s) for f, s in zip(found[1:], scores, strict=True))
    path = _path(
        found[0], Cs, train, head, *means(scores), folds=folds, ended_early_=ended_early,
        cut_short_=not is_whole, idle_=bool(splits) and is_idle(train.X, found[0]["coef"][Cs.argmin()]),
    )  # fmt: skip
    warn_unless_converged([path, *folds], tol, train, ended=not is_whole)
    return path


def solve_problems(
    problems: Sequence[tuple[Any, Any, Sequence[Any]]],
    Cs: npt.NDArray[np.float64],
    *,
    tol: float,
    patience: int | None = None,
    max_iter: int = 1000,
) -> list[list[dict[str, Any]]]:
    """Solutions for every C of many problems at once, each on its rows of a matrix that is not copied.

    Args:
        problems: (X, row numbers or None, tasks): loss, columns and target as :func:`target` gives them,
            weights (rows,), and those of held-out rows or None.
        Cs: ascending.
        tol: certified relative gap.
        patience: as in :func:`probe_path`; a task of its own problem ends it.
        max_iter: steps per C.
    """
    found: list[list[dict[str, Any]]] = _core.solve_paths(
        problems, Cs.tolist(), tol=tol, max_iter=max_iter, fit_intercept=True, threads=num_threads(),
        patience=patience,
    )  # fmt: skip
    return found


def target(labels: npt.NDArray[Any], classes: int, head: Head = "multinomial") -> tuple[str, int, Any]:
    """Loss, columns and targets as the core takes them; two classes are one column of signs."""
    loss = "squared_hinge" if head == "squared_hinge" else "logistic"
    if labels.ndim == 2 or classes == 2:
        positive = labels.T if labels.ndim == 2 else (labels == 1)[None, :]
        signs = np.where(positive, 1, -1).astype(np.int8, order="C")
        return loss, len(signs), signs
    return "softmax" if head == "multinomial" else loss, classes, labels


def _path(
    found: dict[str, Any],
    Cs: npt.NDArray[np.float64],
    train: TrainingSet,
    head: Head,
    accuracy: npt.NDArray[np.float64] | None = None,
    log_loss: npt.NDArray[np.float64] | None = None,
    **further: Any,
) -> ProbePath:
    return ProbePath(
        Cs=Cs,
        classes_=train.classes,
        coef_=found["coef"],
        intercept_=found["intercept"],
        objective_=found["objective"],
        gap_bound_=found["gap_bound"],
        gradient_norm_=found["gradient_norm"],
        converged_=found["converged"],
        separable_=found["margin"] > 0,
        n_iter_=found["n_iter"],
        n_passes_=found["n_passes"],
        accuracy_=accuracy,
        log_loss_=log_loss,
        head=head,
        multilabel_=train.multilabel,
        **further,
    )


def _filled(
    found: dict[str, Any], learnt: npt.NDArray[np.bool_], row: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """With the labels that were not learnt: no coefficients, and what each training ``row`` says."""
    if learnt.all():
        return found
    n, _, d = found["coef"].shape
    coef = np.zeros((n, len(learnt), d), found["coef"].dtype)
    coef[:, learnt] = found["coef"]
    intercept = np.tile(np.where(row, _CERTAIN, -_CERTAIN), (n, 1))
    intercept[:, learnt] = found["intercept"]
    return {**found, "coef": coef, "intercept": intercept}
