"""The vote of neighbours: its shares, several labels per row, rows of 16 bits, few rows."""

import numpy as np
import pytest

import tlengine as tl
from tests.probes.brute_force import reference
from tlengine.errors import InputError, LabelError, ShapeMismatchError, SingleClassError
from tlengine.probes import neighbor_votes


def test_vote_is_that_of_dino():
    rng = np.random.default_rng(5)
    X, Q = (rng.standard_normal((n, 16)).astype(np.float32) for n in (400, 50))
    y = rng.integers(0, 7, 400)
    ks, temperatures = (200, 5, 5000), (0.07, 1.0)
    votes = neighbor_votes(Q, X, y, k=ks, temperature=temperatures)
    assert votes.k == (200, 5, 400)
    assert votes.proba.shape == (2, 3, 50, 7)
    similarity = np.asarray(reference(Q, X, "cosine"), dtype=np.float64)
    order = np.argsort(-similarity, axis=1, kind="stable")
    for t, temperature in enumerate(temperatures):
        for i, k in enumerate(votes.k):
            top = np.take_along_axis(similarity, order[:, :k], axis=1)
            weights = np.exp((top - top[:, :1]) / temperature)
            shares = (weights[..., None] * np.eye(7)[y[order[:, :k]]]).sum(axis=1) / weights.sum(1)[:, None]
            expected = (shares * k + 1 / 7) / (k + 1)
            np.testing.assert_allclose(votes.proba[t, i], expected, rtol=1e-9)
            probe = tl.KNeighborsProbe(k=ks[i], temperature=temperature).fit(X, y)
            np.testing.assert_array_equal(probe.predict_proba(Q), votes.proba[t, i])
            np.testing.assert_array_equal(probe.predict(Q), votes.predict()[t, i])


def test_large_scores_do_not_overflow():
    X = np.array([[1e4, 0.0], [-1e4, 0.0], [0.0, 1e4]])
    votes = neighbor_votes(X, X, [0, 1, 2], k=[3], temperature=[1e-8], metric="euclidean")
    assert votes.predict()[0, 0].tolist() == [0, 1, 2]
    assert np.isfinite(votes.proba).all()


def test_leave_one_out_votes_ignore_the_own_label():
    X = np.array([[1.0, 0.0], [1.0, 0.01], [1.0, 0.03], [0.0, 1.0]])
    votes = neighbor_votes(None, X, ["a", "b", "b", "b"], k=[1])
    assert votes.predict()[0, 0].tolist() == ["b", "a", "b", "b"]


@pytest.mark.parametrize(
    ("y", "error"),
    [
        (["a", "a", "a"], SingleClassError),
        ([0.1, 0.2, 0.3], LabelError),
        ([0, 1], ShapeMismatchError),
        ([["a", "b"], ["b", "b"], ["c", "a"]], LabelError),
        (np.array(["a", None, "b"], dtype=object), LabelError),
        ([0.0, 1.0, np.nan], LabelError),
    ],
)
def test_bad_labels(y, error):
    with pytest.raises(error):
        neighbor_votes(np.eye(3), np.eye(3), y, k=[1])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_votes_on_each_label_are_for_or_against(metric):
    rng = np.random.default_rng(0)
    X, Q = rng.normal(size=(60, 4)), rng.normal(size=(15, 4))
    Y = rng.random((60, 3)) < 0.4
    probe = tl.KNeighborsProbe(k=7, temperature=0.3, metric=metric).fit(X, Y.astype(int))
    ids, scores = tl.nearest(Q, X, k=7, metric=metric)
    weights = np.exp((scores if metric == "cosine" else -scores) / 0.3)
    weights /= weights.sum(axis=1, keepdims=True)
    shares = (weights[:, :, None] * Y[ids]).sum(axis=1)
    np.testing.assert_allclose(probe.predict_proba(Q), shares * 7 / 8 + 0.5 / 8, atol=1e-12)
    np.testing.assert_array_equal(probe.predict(Q), shares > 0.5)
    np.testing.assert_allclose(np.exp(probe.predict_log_proba(Q)), probe.predict_proba(Q))
    assert probe.score(X, Y) <= 1


def test_labels_keep_the_names_of_their_columns(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30, 3)), pd.DataFrame({"cat": np.arange(30) % 2, "dog": np.arange(30) % 3 > 1})
    probe = tl.KNeighborsProbe(k=3).fit(X, Y)
    assert probe.classes_.tolist() == ["cat", "dog"]
    again = tl.from_pretrained(probe.save_pretrained(tmp_path))
    assert again.multilabel_
    np.testing.assert_array_equal(again.labels_, probe.labels_)
    np.testing.assert_array_equal(again.predict_proba(X), probe.predict_proba(X))


def test_logarithms_of_votes_are_finite():
    X = np.eye(4)
    probe = tl.KNeighborsProbe(k=1, temperature=1e-3).fit(X, [0, 1, 2, 3])
    logs = probe.predict_log_proba(X)
    assert np.isfinite(logs).all()
    np.testing.assert_array_equal(np.exp(logs).argmax(axis=1), np.arange(4))


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "torch.float16", "table"])
def test_rows_of_16_bits_are_kept_in_32(kind):
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float16)
    rows = X
    if kind == "table":
        rows = pytest.importorskip("pandas").DataFrame(X, columns=["a", "b", "c"])
    elif kind != "float16":
        torch = pytest.importorskip("torch")
        rows = torch.from_numpy(X).to(getattr(torch, kind.removeprefix("torch.")))
    probe = tl.KNeighborsProbe(k=3).fit(rows, np.arange(20) % 2)
    assert probe.rows_.dtype == np.float32
    assert probe.predict(rows).shape == (20,)


def test_more_neighbours_than_rows():
    """The probe's own k is clamped, so that few rows do; one that is asked for is not, as in ``nearest``."""
    X = np.eye(3)
    probe = tl.KNeighborsProbe(k=20).fit(X, [0, 1, 1])
    assert probe.nearest(X)[0].shape == (3, 3)
    for search in (lambda: probe.nearest(X, 4), lambda: tl.nearest(X, X, k=4)):
        with pytest.raises(InputError, match="k=4 is not between 1 and 3"):
            search()
