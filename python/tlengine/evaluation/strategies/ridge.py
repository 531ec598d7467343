"""Ridge regression on class indicators, its held-out scores without a fit for each fold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.errors import GridEdgeWarning
from tlengine.evaluation.strategies.base import ArrayFitted, Candidate, Tuned, pad, read_scores, unseen
from tlengine.plugins.contracts import Codes, Fitted, Kind, Matrix, Roles, Rows, Scores, View

__all__ = ["RidgeStrategy"]

GRID = np.logspace(-6, 2, 17)
"""alpha over the scale of the features, for each row."""


class RidgeStrategy(Tuned):
    """Alpha by the squared error of held-out rows; probabilities by a temperature.

    Where every row stands for itself, alpha comes from the exact leave-one-out of a single factorisation.
    """

    def candidates(self, view: View, fewest: int) -> list[Candidate]:
        """Relative to the scale of the features and the number of rows."""
        return [{"alpha": float(a) * view.scale * fewest} for a in GRID]

    def default(self, view: View, rows: int) -> Candidate:
        """A tenth of the scale for each row."""
        return {"alpha": 0.1 * (view.scale or 1.0) * rows}

    def make(self, **candidate: Any) -> Any:
        """An unfitted classifier."""
        from tlengine.probes import RidgeProbe

        return RidgeProbe(**candidate)

    def fit(self, view: View, roles: Roles, *, seed: int = 0, folder: Path | None = None) -> Fitted:
        """See the contract."""
        train = roles.train
        if not roles.inner or roles.select is not None:
            return super().fit(view, roles, seed=seed)
        from tlengine.probes import RidgeProbeCV

        X, (known, codes) = view.features(train), np.unique(view.codes(train), return_inverse=True)
        parts = [(np.searchsorted(train, fit), np.searchsorted(train, held)) for fit, held in roles.inner]
        single = len(np.unique(view.units[train])) == len(train)
        alphas = [candidate["alpha"] for candidate in self.candidates(view, len(train))]
        with warnings.catch_warnings():
            # The grid is the strategy's own: no user can widen it.
            warnings.simplefilter("ignore", GridEdgeWarning)
            probe = RidgeProbeCV(alphas=alphas, cv=None if single else parts).fit(X, codes)
        left_out = fold_scores(X, codes, probe, [held for _, held in parts])
        at = np.cumsum([0, *(len(held) for _, held in parts)])
        for (rows, _), start, end in zip(parts, at[:-1], at[1:], strict=True):
            unseen(left_out[start:end], np.arange(len(known)), np.unique(codes[rows]))
        chosen = {"alpha": float(probe.alpha_)}
        return ArrayFitted(
            classifier=probe,
            known=known,
            make=lambda: self.make(**chosen),
            reading=self.reading,
            kind="logits",
            chosen=chosen,
            held_out=pad(left_out, known, view.classes),
            nbytes=probe.coef_.nbytes + probe.intercept_.nbytes,
        )

    def held_scores(
        self, view: View, rows: Rows, held: Rows, candidates: Sequence[Candidate]
    ) -> tuple[Kind, Scores]:
        """All penalties from one factorisation."""
        from tlengine.probes import ridge_path

        known, compact = np.unique(view.codes(rows), return_inverse=True)
        path = ridge_path(view.features(rows), indicators(compact), alphas=[c["alpha"] for c in candidates])
        X = view.features(held)
        flat = X @ path.coef_.reshape(-1, X.shape[1]).T
        found = flat.reshape(len(held), *path.coef_.shape[:2]).swapaxes(0, 1) + path.intercept_[:, None]
        scores = _two_sided(np.asarray(found, dtype=np.float64))
        return "logits", pad(scores, known, view.classes)

    def losses(self, kind: Kind, scores: Matrix, codes: Codes, labels: int) -> list[float]:
        """Squared errors, which are what ridge minimises; of classes that were fitted."""
        target = indicators(codes, scores.shape[2])
        by = 2 if scores.shape[2] == 2 else 1  # two classes share a column s as -s/2 and s/2
        return [float((np.where(np.isfinite(each), by * each - target, 0.0) ** 2).mean()) for each in scores]


def _two_sided(scores: Scores) -> Scores:
    """(..., 2) columns -1 and 1 as halves, as every reader of two classes has them."""
    return scores / 2 if scores.shape[-1] == 2 else scores


def fold_scores(X: Matrix, codes: Codes, probe: Any, folds: Sequence[Rows]) -> Scores:
    """Scores of each fold by the ridge classifier of the others, without fitting it; (h, k), fold after fold.

    With the hat matrix H of all rows, the residuals of a fold f that is left out are
    ``(I - H_ff)^-1 (y - Hy)_f``: Allen's leave-one-out (1974) for blocks of rows.

    Args:
        X: (n, d) the rows.
        codes: (n,) classes from 0.
        probe: fitted on them; its ``alpha_`` counts.
        folds: positions of the rows of each fold.
    """
    _, fitted = read_scores(probe, X, "decision_function")
    pair = fitted.shape[1] == 2
    targets = indicators(codes)
    residuals = targets - (2 * fitted if pair else fitted)
    centred = X - X.mean(axis=0, dtype=np.float64)
    left_out = _left_out_wide if len(X) <= X.shape[1] else _left_out_long
    found = [
        targets[held] - left
        for held, left in zip(folds, left_out(centred, probe.alpha_, folds, residuals), strict=True)
    ]
    scores = np.asarray(np.concatenate(found), dtype=np.float64)
    return _two_sided(scores)


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


def indicators(codes: Codes, n_classes: int | None = None) -> Matrix:
    """(n, K) of -1 and 1."""
    eye = np.eye(n_classes or int(codes.max()) + 1, dtype=np.float32)
    return np.asarray(2 * eye[codes] - 1)
