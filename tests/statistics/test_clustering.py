import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from tlengine.errors import ShapeMismatchError
from tlengine.statistics.clustering import Cells, Spread, quantile, upper_tail


def cells_of(matrix, unit=None):
    """Of values (J, m) whose mean is taken."""
    x = np.asarray(matrix, dtype=float)
    unit = np.arange(x.shape[1]) if unit is None else np.asarray(unit)
    means = x.mean(axis=1)
    return Cells.of(means, [(row - m) / len(row) for row, m in zip(x, means, strict=True)], [unit] * len(x))


def naive(values, each, units):
    """The formulas of the module, unit by unit and draw by draw."""
    J, names = len(values), sorted({u for us in units for u in us})
    mean = np.mean(values)

    def total(array, j, u):
        return sum(x for x, v in zip(array, units[j], strict=True) if v == u)

    by_unit, shares, sizes = [], [], []
    for u in names:
        share = sum(sum(v == u for v in units[j]) / len(units[j]) for j in range(J)) / J
        moved = sum(
            total(each[j], j, u) + (values[j] - mean) * sum(v == u for v in units[j]) / len(units[j])
            for j in range(J)
        )
        by_unit.append(moved / J / np.sqrt(1 - share if share < 1 else 1))
        shares.append(share)
        sizes.append(sum(v == u for us in units for v in us))
    V = sum(x**2 for x in by_unit)
    alone = sum(
        sum((e / J) ** 2 for e in each[j]) * len(each[j]) / max(1, len(each[j]) - 1) for j in range(J)
    )
    inflated = np.zeros((len(names), J))
    for i, u in enumerate(names):
        for j in range(J):
            h = sum(v == u for v in units[j]) / len(units[j])
            inflated[i, j] = total(each[j], j, u) / J / np.sqrt(1 - h if h < 1 else 1)
    extra = 0.0
    if J > 1:
        chance = (J * (inflated**2).sum() - (inflated.sum(axis=1) ** 2).sum()) / (J - 1)
        extra = max(0.0, np.var(values, ddof=1) / J - max(0.0, chance))
    A = sum(a**2 for a in shares)
    B = sum(a**2 / n for a, n in zip(shares, sizes, strict=True))
    rho = min(1, max(0, B * (V / alone - 1) / (A - B))) if alone > 0 and A > B * (1 + 1e-9) else 1
    lam = [a**2 * (rho + (1 - rho) / n) for a, n in zip(shares, sizes, strict=True)]
    df = max(1.0, sum(lam) ** 2 / sum(x**2 for x in lam) - 1)
    return V, df, extra


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.integers(2, 12), st.integers(1, 6), st.integers(0, 10_000))
def test_the_spread_equals_the_definition(n_draws, m, n_units, seed):
    rng = np.random.default_rng(seed)
    units = [rng.integers(0, n_units, m) for _ in range(n_draws)]
    x = [rng.normal(size=m).round(1) for _ in range(n_draws)]
    values = np.array([v.mean() for v in x])
    each = [(v - v.mean()) / m for v in x]
    spread = Spread.of(Cells.of(values, each, units))
    V, df, extra = naive(values, each, units)
    assert spread.unit == pytest.approx(V, abs=1e-12)
    assert spread.draw == pytest.approx(extra, abs=1e-12)
    if V > 1e-9:
        assert spread.unit_df == pytest.approx(df, rel=1e-6)


def test_one_draw_of_single_rows_is_the_textbook_variance():
    x = np.random.default_rng(0).normal(size=40)
    spread = Spread.of(cells_of([x]))
    assert spread.variance == pytest.approx(x.var(ddof=1) / 40)
    assert (spread.df, spread.draw, spread.effective_units) == (pytest.approx(39), 0, pytest.approx(40))
    assert spread.observations == pytest.approx(40)


def test_equal_groups_are_observations_of_their_means():
    x = np.random.default_rng(1).normal(size=(6, 5))
    spread = Spread.of(cells_of([x.ravel()], np.repeat(np.arange(6), 5)))
    assert spread.variance == pytest.approx(x.mean(axis=1).var(ddof=1) / 6)
    assert spread.df == pytest.approx(5)


def test_unequal_groups_have_fewer_degrees_of_freedom():
    sizes = [400, 300, 200, 150, 100, 50]
    unit = np.repeat(np.arange(6), sizes)
    effects = np.random.default_rng(2).normal(size=6)[unit]
    spread = Spread.of(cells_of([effects], unit))
    assert spread.effective_units == pytest.approx(4.43, abs=0.01)
    assert 1 <= spread.df < 4


def test_draws_that_differ_by_chance_alone_add_little():
    """Row effects and noise, no draw effect: the variance is that of units, unbiased within its error."""
    rng = np.random.default_rng(3)
    total, truth = [], 1 / 50 + 1 / 250
    for _ in range(400):
        spread = Spread.of(cells_of(rng.normal(size=50) + rng.normal(size=(5, 50))))
        total.append((spread.unit, spread.draw))
    unit, draw = np.mean(total, axis=0)
    assert unit == pytest.approx(truth, rel=0.05)
    assert draw < 0.1 * truth


def test_draw_effects_are_found():
    rng = np.random.default_rng(4)
    found = [
        Spread.of(cells_of(rng.normal(size=(5, 1)) + rng.normal(size=(5, 200)))).draw for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(1 / 5, rel=0.12)


def test_few_draws_are_heard_alone_too():
    x = np.array([[0.0, 0.02], [0.1, 0.12], [0.2, 0.22]])
    few = Spread.of(cells_of(x))
    assert few.few
    alone = t.ppf(0.975, 2) * (few.between) ** 0.5
    assert few.reach(0.95) == pytest.approx(max(alone, t.ppf(0.975, few.df) * few.variance**0.5))
    assert few.tail(0.1) >= t.sf(0.1 / few.between**0.5, 2)
    assert not Spread.of(cells_of(np.random.default_rng(0).normal(size=(6, 9)))).few


@given(st.floats(0.5, 200), st.floats(0.5, 0.999))
def test_quantiles_and_tails_are_students(df, level):
    assert quantile(df, level) == pytest.approx(t.ppf(0.5 + level / 2, df), rel=1e-6)
    assert upper_tail(quantile(df, level), df) == pytest.approx(0.5 - level / 2, rel=1e-6)


def test_interval_and_p_value_agree():
    rng = np.random.default_rng(5)
    for n_draws in (1, 3, 8):
        spread = Spread.of(cells_of(rng.normal(size=(n_draws, 30))))
        assert 2 * spread.tail(spread.reach(0.9)) == pytest.approx(0.1, rel=1e-6)


def test_no_variance_is_certain_of_either_side():
    spread = Spread.of(cells_of([[1.0, 1, 1]]))
    assert (spread.variance, spread.tail(0.0), spread.tail(0.1), spread.tail(-0.1)) == (0, 0.5, 0, 1)


def test_lengths_that_differ_are_an_error():
    with pytest.raises(ShapeMismatchError):
        Cells.of(np.zeros(1), [np.zeros(3)], [np.arange(2)])
