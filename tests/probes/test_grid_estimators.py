"""Any classifier in a grid gives what it gives when it is fitted by hand."""

import json
import warnings
from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from tlengine.errors import InputError, RunFormatError, UnknownNameError
from tlengine.probes import (
    KNeighborsProbe,
    LinearProbe,
    LinearSVMProbe,
    LinearSVMProbeCV,
    NearestCentroidProbe,
    PreValProbe,
    RidgeProbeCV,
    grid_probes,
    probe_grid,
)
from tlengine.probes.grid_jobs import Draws, Key

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 6)).astype(np.float32)
Y = np.array(["no", "yes", "perhaps"])[
    (X[:, 0] + 0.3 * RNG.normal(size=160) > 0).astype(int) + (X[:, 1] > 0.5)
]
CODES = np.unique(Y, return_inverse=True)[1]
OPTIONS = {"seeds": [2], "progress": False}


def the_job(seed=2, budget="all"):
    (job,) = Draws("y", CODES, None, 0.25).jobs([Key("X", "y", seed, budget)])
    return job


PROBES = {
    "ridge": RidgeProbeCV(),
    "preval": PreValProbe(),
    "svm": LinearSVMProbeCV(),
    "knn": KNeighborsProbe(),
    "centroid": NearestCentroidProbe(),
    "svm-instance": LinearSVMProbe(C=0.1),
    "forest": RandomForestClassifier(5, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "hinge": LinearSVC(),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_record_equals_the_estimator(name):
    named = name in grid_probes.NAMES
    (record,) = probe_grid(X, Y, probe=name if named else PROBES[name], **OPTIONS).records
    job = the_job()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = PROBES[name].fit(X[job.rows], Y[job.rows])
    assert record["accuracy"] == fitted.score(X[job.test], Y[job.test])
    if hasattr(fitted, "predict_proba"):
        loss = log_loss(Y[job.test], np.maximum(fitted.predict_proba(X[job.test]), 1e-15))
        assert record["log_loss"] == pytest.approx(loss, rel=1e-5)
    assert ("log_loss" in record) is hasattr(fitted, "predict_proba")
    assert list(record)[:6] == ["features", "target", "seed", "budget", "n_train", "n_test"]


def test_what_was_chosen_is_in_the_record():
    def kept(probe, *columns):
        (record,) = probe_grid(X, Y, probe=probe, **OPTIONS).records
        return [record.get(column) for column in columns]

    job = the_job()
    rows = X[job.rows], Y[job.rows]
    assert kept("ridge", "alpha") == [RidgeProbeCV().fit(*rows).alpha_]
    assert kept("preval", "alpha") == [PreValProbe().fit(*rows).alpha_]
    assert kept(LinearProbe(C=0.3), "C", "converged", "alpha") == [0.3, True, None]
    assert kept(KNeighborsProbe(k=7), "k") == [7]
    assert kept(GaussianNB(), "C", "alpha", "k", "converged") == [None] * 4
    assert kept(
        LogisticRegressionCV(Cs=[0.1], l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=False), "C"
    ) == [0.1]
    assert kept(GridSearchCV(LinearProbe(), {"C": [0.1]}), "C") == [0.1]


def test_the_estimator_itself_stays_unfitted():
    probe = RidgeProbeCV()
    probe_grid(X, Y, probe=probe, **OPTIONS)
    assert not hasattr(probe, "coef_")


def test_groups_reach_a_probe_that_takes_them():
    class Watched(RidgeProbeCV):
        seen: ClassVar[list[int | None]] = []

        def fit(self, X, y, sample_weight=None, groups=None):
            self.seen.append(None if groups is None else len(np.unique(groups)))
            return super().fit(X, y, groups=groups)

    probe_grid(X, Y, probe=Watched(), **OPTIONS)
    probe_grid(X, Y, probe=Watched(), groups=np.arange(160) // 4, **OPTIONS)
    assert Watched.seen[0] is None
    assert 25 <= Watched.seen[1] <= 31


def test_warnings_of_fits_are_said_once():
    probe = LogisticRegression(max_iter=1)
    with pytest.warns(ConvergenceWarning, match="6 warnings of fits; first at features 'X'") as told:
        probe_grid(X, Y, probe=probe, seeds=3, budgets=[10, "all"], progress=False)
    assert len(told) == 1


class Failing(ClassifierMixin, BaseEstimator):
    """Fits as often as it may, then fails."""

    fits = 3

    def fit(self, X, y):
        if Failing.fits == 0:
            raise KeyboardInterrupt
        Failing.fits -= 1
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_a_grid_of_estimators_is_resumed_job_by_job(tmp_path):
    file = tmp_path / "grid.jsonl"
    Failing.fits = 3
    with pytest.raises(KeyboardInterrupt):
        probe_grid(X, Y, probe=Failing(), seeds=5, resume=file, progress=False)
    assert len(file.read_text().splitlines()) == 1 + 3
    Failing.fits = 2
    found = probe_grid(X, Y, probe=Failing(), seeds=5, resume=file, progress=False)
    assert len(found.records) == 5


@pytest.mark.parametrize("other", [RidgeProbeCV(alphas=[1.0]), "preval", "logistic", GaussianNB()])
def test_another_probe_is_another_file(tmp_path, other):
    file = tmp_path / "grid.jsonl"
    first = probe_grid(X, Y, probe="ridge", resume=file, **OPTIONS).records
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(X, Y, probe=other, resume=file, **OPTIONS)
    assert probe_grid(X, Y, probe=RidgeProbeCV(), resume=file, **OPTIONS).records == first
    assert json.loads(file.read_text().splitlines()[0])["layout"] == 4


def test_a_probe_that_nobody_can_know_again_is_not_resumed(tmp_path):
    probe = make_pipeline(FunctionTransformer(lambda X: X), GaussianNB())
    with pytest.raises(InputError, match=r"probe, steps.* is a function, which a later call cannot know"):
        probe_grid(X, Y, probe=probe, resume=tmp_path / "g", **OPTIONS)
    assert not (tmp_path / "g").exists()
    assert len(probe_grid(X, Y, probe=probe, **OPTIONS).records) == 1


def test_a_fit_that_fails_says_where():
    class Picky(Failing):
        def fit(self, X, y):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        probe_grid(X, Y, probe=Picky(), **OPTIONS)
    assert caught.value.__notes__ == ["at features 'X', target 'y', seed 2, budget all"]


def test_answers_of_another_shape_are_refused():
    class Column(Failing):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.full((len(X), 1), self.classes_[0])

    with pytest.raises(InputError, match=r"predict has shape \(40, 1\), expected \(40,\)"):
        probe_grid(X, Y, probe=Column(), **OPTIONS)


def test_threads_do_not_matter():
    found = [
        probe_grid(X, Y, probe="preval", seeds=2, n_jobs=jobs, progress=False).records for jobs in (1, 3)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("probe", "error", "match"),
    [
        ("forest", UnknownNameError, "forest"),
        (None, InputError, "probe is None, neither a name nor an estimator"),
        (3, InputError, "probe is 3"),
        (GaussianNB, InputError, "probe is the class GaussianNB"),
        (StandardScaler(), InputError, "neither a name nor an estimator"),
    ],
)
def test_what_is_no_probe_is_refused(probe, error, match):
    with pytest.raises(error, match=match):
        probe_grid(X, Y, probe=probe, **OPTIONS)


@pytest.mark.parametrize("name", ["Cs", "cv", "patience", "tol", "max_iter"])
def test_settings_of_the_logistic_probe_are_refused_beside_another(name):
    value = {"Cs": [1.0], "cv": 3, "patience": None, "tol": 1e-2, "max_iter": 9}[name]
    with pytest.raises(InputError, match=rf"{name}=.* is of the logistic probe, the probe is RidgeProbeCV"):
        probe_grid(X, Y, probe="ridge", **{name: value}, **OPTIONS)


def test_a_plugin_probe_is_known_by_its_name(monkeypatch):
    from tlengine.plugins import ProbeSpec, registry

    monkeypatch.setattr(registry, "resolve_probe", lambda name: ProbeSpec(name=name, estimator=GaussianNB))
    (record,) = probe_grid(X, Y, probe="bayes", **OPTIONS).records
    assert record == probe_grid(X, Y, probe=GaussianNB(), **OPTIONS).records[0]
