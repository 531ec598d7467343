"""Neighbours by brute force in extended precision."""

import numpy as np

import tlengine as tl

METRICS = ("cosine", "inner", "euclidean")


def reference(Q, X, metric):
    """Scores, larger is nearer, in extended precision."""
    Q, X = Q.astype(np.longdouble), X.astype(np.longdouble)
    if metric == "euclidean":
        return -np.sqrt(np.square(Q[:, None] - X).sum(axis=-1))
    products = np.einsum("id,jd->ij", Q, X)
    if metric == "inner":
        return products
    norms = np.sqrt(np.square(Q).sum(axis=1))[:, None] * np.sqrt(np.square(X).sum(axis=1))
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def assert_nearest(Q, X, k, metric, **options):
    ids, scores = tl.nearest(Q, X, k=k, metric=metric, **options)
    exact = reference(Q, X, metric)
    found = np.take_along_axis(exact, ids, axis=1)
    signed = -scores if metric == "euclidean" else scores
    unit = np.finfo(np.float64).eps * np.abs(exact).max(axis=1, keepdims=True) + 5e-324
    assert (np.abs(signed - found) <= unit).all()
    # Neighbours are sorted by score, equal scores by row, and nothing better was left out.
    step, order = np.diff(signed, axis=1), np.diff(ids, axis=1)
    assert ((step < 0) | ((step == 0) & (order > 0))).all()
    left = exact.copy()
    np.put_along_axis(left, ids, -np.inf, axis=1)
    assert (left.max(axis=1, keepdims=True) <= found[:, -1:] + unit).all()
