"""The simulations of ``scripts/validate`` in short; in full by ``make validate``.

The limits are those of the full run, widened for fewer simulations so that a sound test fails once in
thousands of seeds; the seeds are fixed.
"""

from itertools import combinations, product

import numpy as np
import pytest
from scripts.validate import __main__ as main
from scripts.validate import coverage, size

from tlengine.statistics import interval

NULLS = 250
DIMENSIONS = ("draws", "rows", "spread", "layout", "groups")


@pytest.fixture(scope="module")
def sizes():
    chosen = [cell for cell in size.cells() if cell.rows in (60, 300)]
    return [(cell, found) for cell, found, _ in size.sizes(chosen, NULLS, seed=1)]


def test_the_size_of_the_paired_test_is_held_in_every_cell(sizes):
    assert len(sizes) >= 25
    for cell, found in sizes:
        assert found <= size.limit(NULLS), cell


def test_the_size_of_the_paired_test_is_held_on_average_and_not_given_away(sizes):
    mean = np.mean([found for _, found in sizes])
    assert 0.015 < mean <= size.MEAN_LIMIT


@pytest.mark.parametrize("spread", [0.15, 0.5])
def test_three_draws_do_not_reject_too_often(spread):
    """Where the values of the draws themselves are not heard, it is in 7 to 9 %: more than the limit here."""
    cell = size.Cell(3, 300, spread, "folds", "none")
    [(_, found, _)] = size.sizes([cell], 2_500, seed=2)
    assert found <= 0.06


def pairs(found, ours, theirs):
    return {(getattr(cell, ours), getattr(cell, theirs)) for cell in found}


@pytest.mark.parametrize(("ours", "theirs"), list(combinations(DIMENSIONS, 2)))
def test_every_pair_of_levels_occurs(ours, theirs):
    """But for one draw, which has no spread between draws."""
    for every in (size.cells(), coverage.cells()):
        even = [cell for cell in every if getattr(cell, "kind", "even") == "even"]
        several = [cell for cell in even if cell.draws > 1 or "spread" not in (ours, theirs)]
        levels = {getattr(cell, ours) for cell in several}, {getattr(cell, theirs) for cell in several}
        assert pairs(several, ours, theirs) == set(product(*levels))


def test_the_cells_are_a_fixed_fraction():
    assert len(set(size.cells())) == len(size.cells()) == 64
    assert len(set(size.null_cells())) == 16
    assert {cell.kind for cell in size.null_cells()} == set(size.WORLDS)
    assert {cell.budget for cell in size.null_cells()} == set(size.BUDGETS)
    assert {cell.groups for cell in size.null_cells()} == {"none", "equal", "unequal"}
    assert {cell.layout for cell in size.null_cells()} == {"folds", "holdout"}


def test_nothing_differs_on_average_in_an_uneven_world():
    """One strategy is better in few groups and a little worse in the others."""
    world = size.Cell(1, 40_000, 0.0, "folds", "equal", "uneven").world()
    (first, second), unit, _ = world.sample(np.random.default_rng(0))
    assert first.mean() == pytest.approx(second.mean(), abs=0.012)
    by_group = np.bincount(unit, weights=first) / np.bincount(unit)
    assert by_group.std() > 1.1 * (np.bincount(unit, weights=second) / np.bincount(unit)).std()


def test_the_page_says_with_which_options_a_table_was_made(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- size: begin -->old<!-- size: end -->")
    monkeypatch.setattr(main, "PAGE", page)
    main.put("size", "a table", ["--cells", "2/4"])
    assert "with `--cells 2/4`." in page.read_text()
    assert "old" not in page.read_text()


def test_a_part_of_the_cells_says_that_it_is_one(capsys):
    size.print_sizes(size.cells()[:1], 5, 0)
    assert "ONLY 1 OF 64 CELLS" in capsys.readouterr().out


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
    assert found["accuracy"].shown == found["difference"].shown == 300
    assert found["log_loss"].shown == (300 if (rows, layout, groups) == (200, "folds", "none") else 0)
    for name, held in found.items():
        assert not held.outside(cautious=coverage.cautious(cell)), name


def test_intervals_of_rare_classes_hold_the_truth_or_are_not_shown():
    world = coverage.Hard("99 to 1", 1_500, (0.99, 0.01))
    found = world.found(("balanced_accuracy", "macro_f1", "auroc"), 300, 5)
    for name, held in found.items():
        assert not held.outside(cautious=True), name
    assert found["balanced_accuracy"].shown > 290
    assert found["auroc"].shown < 150


def test_losses_of_few_errors_have_no_interval():
    found = coverage.SURE[4].found(("log_loss",), 100, 6)["log_loss"]
    assert coverage.SURE[4].name == "right in 99.5 % of 200 rows"
    assert found.shown <= 3


@pytest.mark.parametrize("accuracy", [0.8, 0.97])
def test_few_groups_that_differ_much_hold_the_truth(accuracy):
    cell = coverage.Cell(1, 700, 0.0, "folds", 7)
    world, held, rng = coverage.right_or_wrong(cell, accuracy, 0.5), coverage.Held(), np.random.default_rng(7)
    for _ in range(400):
        (values,), unit, draw = world.sample(rng)
        held.note(interval(values, units=unit, draws=draw), accuracy)
    assert held.shown == 400
    assert not held.outside(cautious=True)


def test_the_limits_are_those_of_the_issue():
    assert size.limit(4_000) == pytest.approx(0.074, abs=5e-4)
    assert coverage.outside(0.91, 4_000, cautious=True)
    assert not coverage.outside(0.935, 400, cautious=False)
    assert coverage.outside(0.99, 4_000, cautious=False)
    assert not coverage.outside(0.99, 4_000, cautious=True)
