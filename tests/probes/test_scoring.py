"""Any of scikit-learn's scorers judges a solution of the core, and one that cannot says where and why."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, get_scorer, make_scorer, roc_auc_score

from tlengine.errors import InputError, ScoringWarning, UnknownNameError
from tlengine.probes import LinearProbe, LinearSVMProbe
from tlengine.probes.scoring import Scores, check_scoring, held_out_scores, mean_scores, solved_probe

CS = np.array([0.01, 1.0])


def judged(scoring, probe, X, y, weight=None, head="multinomial"):
    labels = y.astype(bool) if y.ndim == 2 else np.searchsorted(probe.classes_, y)
    return held_out_scores(
        check_scoring(scoring),
        head,
        probe.classes_,
        probe.coef_[None],
        probe.intercept_[None],
        X,
        labels,
        weight,
    )


@pytest.mark.parametrize(
    "scoring",
    [
        "f1_macro",
        "balanced_accuracy",
        "roc_auc_ovr",
        "top_k_accuracy",
        "neg_brier_score",
        "matthews_corrcoef",
    ],
)
def test_a_named_scorer_says_what_it_says_of_a_fitted_probe(scoring):
    X, y = load_iris(return_X_y=True)
    y = np.array(["red", "green", "blue"])[y]
    probe = LinearProbe(C=0.01).fit(X, y)
    found = judged(scoring, probe, X, y)
    assert found.reasons == {}
    np.testing.assert_allclose(found.values, [get_scorer(scoring)(probe, X, y)], rtol=1e-12)


@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "f1"])
def test_two_classes_are_scored_by_the_second(scoring):
    X, y = load_iris(return_X_y=True)
    y = (y == 1).astype(int)
    probe = LinearProbe(C=0.1).fit(X, y)
    rival = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(
        judged(scoring, probe, X, y).values, get_scorer(scoring)(rival, X, y), rtol=1e-3
    )


@pytest.mark.parametrize("n_labels", [2, 5])
@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "f1_macro"])
def test_several_labels_per_row(scoring, n_labels):
    """Of two labels too, whose two columns look like the probabilities of two classes."""
    X, Y = make_multilabel_classification(n_samples=200, n_classes=n_labels, random_state=0)
    probe = LinearProbe(C=0.01).fit(X, Y)
    metric = get_scorer(scoring)
    by = probe.predict(X) if scoring == "f1_macro" else probe.decision_function(X)
    np.testing.assert_allclose(
        judged(scoring, probe, X, Y).values, [metric._score_func(Y, by, **metric._kwargs)]
    )


def test_a_hinge_without_probabilities_is_ranked_by_its_margins():
    X, y = load_iris(return_X_y=True)
    probe = LinearSVMProbe(C=0.01).fit(X, y == 2)
    found = judged("roc_auc", probe, X, y == 2, head="squared_hinge")
    np.testing.assert_allclose(found.values, roc_auc_score(y == 2, probe.decision_function(X)))
    refused = judged("neg_brier_score", probe, X, y == 2, head="squared_hinge")
    assert np.isnan(refused.values).all()
    assert "predict_proba" in refused.reasons[0]


def test_weights_reach_the_scorers_that_take_them():
    X, y = load_iris(return_X_y=True)
    probe = LinearProbe(C=1e-3).fit(X, y)
    weight = np.where(y == 1, 5.0, 1.0)
    weighted = judged("f1_macro", probe, X, y, weight)
    np.testing.assert_allclose(weighted.values, get_scorer("f1_macro")(probe, X, y, sample_weight=weight))
    assert weighted.values != judged("f1_macro", probe, X, y).values

    def without(estimator, X, y):
        return estimator.score(X, y)

    assert judged(without, probe, X, y, weight).values == probe.score(X, y)
    assert judged(make_scorer(lambda y, p: (y == p).mean()), probe, X, y, weight).values == probe.score(X, y)


def test_names_are_checked_and_the_nearest_are_told():
    assert check_scoring(None).scorer is None
    assert check_scoring("accuracy").scorer is None
    assert check_scoring(None, ("neg_mean_squared_error",)).name == "neg_mean_squared_error"
    with pytest.raises(UnknownNameError, match=r"scoring='f1_makro'(.|\n)*did you mean f1_macro"):
        check_scoring("f1_makro")
    with pytest.raises(InputError, match=r"macro_f1(.|\n)*did you mean f1_macro"):
        check_scoring("macro_f1")
    with pytest.raises(InputError, match="get_scorer_names"):
        check_scoring("zzzzzz")


@pytest.mark.parametrize("scoring", [1, ["accuracy"], {"a": "accuracy"}, LinearProbe, ("f1", "accuracy")])
def test_neither_a_name_nor_a_callable(scoring):
    with pytest.raises(InputError, match="neither a name nor a callable"):
        check_scoring(scoring)


@pytest.mark.parametrize(
    ("scorer", "why"),
    [
        (lambda e, X, y: {"a": 1}, "returned a dict, not a number"),
        (lambda e, X, y: float("nan"), "returned nan"),
        (lambda e, X, y: 1 / 0, "ZeroDivisionError: division by zero"),
        (make_scorer(fbeta_score), "TypeError.*beta"),
    ],
)
def test_a_scorer_that_fails_leaves_its_reason(scorer, why):
    X, y = load_iris(return_X_y=True)
    probe = LinearProbe(C=0.1).fit(X, y)
    found = judged(scorer, probe, X, y)
    assert np.isnan(found.values).all()
    with pytest.raises(InputError, match=why):
        mean_scores(check_scoring(scorer), [found], CS[:1])


def test_interruption_is_no_failure_of_a_scorer():
    def interrupted(estimator, X, y):
        raise KeyboardInterrupt

    X, y = load_iris(return_X_y=True)
    with pytest.raises(KeyboardInterrupt):
        judged(interrupted, LinearProbe(C=0.1).fit(X, y), X, y)


def test_a_fold_without_any_score_is_left_out_at_each_value():
    lame = Scores(np.array([np.nan, np.nan]), {0: "ValueError: one class", 1: "ValueError: one class"})
    folds = [Scores(np.array([0.5, 0.7]), {}), lame, Scores(np.array([0.7, 0.5]), {})]
    with pytest.warns(ScoringWarning, match=r"1 of 3 folds.*fold 1 at C=0.01: ValueError: one class"):
        means = mean_scores(check_scoring("roc_auc_ovr"), folds, CS)
    np.testing.assert_allclose(means, 0.6)


def test_a_value_that_fails_in_one_fold_is_not_chosen():
    folds = [Scores(np.array([0.5, np.nan]), {1: "it returned nan"}), Scores(np.array([0.7, 0.9]), {})]
    with pytest.warns(ScoringWarning, match=r"1 of 2 values of C.*fold 0 at C=1: it returned nan"):
        means = mean_scores(check_scoring("f1_macro"), folds, CS)
    np.testing.assert_allclose(means, [0.6, np.nan])


def test_no_score_at_all_is_an_error():
    apart = [Scores(np.array([0.5, np.nan]), {1: "late"}), Scores(np.array([np.nan, 0.9]), {0: "early"})]
    with pytest.raises(InputError, match="fold 0 at C=1: late"):
        mean_scores(check_scoring("f1_macro"), apart, CS)


def test_a_solved_probe_predicts_as_the_fitted_one(digits):
    X, y = digits
    for fitted, head in (
        (LinearProbe(C=0.01, multi_class="ovr"), "ovr"),
        (LinearSVMProbe(1e-3), "squared_hinge"),
    ):
        fitted.fit(X, y)
        probe = solved_probe(head, fitted.classes_, fitted.coef_, fitted.intercept_, C=fitted.C)
        assert type(probe) is type(fitted)
        assert probe.C == fitted.C
        assert np.array_equal(probe.decision_function(X), fitted.decision_function(X))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert probe.score(X, y) == fitted.score(X, y)
