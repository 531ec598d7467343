import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.data.folds import inner_folds
from tlengine.errors import InputError, LabelError, NonFiniteError, ShapeMismatchError, SingleClassError
from tlengine.probes import (
    LinearProbe,
    LinearProbeCV,
    LinearSVMProbeCV,
    RidgeProbe,
    RidgeProbeCV,
    from_pretrained,
    probe_path,
)


@parametrize_with_checks(
    [
        LinearProbe(),
        LinearProbe(multi_class="ovr"),
        LinearProbeCV(Cs=5, cv=3),
        LinearProbeCV(Cs=5, patience=1),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_path_of_one(digits):
    probe = LinearProbe(C=0.1).fit(*digits)
    path = probe_path(*digits, [0.1], tol=1e-6)
    assert np.array_equal(probe.coef_, path.coef_[0])
    assert probe.gap_bound_ <= 1e-6 * probe.objective_
    assert probe.coef_.dtype == np.float32


def test_cross_validation_chooses_the_best_mean_score(digits):
    X, y = (part[:400] for part in digits)
    for scoring in ("neg_log_loss", "accuracy"):
        Cs = [1.0, 1e-5, 100.0, 1e-3]
        cv = LinearProbeCV(Cs=Cs, cv=4, scoring=scoring, patience=None).fit(X, y)
        assert cv.scores_.shape == (4, 4)
        assert cv.Cs_[cv.scores_.mean(axis=0).argmax()] == cv.C_
        np.testing.assert_array_equal(cv.coef_, probe_path(X, y, Cs).coef_[cv.Cs_ == cv.C_][0])
        assert cv.converged_.all()


def test_a_class_smaller_than_the_folds():
    """A class of one row is in every fit and held out in none; one of two rows is held out twice."""
    rng = np.random.default_rng(0)
    y = np.array([0] * 20 + [1] * 20 + [2, 3, 3])
    X = rng.normal(size=(43, 4))
    cv = LinearProbeCV(Cs=[0.01, 1.0], cv=5).fit(X, y)
    pairs = inner_folds(y, np.arange(43), 5)
    assert len(cv.scores_) == len(pairs) == 5
    assert np.array_equal(cv.scores_, LinearProbeCV(Cs=[0.01, 1.0], cv=pairs).fit(X, y).scores_)


def test_one_row_of_each_class_leaves_nothing_to_hold_out():
    for probe in (LinearProbeCV(), LinearSVMProbeCV()):
        with pytest.raises(InputError, match="no class has two rows"):
            probe.fit(np.eye(3), [0, 1, 2])


@pytest.mark.parametrize("probe", [LinearProbeCV([1e-2, 1.0]), LinearSVMProbeCV([1e-2, 1.0])])
def test_groups_are_never_on_both_sides_of_a_fold(probe):
    """Random labels, every sample four times."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 4, axis=0), np.repeat(rng.integers(0, 2, 60), 4)
    groups = np.repeat([f"patient {i}" for i in range(60)], 4)
    order = rng.permutation(240)
    X, y, groups = X[order], y[order], groups[order]
    loose = clone(probe).fit(X, y)
    grouped = clone(probe).fit(X, y, groups=groups)
    assert loose.accuracy_.mean(axis=0).max() > 0.95
    assert abs(grouped.accuracy_.mean() - 0.5) < 0.2
    same = clone(probe).set_params(cv=inner_folds(y, np.unique(groups, return_inverse=True)[1])).fit(X, y)
    assert np.array_equal(grouped.accuracy_, same.accuracy_)
    weight = np.where(np.arange(240) < 200, 1.0, 0.0)
    kept = clone(probe).fit(X, y, sample_weight=weight, groups=groups)
    assert np.array_equal(kept.accuracy_, clone(probe).fit(X[:200], y[:200], groups=groups[:200]).accuracy_)


def test_groups_with_a_splitter_of_scikit_learn(digits):
    X, y = (part[:200] for part in digits)
    groups = np.arange(200) // 5
    named = LinearProbeCV([1e-3], cv=GroupKFold(4)).fit(X, y, groups=groups)
    pairs = list(GroupKFold(4).split(X, y, groups))
    assert np.array_equal(named.scores_, LinearProbeCV([1e-3], cv=pairs).fit(X, y).scores_)


def test_groups_that_cannot_be(digits):
    X, y = (part[:50] for part in digits)
    with pytest.raises(ShapeMismatchError, match="groups have shape"):
        LinearProbeCV().fit(X, y, groups=np.arange(49))
    with pytest.raises(InputError, match="groups beside folds"):
        LinearProbeCV(cv=[(np.arange(25), np.arange(25, 50))]).fit(X, y, groups=np.arange(50))
    with pytest.raises(InputError, match="no class has two groups"):
        LinearProbeCV().fit(X, y, groups=y)


def test_probabilities(digits):
    X, y = digits
    for target in (y, y % 2):
        probe = LinearProbe().fit(X, target)
        proba = probe.predict_proba(X[:50])
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(
            probe.predict_log_proba(X[:50]), np.log(np.maximum(proba, 1e-300)), atol=1e-4
        )
        assert np.array_equal(probe.classes_[proba.argmax(axis=1)], probe.predict(X[:50]))


def test_prediction_refuses_nan(digits):
    probe = LinearProbe(C=1e-3).fit(*digits)
    X = digits[0][:3].copy()
    X[2, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 2, column 1"):
        probe.predict(X)


def test_unknown_scoring(digits):
    with pytest.raises(InputError, match=r"scoring='f1_marco'(.|\n)*f1_macro"):
        LinearProbeCV(scoring="f1_marco").fit(*digits)


@pytest.mark.parametrize(
    "probe",
    [LinearProbe(C=0.1), LinearProbeCV(Cs=[0.01, 1.0], cv=2), RidgeProbe(), RidgeProbeCV([1.0, 9.0])],
    ids=lambda p: type(p).__name__,
)
def test_saved_and_loaded(digits, tmp_path, probe):
    X, y = digits
    names = np.array([f"class {label}" for label in y])
    probe.fit(X, names)
    again = from_pretrained(probe.save_pretrained(tmp_path, metadata={"backbone": "raw"}))
    assert type(again) is type(probe)
    assert again.get_params() == probe.get_params()
    assert again.metadata_ == {"backbone": "raw"}
    np.testing.assert_array_equal(again.decision_function(X), probe.decision_function(X))
    np.testing.assert_array_equal(again.predict(X), probe.predict(X))


def test_one_vs_rest_is_the_binary_probe_of_each_class(digits):
    X, y = digits[0] / 16, digits[1] % 4
    together = LinearProbe(0.1, multi_class="ovr", tol=1e-8).fit(X, y)
    assert together.converged_
    total = 0.0
    for label in range(4):
        alone = LinearProbe(0.1, tol=1e-8).fit(X, y == label)
        np.testing.assert_allclose(together.coef_[label], alone.coef_[0], atol=3e-4)
        total += alone.objective_
    assert together.objective_ == pytest.approx(total, rel=1e-7)
    each = 1 / (1 + np.exp(-together.decision_function(X)))
    expected = each / each.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(together.predict_proba(X), expected, rtol=1e-5)
    np.testing.assert_allclose(together.predict_log_proba(X), np.log(expected), atol=1e-5)


def test_one_vs_rest_of_two_classes_is_the_binomial_probe(digits):
    X, y = digits[0], digits[1] % 2
    np.testing.assert_array_equal(
        LinearProbe(0.1, multi_class="ovr").fit(X, y).coef_, LinearProbe(0.1).fit(X, y).coef_
    )


def labels_of(y):
    """Four labels per digit, one of which no row has."""
    return np.stack([y % 2, y > 4, y == 3, y < 0], axis=1).astype(int)


def test_several_labels_per_row_are_a_binary_probe_each(digits, tmp_path):
    X, y = digits[0] / 16, digits[1]
    Y = labels_of(y)
    probe = LinearProbe(0.1, tol=1e-8).fit(X, Y)
    assert probe.converged_
    assert probe.classes_.tolist() == [0, 1, 2, 3]
    total = 0.0
    for label in range(3):
        alone = LinearProbe(0.1, tol=1e-8).fit(X, Y[:, label])
        np.testing.assert_allclose(probe.coef_[label], alone.coef_[0], atol=3e-4)
        np.testing.assert_allclose(probe.predict_proba(X)[:, label], alone.predict_proba(X)[:, 1], atol=1e-4)
        total += alone.objective_
    assert probe.objective_ == pytest.approx(total, rel=1e-6)
    assert probe.predict_proba(X)[:, 3].max() < 1e-6
    assert probe.predict(X).shape == Y.shape
    again = from_pretrained(probe.save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.predict(X), probe.predict(X))


def test_a_label_that_every_row_has_is_predicted(digits):
    X, y = digits
    probe = LinearProbe(0.1).fit(X, np.stack([y % 2, y >= 0], axis=1))
    assert probe.converged_
    assert probe.predict(X)[:, 1].all()


def test_scores_of_folds_are_those_of_separate_probes(digits):
    X, y = digits[0][:500] / 16, digits[1][:500]
    split = [(np.arange(0, 350), np.arange(350, 500))]
    for target, options in ((y, {"multi_class": "ovr"}), (labels_of(y), {})):
        for scoring in ("neg_log_loss", "accuracy"):
            cv = LinearProbeCV([0.1, 1.0], cv=split, scoring=scoring, **options).fit(X, target)
            for i, C in enumerate([0.1, 1.0]):
                alone = LinearProbe(C, **options).fit(X[:350], target[:350])
                proba, held = alone.predict_proba(X[350:]), target[350:]
                if target.ndim == 2:
                    # The last label no row has: it can be learnt in no fold, and counts in none.
                    log_loss = -np.log(np.where(held, proba, 1 - proba))[:, :3].mean()
                    right = (alone.predict(X[350:]) == held)[:, :3].mean()
                else:
                    log_loss = -np.log(proba[np.arange(150), held]).mean()
                    right = alone.score(X[350:], held)
                expected = right if scoring == "accuracy" else -log_loss
                assert cv.scores_[0, i] == pytest.approx(expected, rel=5e-3, abs=0.014)


def test_several_labels_with_drawn_folds(digits):
    X, y = digits[0][:300], digits[1][:300]
    first, second = (LinearProbeCV([1e-3, 0.1], cv=3).fit(X, labels_of(y)) for _ in range(2))
    assert first.scores_.shape == (3, 2)
    np.testing.assert_array_equal(first.scores_, second.scores_)
    assert first.converged_.all()


@pytest.mark.parametrize(
    ("options", "Y", "error", "message"),
    [
        ({"multi_class": "auto"}, None, InputError, "multi_class='auto'"),
        ({"class_weight": "balanced"}, np.eye(10)[:, :3], InputError, "class_weight"),
        ({}, np.eye(10)[:, :3] * 2, LabelError, "row 0, label 0"),
        ({}, np.zeros((10, 2)), SingleClassError, "same labels"),
        ({}, np.eye(9)[:, :3], ShapeMismatchError, "y has 9, X has 10"),
        ({}, np.full((10, 2), np.nan), LabelError, "row 0, label 0"),
        ({}, np.zeros((10, 2, 2)), ShapeMismatchError, "1d array"),
    ],
)
def test_bad_targets(options, Y, error, message):
    with pytest.raises(error, match=message):
        LinearProbe(**options).fit(np.eye(10, 3), np.arange(10) % 2 if Y is None else Y)
