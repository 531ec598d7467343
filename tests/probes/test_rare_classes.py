"""Rare classes: folds stay as many as asked for, and rows that a fold cannot know do not choose C."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from tlengine.errors import InputError, RareClassWarning, ScoringWarning
from tlengine.probes import LinearProbe, LinearProbeCV, LinearSVMProbeCV, RidgeProbeCV, probe_grid, probe_path

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


def rare_label(n=200, d=6, names=False):
    """Two labels that X tells, and one that only rows of the first fold have, as far as X can tell."""
    X = np.random.default_rng(3).normal(size=(n, d))
    noise = np.random.default_rng(4).normal(size=(n, 2))
    Y = np.column_stack([X[:, :2] + noise > 0, np.arange(n) < 12]).astype(int)
    return X, pd.DataFrame(Y, columns=["left", "up", "rare"]) if names else Y


@pytest.mark.parametrize(
    ("probe", "scoring"),
    [
        (LinearProbeCV, "neg_log_loss"),
        (LinearProbeCV, "accuracy"),
        (LinearProbeCV, "f1_macro"),
        (LinearSVMProbeCV, "accuracy"),
        (RidgeProbeCV, "neg_mean_squared_error"),
        (RidgeProbeCV, "f1_macro"),
    ],
)
def test_a_label_that_a_fold_cannot_learn_does_not_count_there(probe, scoring):
    """Left in, each held-out row that has it costs some 20 nats, and the more the less a fold says of C."""
    X, Y = rare_label(names=True)
    cv = KFold(5)
    with pytest.warns(RareClassWarning, match="a label does not count in folds.*'rare'") as said:
        found = probe(CS, cv=cv, scoring=scoring).fit(X, Y)
    assert [one.category for one in said].count(RareClassWarning) == 1
    assert {one.filename for one in said} == {__file__}
    without = probe(CS, cv=cv, scoring=scoring).fit(X, Y[["left", "up"]])
    np.testing.assert_allclose(found.scores_[0], without.scores_[0], rtol=1e-3)
    assert not np.allclose(found.scores_[1:], without.scores_[1:], rtol=1e-3)
    assert found.coef_.shape == (3, 6)


def test_a_path_does_not_count_it_either_and_keeps_its_place():
    X, Y = rare_label()
    with pytest.warns(RareClassWarning, match="labels? do.* not count.*: 2"):
        path = probe_path(X, Y, CS, folds=KFold(5))
    assert path.folds[0].log_loss_.max() < 1
    assert path.folds[0].coef_.shape == (4, 3, 6)
    assert not path.folds[0].coef_[:, 2].any()
    assert path.folds[0].probe(0).predict(X)[:, 2].sum() == 0


def test_a_label_that_all_training_rows_have():
    X, Y = rare_label()
    Y[:, 2] = 1 - Y[:, 2]
    with pytest.warns(RareClassWarning):
        path = probe_path(X, Y, CS, folds=KFold(5))
    assert path.folds[0].log_loss_.max() < 1
    assert path.folds[0].probe(0).predict(X)[:, 2].all()


def test_a_path_of_folds_without_a_label_is_taken_up(tmp_path):
    X, Y = rare_label()
    options = {"folds": KFold(5), "resume": tmp_path / "path"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RareClassWarning)
        first = probe_path(X, Y, CS[:2], **options)
        again = probe_path(X, Y, CS, **options)
        whole = probe_path(X, Y, CS, folds=KFold(5))
    assert np.array_equal(first.coef_, again.coef_[:2])
    np.testing.assert_allclose(again.log_loss_, whole.log_loss_, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::tlengine.errors.RareClassWarning")
def test_a_scorer_has_nothing_to_say_of_one_label():
    X, Y = rare_label()
    with pytest.warns(ScoringWarning, match="1 of 5 folds.*teach one label alone") as said:
        found = LinearProbeCV(CS, cv=KFold(5), scoring="f1_macro").fit(X, Y[:, 1:])
    assert np.isnan(found.scores_[0]).all()
    assert {one.filename for one in said} == {__file__}


@pytest.mark.parametrize(
    "fit",
    [
        lambda X, y, cv: LinearProbeCV(CS, cv=cv).fit(X, y),
        lambda X, y, cv: LinearSVMProbeCV(CS, cv=cv).fit(X, y),
        lambda X, y, cv: RidgeProbeCV([1.0, 10.0], cv=cv).fit(X, y),
        lambda X, y, cv: probe_path(X, y, CS, folds=cv),
    ],
    ids=["logistic", "svm", "ridge", "path"],
)
def test_a_choice_by_one_class_is_said(fit):
    """Classes of one row are held out in no numbered fold; in folds of one's own one class may be left."""
    X = np.random.default_rng(0).normal(size=(22, 3))
    y = np.array(["many"] * 20 + ["b", "c"])
    with pytest.warns(RareClassWarning, match="20 held-out rows.*of class 'many'.*the other 2 classes"):
        fit(X, y, 5)
    two = np.where(np.arange(22) % 2, "odd", "even")
    with pytest.warns(RareClassWarning, match="all 5 held-out rows.*'even'.*nothing about the other class"):
        fit(X, two, [(np.arange(10, 22), np.arange(0, 10, 2))])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RareClassWarning)
        fit(X, two, [(np.arange(2, 22), [0]), (np.arange(1, 21), [21])])  # one class a fold, two in all


def test_labels_that_are_equal_in_all_held_out_rows_are_said():
    X = np.random.default_rng(0).normal(size=(30, 3))
    Y = (X[:, :2] > 0).astype(int)
    alike = np.flatnonzero(Y.all(axis=1))
    with pytest.warns(RareClassWarning, match="have the same labels"):
        probe_path(X, Y, CS, folds=[(np.setdiff1d(np.arange(30), alike), alike)])


def test_a_grid_counts_choices_by_one_class():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.array(["many"] * 58 + ["b", "c"])
    with pytest.warns(RareClassWarning, match="one class alone.* in 2 probes; first at features 'X'.*: many"):
        probe_grid(X, y, Cs=CS, seeds=2, test_size=0.5, progress=False)
