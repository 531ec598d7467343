"""A path with folds knows its best C, and predicts."""

import numpy as np
import pytest

from tlengine.errors import InputError
from tlengine.probes import LinearProbeCV, probe_path

CS = [1e-5, 1e-3, 1e-2, 1.0, 100.0]


@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_best_is_what_cross_validation_chooses(digits, multi_class, classes):
    X, y = digits[0][:400], digits[1][:400]
    y = np.array(["no", "yes"])[y % 2] if classes == 2 else y
    path = probe_path(X, y, CS, folds=4, multi_class=multi_class)
    for scoring in (None, "neg_log_loss", "accuracy"):
        chosen = LinearProbeCV(CS, cv=4, scoring=scoring, patience=None, multi_class=multi_class).fit(X, y)
        best = path.best(scoring)
        assert best.C == chosen.C_
        assert np.array_equal(best.coef_, chosen.coef_)
        assert np.array_equal(best.predict_proba(X), chosen.predict_proba(X))
    assert np.array_equal(path.predict(X), path.best().predict(X))
    assert path.predict(X).dtype == y.dtype


def test_the_scores_of_a_path_are_the_means_over_its_folds(digits):
    X, y = digits[0][:400], digits[1][:400]
    path = probe_path(X, y, CS, folds=4)
    np.testing.assert_allclose(path.log_loss_, np.mean([fold.log_loss_ for fold in path.folds], axis=0))
    np.testing.assert_allclose(path.accuracy_, np.mean([fold.accuracy_ for fold in path.folds], axis=0))
    assert path.log_loss_.shape == path.accuracy_.shape == (5,)
    alone = probe_path(X, y, CS)
    assert alone.log_loss_ is alone.accuracy_ is None


def test_the_best_has_the_certificate_of_its_solution(digits):
    X, y = digits[0][:400], digits[1][:400]
    path = probe_path(X, y, CS, folds=4)
    best = path.best()
    at = CS.index(best.C)
    assert best.objective_ == path.objective_[at]
    assert best.gap_bound_ <= 1e-4 * best.objective_
    assert best.n_features_in_ == 64
    best.coef_[:] = 0
    assert path.coef_[at].any()


def test_several_labels_per_row(digits):
    X, y = digits[0][:400], digits[1][:400]
    Y = np.stack([y % 2, y > 4, y == 3], axis=1).astype(int)
    path = probe_path(X, Y, [1e-5, 1e-3, 1e-1, 10.0], folds=4)
    best = path.best()
    assert best.multilabel_
    assert path.predict(X).shape == Y.shape
    assert (path.predict(X) == Y).mean() > 0.95


def test_an_ended_path_is_said(digits):
    X, y = digits[0][:400], digits[1][:400]
    assert not probe_path(X, y, CS, folds=4).ended_early_
    assert probe_path(X, y, [*CS, 1e3, 1e4], folds=4, patience=1).ended_early_


def test_without_folds_there_is_no_best(digits):
    path = probe_path(digits[0][:100], digits[1][:100], [0.1, 1.0])
    for call in (path.best, lambda: path.predict(digits[0][:3])):
        with pytest.raises(InputError, match=r"nothing was held out(.|\n)*pass folds=5 to probe_path"):
            call()
    assert path.probe(1).C == 1.0


@pytest.mark.parametrize("scoring", ["f1_macro", "loss", 3])
def test_other_scores_are_referred_to_the_probe_that_takes_them(digits, scoring):
    path = probe_path(digits[0][:100], digits[1][:100], [0.1, 1.0], folds=2)
    with pytest.raises(InputError, match=r"neg_log_loss and accuracy(.|\n)*LinearProbeCV"):
        path.best(scoring)
