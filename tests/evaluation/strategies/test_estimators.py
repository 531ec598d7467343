"""Classifiers of scikit-learn as strategies."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.evaluation.machinery import clouds, roles_of
from tlengine.errors import InputError
from tlengine.evaluation.identity import identity_of
from tlengine.evaluation.strategies import CentroidStrategy, EstimatorStrategy
from tlengine.plugins import ProbeSpec, as_probe_spec
from tlengine.plugins.contracts import Roles
from tlengine.probes import NearestCentroidProbe
from tlengine.testing import ArrayView


class Reversed(ClassifierMixin, BaseEstimator):
    """One that numbers its classes from the last to the first."""

    def fit(self, X: Any, y: Any) -> "Reversed":
        self.inside = LinearDiscriminantAnalysis().fit(X, y)
        self.classes_ = self.inside.classes_[::-1]
        return self

    def predict(self, X: Any) -> Any:
        return self.inside.predict(X)

    def predict_proba(self, X: Any) -> Any:
        return self.inside.predict_proba(X)[:, ::-1]


def with_estimator(thing: Any, X: np.ndarray, codes: np.ndarray, roles: Roles) -> tuple[Any, ArrayView]:
    view = ArrayView(X, codes, roles)
    return EstimatorStrategy(as_probe_spec(thing)).fit(view, roles, seed=0), view


FORMS = {
    "forest": (RandomForestClassifier, RandomForestClassifier(), lambda: RandomForestClassifier()),
    "no probabilities": (LinearSVC, LinearSVC(), lambda **options: LinearSVC(**options)),
    "decisions": (RidgeClassifier, RidgeClassifier(), RidgeClassifier),
    "pipeline": (
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
        lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
        lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
    ),
    "order": (Reversed, LinearDiscriminantAnalysis(), LinearDiscriminantAnalysis),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_class_instance_and_callable_give_the_same_numbers(form: str, classes: int) -> None:
    X, codes = clouds(90, 6, classes)
    roles = roles_of(60, 90)
    first, *others = (with_estimator(thing, X, codes, roles) for thing in FORMS[form])
    expected = first[0].scores(first[1], roles.test)
    assert (expected.argmax(1) == codes[60:]).mean() > 0.6
    for found, view in others:
        assert found.kind == first[0].kind == "logits"
        assert np.array_equal(found.scores(view, roles.test), expected)
        assert np.array_equal(found.held_out, first[0].held_out)


@pytest.mark.parametrize("thing", [RandomForestClassifier, RidgeClassifier, LinearDiscriminantAnalysis])
def test_where_nothing_is_held_out_an_estimator_answers_more_than_class_0(thing: Any) -> None:
    X, codes = clouds(93, 8, 3, apart=3.0)
    roles = Roles(train=np.arange(9), test=np.arange(9, 93))
    found, view = with_estimator(thing, X, codes, roles)
    assert found.held_out is None
    answers = found.scores(view, roles.test).argmax(1)
    assert set(answers.tolist()) == {0, 1, 2}
    assert (answers == codes[9:]).mean() > 0.6


class Votes(ClassifierMixin, BaseEstimator):
    """Answers, and says no more."""

    def fit(self, X: Any, y: Any) -> "Votes":
        self.inside = LinearDiscriminantAnalysis().fit(X, y)
        self.classes_ = self.inside.classes_
        return self

    def predict(self, X: Any) -> Any:
        return self.inside.predict(X)


def test_an_estimator_that_only_answers_gives_votes() -> None:
    X, codes = clouds(90, 6, 3)
    roles = roles_of(60, 90)
    found, view = with_estimator(Votes, X, codes, roles)
    assert found.kind == "votes"
    scores = found.scores(view, roles.test)
    assert np.array_equal(
        scores, np.eye(3)[LinearDiscriminantAnalysis().fit(X[:60], codes[:60]).predict(X[60:])]
    )


class Shares(ClassifierMixin, BaseEstimator):
    """Probabilities that a function spoils."""

    def __init__(self, spoil: Any = None) -> None:
        self.spoil = spoil

    def fit(self, X: Any, y: Any) -> "Shares":
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[np.zeros(len(X), int)]

    def predict_proba(self, X: Any) -> Any:
        return self.spoil(np.full((len(X), len(self.classes_)), 1 / len(self.classes_)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: p * np.nan, "NaN or infinity"),
        (lambda p: p[:, 1:], r"shape \(\d+, 2\), expected"),
        (lambda p: p[:-1], "expected"),
        (lambda p: p * 3, "adds up to 3"),
        (lambda p: "none", "no array of numbers"),
    ],
)
def test_bad_probabilities_are_refused_in_words(spoil: Any, says: str) -> None:
    X, codes = clouds(60, 4, 3)
    with pytest.raises(InputError, match=says):
        with_estimator(Shares(spoil), X, codes, roles_of(40, 60))


def test_what_is_left_to_chance_is_drawn_the_same_each_time() -> None:
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))
    strategy = EstimatorStrategy(as_probe_spec(("forest", forest)))
    made = strategy.make()
    assert made.get_params()["randomforestclassifier__random_state"] == 0
    assert EstimatorStrategy(as_probe_spec(RandomForestClassifier(random_state=7))).make().random_state == 7
    assert forest.get_params()["randomforestclassifier__random_state"] is None, (
        "the user's own stays as it is"
    )


def test_settings_of_an_estimator_tell_all_that_counts() -> None:
    def told(**facts: Any) -> Any:
        spec = ProbeSpec(**{"name": "x", "estimator": LinearDiscriminantAnalysis, **facts})
        return identity_of(EstimatorStrategy(spec))

    assert told() == told()
    assert told(candidates=[{"shrinkage": 0.1}]) != told(candidates=[{"shrinkage": 0.1}, {"shrinkage": 0.2}])
    scaled = [lambda n, d, scale, by=by: [{"tol": by}, {"tol": by / scale}] for by in (1.0, 2.0)]
    assert told(candidates=scaled[0]) != told(candidates=scaled[1])
    assert told(estimator=Shares) != told()
    assert told(estimator=lambda: LinearDiscriminantAnalysis(tol=1.0)) != told()


def test_groups_stay_whole_in_the_folds_of_an_estimator() -> None:
    seen_groups = []

    class Grouped(Votes):
        def fit(self, X: Any, y: Any, groups: Any = None) -> "Grouped":
            seen_groups.append(groups)
            super().fit(X, y)
            return self

    X, codes = clouds(60, 4, 3)
    roles = roles_of(40, 60)
    view = ArrayView(X, codes, roles)
    view.units = np.arange(60) // 2
    EstimatorStrategy(as_probe_spec(("grouped", lambda: Grouped()))).fit(view, roles, seed=0)
    rows = [rows for rows, _ in roles.inner] + [roles.train]
    assert [g.tolist() for g in seen_groups] == [view.units[r].tolist() for r in rows]


def forest(**options: Any) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=5, **options)


def test_only_what_is_kept_is_weighed() -> None:
    """The attributes of a forest that are arrays are its classes; its trees lie elsewhere."""
    X, codes = clouds(60)
    roles = roles_of(45, 60)
    view = ArrayView(X, codes, roles)

    def saved(nb: GaussianNB) -> Any:
        return {"theta": nb.theta_.astype(np.float64), "var": nb.var_.astype(np.float32)}, {}

    def broken(nb: GaussianNB) -> Any:
        raise SystemExit("no licence")

    def weigh(**options: Any) -> Any:
        return EstimatorStrategy(ProbeSpec(**options)).fit(view, roles, seed=0).nbytes

    k, d = len(np.unique(codes[roles.train])), X.shape[1]
    assert weigh(name="forest", estimator=forest) is None
    assert weigh(name="nb", estimator=GaussianNB) is None
    assert weigh(name="nb", estimator=GaussianNB, save=saved, load=dict) == k * d * 8 + k * d * 4
    assert weigh(name="nb", estimator=GaussianNB, save=broken, load=dict) is None
    assert weigh(name="own", estimator=NearestCentroidProbe) == k * d * 8
    assert CentroidStrategy().fit(view, roles, seed=0).nbytes == k * d * 8
