"""The model to keep is fitted on every labelled row, with the way that was picked most often."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA  # noqa: N817

from tests.evaluation.made import fitted, held, setup_of
from tlengine.data.resamples import make_resamples
from tlengine.errors import TlengineWarning
from tlengine.evaluation import Model, compare
from tlengine.evaluation.refit import refit
from tlengine.evaluation.strategies import RidgeStrategy
from tlengine.statistics import calibrate


@pytest.fixture(scope="module", params=["probe", "ridge", "knn", "centroid"])
def kept(request, digits):
    X, y = digits
    setup = setup_of(X, make_resamples(y, seeds=1), [request.param])
    (cell,) = fitted(setup, [10])
    return cell, refit(cell, "features")


def test_all_rows_are_fitted_whatever_the_budget(kept):
    cell, model = kept
    assert cell.budget == 10
    assert model.metadata["rows"] == 400
    assert model.metadata["strategy"] == cell.strategy
    assert model.metadata["modality"] == "features"


def test_it_is_the_strategy_with_what_it_chooses_on_all_rows(kept, digits):
    X, y = digits
    _, model = kept
    for name, value in model.metadata["chosen"].items():
        assert model.estimator.get_params()[name] == pytest.approx(value)
    alone = type(model.estimator)(**model.estimator.get_params()).fit(X, y)
    scores = [e.predict_proba(X) if hasattr(e, "predict_proba") else e.decision_function(X)
              for e in (alone, model.estimator)]  # fmt: skip
    assert scores[1] == pytest.approx(scores[0], abs=2e-2)


def test_its_probabilities_are_calibrated_on_rows_that_were_held_out(kept):
    cell, model = kept
    assert model.calibration["kind"] == next(iter(cell.records.values())).kind
    assert 0 < model.calibration["value"] < 100
    guess = calibrate(model.calibration["kind"], None, None, labels=400, classes=4)
    assert model.calibration["value"] != guess


def test_labels_are_the_users(digits):
    X, y = digits
    codes = np.unique(y, return_inverse=True)[1]
    run = compare((X, codes * 10 - 5), strategies=["ridge"], budgets=["all"], seeds=1, progress=False)
    assert run.model.classes.tolist() == [-5, 5, 15, 25]
    assert run.model.metadata["classes"] == ["-5", "5", "15", "25"]


def test_classes_that_took_no_part_are_not_in_the_model(digits):
    X, y = digits
    labels = np.concatenate([y, ["rare"] * 2])
    with pytest.warns(TlengineWarning, match=r"'rare' \(2\)"):
        run = compare(
            (np.concatenate([X, X[:2] + 1]), labels), strategies=["ridge"], budgets=["all"], seeds=1,
            progress=False,
        )  # fmt: skip
    assert "rare" not in run.model.classes
    assert run.model.metadata["rows"] == 400


def test_an_estimator_is_refitted_by_itself_not_by_a_copy_of_the_users(digits):
    X, y = digits
    X = X + np.random.default_rng(0).normal(size=X.shape)
    mine = LDA(solver="lsqr", shrinkage=0.1)
    run = compare((X, y), strategies=[("mine", mine)], budgets=["all"], seeds=1, progress=False)
    assert not hasattr(mine, "classes_")
    alone = LDA(solver="lsqr", shrinkage=0.1).fit(X.astype(np.float32), y)
    assert (run.model.estimator.predict(X) == alone.predict(X)).all()


class Bare(RidgeStrategy):
    """One whose inner folds are tasks."""

    inner_tasks = 3

    def fit(self, view, roles, *, seed=0, folder=None):
        found = super().fit(view, roles, seed=seed)
        found.held_out = None
        return found


def test_what_holds_nothing_out_is_calibrated_as_its_fits_were(digits):
    """By the mean of what their inner folds showed, not by 1."""
    X, y = digits
    setup = setup_of(X, make_resamples(y, seeds=2, kind="holdout"), [("bare", Bare())])
    (cell,) = fitted(setup, ["all"])
    assert refit(cell, "features").calibration["value"] == 1.0, "nothing was held out"
    records = {
        place: replace(r, calibration=2.0 ** place[0], held=held(0.9)) for place, r in cell.records.items()
    }
    found = refit(replace(cell, records=records), "features")
    assert found.calibration["value"] == pytest.approx(2**0.5)


class Counted(RidgeStrategy):
    """A strategy of a plugin, which says what it chose in numbers of NumPy."""

    def fit(self, view, roles, *, seed=0, folder=None):
        found = super().fit(view, roles, seed=seed)
        found.chosen = {"k": np.int64(3), "depths": np.arange(2), "scale": np.float32(0.5)}
        return found


def test_what_was_chosen_is_kept_in_plain_numbers(digits, tmp_path):
    X, y = digits
    (cell,) = fitted(setup_of(X, make_resamples(y, seeds=1), [("counted", Counted())]), ["all"])
    model = refit(cell, "features")
    model.save(tmp_path)
    assert Model.load(tmp_path).metadata["chosen"] == {"k": 3, "depths": [0, 1], "scale": 0.5}
