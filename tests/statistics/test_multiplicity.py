from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.statistics import holm, holm_levels


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_the_definition(p_values):
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    expected, running = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[i]))
        expected[i] = running
    assert holm(p_values) == expected
    assert all(adjusted >= p for adjusted, p in zip(holm(p_values), p_values, strict=True))


def test_tiny_p_values_are_not_rounded_away():
    assert holm([1e-300, 0.5]) == [2e-300, 0.5]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=8))
def test_intervals_at_holms_levels_agree_with_his_decisions(p_values):
    for p, adjusted, level in zip(p_values, holm(p_values), holm_levels(p_values), strict=True):
        if abs(adjusted - 0.05) > 1e-9:
            assert (p < 1 - level) == (adjusted < 0.05)
