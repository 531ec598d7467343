from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_array
from sklearn.feature_extraction.text import TfidfTransformer

import tlengine as tl
from tlengine.errors import ShapeMismatchError
from tlengine.probes import LinearProbe, TfidfProbe
from tlengine.probes.tfidf import idf, weigh

rng = np.random.default_rng(0)
COUNTS = rng.poisson(0.5, (60, 12)).astype(np.float32)
LABELS = np.where(COUNTS[:, 0] > COUNTS[:, 1], "more", "less")


def test_weights_and_rows_are_those_of_scikit_learn() -> None:
    theirs = TfidfTransformer(smooth_idf=True).fit(COUNTS)
    assert idf(COUNTS) == pytest.approx(theirs.idf_)
    assert weigh(COUNTS, idf(COUNTS)).toarray() == pytest.approx(theirs.transform(COUNTS).toarray(), abs=1e-6)


def test_it_is_a_linear_probe_on_weighted_rows() -> None:
    train, test = COUNTS[:40], COUNTS[40:]
    ours = TfidfProbe(C=3.0).fit(train, LABELS[:40])
    theirs = LinearProbe(C=3.0).fit(weigh(train, idf(train)), LABELS[:40])
    expected = theirs.predict_proba(weigh(test, idf(train)))
    np.testing.assert_array_equal(ours.predict_proba(test), expected)


@pytest.mark.parametrize("make", [csr_array, csc_matrix])
def test_sparse_counts_are_the_same_counts(make: Any) -> None:
    ours, dense = TfidfProbe().fit(make(COUNTS), LABELS), TfidfProbe().fit(COUNTS, LABELS)
    np.testing.assert_array_equal(ours.predict_proba(make(COUNTS)), dense.predict_proba(COUNTS))
    with pytest.raises(ShapeMismatchError, match="13 columns"):
        ours.predict(np.ones((2, 13)))


def test_it_is_saved_with_its_weights(tmp_path: Path) -> None:
    probe = TfidfProbe().fit(COUNTS, LABELS)
    again = tl.from_pretrained(probe.save_pretrained(tmp_path))
    assert type(again) is TfidfProbe
    np.testing.assert_array_equal(again.predict_proba(COUNTS), probe.predict_proba(COUNTS))
