import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.errors import InputError, NonFiniteError
from tlengine.probes import LinearProbe, LinearProbeCV, RidgeProbe, RidgeProbeCV, from_pretrained, probe_path


@parametrize_with_checks([LinearProbe(), LinearProbeCV(Cs=5, cv=3)])
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
        cv = LinearProbeCV(Cs=[1.0, 1e-5, 1e-3], cv=4, scoring=scoring).fit(X, y)
        assert cv.scores_.shape == (4, 3)
        assert cv.Cs_[cv.scores_.mean(axis=0).argmax()] == cv.C_
        np.testing.assert_array_equal(cv.coef_, probe_path(X, y, [1.0, 1e-5, 1e-3]).coef_[cv.Cs_ == cv.C_][0])
        assert cv.converged_.all()


def test_a_class_smaller_than_the_folds():
    rng = np.random.default_rng(0)
    y = np.array([0] * 20 + [1] * 20 + [2])
    cv = LinearProbeCV(Cs=[0.01, 1.0], cv=5).fit(rng.normal(size=(41, 4)), y)
    assert len(cv.scores_) == 2


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
    with pytest.raises(InputError, match="scoring='f1'"):
        LinearProbeCV(scoring="f1").fit(*digits)


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
