"""An index beside features is named before the solver spends a thousand steps on it."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from tlengine.errors import FeatureScaleWarning
from tlengine.probes import LinearProbe, LinearProbeCV, LinearSVMProbe, probe_path
from tlengine.probes.scales import ROWS, warn_of_scales

rng = np.random.default_rng(0)
X = 0.05 * rng.normal(size=(300, 6))
y = (X[:, 0] > 0).astype(int)
INDEXED = np.c_[X, np.arange(300) * 1e3]
FRAME = pd.DataFrame(INDEXED, columns=[*"abcdef", "__index_level_0__"])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "fit",
    [
        LinearProbe(max_iter=5).fit,
        LinearSVMProbe(max_iter=5).fit,
        LinearProbeCV(Cs=[0.1, 1.0], max_iter=5).fit,
        lambda X, y: probe_path(X, y, [1.0], max_iter=5),
    ],
    ids=["LinearProbe", "LinearSVMProbe", "LinearProbeCV", "probe_path"],
)
def test_the_column_is_named_once_with_both_scales(fit):
    for data, name in ((INDEXED, "column 6"), (FRAME, "column '__index_level_0__'")):
        with pytest.warns(
            FeatureScaleWarning, match=f"{name} has a standard deviation of 8.7e.04.*of 0.049"
        ) as said:
            fit(data, y)
        assert sum(issubclass(one.category, FeatureScaleWarning) for one in said) == 1


@pytest.mark.parametrize(
    "data",
    [
        X,
        np.c_[X, 100 * rng.normal(size=300)],
        np.c_[X, np.full(300, 1e9)],
        np.c_[np.zeros((300, 5)), X[:, :2]],
        INDEXED[:1],
        np.zeros((4, 2)),
        csr_array(INDEXED),
        rng.random((300, 400)) < 1 / 300,
    ],
    ids=["even", "2,000 times", "constant", "zeros", "one row", "all zero", "sparse", "rare words"],
)
def test_no_noise(data):
    warn_of_scales(data)


def test_several_columns_are_counted():
    with pytest.warns(FeatureScaleWarning, match="column 1 .*and so do 1 others"):
        warn_of_scales(np.c_[1e5 * X[:, :1], 1e6 * X[:, :1], X])


def test_missing_numbers_are_not_its_business():
    broken = INDEXED.copy()
    broken[3, 2] = np.nan
    with pytest.warns(FeatureScaleWarning, match="column 6"):
        warn_of_scales(broken)


def test_it_looks_at_some_rows_only():
    """Of a matrix that would take a gigabyte if each row were looked at."""
    many = np.broadcast_to(np.arange(3, dtype=np.float32), (100_000_000, 3))
    warn_of_scales(many)
    assert len(many[:: -(-len(many) // ROWS)]) <= ROWS
