from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.data.budgets import draw_budgets, fitting_budgets, parse_budgets
from tlengine.errors import InputError

budgets = st.lists(st.integers(1, 40), min_size=1, max_size=5).map(lambda b: parse_budgets([*b, "all"]))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=5), budgets, st.integers(0, 50))
def test_draws_are_nested_stratified_and_within_the_training_part(sizes, asked, seed):
    y = np.repeat([f"class{i}" for i in range(len(sizes))], sizes)
    train = np.sort(np.random.default_rng(seed).permutation(len(y))[: max(2, len(y) * 3 // 4)])
    draws = draw_budgets(y, train, asked, seed)
    assert tuple(d.budget for d in draws) == asked
    for smaller, larger in pairwise(draws):
        assert set(smaller.rows) <= set(larger.rows)
    for draw in draws:
        assert set(draw.rows) <= set(train)
        assert draw.labels == len(set(draw.rows.tolist()))
        for name, available in zip(*np.unique(y[train], return_counts=True), strict=True):
            allowed = available if draw.budget == "all" else min(draw.budget, available)
            assert (y[draw.rows] == name).sum() == allowed


def test_seeds_draw_differently_and_repeatably():
    y, rows = np.repeat([0, 1], 50), np.arange(100)
    first, again, other = (draw_budgets(y, rows, [5], seed)[0].rows for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("text", ["0", "-3", "many", "2.5", "", True])
def test_a_strange_budget_is_an_error(text):
    with pytest.raises(InputError, match="budget"):
        parse_budgets([text])


def test_no_budget_is_an_error():
    with pytest.raises(InputError, match="no budget"):
        parse_budgets([])


def test_budgets_that_repeat_all_do_not_fit():
    y = np.repeat([0, 1], [30, 10])
    assert fitting_budgets(y, [np.arange(40)], (5, 29, 30, 100, "all")) == (5, 29, "all")
