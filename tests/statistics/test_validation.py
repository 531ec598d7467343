"""The simulations of ``scripts/validate`` in short; in full by ``make validate``.

The limits are those of the full run, widened for fewer simulations so that a sound test fails once in
thousands of seeds; the seeds are fixed.
"""

import numpy as np
import pytest
from scripts.validate import coverage, size

NULLS = 250


@pytest.fixture(scope="module")
def sizes():
    chosen = [cell for cell in size.cells() if cell.rows in (60, 300)][::4]
    return [(cell, found) for cell, found, _ in size.sizes(chosen, NULLS, seed=1)]


def test_the_size_of_the_paired_test_is_held_in_every_cell(sizes):
    assert len(sizes) >= 25
    for cell, found in sizes:
        assert found <= size.limit(NULLS), cell


def test_the_size_of_the_paired_test_is_held_on_average_and_not_given_away(sizes):
    mean = np.mean([found for _, found in sizes])
    assert 0.015 < mean <= size.MEAN_LIMIT


@pytest.mark.parametrize(("gain", "never"), [(0.0, {"positive", "negative"}), (-0.02, {"positive", "none"})])
def test_no_outcome_is_claimed_that_is_not_true(gain, never):
    cell = size.Cell(5, 1_000, 0.15, "folds", "none")
    found = size.outcomes(cell, 2, gain, 200, np.random.default_rng(2))
    assert sum(found.values()) == pytest.approx(1)
    for name in never:
        assert found[name] <= size.limit(200)


def test_outcomes_that_are_true_are_found():
    cell = size.Cell(5, 5_000, 0.0, "folds", "none")
    rng = np.random.default_rng(3)
    assert size.outcomes(cell, 2, 0.08, 30, rng)["positive"] > 0.9
    assert size.outcomes(cell, 2, -0.08, 30, rng)["negative"] > 0.9
    assert size.outcomes(cell, 1, 0.0, 30, rng)["none"] > 0.6


@pytest.fixture(scope="module")
def worlds():
    return {}


@pytest.mark.parametrize(
    ("draws", "rows", "layout", "groups"),
    [
        (1, 60, "folds", "none"),
        (5, 200, "folds", "none"),
        (5, 200, "holdout", "none"),
        (10, 200, "folds", "equal"),
    ],
)
def test_intervals_hold_the_truth(draws, rows, layout, groups, worlds):
    cell = coverage.Cell(draws, rows, 0.1, layout, groups)
    found = coverage.coverage(cell, coverage.MAIN, 300, 4, worlds)
    assert found["accuracy"][1] == found["difference"][1] == 300
    assert found["log_loss"][1] == (300 if (rows, layout, groups) == (200, "folds", "none") else 0)
    for name, (share, n) in found.items():
        if n:
            assert not coverage.outside(share, n, cautious=coverage.cautious(cell)), name


def test_the_limits_are_those_of_the_issue():
    assert size.limit(4_000) == pytest.approx(0.074, abs=5e-4)
    assert coverage.outside(0.91, 4_000, cautious=True)
    assert not coverage.outside(0.935, 400, cautious=False)
    assert coverage.outside(0.99, 4_000, cautious=False)
    assert not coverage.outside(0.99, 4_000, cautious=True)
