"""Weights of rows and classes in a grid are those of the estimators, in fits, choice and scores."""

import itertools

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlengine.errors import InputError, NonFiniteError, RunFormatError
from tlengine.probes import LinearProbe, LinearProbeCV, RidgeProbeCV, probe_grid
from tlengine.probes.grid_identity import identity_of
from tlengine.probes.grid_jobs import Draws, Key

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 6)).astype(np.float32)
Y = np.array(["a", "b", "c"])[(X[:, 0] + RNG.normal(size=160) > 0.8).astype(int) + (X[:, 1] > 1)]
TAGS = np.stack([X[:, 0] > 0, X[:, 1] + RNG.normal(size=160) > 0.4], axis=1).astype(int)
WEIGHT = RNG.choice([0.2, 1.0, 5.0], size=160)
OPTIONS = {"seeds": [2], "progress": False}
LOGISTIC = OPTIONS | {"Cs": [0.1], "cv": None, "tol": 1e-8}
pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


def the_job(y=Y, cv=None):
    codes = y.astype(bool) if y.ndim == 2 else np.unique(y, return_inverse=True)[1]
    (job,) = Draws("y", codes, cv, 0.25).jobs([Key("X", "y", 2, "all")])
    return job


@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 1, "b": 3, "c": 10}])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_record_is_scikit_learns(class_weight, weight):
    (record,) = probe_grid(X, Y, sample_weight=weight, class_weight=class_weight, **LOGISTIC).records
    job, counted = the_job(), np.ones(160) if weight is None else weight
    rival = LogisticRegression(C=0.1, class_weight=class_weight, tol=1e-10, max_iter=10_000)
    if weight is not None and class_weight == "balanced":
        # Here a class counts by its weight, as in LinearProbe.
        rival = LinearProbe(0.1, class_weight="balanced", tol=1e-8)
    rival.fit(X[job.rows], Y[job.rows], counted[job.rows])
    proba, test = rival.predict_proba(X[job.test]), counted[job.test]
    assert record["accuracy"] == pytest.approx(rival.score(X[job.test], Y[job.test], test))
    assert record["log_loss"] == pytest.approx(log_loss(Y[job.test], proba, sample_weight=test), rel=1e-4)


def test_weights_change_the_choice_as_in_the_estimator():
    """C by held-out rows with their weights, classes weighed within each fold: each alone lowers C."""
    cs, classes = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0], {"a": 1, "b": 3, "c": 10}
    job = the_job(cv=5)
    pairs = [(np.flatnonzero(job.folds != f), np.flatnonzero(job.folds == f)) for f in range(5)]
    chosen = {}
    for weight, class_weight in itertools.product((None, WEIGHT), (None, classes)):
        options = {"class_weight": class_weight, "patience": None, "tol": 1e-6}
        (record,) = probe_grid(X, Y, Cs=cs, cv=5, sample_weight=weight, **options, **OPTIONS).records
        counted = np.ones(160) if weight is None else weight
        own = LinearProbeCV(cs, cv=pairs, **options).fit(X[job.rows], Y[job.rows], counted[job.rows])
        assert record["C"] == own.C_
        assert record["accuracy"] == pytest.approx(own.score(X[job.test], Y[job.test], counted[job.test]))
        chosen[weight is not None, class_weight is not None] = record["C"]
    assert chosen[True, True] < chosen[True, False] < chosen[False, False]
    assert chosen[True, True] < chosen[False, True] < chosen[False, False]


