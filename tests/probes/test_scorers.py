"""C is chosen by any of scikit-learn's scorers, as GridSearchCV chooses it on the same folds."""

import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, make_scorer, recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

from tlengine.errors import InputError, ScoringWarning
from tlengine.probes import (
    LinearProbe,
    LinearProbeCV,
    LinearSVMProbe,
    LinearSVMProbeCV,
    RidgeProbeCV,
    from_pretrained,
)

pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")
CS = [1e-3, 1e-2, 1.0, 10.0]


@pytest.fixture(scope="module")
def noisy():
    """Digits that are hard to read, as text labels of unequal frequencies."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(y), 300, replace=False, p=(1 + (y < 4) * 3) / (1 + (y < 4) * 3).sum()))
    return X[rows] / 16 + rng.normal(size=(300, 64)) * 0.5, np.array([f"digit {k}" for k in range(10)])[
        y[rows]
    ]


def searched(probe, scoring, X, y, cv, **fit):
    """GridSearchCV's scores (n_folds, n_C) and its C."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(probe, {"C": CS}, scoring=scoring, cv=cv, refit=False).fit(X, y, **fit)
    found = search.cv_results_
    return np.stack([found[f"split{f}_test_score"] for f in range(cv.n_splits)]), search.best_params_["C"]


@pytest.mark.parametrize(
    ("scoring", "multi_class"),
    [
        ("f1_macro", "multinomial"),
        ("balanced_accuracy", "multinomial"),
        ("roc_auc_ovr", "multinomial"),
        ("top_k_accuracy", "multinomial"),
        ("neg_log_loss", "multinomial"),
        ("accuracy", "multinomial"),
        (make_scorer(recall_score, average="macro"), "multinomial"),
        (lambda estimator, X, y: f1_score(y, estimator.predict(X), average="weighted"), "multinomial"),
        ("neg_brier_score", "ovr"),
        ("roc_auc_ovr", "ovr"),
        ("neg_log_loss", "ovr"),
    ],
)
def test_as_grid_search(noisy, scoring, multi_class):
    X, y = noisy
    cv = StratifiedKFold(3)
    ours = LinearProbeCV(CS, cv=3, scoring=scoring, tol=1e-9, patience=None, multi_class=multi_class).fit(
        X, y
    )
    scores, C = searched(LinearProbe(tol=1e-9, multi_class=multi_class), scoring, X, y, cv)
    np.testing.assert_allclose(ours.scores_, scores, atol=1e-3)
    assert ours.C_ == C


def test_as_grid_search_of_logistic_regression(noisy):
    X, y = noisy
    ours = LinearProbeCV(CS, cv=3, scoring="roc_auc_ovr", tol=1e-6, patience=None).fit(X, y)
    scores, C = searched(
        LogisticRegression(tol=1e-8, max_iter=5_000), "roc_auc_ovr", X, y, StratifiedKFold(3)
    )
    np.testing.assert_allclose(ours.scores_, scores, atol=1e-3)
    assert ours.C_ == C


JUDGES = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "f1_macro": partial(f1_score, average="macro"),
}


@pytest.mark.parametrize(
    ("scoring", "n_labels"), [("roc_auc", 2), ("roc_auc", 4), ("f1_macro", 3), ("average_precision", 3)]
)
@pytest.mark.parametrize(("one", "path"), [(LinearProbe, LinearProbeCV), (LinearSVMProbe, LinearSVMProbeCV)])
def test_several_labels_per_row(scoring, n_labels, one, path):
    X, Y = make_multilabel_classification(n_samples=100, n_features=10, n_classes=n_labels, random_state=1)
    cv = KFold(3)
    ours = path(CS[:3], cv=cv, scoring=scoring, tol=1e-9, patience=None).fit(X, Y)
    for fold, (train, test) in enumerate(cv.split(X)):
        for at, C in enumerate(CS[:3]):
            probe = one(C, tol=1e-9).fit(X[train], Y[train])
            by = probe.predict(X[test]) if scoring == "f1_macro" else probe.decision_function(X[test])
            assert ours.scores_[fold, at] == pytest.approx(JUDGES[scoring](Y[test], by), abs=1e-3)
    assert ours.Cs_[ours.scores_.mean(axis=0).argmax()] == ours.C_


