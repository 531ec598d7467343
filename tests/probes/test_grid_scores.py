"""Any of scikit-learn's scorers judges the probes of a grid; one that cannot leaves NaN and says why."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import f1_score, get_scorer, make_scorer
from sklearn.neighbors import NearestCentroid

from tlengine.errors import InputError, RunFormatError, ScoringWarning, UnknownNameError
from tlengine.probes import LinearProbe, grid_logistic, probe_grid
from tlengine.probes.grid_jobs import Draws, Key
from tlengine.probes.grid_scores import RESERVED, check_scorings

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 6)).astype(np.float32)
Y = np.array(["no", "yes", "perhaps"])[(X[:, 0] + RNG.normal(size=160) > 0).astype(int) + (X[:, 1] > 0.5)]
TWO = (X[:, 2] + RNG.normal(size=160) > 0).astype(int)
TAGS = np.stack([TWO, X[:, 3] > 0.4, X[:, 4] > 0], axis=1).astype(int)
OPTIONS = {"seeds": [2], "Cs": [0.1], "cv": None, "progress": False}
NAMES = ["f1_macro", "balanced_accuracy", "roc_auc_ovr", "neg_log_loss", "accuracy", "top_k_accuracy"]


def fitted(y, probe):
    codes = y.astype(bool) if y.ndim == 2 else np.unique(y, return_inverse=True)[1]
    (job,) = Draws("y", codes, None, 0.25).jobs([Key("X", "y", 2, "all")])
    return probe.fit(X[job.rows], y[job.rows]), X[job.test], y[job.test]


@pytest.mark.parametrize("probe", ["logistic", LinearProbe(0.1, tol=1e-4)], ids=["core", "estimator"])
@pytest.mark.parametrize(
    ("y", "names"),
    [
        (Y, NAMES),
        (TWO, ["roc_auc", "f1", "average_precision"]),
        (TAGS, ["roc_auc", "f1_macro", "jaccard_macro"]),
    ],
    ids=["classes", "two", "labels"],
)
def test_each_scorer_is_a_column_with_what_it_says_of_a_fitted_probe(probe, y, names):
    options = OPTIONS if probe == "logistic" else {"seeds": [2], "progress": False}
    (record,) = probe_grid(X, y, probe=probe, scoring=names, **options).records
    rival = fitted(y, LinearProbe(0.1, tol=1e-4))
    for name in names:
        assert record[name] == pytest.approx(get_scorer(name)(*rival), rel=1e-4), name
    assert "accuracy" in record
    assert record["log_loss"] > 0, "what a grid counts by itself stays beside what it is asked for"


def test_every_c_is_scored():
    found = probe_grid(X, Y, scoring="f1_macro", **OPTIONS | {"Cs": [1e-4, 1e-2, 1.0]}).records
    scores = [get_scorer("f1_macro")(*fitted(Y, LinearProbe(C, tol=1e-4))) for C in (1e-4, 1e-2, 1.0)]
    assert [record["f1_macro"] for record in found] == pytest.approx(scores, rel=1e-4)


def test_a_scorer_of_the_users():
    def width(estimator, X, y):
        return X.shape[1]

    (record,) = probe_grid(X, Y, scoring={"width": width, "macro": "f1_macro"}, **OPTIONS).records
    assert record["width"] == 6.0
    assert list(record)[-4:] == ["log_loss", "width", "macro", "converged"]


@pytest.mark.parametrize("probe", ["logistic", "centroid"])
def test_a_scorer_that_cannot_be_computed_is_nan_with_one_warning(probe):
    options = OPTIONS if probe == "logistic" else {"seeds": [2], "progress": False}
    parts = (np.arange(100), 100 + np.flatnonzero(TWO[100:] == 1))
    with pytest.warns(
        ScoringWarning, match="scoring 'roc_auc' is NaN in 1 records; first at features"
    ) as told:
        (record,) = probe_grid(
            X, TWO, probe=probe, split=parts, scoring=["roc_auc", "accuracy"], **options
        ).records
    assert len(told) == 1
    assert math.isnan(record["roc_auc"])
    assert 0 < record["accuracy"] <= 1


def test_a_scorer_of_two_classes_fails_for_three_and_works_beside():
    with pytest.warns(
        ScoringWarning, match=r"'f1' is NaN in 2 records; first .*target 'three'.*average"
    ) as told:
        found = probe_grid(X, {"three": Y, "two": TWO}, scoring="f1", **OPTIONS | {"seeds": 2}).records
    assert len(told) == 1
    assert [math.isnan(record["f1"]) for record in found] == [True, True, False, False]


def test_nan_survives_the_file(tmp_path):
    options = {**OPTIONS, "scoring": "f1", "resume": tmp_path / "g"}
    for _ in range(2):
        with pytest.warns(ScoringWarning, match="'f1' is NaN in 1 records"):
            (record,) = probe_grid(X, Y, **options).records
        assert math.isnan(record["f1"])


@pytest.mark.parametrize(("predictions", "scoring"), [(False, "f1_macro"), (True, "f1_macro"), (False, None)])
def test_test_rows_are_multiplied_once(monkeypatch, predictions, scoring):
    logits, calls = grid_logistic._core.solution_logits, []
    monkeypatch.setattr(grid_logistic._core, "solution_logits", lambda *a: calls.append(1) or logits(*a))
    probe_grid(X, Y, scoring=scoring, **OPTIONS | {"predictions": predictions})
    assert len(calls) == 1


def test_ctrl_c_while_a_scorer_works_loses_nothing_that_is_solved():
    kept, calls = [], []

    def slow(estimator, X, y):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.5

    with pytest.raises(KeyboardInterrupt):
        probe_grid(X, Y, scoring={"slow": slow}, callback=kept.append, **OPTIONS | {"seeds": 3})
    assert [record["slow"] for record in kept] == [0.5] * 3


def test_another_scorer_is_another_file(tmp_path):
    options = {**OPTIONS, "resume": tmp_path / "g"}
    first = probe_grid(X, Y, scoring=["f1_macro"], **options).records
    assert probe_grid(X, Y, scoring="f1_macro", **options).records == first
    for other in (None, "accuracy", {"f1_macro": make_scorer(f1_score, average="micro")}):
        with pytest.raises(RunFormatError, match="other data or settings"):
            probe_grid(X, Y, scoring=other, **options)


def test_a_function_is_not_resumed(tmp_path):
    with pytest.raises(InputError, match="scoring 'mine' is a function, which a later call cannot know"):
        probe_grid(X, Y, scoring={"mine": lambda e, X, y: 1.0}, resume=tmp_path / "g", **OPTIONS)


@pytest.mark.parametrize(
    ("scoring", "error", "match"),
    [
        ("macro_f1", UnknownNameError, "macro_f1"),
        ([], InputError, "scoring is empty"),
        ({}, InputError, "scoring is empty"),
        (3, InputError, "neither a name nor a callable"),
        ([None], InputError, "scoring holds None"),
        (["accuracy", "accuracy"], InputError, "two scorers have the name 'accuracy'"),
        ({"C": "accuracy"}, InputError, "another column of the records has the name 'C'"),
        ({"mine": 3}, InputError, "neither a name nor a callable"),
    ],
)
def test_what_is_no_scorer_is_refused(scoring, error, match):
    with pytest.raises(error, match=match):
        probe_grid(X, Y, scoring=scoring, **OPTIONS)


def test_reserved_names_are_those_of_the_records():
    (record,) = probe_grid(X, Y, **OPTIONS).records
    assert set(record) - {"accuracy", "log_loss"} <= set(RESERVED)
    assert check_scorings(None) is None


@pytest.mark.parametrize("probe", ["logistic", "ridge"])
def test_own_scores_stand_beside_and_one_of_their_name_is_the_users(probe):
    """Scikit-learn's accuracy of several labels is that of whole rows; ours is that of a label."""
    options = OPTIONS if probe == "logistic" else {"seeds": [2], "progress": False}
    plain = probe_grid(X, TAGS, probe=probe, **options).records[0]
    asked = probe_grid(X, TAGS, probe=probe, scoring="f1_macro", **options).records[0]
    assert {name: asked[name] for name in plain} == plain
    assert (
        probe_grid(X, TAGS, probe=probe, scoring="accuracy", **options).records[0]["accuracy"]
        < plain["accuracy"]
    )


