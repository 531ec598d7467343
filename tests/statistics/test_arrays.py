import numpy as np
import pytest

from tlengine.errors import EmptyInputError, InputError, NonFiniteError, ShapeMismatchError
from tlengine.statistics import interval, paired_test


def test_a_matrix_is_a_list_of_draws_on_the_same_rows():
    x = np.random.default_rng(0).random((3, 20)) < 0.7
    long = {"units": np.tile(np.arange(20), 3), "draws": np.repeat(list("abc"), 20)}
    assert interval(x) == interval(x.ravel(), **long)
    y = ~x
    assert paired_test(x, y) == paired_test(x.ravel(), y.ravel(), **long)


def test_units_of_a_matrix_are_those_of_its_columns():
    x = np.random.default_rng(1).random((2, 12)) < 0.5
    names = np.repeat(["p", "q", "r", "s", "t", "u"], 2)
    numbers = np.tile(np.repeat(np.arange(6), 2), 2)
    assert interval(x, units=names) == interval(x.ravel(), units=numbers, draws=np.repeat([0, 1], 12))


def test_the_order_of_a_list_does_not_matter():
    rng = np.random.default_rng(2)
    values, units, draws = rng.random(60) < 0.6, rng.integers(0, 20, 60), rng.integers(0, 3, 60)
    order = rng.permutation(60)
    a = interval(values, units=units, draws=draws)
    b = interval(values[order], units=units[order], draws=draws[order])
    assert (a.low, a.high) == pytest.approx((b.low, b.high))


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (EmptyInputError, r"shape \(0,\)", {"values": []}),
        (NonFiniteError, "1 of 2 values", {"values": [1.0, np.nan]}),
        (ShapeMismatchError, r"shape \(1, 1, 1\)", {"values": [[[1]]]}),
        (ShapeMismatchError, r"units of shape \(3,\) for 2", {"values": [1, 0], "units": [1, 2, 3]}),
        (InputError, "level 95", {"values": [1, 0] * 9, "level": 95}),
        (InputError, "draws without units", {"values": [1, 0], "draws": [0, 1]}),
        (InputError, r"draws of values \(J, m\)", {"values": [[1, 0]], "draws": [0], "units": [0, 1]}),
    ],
)
def test_what_cannot_be_used_is_named(error, match, arguments):
    with pytest.raises(error, match=match):
        interval(arguments.pop("values"), **arguments)


def test_pairs_have_one_shape():
    with pytest.raises(ShapeMismatchError, match=r"\(2,\) and \(3,\)"):
        paired_test([1, 0], [1, 0, 1])


@pytest.mark.parametrize("strange", ["x", b"x", {"a": 1}, object(), ["right", "wrong"], [[1, 0], [1]]])
def test_what_is_no_number_is_refused(strange):
    with pytest.raises(InputError, match="values are no numbers"):
        interval(strange)
    with pytest.raises(InputError, match="values are no numbers"):
        paired_test([1, 0, 1], strange)
