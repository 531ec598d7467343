"""Scores by which a hyper-parameter is chosen: the core's own, or any of scikit-learn's scorers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, ScoringWarning, UnknownNameError
from tlengine.probes.present import PresentClasses, absent_classes

__all__ = [
    "Scores",
    "Scoring",
    "check_scoring",
    "held_out_scores",
    "mean_scores",
    "reason_of",
    "score_of",
    "solved_probe",
]

Scorer = Callable[..., Any]

OWN = ("neg_log_loss", "accuracy")
"""What the solver itself counts on held-out rows of a logistic probe."""

_WAY = (
    "use a name of sklearn.metrics.get_scorer_names(), or a callable (estimator, X, y) that returns a number"
)

_ONE_LABEL = "its training rows teach one label alone"


@dataclass(frozen=True)
class Scoring:
    """By what a solution is judged; larger is better.

    Attributes:
        name: as users wrote it, for messages.
        scorer: (estimator, X, y) -> number; None where the solver counts it itself.
        weighs: whether the scorer takes ``sample_weight``.
    """

    name: str
    scorer: Scorer | None = None
    weighs: bool = True


@dataclass(frozen=True)
class Scores:
    """What a scorer said of one fold.

    Attributes:
        values: (n_C,) float64, NaN where it failed.
        reasons: position of the C -> why there is no number.
        absent: the classes that no held-out row has.
        partial: whether the scorer failed with these, so that ``values`` are those of the other classes.
    """

    values: npt.NDArray[np.float64]
    reasons: dict[int, str]
    absent: tuple[Any, ...] = ()
    partial: bool = False


def check_scoring(scoring: Any = None, own: Sequence[str] = OWN) -> Scoring:
    """What is meant by ``scoring=``.

    Args:
        scoring: None, the name of a scorer, or a callable (estimator, X, y) -> number, larger is better, as
            ``sklearn.metrics.make_scorer`` makes them.
        own: the names that the solver counts itself; the first one stands for None.

    Raises:
        UnknownNameError: no scorer has this name; the hint has the nearest names.
        InputError: neither a name nor a callable.

    >>> check_scoring(None).name, check_scoring("f1_macro").weighs
    ('neg_log_loss', True)
    >>> check_scoring("macro_f1")
    Traceback (most recent call last):
    tlengine.errors.UnknownNameError: scoring='macro_f1' is no scorer of scikit-learn
    hint: did you mean f1_macro?
    """
    if scoring is None or (isinstance(scoring, str) and scoring in own):
        return Scoring(own[0] if scoring is None else scoring)
    if isinstance(scoring, str):
        return Scoring(scoring, *_named(scoring, own))
    if isinstance(scoring, type) or not callable(scoring):
        raise InputError(f"scoring={scoring!r:.80} is neither a name nor a callable", hint=_WAY)
    return Scoring(getattr(scoring, "__name__", repr(scoring)), scoring, _weighs(scoring))


def _named(name: str, own: Sequence[str]) -> tuple[Scorer, bool]:
    from sklearn.metrics import get_scorer, get_scorer_names

    names = [*own, *get_scorer_names()]
    if name not in names:
        words = "_".join(sorted(name.lower().replace("-", "_").split("_")))
        turned = [other for other in names if "_".join(sorted(other.split("_"))) == words]
        near = turned or get_close_matches(name, names, n=3, cutoff=0.6)
        hint = f"did you mean {', '.join(near)}?" if near else _WAY
        raise UnknownNameError(f"scoring={name!r:.80} is no scorer of scikit-learn", hint=hint)
    scorer = get_scorer(name)
    return scorer, _weighs(scorer)


def _weighs(scorer: Scorer) -> bool:
    """Whether a scorer takes ``sample_weight``: what ``make_scorer`` makes does where its metric does."""
    try:
        parameters = signature(getattr(scorer, "_score_func", scorer)).parameters
    except (TypeError, ValueError):
        return False
    return "sample_weight" in parameters or (
        not hasattr(scorer, "_score_func")
        and any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    )


def solved_probe(
    head: str,
    classes: npt.NDArray[Any],
    coef: npt.NDArray[Any],
    intercept: npt.NDArray[Any],
    *,
    multilabel: bool = False,
    C: float = 1.0,
) -> Any:
    """A fitted probe from a solution of the core, for scorers and for prediction.

    Args:
        head: ``"multinomial"``, ``"ovr"``, ``"squared_hinge"`` or ``"ridge"``.
        classes: (K,) sorted labels, or the names of the columns (L,).
        coef: (K, d); (1, d) for two classes; (L, d) for several labels per row.
        intercept: (K,), (1,) or (L,).
        multilabel: whether each column is a label of its own.
        C: that it was solved at.

    Returns:
        A :class:`LinearProbe`, without a certificate; a :class:`LinearSVMProbe` for the squared hinge, a
        :class:`RidgeProbe` for ridge.

    >>> probe = solved_probe("ovr", np.array(["a", "b"]), np.array([[1.0]]), np.array([0.0]))
    >>> probe.predict([[2.0]]).tolist(), probe.predict_proba([[0.0]]).tolist()
    (['b'], [[0.5, 0.5]])
    """
    from tlengine.probes.linear import LinearProbe
    from tlengine.probes.ridge import RidgeProbe
    from tlengine.probes.svm import LinearSVMProbe

    probe: Any
    if head == "ridge":
        probe = RidgeProbe()
    elif head == "squared_hinge":
        probe = LinearSVMProbe(C)
    else:
        probe = LinearProbe(C, multi_class="ovr" if head == "ovr" else "multinomial")
    probe.classes_, probe.multilabel_ = classes, multilabel
    probe.coef_, probe.intercept_ = coef, intercept
    probe.n_features_in_ = coef.shape[1]
    return probe


def held_out_scores(
    scoring: Scoring,
    head: str,
    classes: npt.NDArray[Any],
    coefs: npt.NDArray[Any],
    intercepts: npt.NDArray[Any],
    X: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    weight: npt.NDArray[np.float64] | None = None,
) -> Scores:
    """What a scorer says of the held-out rows of one fold, for each C.

    ``weight`` is passed on as ``sample_weight`` where the scorer takes it and the weights differ. A scorer
    that raises, or returns anything but a finite number, leaves NaN and its reason. One that fails where a
    class has no held-out row is asked again of a probe of the other classes (:class:`PresentClasses`).

    Args:
        scoring: one with a scorer.
        head: as :func:`solved_probe`.
        classes: (K,) sorted labels, or the names of the columns (L,).
        coefs: (n_C, K, d), (n_C, 1, d) or (n_C, L, d).
        intercepts: (n_C, K), (n_C, 1) or (n_C, L).
        X: (m, d) held-out rows.
        labels: (m,) positions in ``classes``, or (m, L) whether a row has a label.
        weight: (m,), 0 or more.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> from tlengine.probes import LinearProbe
    >>> probe = LinearProbe(C=1.0).fit(X, y)
    >>> coefs, intercepts = probe.coef_[None], probe.intercept_[None]
    >>> scored = held_out_scores(
    ...     check_scoring("f1_macro"), "multinomial", probe.classes_, coefs, intercepts, X, y
    ... )
    >>> scored.values.round(2).tolist(), scored.reasons
    ([0.97], {})
    """
    assert scoring.scorer is not None, "the solver counts this score itself"
    several = labels.ndim == 2
    if several and labels.shape[1] == 1:
        # Scikit-learn would take the one column for two classes of one label per row.
        return Scores(np.full(len(coefs), np.nan), dict.fromkeys(range(len(coefs)), _ONE_LABEL))
    truth = labels.astype(np.intp) if several else classes[labels]
    # Scikit-learn takes two columns of probabilities for two classes unless classes_ says otherwise.
    known: Any = [np.array([0, 1])] * labels.shape[1] if several else classes
    weighted = weight is not None and len(weight) and bool((weight != weight[0]).any())
    further = {"sample_weight": weight} if weighted and scoring.weighs else {}
    probes = [
        solved_probe(head, known, *one, multilabel=several) for one in zip(coefs, intercepts, strict=True)
    ]
    return _scores(scoring.scorer, probes, X, truth, further)


def _scores(
    scorer: Scorer, probes: Sequence[Any], X: Any, y: npt.NDArray[Any], further: dict[str, Any]
) -> Scores:
    """The score of each probe, all of the same classes; where it fails, of the classes that the rows have."""
    classes = getattr(probes[0], "classes_", [])
    absent = absent_classes(classes, y)
    found, partial = [_score(scorer, probe, X, y, further) for probe in probes], False
    if absent.any() and (~absent).sum() > 1 and any(isinstance(one, str) for one in found):
        again = [_score(scorer, PresentClasses(probe, ~absent), X, y, further) for probe in probes]
        if _numbers(again) > _numbers(found):
            found, partial = again, True
    reasons = {at: one for at, one in enumerate(found) if isinstance(one, str)}
    values = np.array([np.nan if isinstance(one, str) else one for one in found])
    return Scores(
        values, reasons, tuple(np.asarray(classes)[absent].tolist()) if absent.any() else (), partial
    )


def _numbers(found: Sequence[float | str]) -> int:
    return sum(not isinstance(one, str) for one in found)


def _score(scorer: Scorer, probe: Any, X: Any, y: Any, further: dict[str, Any]) -> float | str:
    """The score, or why there is none."""
    try:
        with warnings.catch_warnings():
            # Scikit-learn warns of each undefined score; what follows from it is said once, by the caller.
            warnings.simplefilter("ignore")
            found = scorer(probe, X, y, **further)
    except Exception as error:  # a scorer is the user's
        return reason_of(error)
    try:
        score = float(found)
    except (TypeError, ValueError):
        return f"it returned a {type(found).__name__}, not a number"
    return score if np.isfinite(score) else f"it returned {score}"


def reason_of(error: Exception) -> str:
    """Kind and first line of what a user's code raised, to be said in a warning.

    >>> reason_of(ValueError("no"))
    'ValueError: no'
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{type(error).__name__}: {first}"


