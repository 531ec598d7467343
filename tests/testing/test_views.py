"""The view of arrays gives what a run's view gives, and no more."""

import numpy as np
import pytest

from tlengine.errors import InputError
from tlengine.plugins.contracts import Roles, View
from tlengine.testing import ArrayView

ROLES = Roles(train=np.array([0, 2]), test=np.array([1]), select=np.array([3]))


def test_features_and_labels() -> None:
    view: View = ArrayView(np.eye(4), [0, 1, 2, 1], ROLES, contents=["a", "b", "c", "d"])
    assert view.codes(np.array([2, 3])).tolist() == [2, 1]
    rows = view.features(np.array([0, 1]))
    rows[:] = 7
    assert view.matrix().tolist() == np.eye(4).tolist()
    assert view.matrix().dtype == np.float32
    assert view.contents(np.array([3, 0])) == ["d", "a"]
    assert (view.classes, view.units.tolist(), view.scale) == (3, [0, 1, 2, 3], 0.75)
    with pytest.raises(ValueError, match="read-only"):
        view.matrix()[0] = 1


@pytest.mark.parametrize("rows", [[1], [0, 1, 2]])
def test_labels_of_test_rows_are_not_given(rows: list[int]) -> None:
    view = ArrayView(np.eye(4), [0, 1, 2, 1], ROLES)
    with pytest.raises(LookupError, match="the label of row 1 is not for this fit"):
        view.codes(np.array(rows))


def test_what_arrays_do_not_have() -> None:
    view = ArrayView(np.eye(4), [0, 1, 2, 1], ROLES)
    with pytest.raises(InputError, match="without contents"):
        view.contents(np.array([0]))
    with pytest.raises(InputError, match="without a backbone"):
        view.backbone("cpu")
