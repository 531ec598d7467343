"""The simulations of whole runs in short; in full by ``make validate``. Seeds are fixed."""

import numpy as np
import pytest
from scripts.validate import headline, shuffled


def test_shuffled_labels_are_neither_gain_nor_loss():
    runs = 12
    case = shuffled.iris()
    found = shuffled.shuffled(case, runs, seed=3, seeds=3)
    most = shuffled.limit(runs)
    assert most <= 2
    assert sum(found[name] for name in ("positive", "negative", "none", "undecided")) == runs
    for control in case.controls:
        assert found[f"gain {control}"] <= most
        assert found[f"loss {control}"] <= most
    assert found["negative"] <= most
    assert found["positive"] <= most


def test_what_is_there_is_found_by_the_same_runs():
    """Labels that are not shuffled: the petals tell more than the sepals."""
    case = shuffled.iris()
    petals, sepals = case.controls["petals"], case.controls["sepals"]
    gain = shuffled.judged(shuffled.Case("petals", petals, case.y, {"sepals": sepals}), case.y, 3)
    loss = shuffled.judged(shuffled.Case("sepals", sepals, case.y, {"petals": petals}), case.y, 3)
    assert (gain.outcome, loss.outcome) == ("positive", "negative")


def test_the_limit_is_that_of_the_issue():
    assert shuffled.limit(400) == 18


@pytest.fixture(scope="module")
def told():
    return {candidates: list(headline.runs(candidates, 1, 25, 2_000, 7)) for candidates in (2, 12)}


@pytest.mark.parametrize("candidates", [2, 12])
def test_the_headline_is_what_fresh_rows_show(candidates, told):
    off = np.array([found.told - found.fresh for found in told[candidates]])
    mean, error = headline.mean_error(off)
    assert abs(mean) < 3 * error
    assert error < 0.015


def test_the_best_on_the_test_rows_would_not_be(told):
    """The simulation sees the fault that the way of choosing avoids."""
    off = np.array([found.best - found.fresh for found in told[12]])
    mean, error = headline.mean_error(off)
    assert mean > 4 * error
