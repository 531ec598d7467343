"""Scores of any classifier: placed by class, finite for what was fitted, refused where they cannot be so."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, LinearSVC

from tlengine.errors import InputError
from tlengine.probes.offered import LEAST_SHARE, offered_scores

ESTIMATORS = {
    "proba": (GaussianNB, "logits"),
    "forest": (lambda: RandomForestClassifier(5, random_state=0), "logits"),
    "decision": (LinearSVC, "logits"),
    "ridge": (RidgeClassifier, "logits"),
    "predict": (lambda: Centres(), "votes"),
}


class Centres(ClassifierMixin, BaseEstimator):
    """A classifier that can only predict."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.centres_ = np.array([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict(self, X):
        return self.classes_[((X[:, None] - self.centres_) ** 2).sum(axis=2).argmin(axis=1)]


def says(proba=None, decision=None, predict=None, classes=(0, 1, 2)):
    """A fitted classifier that gives fixed answers."""
    answers = {"predict_proba": proba, "decision_function": decision, "predict": predict}
    methods = {name: lambda X, found=found: found for name, found in answers.items() if found is not None}
    return SimpleNamespace(classes_=np.asarray(classes), **methods)


@pytest.mark.parametrize("kind", ESTIMATORS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), K=st.integers(2, 6), data=st.data())
def test_columns_are_placed_by_class_and_agree_with_predict(kind, seed, K, data):
    make, wanted = ESTIMATORS[kind]
    seen = data.draw(st.lists(st.integers(0, K - 1), min_size=2, max_size=K, unique=True))
    rng = np.random.default_rng(seed)
    codes = np.array([c for c in seen for _ in range(8)])
    X = rng.normal(size=(len(codes), 3)) + rng.normal(size=(K, 3))[codes]
    fitted = make().fit(X, codes)
    found, scores = offered_scores(fitted, X, np.unique(codes), K)
    unseen = np.setdiff1d(np.arange(K), seen)
    assert (found, scores.shape, scores.dtype) == (wanted, (len(X), K), np.float64)
    assert np.isfinite(scores[:, seen]).all()
    assert (scores[:, unseen] == (-np.inf if wanted == "logits" else 0)).all()
    assert np.array_equal(scores.argmax(axis=1), fitted.predict(X))
    if hasattr(fitted, "predict_proba"):
        naive = np.zeros((len(X), K))
        for column, c in enumerate(fitted.classes_):
            naive[:, c] = fitted.predict_proba(X)[:, column]
        np.testing.assert_allclose(np.exp(scores), naive, rtol=1e-12, atol=2 * LEAST_SHARE)


def test_probabilities_come_before_margins():
    """LDA has both; softmax of its scores is its own probabilities."""
    rng = np.random.default_rng(0)
    codes = np.arange(30) % 3
    X = rng.normal(size=(30, 2)) + codes[:, None]
    fitted = LinearDiscriminantAnalysis().fit(X, codes)
    _, scores = offered_scores(fitted, X, [0, 1, 2], 3)
    np.testing.assert_allclose(np.exp(scores), fitted.predict_proba(X), rtol=1e-12)


def test_the_least_probabilities_keep_what_they_say():
    """Far from the border LDA gives the other classes 1e-15 and less: with a floor there, no row would be
    surer than another, and a temperature would give all of them the same share."""
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    X = rng.normal(size=(90, 2)) + 15 * np.eye(3)[codes, :2]
    fitted = LinearDiscriminantAnalysis().fit(X, codes)
    assert (np.sort(fitted.predict_proba(X), axis=1)[:, :2] < 1e-15).all()
    _, scores = offered_scores(fitted, X, [0, 1, 2], 3)
    margins = fitted.decision_function(X)
    np.testing.assert_allclose(
        scores - scores.max(axis=1, keepdims=True), margins - margins.max(axis=1, keepdims=True), rtol=1e-6
    )


def test_a_probability_of_zero_is_no_more_than_the_least_of_its_row():
    _, scores = offered_scores(says(proba=[[1.0, 1e-40, 0.0]]), np.zeros((1, 1)), [0, 1, 2], 3)
    assert scores[0].tolist() == [0.0, np.log(1e-40), np.log(1e-40)]


def test_probabilities_of_single_precision_are_normalised():
    """Naive Bayes on many float32 columns loses what its exponents have before the point."""
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 5
    X = (100 * rng.normal(size=(200, 500)) + 30 * codes[:, None]).astype(np.float32)
    fitted = GaussianNB().fit(X, codes)
    _, scores = offered_scores(fitted, X, np.arange(5), 5)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-6)


