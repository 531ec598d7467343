"""Linear models: the logistic probe, the same on raw samples as the control, and ridge."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
    stretches: Sequence[Array] = np.logspace(-3, 1.5, 10), np.logspace(2, 3.5, 4), np.logspace(4, 6, 5)
    """C times the mean squared distance of the features from their mean."""

    def default(self, X: Matrix) -> Params:
        return {"C": 10.0 / feature_scale(X)}

    def judge(self, trial: Trial) -> Judged:
        """The C with the least log-loss; all folds are solved together."""
        best = (np.inf, 0.0, 0.0)
        for stretch in self.stretches:
            Cs = stretch / feature_scale(trial.X)
            losses, accuracies = _path_scores(trial, Cs)
            at = int(np.argmin(losses))
            best = min(best, (losses[at], accuracies[at], Cs[at]))
            if at < len(Cs) - 1:
                break
        loss, accuracy, C = (float(number) for number in best)
        return Judged({"C": C}, 1.0, (accuracy, loss))

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import LinearProbe

        return LinearProbe(**params, tol=1e-4)


def _path_scores(trial: Trial, Cs: Array) -> tuple[Array, Array]:
    """Log-loss and accuracy on held-out rows for every C."""
    from sklearn.exceptions import ConvergenceWarning

    from tlengine.probes import probe_path

    with warnings.catch_warnings():
        # A C that is hard to certify is a poor candidate; the fit with the chosen C does warn.
        warnings.simplefilter("ignore", ConvergenceWarning)
        folds = probe_path(trial.X, trial.codes, Cs, folds=trial.parts, tol=1e-3).folds
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
        if not trial.single:
            return super().judge(trial)
        candidates = self.candidates(trial.X, len(trial.X))
        scores = _leave_one_out(trial.X, trial.codes, [params["alpha"] for params in candidates])
        return self.settle(candidates, scores, trial.codes)

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


def _leave_one_out(X: Matrix, codes: Rows, alphas: Sequence[float]) -> Scores:
    """Scores (alphas, n, K) of every row by the ridge classifier of all the others."""
    from tlengine.probes import RidgeProbe
    from tlengine.probes.inputs import training_set
    from tlengine.probes.ridge import solve_classifier

    train = training_set(RidgeProbe(), X, codes, None)
    found = solve_classifier(
        train,
        np.asarray(alphas),
        train.weight(None),
        fit_intercept=True,
        n_jobs=None,
        leave_one_out=True,
        predictions=True,
    )
    return two_sided(found["prediction"].swapaxes(1, 2))


def _indicators(codes: Rows, n_classes: int | None = None) -> Matrix:
    """(n, K) of -1 and 1."""
    eye = np.eye(n_classes or int(codes.max()) + 1, dtype=np.float32)
    return np.asarray(2 * eye[codes] - 1)


LINEAR = (LinearStrategy(), RidgeStrategy(), ControlStrategy())
