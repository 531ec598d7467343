"""No order is drawn from differences inside the error."""

import numpy as np
import pytest

from tlengine.evaluation.pareto import standings

NAN = np.nan


def exact(value: list[float], cost: list[float]) -> list[str]:
    return standings(value, value, value, cost, cost, cost)


def test_exact_numbers_give_the_usual_front() -> None:
    assert exact([0.9, 0.8, 0.7, 0.8], [3, 2, 1, 2.5]) == ["front", "front", "front", "dominated"]
    assert exact([0.9, 0.9], [1, 1]) == ["front", "front"], "equal in both: neither is behind"
    assert exact([0.9, 0.9], [1, 2]) == ["front", "dominated"]
    assert exact([], []) == []


def brute(points: np.ndarray) -> list[str]:
    """By the definition, pair by pair; a point is (value, low, high, cost, low, high)."""

    def sure(a: np.ndarray, b: np.ndarray) -> bool:
        value = 1 if a[1] > b[2] else 0 if a[1] == a[2] == b[1] == b[2] else -1
        cost = 1 if a[5] < b[4] else 0 if a[4] == a[5] == b[4] == b[5] else -1
        return min(value, cost) >= 0 and value + cost > 0

    def plain(a: np.ndarray, b: np.ndarray) -> bool:
        return bool(a[0] >= b[0] and a[3] <= b[3] and (a[0] > b[0] or a[3] < b[3]))

    return [
        "dominated"
        if any(sure(a, b) for a in points)
        else "undecided"
        if any(plain(a, b) for a in points)
        else "front"
        for b in points
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_definition_pair_by_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    value, cost = rng.integers(0, 6, 12) / 5, rng.integers(1, 6, 12).astype(float)
    wide = rng.choice([0.0, 0.1, 0.3], (2, 12))
    points = np.stack(
        [value, value - wide[0], value + wide[0], cost, cost * (1 - wide[1]), cost * (1 + wide[1])], axis=1
    )
    found = standings(*points.T)
    assert found == brute(points)
    assert "front" in found


def test_overlapping_accuracies_order_nothing() -> None:
    """A cheaper one that may be as good does not push out a dearer one that may be better."""
    value, low, high, cost = [0.95, 0.93], [0.92, 0.90], [0.98, 0.96], [100.0, 1.0]
    assert standings(value, low, high, cost, cost, cost) == ["front", "front"]
    assert standings(value, low, high, cost[::-1], cost[::-1], cost[::-1]) == ["front", "undecided"]


def test_joules_of_a_model_order_nothing_within_their_error() -> None:
    value, joules = np.array([0.9, 0.7]), np.array([100.0, 140.0])
    by_counter = standings(value, value - 0.02, value + 0.02, joules, 0.95 * joules, 1.05 * joules)
    by_model = standings(value, value - 0.02, value + 0.02, joules, 0.7 * joules, 1.3 * joules)
    assert by_counter == ["front", "dominated"]
    assert by_model == ["front", "undecided"]


def test_a_point_without_an_interval_is_ordered_with_no_other() -> None:
    value, cost = [0.9, 0.1], [1.0, 9.0]
    assert standings(value, [NAN, 0.1], [NAN, 0.1], cost, cost, cost) == ["front", "undecided"]
    assert standings(value, value, value, cost, [NAN, 9.0], [NAN, 9.0]) == ["front", "undecided"]


def test_a_chain_of_ties_pushes_nothing_out() -> None:
    """Each may be as good as its neighbour, and the first is surely better than the last."""
    value = np.array([0.99, 0.95, 0.91])
    found = standings(value, value - 0.025, value + 0.025, [100, 10, 1], [100, 10, 1], [100, 10, 1])
    assert found == ["front"] * 3