def test_held_out_rows_count_by_their_weight():
    """Rows of noise labels hold C down; where they count next to nothing, a larger C is chosen."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 5))
    y = (X[:, 0] > 0).astype(int)
    noise = np.arange(300) % 2 == 0
    y[noise] = rng.integers(0, 2, noise.sum())
    cs, options = [1e-2, 1e-1, 1.0, 10.0], OPTIONS | {"patience": None}
    loud, quiet = (
        probe_grid(X, y, Cs=cs, sample_weight=np.where(noise, w, 1.0), **options).records[0]
        for w in (1.0, 1e-6)
    )
    assert quiet["C"] > loud["C"]
    assert quiet["accuracy"] > 0.95 > loud["accuracy"]


@pytest.mark.parametrize("probe", ["logistic", "ridge"])
def test_several_labels_and_scorers_are_weighted(probe):
    options = LOGISTIC if probe == "logistic" else OPTIONS
    (record,) = probe_grid(X, TAGS, probe=probe, sample_weight=WEIGHT, scoring="f1_macro", **options).records
    job = the_job(TAGS)
    rival = LinearProbe(0.1, tol=1e-8) if probe == "logistic" else RidgeProbeCV()
    said = rival.fit(X[job.rows], TAGS[job.rows], WEIGHT[job.rows]).predict(X[job.test])
    truth, weight = TAGS[job.test], WEIGHT[job.test]
    right = np.average((said == truth).mean(axis=1), weights=weight)
    assert record["accuracy"] == pytest.approx(right)
    assert record["f1_macro"] == pytest.approx(f1_score(truth, said, average="macro", sample_weight=weight))


@pytest.mark.parametrize(
    "probe",
    [
        LogisticRegression(C=0.1),
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
        GridSearchCV(LogisticRegression(), {"C": [0.1]}),
    ],
    ids=["estimator", "pipeline", "search"],
)
def test_any_estimator_that_takes_weights_gets_them(probe):
    (record,) = probe_grid(X, Y, probe=probe, sample_weight=WEIGHT, **OPTIONS).records
    job, name = the_job(), "sample_weight"
    name = f"logisticregression__{name}" if hasattr(probe, "steps") else name
    fitted = probe.fit(X[job.rows], Y[job.rows], **{name: WEIGHT[job.rows]})
    proba, truth, test = fitted.predict_proba(X[job.test]), Y[job.test], WEIGHT[job.test]
    assert record["accuracy"] == pytest.approx(
        accuracy_score(truth, fitted.predict(X[job.test]), sample_weight=test)
    )
    assert record["log_loss"] == pytest.approx(log_loss(truth, proba, sample_weight=test), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"sample_weight": np.where(np.arange(160) == 7, 0, WEIGHT)}, InputError, "0 at row 7"),
        ({"sample_weight": np.where(np.arange(160) == 7, np.nan, WEIGHT)}, NonFiniteError, "row 7"),
        ({"sample_weight": WEIGHT[:-1]}, ValueError, "sample_weight.shape"),
        ({"sample_weight": -WEIGHT}, ValueError, "Negative"),
        ({"sample_weight": WEIGHT, "probe": "preval"}, InputError, "PreValProbe takes no sample_weight"),
        ({"sample_weight": WEIGHT, "probe": KNeighborsClassifier()}, InputError, "takes no sample_weight"),
        ({"class_weight": "even"}, InputError, "class_weight='even'"),
        ({"class_weight": {"d": 2.0}}, InputError, "class_weight names 'd'"),
        ({"class_weight": "balanced", "probe": "ridge"}, InputError, "of the logistic probe"),
        ({"class_weight": "balanced", "targets": TAGS}, InputError, "class_weight with a column per label"),
    ],
)
def test_what_cannot_be_weighted_is_refused_before_anything_is_fitted(options, error, match):
    options = {"targets": Y, **options}
    with pytest.raises(error, match=match):
        probe_grid(X, **options, **OPTIONS)


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_a_search_over_a_pipeline_is_told_the_ways_to_weights_and_both_work(search):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    more = {"n_iter": 1} if search is RandomizedSearchCV else {}
    options = {"sample_weight": WEIGHT, **OPTIONS}
    with pytest.raises(InputError, match=f"{search.__name__} takes no sample_weight") as caught:
        probe_grid(X, Y, probe=search(pipeline, {"logisticregression__C": [0.1]}, **more), **options)
    assert f"make_pipeline(..., {search.__name__}(LogisticRegression(), ...))" in caught.value.hint
    assert "set_fit_request and set_score_request(sample_weight=True)" in caught.value.hint
    inside = make_pipeline(StandardScaler(), search(LogisticRegression(), {"C": [0.1]}, **more))
    (record,) = probe_grid(X, Y, probe=inside, **options).records
    with config_context(enable_metadata_routing=True):
        last = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = search(make_pipeline(scaler, last), {"logisticregression__C": [0.1]}, **more)
        (other,) = probe_grid(X, Y, probe=routed, **options).records
    assert other["log_loss"] == pytest.approx(record["log_loss"], rel=1e-6)


def test_class_weights_are_known_again_in_any_order_and_by_the_type_of_their_labels(tmp_path):
    codes = np.unique(Y, return_inverse=True)[1]
    for number, y in enumerate((Y, codes)):
        weights = {label.item(): i + 1.0 for i, label in enumerate(np.unique(y))}
        turned = dict(reversed(weights.items()))
        options = LOGISTIC | {"resume": tmp_path / f"{number}"}
        first = probe_grid(X, y, class_weight=weights, **options).records
        assert probe_grid(X, y, class_weight=turned, **options).records == first
    assert identity_of({1: 2.0}, "class_weight") != identity_of({"1": 2.0}, "class_weight")
    assert identity_of({np.int64(1): 2.0}, "class_weight") == identity_of({1: 2.0}, "class_weight")


def test_other_weights_are_another_file(tmp_path):
    options = LOGISTIC | {"resume": tmp_path / "g"}
    first = probe_grid(X, Y, sample_weight=WEIGHT, class_weight={"b": 2.0}, **options).records
    assert probe_grid(X, Y, sample_weight=WEIGHT, class_weight={"b": 2.0}, **options).records == first
    for other in (
        {},
        {"sample_weight": WEIGHT},
        {"sample_weight": WEIGHT + 1, "class_weight": {"b": 2.0}},
        {"sample_weight": WEIGHT, "class_weight": {"b": 3.0}},
    ):
        with pytest.raises(RunFormatError, match="other data or settings"):
            probe_grid(X, Y, **other, **options)
