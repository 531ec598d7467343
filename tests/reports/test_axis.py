import math
from itertools import pairwise

import pytest

from tlengine.reports.axis import Axis, ticks


@pytest.mark.parametrize("low", [-150.0, -3.2, 0.0, 1e-7, 5.0])
@pytest.mark.parametrize("wide", [0.0, 1e-6, 0.3, 1.0, 7.7, 1e6])
def test_ticks_span_the_values_in_few_equal_round_steps(low, wide):
    high = low + wide
    found = ticks(low, high)
    assert found[0] <= low + 1e-9 * max(1.0, abs(low))
    assert found[-1] >= high - 1e-9 * max(1.0, abs(high))
    assert 2 <= len(found) <= 8
    steps = [b - a for a, b in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    digit = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(digit - round_one) for round_one in (1, 2, 5)) < 0.01


def test_the_least_of_losses_has_an_axis():
    found = ticks(0.0, 3e-13)
    assert found[0] == 0.0
    assert found == sorted(set(found))


def test_what_lies_outside_stands_at_the_end():
    down = Axis(low=0.0, high=2.0, start=184.0, end=12.0)
    assert [down(value) for value in (-1.0, 0.0, 1.0, 2.0, 1e12)] == [184.0, 184.0, 98.0, 12.0, 12.0]
