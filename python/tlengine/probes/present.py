"""A fitted classifier restricted to some of its classes, for scorers that want each class among the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if

__all__ = ["PresentClasses", "absent_classes"]


def absent_classes(classes: Any, truth: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(K,) which classes no row has; () False where one label per row has no such meaning.

    >>> absent_classes(np.array(["a", "b", "c"]), np.array(["a", "c", "c"])).tolist()
    [False, True, False]
    """
    known = None if isinstance(classes, list) else np.asarray(classes)
    if truth.ndim != 1 or known is None or known.ndim != 1:
        return np.array(False)
    return np.asarray(~np.isin(known, truth))


def _has(name: str) -> Callable[[Any], bool]:
    return lambda self: hasattr(self.probe, name)


class PresentClasses(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Says of rows which of the kept classes they are: probabilities add up to 1 over these.

    Args:
        probe: fitted.
        kept: (K,) bool, two classes or more.

    >>> from tlengine.probes import LinearProbe
    >>> probe = LinearProbe().fit([[0.0], [1.0], [2.0]], ["a", "b", "c"])
    >>> PresentClasses(probe, np.array([True, False, True])).predict([[0.9]]).tolist()
    ['a']
    """

    def __init__(self, probe: Any, kept: npt.NDArray[np.bool_]) -> None:
        self.probe = probe
        self.kept = kept

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The kept ones."""
        return np.asarray(np.asarray(self.probe.classes_)[self.kept])

    @available_if(_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> npt.NDArray[Any]:
        """Scores (n, k), or their difference (n,) for two classes."""
        scores = np.asarray(self.probe.decision_function(X))[:, self.kept]
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    @available_if(_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """(n, k), rows sum to 1."""
        return np.asarray(np.exp(self.predict_log_proba(X)))

    @available_if(_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> npt.NDArray[Any]:
        """Logarithms of the probabilities, exact where those of the probe are."""
        from scipy.special import logsumexp

        if hasattr(self.probe, "predict_log_proba"):
            logs = np.asarray(self.probe.predict_log_proba(X))[:, self.kept]
        else:
            logs = np.log(np.maximum(self.probe.predict_proba(X)[:, self.kept], np.finfo(float).tiny))
        return np.asarray(logs - logsumexp(logs, axis=1, keepdims=True))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The best of the kept classes, (n,)."""
        if hasattr(self.probe, "predict_proba"):
            best = self.predict_log_proba(X).argmax(axis=1)
        else:
            best = np.asarray(self.probe.decision_function(X))[:, self.kept].argmax(axis=1)
        return np.asarray(self.classes_[best])
