"""A solved path: solutions for every C with their certificates, and what was held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.probes.choice import choose
from tlengine.probes.said import users_level
from tlengine.probes.scoring import solved_probe

if TYPE_CHECKING:
    from tlengine.probes.linear import LinearProbe

__all__ = ["Head", "ProbePath"]

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
        accuracy_, log_loss_: (n_C,) the mean over ``folds``; of a fold the weighted score on its held-out
            rows, averaged over the labels where y was (n, L). None where nothing was held out; a hinge has
            no log-loss.
        folds: one path per fold; empty without ``folds=``.
        head: ``"multinomial"``, ``"ovr"`` or ``"squared_hinge"``.
        multilabel_: whether y was (n, L).
        ended_early_: whether larger values of C were asked for than were solved.
        cut_short_: whether ``max_seconds`` or ``callback`` ended the path before all was done.
        idle_: whether scores at the smallest C hardly differ between rows: no smaller C would change them.
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
    head: Head = "multinomial"
    multilabel_: bool = False
    ended_early_: bool = False
    cut_short_: bool = False
    idle_: bool = False

    def best(self, scoring: str | None = None) -> LinearProbe:
        """The solution on all rows at the C with the best mean held-out score, as a fitted probe.

        A ``GridEdgeWarning`` says that this is the smallest or largest C of the path, as in
        :class:`LinearProbeCV`, which also takes any other of scikit-learn's scorers.

        Args:
            scoring: ``"neg_log_loss"``, the default, or ``"accuracy"``; among equal scores the smallest C.

        Raises:
            InputError: nothing was held out; or another score.

        >>> import tlengine as tl
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> path = tl.probe_path(X[:300], y[:300], Cs=[1e-4, 1e-2, 1.0, 100.0], folds=5)
        >>> path.log_loss_.round(2).tolist()
        [1.41, 0.19, 0.11, 0.14]
        >>> path.best().C, path.best("accuracy").C, path.predict(X[300:303]).tolist(), y[300:303].tolist()
        (1.0, 1.0, [7, 3, 5], [7, 3, 5])
        """
        own = ("neg_log_loss", "accuracy") if self.head != "squared_hinge" else ("accuracy",)
        if scoring is not None and scoring not in own:
            raise InputError(
                f"scoring={scoring!r:.80}; a path knows {' and '.join(own)}",
                hint="LinearProbeCV(scoring=...) takes any scorer of scikit-learn",
            )
        if not self.folds:
            raise InputError("nothing was held out, so no C is the best", hint="pass folds=5 to probe_path")
        scores = np.stack([fold.scores(scoring or own[0]) for fold in self.folds])
        return self.probe(self.choose(scores, scores.mean(axis=0), stacklevel=users_level() + 1))

    def choose(
        self, scores: npt.NDArray[np.float64], means: npt.NDArray[np.float64], *, stacklevel: int
    ) -> int:
        """The position of the best C by scores (n_folds, n_C), as :func:`tlengine.probes.choice.choose`."""
        return choose(
            scores, means, self.Cs, ended_early=self.ended_early_, idle=lambda: self.idle_,
            stacklevel=stacklevel + 1,
        )  # fmt: skip

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """What :meth:`best` predicts for rows (n, d): (n,) labels, or (n, L) of 0 and 1.

        Raises:
            InputError: nothing was held out.
        """
        return self.best().predict(X)

    def probe(self, position: int) -> LinearProbe:
        """The solution at ``Cs[position]`` on all rows as a fitted probe, with its certificate.

        >>> import tlengine as tl
        >>> X = np.random.default_rng(0).normal(size=(60, 5))
        >>> tl.probe_path(X, X[:, 0] > 0, Cs=[0.1, 1.0]).probe(-1).C
        1.0
        """
        coef, intercept = self.coef_[position].copy(), self.intercept_[position].copy()
        probe: LinearProbe = solved_probe(
            self.head, self.classes_, coef, intercept, multilabel=self.multilabel_, C=float(self.Cs[position])
        )
        for name in probe._certificate:
            setattr(probe, name, getattr(self, name)[position])
        return probe

    def scores(self, scoring: str) -> npt.NDArray[np.float64]:
        """(n_C,) held-out scores that the solver counted, larger is better."""
        found = self.accuracy_ if scoring == "accuracy" else self.log_loss_
        assert found is not None, "there are held-out rows"
        return found if scoring == "accuracy" else -found