def mean_scores(
    scoring: Scoring,
    folds: Sequence[Scores],
    Cs: npt.NDArray[np.float64],
    *,
    name: str = "C",
    stacklevel: int = 2,
) -> npt.NDArray[np.float64]:
    """The mean over the folds for each C (n_C,), NaN where one of them has no number.

    A fold without a number at any C (one class alone among its held-out rows, say) is left out for all, so
    that each C is judged by the same rows. A ``ScoringWarning`` says what was left out, and why; another one
    which classes.

    Args:
        scoring: by what.
        folds: for each fold.
        Cs: (n_C,).
        name: what they are values of, for messages.
        stacklevel: of the warning.

    Raises:
        InputError: no C has a score.

    >>> folds = [Scores(np.array([0.5, 0.7]), {}), Scores(np.array([0.7, 0.9]), {})]
    >>> mean_scores(check_scoring("f1_macro"), folds, np.array([0.1, 1.0])).round(2).tolist()
    [0.6, 0.8]
    """
    values = np.stack([fold.values for fold in folds])
    empty = np.asarray(np.isnan(values).all(axis=1))
    if empty.all() or np.isnan(means := values[~empty].mean(axis=0)).all():
        raise InputError(
            f"scoring={scoring.name!r} gave no score at any {name}: {_first(folds, Cs, name)}",
            hint=_hint(next(iter(next(fold.reasons for fold in folds if fold.reasons).values())), folds),
        )
    _warn_of_absent(scoring, folds, stacklevel + 1)
    if np.isnan(values).any():
        what = _left_out(empty, np.isnan(means), Cs, name)
        warnings.warn(
            f"scoring={scoring.name!r} gave no score for {what}: {_first(folds, Cs, name)}",
            ScoringWarning,
            stacklevel=stacklevel,
        )
    return np.asarray(means)


