"""Whole regularisation paths in one call, each solution with a certificate."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.data.folds import inner_folds
from tlengine.errors import InputError, ShapeMismatchError, SingleClassError
from tlengine.probes.inputs import TrainingSet, training_set
from tlengine.probes.parameters import check_positive, check_values
from tlengine.probes.weights import ClassWeight
from tlengine.settings import num_threads

__all__ = ["ProbePath", "probe_path"]

FOLDS = 5
"""Folds of whole groups, where single rows cannot be left out."""

MultiClass = Literal["multinomial", "ovr"]
Head = Literal["multinomial", "ovr", "squared_hinge"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbePath:
    """Logistic probes for every C, solved in one sweep. All arrays have one entry per C, in the order given.

    Attributes:
        Cs: (n_C,) float64; with ``patience=`` those that were solved, the smallest of the ones asked for.
        classes_: (K,) sorted labels, or ``arange(L)`` where y was (n, L).
        coef_: (n_C, K, d) in the dtype of X; (n_C, 1, d) for two classes.
        intercept_: (n_C, K), or (n_C, 1), float64.
        objective_: (n_C,) ``C * sum(weight * loss) + |W|^2 / 2``, in float64 at these coefficients.
        gap_bound_: (n_C,) certified distance of ``objective_`` to the optimum, at most.
        gradient_norm_: (n_C,) norm of the gradient of ``objective_ / (C * sum(weight))``.
        converged_: (n_C,) bool: ``gap_bound_ <= tol * objective_``.
        separable_: (n_C,) bool: every row lies on its own side with these coefficients, so the loss can
            be driven to zero and only the penalty keeps the coefficients finite.
        n_iter_: (n_C,) L-BFGS steps, counting the start. ``n_passes_``: passes over X, certificate included.
        accuracy_, log_loss_: (n_C,) weighted scores on held-out rows, averaged over the labels where y was
            (n, L); None where nothing was held out.
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
    patience: int | None = None,
    multi_class: MultiClass = "multinomial",
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
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Raises:
        NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    >>> path = probe_path(X, X[:, 0] > 0, Cs=[0.1, 1.0, 10.0])
    >>> path.coef_.shape, bool(path.converged_.all())
    ((3, 1, 5), True)
    """
    head = check_multi_class(multi_class)
    train = training_set(None, X, y, sample_weight, multilabel=True)
    splits = fold_rows(folds, train)
    if patience is not None and not splits:
        raise InputError(f"patience={patience} without held-out rows", hint="pass folds=5 as well")
    return solve(
        train, regularisation_grid(Cs), splits, head=head, class_weight=class_weight, patience=patience,
        fit_intercept=fit_intercept, tol=tol, max_iter=max_iter, n_jobs=n_jobs,
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
) -> ProbePath:
    """Solves the path on all rows and on every fold's training rows, sharing each pass over X."""
    check_values({"tol": tol, "max_iter": max_iter, "fit_intercept": fit_intercept, "n_jobs": n_jobs})
    if patience is not None and not (isinstance(patience, int | np.integer) and patience >= 1):
        raise InputError(f"patience={patience!r}; it must be None or 1 or more")
    goal = target(train.labels, len(train.classes), head)
    tasks: list[Any] = [(*goal, train.weight(class_weight), None)]
    for rows, test in splits:
        held_out = np.zeros(len(train.X))
        held_out[test] = train.sample_weight[test]
        tasks.append((*goal, train.weight(class_weight, rows), held_out))
    (found,) = _core.solve_paths(
        [(train.X, None, tasks)], Cs.tolist(), tol=tol, max_iter=max_iter, fit_intercept=fit_intercept,
        threads=num_threads(n_jobs), patience=patience,
    )  # fmt: skip
    Cs = Cs[np.sort(np.argsort(Cs, kind="stable")[: len(found[0]["objective"])])]
    scores = [_held_out(f, train, test, head) for f, (_, test) in zip(found[1:], splits, strict=True)]
    folds = tuple(_path(f, Cs, train, *s) for f, s in zip(found[1:], scores, strict=True))
    path = _path(found[0], Cs, train, folds=folds)
    warn_unless_converged([path, *folds], tol)
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