def test_what_has_no_classes_is_judged_by_its_scorers_alone():
    options = {"seeds": [2], "progress": False}
    (record,) = probe_grid(X, TWO, probe=LinearRegression(), scoring="r2", **options).records
    rival = fitted(TWO, LinearRegression())
    assert record["r2"] == pytest.approx(rival[0].score(*rival[1:]))
    assert "accuracy" not in record
    with pytest.raises(InputError, match="has no classes_"):
        probe_grid(X, TWO, probe=LinearRegression(), **options)


class Shares(NearestCentroid):
    """A classifier of the user's, whose probabilities are none."""

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1.0)


class Raising(Shares):
    def predict_proba(self, X):
        raise RuntimeError("no probabilities today\nmore")


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (Shares, "InputError: .*predict_proba has a row that adds up to 3, not 1"),
        (Raising, "no probabilities"),
    ],
)
def test_probabilities_that_fail_end_no_grid_that_asked_for_a_scorer_alone(tmp_path, probe, reason):
    options = {"probe": probe(), "seeds": 2, "progress": False}
    for _ in range(2):  # from the file, the second time
        with pytest.warns(
            ScoringWarning,
            match=f"log-loss of {probe.__name__} are NaN in 2 records; first at .*seed 0.*{reason}",
        ) as told:
            found = probe_grid(X, Y, scoring="f1_macro", resume=tmp_path / "g", **options).records
        assert len(told) == 1
        assert "more" not in str(told[0].message)
        for record in found:
            assert math.isnan(record["accuracy"])
            assert math.isnan(record["log_loss"])
    (record,) = probe_grid(
        X, Y, probe=NearestCentroid(), scoring="f1_macro", seeds=[1], progress=False
    ).records
    assert found[1]["f1_macro"] == record["f1_macro"]
    for asked in ({}, {"scoring": "f1_macro", "predictions": True}):
        with pytest.raises((InputError, RuntimeError), match=reason.split("has")[-1]):
            probe_grid(X, Y, **options, **asked)
