import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.diagnostics import conflicting_labels, near_duplicates


def test_near_duplicates_equal_the_definition():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(60, 8)).astype(np.float32)
    queries = np.concatenate([reference[:9] * 3 + 0.01, rng.normal(size=(20, 8))]).astype(np.float32)
    found = near_duplicates(queries, reference)
    q, r = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (queries, reference))
    cosine = q @ r.T
    assert sorted(found.rows.tolist()) == np.flatnonzero(cosine.max(axis=1) > 0.99).tolist()
    assert np.array_equal(found.nearest, cosine.argmax(axis=1)[found.rows])
    assert np.all(np.diff(found.similarity) <= 0)
    assert len(found.rows) >= 9


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
