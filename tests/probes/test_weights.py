"""Weights of classes: names as in y, or an error that says which name is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.utils.class_weight import compute_class_weight

import tlengine as tl
from tlengine.errors import InputError, RareClassWarning
from tlengine.probes.weights import weights_of_classes

PROBES = [
    tl.LinearProbe(),
    tl.LinearProbeCV(Cs=3),
    tl.LinearSVMProbe(),
    tl.LinearSVMProbeCV(Cs=3),
    tl.RidgeProbe(),
    tl.RidgeProbeCV(),
    tl.PreValProbe(),
]
X = np.random.default_rng(0).standard_normal((60, 4))
TWO = np.arange(60) % 2


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.data())
def test_balanced_is_that_of_scikit_learn(labels, data):
    codes = np.array(labels)
    weights = np.array(data.draw(st.lists(st.floats(0.1, 10), min_size=len(labels), max_size=len(labels))))
    classes = np.arange(5)
    present = np.unique(codes)
    theirs = compute_class_weight("balanced", classes=present, y=codes, sample_weight=weights)
    ours = weights_of_classes("balanced", classes, codes, weights)
    np.testing.assert_allclose(ours[present], theirs)
    assert (np.delete(ours, present) == 1).all()


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
@pytest.mark.parametrize(
    ("y", "weights", "same"),
    [
        (np.array(["1", "2"])[TWO], {"1": 3.0, "2": 1.0}, {0: 3.0}),
        (np.array(["1", "2"], dtype=object)[TWO], {"2": 3.0}, {1: 3.0}),
        (np.array(["1.0", "nan"])[TWO], {"nan": 3.0}, {1: 3.0}),
        (np.array([10, 20])[TWO], {np.int64(10): 3}, {0: 3.0}),
        (np.array([10.0, 20.0])[TWO], {10: np.float32(3)}, {0: 3.0}),
        (np.array([False, True])[TWO], {True: 3.0}, {1: 3.0}),
        (["b", "a"] * 30, {"a": 0.5}, {1: 0.5}),
    ],
)
def test_a_weight_goes_to_its_label(probe, y, weights, same):
    def decide(labels, class_weight):
        fitted = type(probe)(**{**probe.get_params(), "class_weight": class_weight}).fit(X, labels)
        return fitted, fitted.decision_function(X)

    named, found = decide(y, weights)
    _, plain = decide(TWO, same)
    _, none = decide(TWO, None)
    sign = 1 if np.asarray(y)[0] == named.classes_[0] else -1
    np.testing.assert_allclose(found * sign, plain, rtol=1e-4, atol=1e-5)
    assert not np.allclose(plain, none, rtol=1e-3)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (np.array(["1", "2"]), {1: 2.0}, "names 1 .of type int, labels are str"),
        (np.array([1, 2]), {"1": 2.0}, "names '1' .of type str, labels are int"),
        (
            np.array(["cat", "dog"]),
            {"cat": 2.0, "dgo": 1.0},
            "names 'dgo', which is no label of y: 'cat', 'dog'",
        ),
        (np.array([1, 2]), {3: 2.0}, "names 3, which is no label"),
        (np.array([1, 2]), {1: -1.0}, "of 1 is -1.0"),
        (np.array([1, 2]), {1: float("nan")}, "of 1 is nan"),
        (np.array([1, 2]), {1: float("inf")}, "of 1 is inf"),
        (np.array([1, 2]), {1: "2"}, "of 1 is '2'"),
        (np.array([1, 2]), "blanced", "'blanced'"),
        (np.array([1, 2]), [1.0, 2.0], "1.0, 2.0"),
    ],
)
def test_an_unknown_label_or_weight_is_named(probe, y, weights, message):
    with pytest.raises(InputError, match=message):
        type(probe)(**{**probe.get_params(), "class_weight": weights}).fit(X, y[TWO])


def test_the_label_of_a_dropped_row_may_be_named():
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    probe = tl.LinearProbe(class_weight={"a": 2.0, "c": 9.0}).fit(X, y, sample_weight=(y != "c") * 1.0)
    assert probe.classes_.tolist() == ["a", "b"]


def test_a_draw_of_the_rows_may_lack_a_class():
    """As in scikit-learn: cross-validation over a rare class goes on where all classes of y are named."""
    y = np.array(["a", "b"] * 28 + ["c"] * 4)
    probe = tl.LinearProbe(class_weight={"a": 1.0, "b": 2.0, "c": 9.0})
    assert np.isfinite(cross_val_score(probe, X, y, cv=KFold(5))).all()
    assert probe.fit(X[:50], y[:50]).classes_.tolist() == ["a", "b"]


def test_a_class_that_a_fold_lacks_may_be_named():
    y = np.array(["a", "b"] * 29 + ["c", "c"])
    folds = [(np.arange(0, 58), np.arange(58, 60)), (np.arange(20, 60), np.arange(0, 20))]
    with pytest.warns(RareClassWarning, match="2 held-out rows do not count.*'c'"):
        probe = tl.LinearProbeCV(Cs=2, cv=folds, class_weight={"a": 2.0, "c": 3.0}).fit(X, y)
    assert probe.scores_.shape == (1, 2)
    assert probe.classes_.tolist() == ["a", "b", "c"]


def test_text_labels_as_scikit_learn_with_numbers():
    y = np.array(["1", "2"])[TWO]
    ours = tl.LinearProbe(class_weight={"1": 5.0, "2": 1.0}).fit(X, y)
    theirs = LogisticRegression(class_weight={0: 5.0, 1: 1.0}, tol=1e-9, max_iter=10_000).fit(X, TWO)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=2e-3)
