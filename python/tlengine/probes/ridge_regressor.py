"""Ridge regression of numbers on frozen features, the penalty chosen by exact leave-one-out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from tlengine.errors import InputError
from tlengine.probes.arrays import check_finite
from tlengine.probes.choice import choose_alpha, is_idle
from tlengine.probes.dense import dense_array
from tlengine.probes.inputs import check_features, validate_features
from tlengine.probes.parameters import check_parameters, check_positive
from tlengine.probes.regression_folds import regression_folds
from tlengine.probes.ridge import solve_outputs
from tlengine.probes.ridge_choice import RidgeChoice, Solve
from tlengine.probes.targets import check_targets, target_names
from tlengine.probes.weights import check_weights

__all__ = ["RidgeRegressor"]


class RidgeRegressor(RegressorMixin, RidgeChoice):  # type: ignore[misc]
    """Ridge regression with alpha chosen by exact leave-one-out, like scikit-learn's ``RidgeCV``.

    Minimises ``sum(weight * (Y - X W' - b)^2) + alpha |W|^2``, the intercept free, for every alpha from one
    factorisation; leaving a row out follows from its leverage (Allen 1974; Golub, Heath & Wahba 1979). See
    :func:`tlengine.ridge_path` for the method and its memory.

    One alpha serves all outputs: the one with the least squared error on rows left out, averaged over rows
    (by their weight) and outputs; among equal ones the largest. The output of the largest numbers counts
    most, so scale outputs of different units first.

    Args:
        alphas: penalties to choose from, 0 or more; at 0 the solution of least norm.
        cv: None for exact leave-one-out at no extra cost, a number of folds, a splitter, or an iterable of
            (train, test) index arrays.
        fit_intercept: whether there is an intercept.
        callback, max_seconds, progress: as :func:`tlengine.ridge_path`.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        alpha_: the chosen penalty. ``alphas_``: (n_alphas,) all of them.
        loo_error_: (n_alphas, m) weighted mean squared error on rows left out: each alone, exactly; or, with
            ``cv`` or ``groups``, with their fold.
        coef_: (d,), or (m, d) where y was (n, m), in the dtype of X, at ``alpha_`` on all rows.
        intercept_: a number, or (m,), float64.
        target_names_: (m,) names of the columns of y where it was a table or a named series, else
            ``arange(m)``.
        rank_: directions in which X varies.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> model = RidgeRegressor().fit(X, X @ [1.0, 2.0, 3.0])
    >>> model.alpha_, model.predict([[1.0, 1.0, 1.0]]).round(2).tolist()
    (0.001, [6.0])
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("classes?", "features"),
        "intercept_": ("classes?",),
        "alphas_": ("alphas",),
        "loo_error_": ("alphas", "classes"),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("alpha_", "rank_")
    _labels: ClassVar[str] = "target_names_"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Solves every alpha.

        A ``GridEdgeWarning`` says that alpha was chosen at an edge of the grid although the error still falls
        there.

        Args:
            X: (n, d) features; float32 is solved in float32, anything else in float64.
            y: (n,) or (n, m) numbers.
            sample_weight: (n,) weights, 0 or more; rows of weight 0 are not used. Leave-one-out leaves out a
                row of weight 2 whole, not one of two equal rows.
            groups: (n,) rows of one group (a person, copies of one sample) are never on both sides of a
                fold; with ``cv=None`` 5 folds of whole groups stand in for leaving out one row.

        Raises:
            NonFiniteError, DtypeError, ShapeMismatchError: see :mod:`tlengine.errors`.
            InputError: a parameter that is not what its name says; nothing can be held out.
        """
        check_parameters(self)
        options = self._options()
        alphas = check_positive("alpha", self.alphas, zero=True)
        if y is None:
            raise InputError("RidgeRegressor requires y to be passed, but the target y is None")
        rows = validate_features(self, X)
        check_finite(rows, "X")
        outputs = check_targets(y, len(rows), "y")
        weight = check_weights(sample_weight, rows)
        pairs = regression_folds(self.cv, groups, rows, outputs, weight)
        solve: Solve = partial(solve_outputs, rows, outputs, alphas=alphas, **options)
        found = solve(weight, leave_one_out=pairs is None)
        self.loo_error_ = (
            found["error"] if pairs is None else _fold_errors(solve, rows, outputs, weight, pairs)
        )
        error = self.loo_error_.mean(axis=1)
        # In units of the least, so that equal means equal whatever the units of y.
        scores = -error / (error.min() or 1.0)
        best = choose_alpha(
            scores[None], scores, alphas,
            idle=lambda: is_idle(rows, found["coef"][alphas.argmax()] / _spread(outputs)), stacklevel=2,
        )  # fmt: skip
        self.alpha_, self.alphas_, self.rank_ = float(alphas[best]), alphas, int(found["rank"])
        self.target_names_ = target_names(y, outputs.shape[1])
        coef, intercept = found["coef"][best], found["intercept"][best]
        single = dense_array(y, "y").ndim == 1
        self.coef_: npt.NDArray[Any] = coef[0].copy() if single else coef.copy()
        self.intercept_: Any = intercept[0] if single else intercept.copy()
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Numbers (n,), or (n, m) where y was.

        Raises:
            NonFiniteError: NaN or infinity in X.
        """
        found: npt.NDArray[np.float64] = check_features(self, X) @ self.coef_.T + self.intercept_
        return found


def _fold_errors(
    solve: Solve,
    X: npt.NDArray[Any],
    outputs: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    pairs: Iterable[tuple[Any, Any]],
) -> npt.NDArray[np.float64]:
    """(n_alphas, m): every row by the fits that held it out."""
    total: npt.NDArray[np.float64] = np.zeros(())
    held_weight = 0.0
    for rows, held in pairs:
        part = np.zeros_like(weight)
        part[rows] = weight[rows]
        found = solve(part, leave_one_out=False)
        fitted = X[held] @ found["coef"].transpose(0, 2, 1) + found["intercept"][:, None, :]
        total = total + np.einsum("n,anm->am", weight[held], (outputs[held] - fitted) ** 2)
        held_weight += weight[held].sum()
    return total / held_weight


def _spread(outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard deviation of each output, as a column (m, 1); infinite where it is 0."""
    found = outputs.std(axis=0)[:, None]
    return np.where(found > 0, found, np.inf)