def _held_out(
    found: dict[str, Any], train: TrainingSet, test: npt.NDArray[np.intp], head: Head
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    """Accuracy and log-loss (none for the hinge) on the held-out rows of a fold, for every C."""
    weight, columns = train.sample_weight[test], found["coef"].shape[1]
    if not (train.multilabel or columns == 1 or head == "multinomial"):
        return _one_vs_rest_scores(found, train.X[test], train.labels[test], weight, head)
    total = weight.sum() * (columns if train.multilabel else 1)
    loss = None if head == "squared_hinge" else found["held_out_loss"] / total
    return found["held_out_hits"] / total, loss


def _one_vs_rest_scores(
    found: dict[str, Any],
    X: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    weight: npt.NDArray[np.float64],
    head: Head,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    right, own = [], []
    for coef, intercept in zip(found["coef"], found["intercept"], strict=True):
        scores = X @ coef.T + intercept
        right.append(scores.argmax(axis=1) == labels)
        if head == "ovr":
            own.append(one_vs_rest_log_proba(scores)[np.arange(len(labels)), labels])
    accuracy = np.average(right, axis=1, weights=weight)
    return accuracy, -np.average(own, axis=1, weights=weight) if own else None


def one_vs_rest_log_proba(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithms of the normalised probabilities of classes against their rest, from logits (n, K)."""
    from scipy.special import log_expit, logsumexp

    each = log_expit(np.asarray(scores, dtype=np.float64))
    return np.asarray(each - logsumexp(each, axis=1, keepdims=True))


def _path(
    found: dict[str, Any],
    Cs: npt.NDArray[np.float64],
    train: TrainingSet,
    accuracy: npt.NDArray[np.float64] | None = None,
    log_loss: npt.NDArray[np.float64] | None = None,
    *,
    folds: tuple[ProbePath, ...] = (),
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
    """(train, test) positions among the rows that are used, for every way of naming folds.

    Args:
        folds: a number, a splitter of scikit-learn, or pairs of index arrays.
        train: the rows.
        groups: (n,) for the rows of the input; those of one group are never on both sides of a fold.
    """
    if folds is None:
        return []
    splits = []
    for number, (rows, test) in enumerate(_splitter(folds, train, _groups_of(groups, train))):
        rows, test = (_kept(part, train) for part in (rows, test))
        labels = train.labels[rows]
        if not len(labels) or (labels == labels[0]).all():
            raise SingleClassError(f"fold {number} has only one class to learn from", hint="use fewer folds")
        if not len(test):
            raise InputError(f"fold {number} has no row to score on", hint="use fewer folds")
        splits.append((rows, test))
    if not splits:
        raise InputError("folds is empty", hint="pass a number of folds or pairs of index arrays")
    return splits


def check_groups(groups: Any, y: Any) -> None:
    """Refuse groups that are not one for each label.

    Raises:
        ShapeMismatchError: they are of another shape.
    """
    if groups is not None and np.shape(groups) != np.shape(y)[:1]:
        raise ShapeMismatchError(f"groups have shape {np.shape(groups)}, y has shape {np.shape(y)}")


def _groups_of(groups: Any, train: TrainingSet) -> npt.NDArray[Any] | None:
    """The group of each row that is used."""
    if groups is None or train.rows is None:
        return None if groups is None else np.asarray(groups)
    return np.asarray(np.asarray(groups)[train.rows])


def _splitter(folds: Any, train: TrainingSet, groups: npt.NDArray[Any] | None) -> Iterable[tuple[Any, Any]]:
    if isinstance(folds, int | np.integer):
        return [(_original(a, train), _original(b, train)) for a, b in _numbered(int(folds), train, groups)]
    labels = train.labels.astype(np.intp) if train.multilabel else train.classes[train.labels]
    pairs = folds.split(train.X, labels, groups) if hasattr(folds, "split") else None
    if pairs is not None:
        return [(_original(a, train), _original(b, train)) for a, b in pairs]
    if groups is not None:
        raise InputError("groups beside folds that are given as index arrays", hint="leave one of them out")
    return [(a, b) for a, b in folds]


def _numbered(
    n_folds: int, train: TrainingSet, groups: npt.NDArray[Any] | None
) -> Iterable[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """So many folds: scikit-learn's where every row may be on any side, else those of the split engine."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if n_folds < 2:
        raise InputError(f"{n_folds} folds; at least 2 are needed")
    codes = np.zeros(len(train.X), dtype=np.intp) if train.multilabel else train.labels.astype(np.intp)
    if groups is None and train.multilabel:
        return list(KFold(min(n_folds, len(train.X)), shuffle=True, random_state=0).split(train.X))
    if groups is None and np.bincount(codes).min() >= n_folds:
        return list(StratifiedKFold(n_folds).split(train.X, codes))
    pairs = inner_folds(codes, np.arange(len(codes)) if groups is None else groups, n_folds)
    if not pairs:
        what = "rows" if groups is None else "groups"
        raise InputError(f"no class has two {what}, so nothing can be held out", hint="fit one C instead")
    return pairs


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
