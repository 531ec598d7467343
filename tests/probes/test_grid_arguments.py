"""A grid that is asked for wrongly says so before it fits anything."""

import numpy as np
import pytest

from tlengine.errors import InputError
from tlengine.probes import probe_grid
from tlengine.probes.grid_arguments import checked_seeds

X, Y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("seeds", [2.5, "x", None, -1, True, [None], ["a"], object(), 10**30]),
        ("Cs", ["x", None, {"a": 1}, object(), 0, [[0.1]], 10**30]),
        ("cv", ["x", 1, 2.5, [2], True]),
        ("patience", ["x", 0, -1, 2.5, True, [2]]),
        ("test_size", ["x", None, [0.5]]),
        ("tol", ["x", None, 0, [1.0], float("nan")]),
        ("max_iter", ["x", None, -1, 2.5, 10**30]),
        ("resume", [3, b"file", ["file"]]),
    ],
)
def test_what_is_of_another_kind_is_refused(name, values):
    for value in values:
        with pytest.raises(InputError, match=name):
            probe_grid(X, Y, **{"seeds": 1, "Cs": [1.0], "progress": False, name: value})


def test_numbers_of_numpy_are_numbers():
    assert checked_seeds(np.int64(2)) == [0, 1]
    assert checked_seeds(np.array([3, 1])) == [3, 1]
    options = {"cv": np.int64(2), "tol": np.float64(1e-2), "test_size": np.float32(0.25), "progress": False}
    assert (
        len(probe_grid(X, Y, seeds=np.int8(1), Cs=np.int64(2), max_iter=np.int16(50), **options).records) == 1
    )