def test_weights_are_those_of_the_held_out_rows(noisy):
    X, y = noisy
    weight = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    fold = [(np.arange(100, 300), np.arange(100))]
    options = {"cv": fold, "tol": 1e-9, "patience": None}
    ours = LinearProbeCV(CS, scoring="f1_macro", **options).fit(X, y, weight).scores_[0]
    for at, C in enumerate(CS):
        alone = LinearProbe(C, tol=1e-9).fit(X[100:], y[100:], weight[100:])
        found = f1_score(y[:100], alone.predict(X[:100]), average="macro", sample_weight=weight[:100])
        assert ours[at] == pytest.approx(found, abs=1e-3)
    repeated = make_scorer(f1_score, average="macro")
    assert np.array_equal(LinearProbeCV(CS, scoring=repeated, **options).fit(X, y, weight).scores_[0], ours)


def test_a_fold_that_cannot_be_scored_is_left_out_and_kept_in_a_saved_probe(tmp_path):
    """Of three classes fold 1 holds out one alone, so its ranking has no meaning."""
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.permutation(150)
    one = np.flatnonzero(y[rows] == 1)[:10]
    folds = [(rows[50:], rows[:50]), (np.setdiff1d(rows, rows[one]), rows[one]), (rows[:100], rows[100:])]
    probe = LinearProbeCV([1e-4, 1e-2, 1.0, 100.0], cv=folds, scoring="roc_auc_ovr", patience=None)
    with pytest.warns(ScoringWarning, match="1 of 3 folds.*fold 1 at C=0.0001: ValueError"):
        probe.fit(X, y)
    assert np.isnan(probe.scores_[1]).all()
    assert np.isfinite(probe.scores_[[0, 2]]).all()
    again = from_pretrained(probe.save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.scores_, probe.scores_)


@pytest.mark.parametrize(
    ("probe", "scoring", "why"),
    [
        (LinearProbeCV, "roc_auc", "multi_class"),
        (LinearSVMProbeCV, "neg_log_loss", "predict_proba"),
        (LinearProbeCV, "r2", "could not convert|numeric"),
        (LinearProbeCV, lambda estimator, X, y: None, "returned a NoneType"),
    ],
)
def test_a_scorer_that_never_works_is_an_error_with_its_reason(noisy, probe, scoring, why):
    with pytest.raises(InputError, match=rf"no score at any C: fold 0 at C=0.001: .*({why})"):
        probe(CS, cv=3, scoring=scoring).fit(*noisy)


def test_scoring_is_checked_before_anything_is_solved(noisy):
    with pytest.raises(InputError, match="did you mean balanced_accuracy"):
        LinearProbeCV(cv=object(), scoring="balanced_acuracy").fit(*noisy)


def test_a_scorer_is_a_parameter_like_any_other():
    scorer = make_scorer(f1_score, average="macro")
    assert clone(LinearProbeCV(scoring=scorer)).scoring is not None
    assert clone(LinearSVMProbeCV(scoring="f1_macro")).scoring == "f1_macro"


@pytest.mark.parametrize(
    ("probe", "scoring", "labels", "hint"),
    [
        (LinearSVMProbeCV, "neg_log_loss", 10, "this probe has no probabilities"),
        (RidgeProbeCV, "roc_auc_ovr", 10, "this probe has no probabilities"),
        (LinearProbeCV, "f1", 2, "pos_label"),
        (RidgeProbeCV, "f1", 2, "pos_label"),
        (LinearProbeCV, "f1", 10, "f1_macro"),
        (LinearProbeCV, "roc_auc", 10, "roc_auc_ovr"),
        (LinearProbeCV, lambda estimator, X, y: "0.5 or so", 10, "must return a number"),
    ],
)
def test_the_hint_is_that_of_the_failure(noisy, probe, scoring, labels, hint):
    """Fewer folds help where a class is missing among held-out rows, and nowhere else."""
    X, y = noisy
    y = y if labels > 2 else np.where(y == "digit 0", "yes", "no")
    with pytest.raises(InputError) as told:
        probe(CS, cv=3, scoring=scoring).fit(X, y)
    assert hint in told.value.hint
    assert "folds" not in told.value.hint
    assert probe is LinearSVMProbeCV or "SVM" not in str(told.value)
