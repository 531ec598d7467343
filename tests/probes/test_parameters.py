"""Parameters that are not what their names say: refused at fit by every estimator, with name and value."""

import re

import numpy as np
import pytest
from sklearn.base import clone

import tlengine as tl
from tlengine.errors import InputError
from tlengine.probes import probe_path
from tlengine.probes.parameters import check_parameters, check_positive

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2
ESTIMATORS = [
    tl.LinearProbe(),
    tl.LinearProbeCV(Cs=2, cv=2),
    tl.LinearSVMProbe(),
    tl.LinearSVMProbeCV(Cs=[0.1, 1.0], cv=2),
    tl.RidgeProbe(),
    tl.RidgeProbeCV(alphas=[1.0]),
    tl.RidgeRegressor(alphas=[1.0]),
    tl.PreValProbe(alphas=[1.0]),
    tl.KNeighborsProbe(k=2),
    tl.NearestCentroidProbe(),
]
NO_NUMBER = ["1", "x", True, None, [1, 2], [1.0], 1 + 2j, {}, float("nan"), float("inf"), -1, b"1", 10**400]
NO_COUNT = [1.5, 2.0, "5", None, True, 0, -1, [5]]
WRONG = {
    "C": [*NO_NUMBER, 0],
    "alpha": NO_NUMBER,
    "temperature": [*NO_NUMBER, 0],
    "tol": [*NO_NUMBER, 0],
    "max_iter": NO_COUNT,
    "k": NO_COUNT,
    "fit_intercept": ["yes", "False", None, 1, 0, [True], 1.0],
    "n_jobs": ["2", 1.5, True, 0, [1]],
    "max_seconds": ["1", True, 0, -1.0, [1], float("nan")],
    "patience": ["2", True, 0, 1.5],
    "progress": ["yes", None, 0],
    "resume": [1, 3.5, True, b"path"],
    "warm_start": ["yes", None, 1],
    "Cs": ["1", "x", True, None, ["1"], [True], [None], [], [-1.0], [0.0], 0, 1j],
    "alphas": ["1", "x", True, None, ["1"], [True], [None], [], [-1.0], 1j],
}
RIGHT = {
    "C": [2, np.float32(0.5), np.int64(1), np.array(0.5)],
    "alpha": [0, np.float64(0.5), np.uint8(3)],
    "temperature": [1, np.float32(0.5)],
    "tol": [np.float32(1e-3), 1e-4],
    "max_iter": [np.int64(500)],
    "k": [np.int32(3)],
    "fit_intercept": [False, np.bool_(True)],
    "n_jobs": [None, -1, np.int64(1)],
    "max_seconds": [None, 60, 60.0],
    "patience": [None, 1, np.int64(2)],
    "progress": [False, np.bool_(False)],
    "resume": [None],
    "warm_start": [False, True],
    "Cs": [2, np.int64(2), (0.1, 1), np.array([0.1], np.float32), 0.5, np.array([1, 2], object)],
    "alphas": [1, (0.0, 2), np.array([1, 2]), np.float32(1.0)],
}


def _cases(table):
    for name, values in table.items():
        for estimator in ESTIMATORS:
            if name in estimator.get_params():
                for value in values:
                    yield pytest.param(
                        estimator, name, value, id=f"{type(estimator).__name__}-{name}={value!r:.20}"
                    )


@pytest.mark.parametrize(("estimator", "name", "value"), list(_cases(WRONG)))
def test_what_is_no_such_parameter_is_named(estimator, name, value):
    """A grid names the value of which it is made: alpha of alphas, C of Cs."""
    with pytest.raises(InputError, match=rf"^{name.removesuffix('s') if name in ('Cs', 'alphas') else name}"):
        clone(estimator).set_params(**{name: value}).fit(X, Y)


@pytest.mark.parametrize(("estimator", "name", "value"), list(_cases(RIGHT)))
def test_numbers_of_every_kind_are_taken(estimator, name, value):
    clone(estimator).set_params(**{name: value}).fit(X, Y)


def test_every_rule_belongs_to_a_parameter():
    names = {name for estimator in ESTIMATORS for name in estimator.get_params()}
    assert set(WRONG) == set(RIGHT) <= names


@pytest.mark.parametrize(
    ("name", "value"),
    [("tol", "x"), ("tol", [1e-3]), ("max_iter", 1.5), ("fit_intercept", 1), ("n_jobs", "2")],
)
def test_functions_check_as_estimators_do(name, value):
    calls = [lambda: probe_path(X, Y, [1.0], **{name: value})]
    if name in ("fit_intercept", "n_jobs"):
        calls.append(lambda: tl.ridge_path(X, Y, [1.0], **{name: value}))
    for call in calls:
        with pytest.raises(InputError, match=f"^{name}="):
            call()


def test_the_value_and_the_way_out_are_shown():
    with pytest.raises(InputError, match=r"C=\[1, 2\]; it must be one number.*\nhint: .*CV"):
        check_parameters(tl.LinearProbe(C=[1, 2]))
    with pytest.raises(InputError, match=r"alpha='1'.*\nhint: pass numbers"):
        check_positive("alpha", "1")
    long = "x" * 10_000
    with pytest.raises(InputError) as caught:
        check_parameters(tl.LinearProbe(C=long))
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("cv", ["5", b"5", True, 2.5, object()], ids=lambda cv: type(cv).__name__)
@pytest.mark.parametrize("probe", [tl.LinearProbeCV, tl.LinearSVMProbeCV, tl.RidgeProbeCV, tl.RidgeRegressor])
def test_folds_that_are_none_are_refused_by_name(probe, cv):
    """A text has a method split(), as a splitter has."""
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    with pytest.raises(InputError, match=f"^cv={re.escape(repr(cv))} .*{type(cv).__name__}") as told:
        probe(cv=cv).fit(X, y)
    assert "a number (5), a splitter" in told.value.hint
    with pytest.raises(InputError, match=r"^folds="):
        tl.probe_path(X, y, folds=cv)
