"""Rare classes: folds stay as many as asked for, and rows that a fold cannot know do not choose C."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from tlengine.errors import InputError, RareClassWarning
from tlengine.probes import LinearProbe, LinearProbeCV, LinearSVMProbeCV, RidgeProbeCV, probe_path

CS = [1e-3, 1e-2, 1e-1, 1.0]
pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


def long_tail(classes=53, largest=200, d=20, seed=0):
    """Classes of largest / rank ** 1.5 rows, the last ones of a single row, in random order."""
    sizes = np.maximum(1, largest / np.arange(1, classes + 1) ** 1.5).astype(int)
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), sizes))
    centres = np.random.default_rng(1).normal(size=(classes, d))
    return centres[y] + np.random.default_rng(2).normal(size=(len(y), d)), np.array([f"c{k:02}" for k in y])


@pytest.mark.parametrize("probe", [LinearProbeCV, LinearSVMProbeCV])
def test_five_folds_stay_five_and_judge_by_classes_that_are_known(probe):
    X, y = long_tail()
    names, sizes = np.unique(y, return_counts=True)
    assert len(names) == 53
    assert (sizes == 1).sum() > 10
    with warnings.catch_warnings():
        warnings.simplefilter("error", RareClassWarning)
        found = probe(CS, cv=5, patience=None).fit(X, y)
    assert found.scores_.shape == (5, 4)
    assert found.coef_.shape == (53, 20)


def seen_alone(X, y, cv, C):
    """Log-loss and accuracy of each fold on the held-out rows whose class it has seen, by scikit-learn."""
    losses, right = [], []
    for train, test in cv:
        test = test[np.isin(y[test], y[train])]
        fitted = LogisticRegression(C=C, tol=1e-10, max_iter=20_000).fit(X[train], y[train])
        codes = np.searchsorted(fitted.classes_, y[test])
        losses.append(-fitted.predict_log_proba(X[test])[np.arange(len(test)), codes].mean())
        right.append(fitted.score(X[test], y[test]))
    return losses, right


def test_rows_of_unseen_classes_are_left_out_of_a_given_split():
    """As scikit-learn's model without those classes says; an unseen class has probability 1e-9 in ours."""
    X, y = long_tail(20, 60)
    cv = list(KFold(4, shuffle=True, random_state=0).split(X))
    unseen = np.unique(np.concatenate([test[~np.isin(y[test], y[train])] for train, test in cv]))
    assert len(unseen) > 5
    with pytest.warns(RareClassWarning, match=rf"{len(unseen)} held-out rows do not count.*'c") as said:
        found = LinearProbeCV([0.1], cv=cv, tol=1e-8).fit(X, y)
    assert len(said) == 1
    assert str(said[0].message).count("'c") == 5
    assert f"and {len(np.unique(y[unseen])) - 5} more" in str(said[0].message)
    losses, right = seen_alone(X, y, cv, 0.1)
    np.testing.assert_allclose(-found.scores_[:, 0], losses, atol=1e-3)
    np.testing.assert_allclose(found.accuracy_[:, 0], right, atol=1e-9)


@pytest.mark.parametrize(
    "fit",
    [
        LinearProbeCV(CS, cv=KFold(3), multi_class="ovr").fit,
        LinearProbeCV(CS, cv=KFold(3), scoring="f1_macro").fit,
        LinearSVMProbeCV(CS, cv=KFold(3)).fit,
        RidgeProbeCV([1.0], cv=KFold(3)).fit,
        lambda X, y: probe_path(X, y, CS, folds=KFold(3)),
    ],
    ids=["ovr", "scorer", "svm", "ridge", "probe_path"],
)
def test_every_head_leaves_them_out_with_one_warning(fit):
    X, y = long_tail(20, 60)
    with pytest.warns(RareClassWarning) as said:
        fit(X, y)
    assert sum(one.category is RareClassWarning for one in said) == 1


def test_the_class_that_a_group_has_to_itself():
    """Every group holds out a class that no other has; what is left of its rows counts."""
    X, y = long_tail(4, 80)
    groups = np.where(y == "c03", 9, np.arange(len(y)) % 4)
    with pytest.warns(RareClassWarning, match="their class from: 'c03'"):
        found = LinearProbeCV(CS, cv=GroupKFold(5)).fit(X, y, groups=groups)
    assert found.scores_.shape == (4, 4)
    assert np.isfinite(found.scores_).all()


def test_unseen_rows_do_not_choose_c():
    """Each unseen row costs the more, the larger C: left in, they would choose for the others."""
    X, y = long_tail(30, 120)
    cv = list(KFold(4, shuffle=True, random_state=0).split(X))
    with pytest.warns(RareClassWarning):
        found = LinearProbeCV([1e-3, 1e-2, 1e-1, 1.0, 10.0], cv=cv, patience=None).fit(X, y)
    means = [np.mean(seen_alone(X, y, cv, C)[0]) for C in found.Cs_]
    assert found.Cs_[np.argmin(means)] == found.C_


def test_nothing_that_is_held_out_is_known():
    X, y = long_tail(3, 20)
    cv = [(np.flatnonzero(y != "c02"), np.flatnonzero(y == "c02"))]
    with pytest.raises(InputError, match="no fold holds out a row of a class that it trains on"):
        LinearProbeCV(CS, cv=cv).fit(X, y)


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_stratified_folds_of_scikit_learn_that_cannot_stratify():
    X, y = long_tail(20, 60)
    with pytest.warns(RareClassWarning):
        found = LinearProbeCV(CS, cv=StratifiedKFold(5)).fit(X, y)
    assert found.scores_.shape[0] == 5
    assert LinearProbe(found.C_).fit(X, y).classes_.tolist() == found.classes_.tolist()