def test_a_probability_of_zero_is_a_small_one():
    _, scores = offered_scores(says(proba=[[1.0, 0.0, 0.0]]), np.zeros((1, 1)), [0, 1, 2], 4)
    assert scores[0, :3].tolist() == [0.0, np.log(1e-15), np.log(1e-15)]
    assert scores[0, 3] == -np.inf


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_two_classes_share_a_column(shape):
    margin = np.array([-2.0, -0.5, 0.5, 3.0])
    fitted = says(decision=margin.reshape(shape), classes=[0, 2])
    kind, scores = offered_scores(fitted, np.zeros((4, 1)), [0, 2], 3)
    share = np.exp(scores[:, 2]) / np.exp(scores).sum(axis=1)
    np.testing.assert_allclose(share, 1 / (1 + np.exp(-margin)), rtol=1e-12)
    assert kind == "logits"


def test_classes_in_another_order_are_placed_by_their_number():
    fitted = says(proba=[[0.5, 0.3, 0.2]], classes=[2, 0, 1])
    _, scores = offered_scores(fitted, np.zeros((1, 1)), [0, 1, 2], 3)
    np.testing.assert_allclose(np.exp(scores), [[0.3, 0.2, 0.5]])


def test_probabilities_in_half_precision_are_normalised():
    shares = np.full((1, 3), 1 / 3, dtype=np.float16)
    _, scores = offered_scores(says(proba=shares), np.zeros((1, 1)), [0, 1, 2], 3)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-14)


NAN = [[np.nan, 0.5, 0.5]]
BROKEN = {
    "nan": (says(proba=NAN), "predict_proba has NaN or infinity in 1 of 1 rows, first row 0"),
    "infinite margin": (says(decision=[[1, np.inf, 0]]), "decision_function has NaN or infinity"),
    "too few columns": (says(proba=[[0.5, 0.5]]), r"shape \(1, 2\), expected \(1, 3\)"),
    "too many rows": (says(proba=np.full((2, 3), 1 / 3)), r"shape \(2, 3\), expected \(1, 3\)"),
    "one dimension": (says(proba=[0.2]), r"shape \(1,\)"),
    "sum": (says(proba=[[0.5, 0.5, 0.5]]), "a row that adds up to 1.5, not 1"),
    "zeros": (says(proba=[[0.0, 0.0, 0.0]]), "adds up to 0, not 1"),
    "negative": (says(proba=[[-0.5, 1.0, 0.5]]), "a probability of -0.5"),
    "text": (says(proba=[["a", "b", "c"]]), "no array of numbers"),
    "ragged": (says(proba=[[0.5], [0.1, 0.2]]), "no array of numbers"),
    "pairs": (says(decision=np.zeros((1, 6))), r"decision_function has shape \(1, 6\)"),
    "one margin": (says(decision=[0.5]), r"decision_function has shape \(1,\)"),
    "strange class": (says(predict=[7]), "predict answers 7, which is none of 0, 1, 2"),
    "nan class": (says(predict=[np.nan]), "predict answers nan"),
    "matrix of classes": (says(predict=[[1]]), r"predict has shape \(1, 1\)"),
    "no classes": (SimpleNamespace(predict=lambda X: [0]), "has no classes_ after fit"),
    "fewer classes": (says(predict=[0], classes=[0, 1]), "knows the classes 0, 1; it was fitted on 0, 1, 2"),
    "labels": (says(predict=["a"], classes=["a", "b", "c"]), "knows the classes a, b, c"),
    "several outputs": (
        SimpleNamespace(classes_=[np.arange(2), np.arange(3)], predict=lambda X: [0]),
        "knows the classes",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_right_is_refused_by_name(kind):
    fitted, message = BROKEN[kind]
    with pytest.raises(InputError, match=f"probe 'odd'.*{message}") as caught:
        offered_scores(fitted, np.zeros((1, 1)), [0, 1, 2], 3, name="odd")
    assert caught.value.hint


def test_a_regressor_is_no_probe():
    fitted = LinearRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(InputError, match="probe 'LinearRegression' has no classes_"):
        offered_scores(fitted, np.zeros((1, 1)), [0, 1], 2)


def test_pairs_of_classes_are_refused():
    codes = np.arange(40) % 4
    X = np.random.default_rng(0).normal(size=(40, 2))
    fitted = SVC(decision_function_shape="ovo").fit(X, codes)
    with pytest.raises(InputError, match=r"shape \(40, 6\), expected \(40, 4\)"):
        offered_scores(fitted, X, np.arange(4), 4)
