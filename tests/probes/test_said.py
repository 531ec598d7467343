"""Every warning points at the line that asked for the fit, whoever gives it."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from tlengine.errors import (
    FeatureScaleWarning,
    GridEdgeWarning,
    RareClassWarning,
    ScoringWarning,
    TimeLimitWarning,
)
from tlengine.probes import (
    LinearProbe,
    LinearProbeCV,
    LinearSVMProbe,
    LinearSVMProbeCV,
    RidgeProbeCV,
    RidgeRegressor,
    probe_grid,
    probe_path,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
WIDE = X * np.where(np.arange(8) == 3, 1e5, 1.0)
RARE = np.where(np.arange(60) == 7, 3, Y)
CS = [1e-4, 1e-3, 1e-2]
OWN = [(np.delete(np.arange(60), np.arange(i, i + 10)), np.arange(i, i + 10)) for i in (0, 20, 40)]
QUICK = {"max_iter": 2, "tol": 1e-12}
LONG = RNG.normal(size=(2000, 300))
LABELS = np.argmax(LONG[:, :20] + RNG.normal(size=(2000, 20)), axis=1)
ENDED = {"callback": lambda progress: progress.passes > 0, "tol": 1e-9}


FITS = {
    ConvergenceWarning: {
        "path": lambda: probe_path(X, Y, CS, **QUICK),
        "one": lambda: LinearProbe(**QUICK).fit(X, Y),
        "cv": lambda: LinearProbeCV(CS, **QUICK).fit(X, Y),
        "svm": lambda: LinearSVMProbe(**QUICK).fit(X, Y),
        "svm cv": lambda: LinearSVMProbeCV(CS, **QUICK).fit(X, Y),
    },
    TimeLimitWarning: {
        "path": lambda: probe_path(LONG, LABELS, [1e-3, 1e-2, 0.1, 1.0], **ENDED),
        "cv": lambda: LinearProbeCV([1e-3, 1e-2, 0.1, 1.0], **ENDED).fit(LONG, LABELS),
        "svm cv": lambda: LinearSVMProbeCV([1e-3, 1e-2, 0.1, 1.0], **ENDED).fit(LONG, LABELS),
        "grid": lambda: probe_grid(X, Y, probe="centroid", callback=lambda record: True, progress=False),
    },
    FeatureScaleWarning: {
        "path": lambda: probe_path(WIDE, Y, [1e-3]),
        "one": lambda: LinearProbe(1e-3).fit(WIDE, Y),
        "cv": lambda: LinearProbeCV([1e-3]).fit(WIDE, Y),
        "svm": lambda: LinearSVMProbe(1e-3).fit(WIDE, Y),
        "grid": lambda: probe_grid(WIDE, Y, Cs=[1e-3], seeds=1, progress=False),
    },
    RareClassWarning: {
        "path": lambda: probe_path(X, RARE, CS, folds=OWN),
        "cv": lambda: LinearProbeCV(CS, cv=OWN).fit(X, RARE),
        "svm cv": lambda: LinearSVMProbeCV(CS, cv=OWN).fit(X, RARE),
        "ridge": lambda: RidgeProbeCV(cv=OWN).fit(X, RARE),
    },
    ScoringWarning: {
        "cv": lambda: LinearProbeCV(CS, cv=5, scoring="roc_auc_ovr").fit(X, RARE),
    },
    GridEdgeWarning: {
        "best": lambda: probe_path(X, Y, CS, folds=5).best(),
        "predict": lambda: probe_path(X, Y, CS, folds=5).predict(X),
        "cv": lambda: LinearProbeCV(CS).fit(X, Y),
        "svm cv": lambda: LinearSVMProbeCV([1e-5, 1e-3, 1e-1], cv=3).fit(X, Y),
        "ridge": lambda: RidgeProbeCV([1e3, 1e4, 1e5]).fit(X, Y),
        "regressor": lambda: RidgeRegressor([1e3, 1e4, 1e5]).fit(X, X[:, 0]),
    },
}
CASES = [(kind, name) for kind, fits in FITS.items() for name in fits]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind.__name__}-{name}" for kind, name in CASES])
def test_a_warning_points_at_the_line_of_the_users(kind, name):
    fit = FITS[kind][name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    found = [one for one in caught if one.category is kind]
    assert found
    line = inspect.getsourcelines(fit)[1]
    assert [(one.filename, one.lineno) for one in found] == [(__file__, line)] * len(found)


def test_the_unit_of_the_gap_is_said_and_true():
    with pytest.warns(ConvergenceWarning, match=r"relative gap \(gap_bound_ / objective_\)") as said:
        path = probe_path(X, Y, CS, **QUICK)
    worst = (path.gap_bound_ / path.objective_).max()
    assert f"is {worst:.1e}." in str(said[0].message)