_HINTS = {
    "predict_proba": "this probe has no probabilities: use a scorer of predict or decision_function, or a "
    "probe that has some (LinearProbeCV, PreValProbe)",
    "pos_label": "say which label is the positive one: sklearn.metrics.make_scorer(f1_score, pos_label=...)",
    "average=": "for more than two classes use a scorer that averages over them, such as 'f1_macro'",
    "multi_class": "for more than two classes use 'roc_auc_ovr' or 'roc_auc_ovo'",
}
"""By what scikit-learn says."""


def _hint(reason: str, folds: Sequence[Scores]) -> str:
    for words, hint in _HINTS.items():
        if words in reason:
            return hint
    if any(fold.absent for fold in folds):
        return f"use fewer folds or another scorer: no row is held out of {_absent(folds)} in some fold"
    return "call the scorer on a fitted probe, X and y: it must return a number"


def _absent(folds: Sequence[Scores]) -> str:
    names = list(dict.fromkeys(repr(label) for fold in folds for label in fold.absent))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _warn_of_absent(scoring: Scoring, folds: Sequence[Scores], stacklevel: int) -> None:
    if partial := [fold for fold in folds if fold.partial]:
        warnings.warn(
            f"scoring={scoring.name!r} needs held-out rows of every class; in {len(partial)} of {len(folds)} "
            f"folds it is that of the other classes, without {_absent(partial)}",
            ScoringWarning,
            stacklevel=stacklevel,
        )


def _first(folds: Sequence[Scores], Cs: npt.NDArray[np.float64], name: str) -> str:
    number, at, why = next((f, at, why) for f, fold in enumerate(folds) for at, why in fold.reasons.items())
    return f"fold {number} at {name}={Cs[at]:g}: {why}"


def _left_out(
    folds: npt.NDArray[np.bool_], without: npt.NDArray[np.bool_], Cs: npt.NDArray[np.float64], name: str
) -> str:
    parts = []
    if folds.any():
        parts.append(f"{folds.sum()} of {len(folds)} folds, which are left out")
    if without.any():
        parts.append(f"{without.sum()} of {len(Cs)} values of {name}, which are not chosen")
    return " and ".join(parts)


def score_of(
    scoring: Scoring, probe: Any, X: Any, y: Any, weight: npt.NDArray[np.float64] | None = None
) -> Scores:
    """The one score of a fitted estimator, or why there is none, as :func:`held_out_scores`."""
    assert scoring.scorer is not None, "the solver counts this score itself"
    further = {} if weight is None or not scoring.weighs else {"sample_weight": weight}
    return _scores(scoring.scorer, [probe], X, y, further)
