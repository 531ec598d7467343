import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris, load_wine

from tlengine.diagnostics import conflicting_labels, near_duplicates


def natural(name):
    """Features in which nobody copied anything but iris' one pair."""
    if name.startswith("gauss"):
        return np.random.default_rng(0).normal(size=(600, int(name.removeprefix("gauss"))))
    return {"iris": load_iris, "digits": load_digits, "wine": load_wine}[name]().data.astype(np.float64)


def halves(X, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    return X[order[: len(X) // 5]], X[order[len(X) // 5 :]]


NAMES = ["iris", "digits", "wine", *(f"gauss{d}" for d in (2, 5, 20, 100, 1280))]


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_nobody_copied_are_not_flagged(name):
    flagged = tested = 0
    for seed in range(2 if name in ("digits", "gauss1280") else 10):
        queries, reference = halves(natural(name), seed)
        found = near_duplicates(queries, reference)
        copies = found.similarity == 1
        flagged, tested = flagged + (~copies).sum(), tested + len(queries)
        assert copies.sum() <= (name == "iris")
    assert flagged < 0.01 * tested


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_planted_duplicates_are_found(name, noise):
    """Noise in parts of each column's spread; in two dimensions 1e-2 is as far as neighbours lie anyway."""
    X = natural(name)
    _, reference = halves(X, 0)
    if name == "gauss2":
        reference = reference[:60]
    rng = np.random.default_rng(1)
    chosen = rng.integers(0, len(reference), 200)
    per_row = noise if name != "gauss2" else noise / 10
    planted = reference[chosen] + per_row * reference.std(axis=0) * rng.normal(size=(200, X.shape[1]))
    found = near_duplicates(planted, reference)
    assert len(found.rows) >= 190
    assert (found.nearest == chosen[found.rows]).mean() >= 0.98
    assert (np.diff(found.similarity) <= 0).all()


@pytest.mark.parametrize("name", ["iris", "digits", "gauss2", "gauss1280"])
def test_exact_copies_are_always_found(name):
    _, reference = halves(natural(name), 0)
    found = near_duplicates(reference[:50], reference)
    assert sorted(found.rows[found.similarity == 1].tolist()) == list(range(50))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_rows_know_copies_alone(n):
    reference = np.arange(n, dtype=np.float64)[:, None] * 3
    found = near_duplicates(np.array([[0.0], [1.0]]), reference)
    assert found.rows[0] == 0
    assert near_duplicates(np.array([[0.0]]), np.zeros((n, 1))).similarity.tolist() == [1]


def test_the_unit_of_a_column_changes_nothing():
    queries, reference = halves(natural("wine"), 0)
    queries = np.concatenate([queries, reference[:3] + 1e-4])
    scale = np.logspace(-3, 3, 13)
    one, other = near_duplicates(queries, reference), near_duplicates(queries * scale, reference * scale)
    assert one.rows.tolist() == other.rows.tolist()
    assert one.threshold == pytest.approx(other.threshold, rel=1e-4)


def test_features_far_from_the_origin_lose_nothing():
    queries, reference = halves(natural("gauss20"), 0)
    planted = np.concatenate([queries, reference[:5] + 1e-3])
    one, other = near_duplicates(planted, reference), near_duplicates(planted + 1e6, reference + 1e6)
    assert one.rows.tolist() == other.rows.tolist()
    assert len(one.rows) == 5


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_the_dimension_is_that_of_the_data(d):
    """Uniform data on a d-dimensional sheet in 20 columns; borders cost a little."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(2_000, d)) @ np.linalg.qr(rng.normal(size=(20, d)))[0].T
    assert near_duplicates(X[:1], X).dimension == pytest.approx(d, rel=0.15)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab")), min_size=1, max_size=20))
def test_conflicts_are_the_contents_with_two_labels(samples):
    keys = np.zeros((len(samples), 32), dtype=np.uint8)
    keys[:, 7] = [content for content, _ in samples]
    labels = [label for _, label in samples]
    expected = []
    for content in sorted({c for c, _ in samples}):
        rows = [i for i, (c, _) in enumerate(samples) if c == content]
        if len({labels[i] for i in rows}) > 1:
            expected.append(rows)
    assert [rows.tolist() for rows in conflicting_labels(keys, labels)] == expected
