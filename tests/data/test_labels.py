"""Labels: classes pass, everything else is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlengine.data.labels import class_labels
from tlengine.errors import LabelError


@pytest.mark.parametrize(
    "values",
    [
        ["cat", "dog"],
        [0, 1, -1],
        [True, False],
        [0.0, 1.0, 1.0],
        ["1", "2"],
        ["a", "nan"],
        np.array([3, 4]),
        np.array(["a"]),
        [0.5, 1.5] * 10,
        list(range(20)),
        [str(i % 30) for i in range(90)],
    ],
)
def test_classes_pass_unchanged(values: Any) -> None:
    assert class_labels(values, str).tolist() == list(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", None], "1: the label is missing"),
        (["a", " "], "1: the label is missing"),
        ([1.0, float("nan")], "1: the label is missing"),
        ([1.0, float("inf")], "1: the label is missing"),
        (["a", 1], "1: label 1 is a int, others are str"),
        ([[1], [2]], "0: label"),
        ([0.1 * i for i in range(30)], "regression"),
        ([f"{0.37 * i:.2f}" for i in range(30)], "regression"),
        (list(range(100)), "regression"),
    ],
)
def test_what_is_no_class_is_named(values: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message) as caught:
        class_labels(values, str)
    assert caught.value.hint


@given(
    st.lists(
        st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans()), min_size=1, max_size=30
    )
)
def test_any_labels_give_an_array_or_a_label_error(values: list[Any]) -> None:
    try:
        labels = class_labels(values, str)
    except LabelError:
        return
    assert len(labels) == len(values)
    assert labels.dtype.kind in "Uifb" or labels.dtype == object
