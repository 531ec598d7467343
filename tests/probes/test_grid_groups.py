"""Folds of an estimator inside a grid part no rows of one group, or it is said that they do."""

import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlengine.errors import TlengineWarning
from tlengine.probes import LinearProbeCV, RidgeProbe, probe_grid
from tlengine.probes.grid_groups import groups_parameter

RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(40), 5)
X = np.repeat(RNG.normal(size=(40, 50)), 5, axis=0) + 0.01 * RNG.normal(size=(200, 50))
Y = np.repeat(RNG.integers(0, 2, 40), 5)
"""Labels that are a matter of the group alone: folds of whole groups know nothing of them."""
KEYS = np.repeat(np.arange(40, dtype=np.uint8), 5)[:, None] * np.ones(32, np.uint8)
CS = [1e-6, 10.0]
OPTIONS = {"seeds": [0], "progress": False}


def piped(*steps):
    return make_pipeline(StandardScaler(), *steps)


def fitted_c(probe, **columns):
    """The C that ``probe`` chooses inside a grid."""
    seen = []

    def look(estimator, X, y):
        while hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        seen.extend(getattr(estimator, "best_params_", {"C": getattr(estimator, "C_", None)}).values())
        return 0.0

    probe_grid(X, Y, probe=probe, scoring={"look": look}, **OPTIONS | columns)
    (found,) = seen
    return found


@pytest.mark.parametrize(
    "probe",
    [
        piped(LinearProbeCV(CS)),
        make_pipeline(StandardScaler(), piped(LinearProbeCV(CS))),
        GridSearchCV(
            piped(LogisticRegression()),
            {"logisticregression__C": CS},
            cv=GroupKFold(4),
            scoring="neg_log_loss",
        ),
        piped(GridSearchCV(LogisticRegression(), {"C": CS}, cv=GroupKFold(4), scoring="neg_log_loss")),
    ],
    ids=["pipeline", "nested", "search", "search-in-pipeline"],
)
def test_groups_reach_the_choice(probe):
    assert fitted_c(probe, groups=GROUPS) == 1e-6


def test_without_groups_the_choice_leaks():
    assert fitted_c(piped(LinearProbeCV(CS))) == 10.0


def test_rows_of_equal_content_reach_it_too():
    twins = np.repeat(X[::5], 5, axis=0)
    seen = []

    class Watched(LinearProbeCV):
        def fit(self, X, y, groups=None):
            seen.append(len(np.unique(groups)))
            return super().fit(X, y, groups=groups)

    probe_grid(twins, Y, probe=piped(Watched(CS)), **OPTIONS)
    assert 25 <= seen[0] <= 32


@pytest.mark.parametrize(
    ("asks", "name"), [(True, "groups"), (False, None)], ids=["requested", "not requested"]
)
def test_where_metadata_are_routed_the_requests_count(asks, name):
    with sklearn.config_context(enable_metadata_routing=True):
        probe = piped(LinearProbeCV(CS).set_fit_request(groups=asks))
        assert groups_parameter(probe) == name
        if asks:
            assert fitted_c(probe, groups=GROUPS) == 1e-6


@pytest.mark.parametrize(
    "probe",
    [
        GridSearchCV(RidgeProbe(), {"alpha": [1.0]}, cv=3),
        piped(GridSearchCV(RidgeProbe(), {"alpha": [1.0]}, cv=3)),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
    ],
    ids=["search", "search-in-pipeline", "calibrated"],
)
@pytest.mark.parametrize("columns", [{"groups": GROUPS}, {"keys": KEYS}], ids=["groups", "keys"])
def test_an_estimator_that_parts_groups_is_named_once(probe, columns):
    with pytest.warns(TlengineWarning, match="200 of 200 rows share a group.* cannot be told") as told:
        probe_grid(X, Y, probe=probe, **OPTIONS | {"seeds": 2} | columns)
    assert len(told) == 1
    assert type(probe).__name__ in str(told[0].message)
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    "probe", [RidgeProbe(), piped(LogisticRegression()), piped("passthrough", RidgeProbe())]
)
def test_a_probe_that_chooses_nothing_is_no_matter(probe):
    probe_grid(X, Y, probe=probe, groups=GROUPS, **OPTIONS)


def test_rows_that_share_nothing_are_no_matter():
    probe_grid(X, Y, probe=GridSearchCV(RidgeProbe(), {"alpha": [1.0]}, cv=3), **OPTIONS)
