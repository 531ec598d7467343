"""Linear models: the logistic probe, the same on raw samples as the control, and ridge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tlengine.evaluation.strategies.base import (
    Array,
    Judged,
    Matrix,
    Params,
    Rows,
    Scores,
    Trial,
    Tuned,
    feature_scale,
    two_sided,
)

__all__ = ["LINEAR"]


class LinearStrategy(Tuned):
    """Logistic regression; C is chosen by the log-loss, whose minimum needs no further calibration.

    The grid is walked from small C, where solutions are cheap, in stretches, and left once the held-out loss
    rises.
    """

    name = "probe"
    calibration = "none"
    stretches: Sequence[Array] = np.logspace(-3, 1.5, 10), np.logspace(2, 3.5, 4)
    """C times the mean squared distance of the features from their mean."""

    def default(self, X: Matrix) -> Params:
        return {"C": 10.0 / feature_scale(X)}

    def judge(self, trial: Trial) -> Judged:
        """The C with the least log-loss; all folds are solved together."""
        best = (np.inf, 0.0, 0.0)
        scale = feature_scale(trial.X)
        for stretch in self.stretches:
            Cs = stretch / scale
            losses, accuracies = _path_scores(trial, Cs)
            at = int(np.argmin(losses))
            best = min(best, (losses[at], accuracies[at], Cs[at]))
            if at < len(Cs) - 1:
                break
        loss, accuracy, C = (float(number) for number in best)
        return Judged({"C": C}, 1.0, (accuracy, loss))

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import LinearProbe

        return LinearProbe(**params, tol=1e-3)


def _path_scores(trial: Trial, Cs: Array) -> tuple[Array, Array]:
    """Log-loss and accuracy on held-out rows for every C; a per cent of the objective is near enough here."""
    from tlengine.probes import probe_path

    folds = probe_path(trial.X, trial.codes, Cs, folds=trial.parts, tol=1e-2).folds
    sizes = [len(held) for _, held in trial.parts]
    return (
        np.average([fold.log_loss_ for fold in folds], axis=0, weights=sizes),
        np.average([fold.accuracy_ for fold in folds], axis=0, weights=sizes),
    )


class ControlStrategy(LinearStrategy):
    """The same on raw pixels or words: what can be had without a pretrained network."""

    name = "raw"


class RidgeStrategy(Tuned):
    """Ridge regression on class indicators; alpha by the squared error, probabilities by a temperature.

    Where every row stands for itself, held-out scores are the exact leave-one-out ones of a single
    factorisation.
    """

    name = "ridge"

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        scale = feature_scale(X) * len(X)
        return [{"alpha": float(a) * scale} for a in np.logspace(-6, 2, 17)]

    def default(self, X: Matrix) -> Params:
        return {"alpha": 0.1 * feature_scale(X) * len(X)}

    def judge(self, trial: Trial) -> Judged:
        if trial.selected:
            return super().judge(trial)
        from tlengine.probes import RidgeProbeCV

        alphas = [params["alpha"] for params in self.candidates(trial.X, len(trial.X))]
        cv = None if trial.single else trial.parts
        probe = RidgeProbeCV(alphas=alphas, cv=cv).fit(trial.X, trial.classes[trial.codes])
        scores = _fold_scores(trial, probe)
        judged = self.settle([{"alpha": probe.alpha_}], scores[None], trial.codes)
        return replace(judged, fitted=probe)

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        from tlengine.probes import ridge_path

        path = ridge_path(X, _indicators(codes), alphas=[c["alpha"] for c in candidates])
        flat = held @ path.coef_.reshape(-1, X.shape[1]).T
        scores = flat.reshape(len(held), *path.coef_.shape[:2]).swapaxes(0, 1)
        return np.asarray(scores + path.intercept_[:, None], dtype=np.float64)

    def losses(self, scores: Scores, codes: Rows) -> Scores:
        target = _indicators(codes, scores.shape[2])
        return np.asarray(((scores - target) ** 2).mean(axis=(1, 2)))

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import RidgeProbe

        return RidgeProbe(**params)


def _fold_scores(trial: Trial, probe: Any) -> Scores:
    """Scores (n, K) of each fold by the ridge classifier of the others, without fitting it.

    With the hat matrix H of all rows, the residuals of a fold f that is left out are
    ``(I - H_ff)^-1 (y - Hy)_f``: Allen's leave-one-out (1974) for blocks of rows.
    """
    targets = _indicators(trial.codes)
    residuals = targets - two_sided(probe.decision_function(trial.X))
    folds = [held for _, held in trial.parts]
    X = trial.X - trial.X.mean(axis=0, dtype=np.float64)
    left_out = _left_out_wide if len(X) <= X.shape[1] else _left_out_long
    for held, left in zip(folds, left_out(X, probe.alpha_, folds, residuals), strict=True):
        residuals[held] = left
    return np.asarray(targets - residuals)


def _left_out_wide(X: Scores, alpha: float, folds: Sequence[Rows], residuals: Scores) -> Iterator[Scores]:
    """For at most as many rows as columns: ``I - H`` is alpha times the inverse of an (n, n) matrix."""
    from scipy.linalg import cho_factor, cho_solve

    n = len(X)
    inverse = cho_solve(cho_factor(X @ X.T + alpha * np.eye(n)), np.eye(n))
    for fold in folds:
        own = alpha * inverse[np.ix_(fold, fold)] - 1.0 / n
        yield np.asarray(np.linalg.solve(own, residuals[fold]), dtype=np.float64)


def _left_out_long(X: Scores, alpha: float, folds: Sequence[Rows], residuals: Scores) -> Iterator[Scores]:
    """For more rows than columns: ``H = Z'Z`` with Z (d + 1, n); Woodbury's identity where a fold is long."""
    from scipy.linalg import cholesky, solve_triangular

    n, d = X.shape
    factor = cholesky(X.T @ X + alpha * np.eye(d), lower=True)
    Z = np.vstack([solve_triangular(factor, X.T, lower=True), np.full((1, n), n**-0.5)])
    for fold in folds:
        part, left = Z[:, fold], residuals[fold]
        if len(fold) <= d:
            yield np.asarray(np.linalg.solve(np.eye(len(fold)) - part.T @ part, left))
        else:
            inner = np.linalg.solve(np.eye(d + 1) - part @ part.T, part @ left)
            yield np.asarray(left + part.T @ inner)


def _indicators(codes: Rows, n_classes: int | None = None) -> Matrix:
    """(n, K) of -1 and 1."""
    eye = np.eye(n_classes or int(codes.max()) + 1, dtype=np.float32)
    return np.asarray(2 * eye[codes] - 1)


LINEAR = (LinearStrategy(), RidgeStrategy(), ControlStrategy())
