"""An index beside features is named before the solver spends a thousand steps on it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

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


def far_larger(times):
    """Three classes told apart by the first columns; one of them is so many times as large as the others."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 20))
    y = (X[:, :3] + rng.normal(size=(600, 3))).argmax(axis=1)
    X[:, 0] *= times
    return pd.DataFrame(X.astype(np.float32), columns=[f"f{i}" for i in range(20)]), y


@pytest.mark.filterwarnings("ignore::tlengine.errors.FeatureScaleWarning")
@pytest.mark.parametrize(
    ("times", "C", "certified"),
    [(1.0, 1.0, True), (1e5, 1.0, False), (1e5, 1e2, False), (1e6, 1e-2, False), (1e6, 1e2, False)],
)
def test_the_gap_of_a_large_column_in_float32_is_honest(times, C, certified):
    """The bound may be wide, never below the distance to the optimum; what it cannot certify is said."""
    X, y = far_larger(times)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        found = probe_path(X, y, [C], tol=1e-6)
    best = probe_path(X.astype(np.float64), y, [C], tol=1e-9, max_iter=5_000)
    assert best.converged_.all()
    gap = found.objective_[0] - best.objective_[0]
    assert gap <= found.gap_bound_[0]
    assert found.converged_[0] == certified
    assert [one.category for one in said] == ([] if certified else [ConvergenceWarning])


@pytest.mark.filterwarnings("ignore::tlengine.errors.FeatureScaleWarning")
@pytest.mark.parametrize("fit", [LinearProbe().fit, LinearProbeCV([1.0], tol=1e-6).fit])
def test_a_column_that_float32_cannot_certify_is_named_with_the_way_out(fit):
    X, y = far_larger(1e5)
    with pytest.warns(ConvergenceWarning, match="'f0' varies 1e.05 times.*StandardScaler.*float64"):
        fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fit(StandardScaler().fit_transform(X), y)
        fit(X.astype(np.float64), y)


def test_without_such_a_column_none_is_named():
    X, y = far_larger(1.0)
    for kind, words in ((np.float32, "; or pass X in float64"), (np.float64, "good enough")):
        with pytest.warns(ConvergenceWarning) as said:
            LinearProbe(max_iter=1).fit(X.astype(kind), y)
        text = str(said[0].message)
        assert words in text
        assert ("float64" in text) is (kind is np.float32)
        assert "olumn" not in text
