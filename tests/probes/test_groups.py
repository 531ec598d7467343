"""A group that is not known is refused with its row at every door, whatever says that it is missing."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes import (
    LinearProbeCV,
    LinearSVMProbeCV,
    PreValProbe,
    RidgeProbeCV,
    RidgeRegressor,
    neighbor_votes,
    probe_grid,
)

X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
NAMES = [f"p{i // 3}" for i in range(60)]
DOORS = {
    "logistic": lambda groups: LinearProbeCV([0.1]).fit(X, Y, groups=groups),
    "svm": lambda groups: LinearSVMProbeCV([0.1]).fit(X, Y, groups=groups),
    "ridge": lambda groups: RidgeProbeCV([1.0]).fit(X, Y, groups=groups),
    "regressor": lambda groups: RidgeRegressor([1.0]).fit(X, X[:, 0], groups=groups),
    "preval": lambda groups: PreValProbe([1.0]).fit(X, Y, groups=groups),
    "grid": lambda groups: probe_grid(X, Y, Cs=[0.1], seeds=1, groups=groups, progress=False),
    "grid of ridge": lambda groups: probe_grid(X, Y, probe="ridge", seeds=1, groups=groups, progress=False),
    "votes": lambda groups: neighbor_votes(None, X, Y, units=groups),
}
MISSING = {
    "None": [*NAMES[:7], None, *NAMES[8:]],
    "NaN": np.where(np.arange(60) == 7, np.nan, np.arange(60) // 3),
    "NaN in a list": [*NAMES[:7], float("nan"), *NAMES[8:]],
    "NaN among objects": np.array([*NAMES[:7], np.nan, *NAMES[8:]], dtype=object),
    "NaT": np.array([*["2020-01-01"] * 7, "NaT", *["2021-01-01"] * 52], dtype="datetime64[D]"),
    "NA": pd.Series([*NAMES[:7], pd.NA, *NAMES[8:]]),
    "whole numbers": pd.Series([*range(7), pd.NA, *range(52)], dtype="Int64", index=range(100, 160)),
    "categories": pd.Categorical([*NAMES[:7], None, *NAMES[8:]]),
    "masked": np.ma.masked_array(np.arange(60) // 3, np.arange(60) == 7),
    "Arrow": pa.array([*NAMES[:7], None, *NAMES[8:]]),
    "blank": [*NAMES[:7], "  ", *NAMES[8:]],
}
pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_group_is_named_with_its_row(door, kind):
    with pytest.raises(InputError, match=r"(groups|units) has .* at row 7, which is no group") as caught:
        DOORS[door](MISSING[kind])
    assert caught.value.context == {"row": 7}
    assert "group of its own" in caught.value.hint


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "groups",
    [NAMES, np.arange(60) // 3, np.arange(60) / 3 // 1, pd.Series(NAMES, index=range(100, 160))],
    ids=["names", "numbers", "floats", "series"],
)
def test_known_groups_are_taken(door, groups):
    DOORS[door](groups)


@pytest.mark.parametrize("door", DOORS)
def test_groups_of_another_shape_are_refused(door):
    for groups in (NAMES[:-1], np.zeros((60, 1))):
        with pytest.raises(ShapeMismatchError):
            DOORS[door](groups)
