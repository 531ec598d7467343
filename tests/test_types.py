"""The record that travels from extraction to everything else."""

import numpy as np
import pytest

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.types import Features


def _features() -> Features:
    return Features(
        X=np.arange(8, dtype=np.float32).reshape(4, 2),
        ids=np.array(["a", "b", "c", "d"]),
        y=np.array([1, 0, 1, 0]),
        splits=np.array(["train", "test", "train", "test"]),
    )


def test_split_keeps_rows_together() -> None:
    test = _features().split("test")
    assert test.ids.tolist() == ["b", "d"]
    assert test.X.tolist() == [[2, 3], [6, 7]]
    assert test.y is not None
    assert test.y.tolist() == [0, 0]
    assert test.groups is None


def test_take_with_a_mask() -> None:
    assert _features().take(np.array([True, False, False, True])).ids.tolist() == ["a", "d"]


def test_missing_split_names_those_there() -> None:
    with pytest.raises(InputError, match="select") as caught:
        _features().split("select")
    assert "test, train" in str(caught.value.hint)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="y has 3 rows, X has 2"):
        Features(X=np.zeros((2, 1), np.float32), ids=np.array(["a", "b"]), y=np.zeros(3))
