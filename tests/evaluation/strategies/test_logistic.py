"""The linear probe as a strategy, on features and on counts of terms."""

import numpy as np
import pytest

from tests.evaluation.machinery import clouds, roles_of
from tests.evaluation.strategies.built_in import fitted
from tlengine.evaluation.strategies import TfidfStrategy
from tlengine.evaluation.strategies.logistic import GRID
from tlengine.plugins.contracts import Roles
from tlengine.probes import probe_path
from tlengine.testing import ArrayView


@pytest.mark.parametrize("classes", [2, 3])
def test_the_kept_logistic_fit_is_certified(classes: int) -> None:
    X, codes = clouds(120, 10, classes, apart=0.6)
    roles = roles_of(80, 120, folds=5)
    found, view = fitted("probe", X, codes, roles)
    assert found.converged
    exact = probe_path(X[:80], codes[:80], Cs=[found.chosen["C"]], tol=1e-9)
    s = X[80:] @ exact.coef_[0].T + exact.intercept_[0]
    expected = np.concatenate([-s / 2, s / 2], axis=1) if classes == 2 else s
    assert found.scores(view, roles.test) == pytest.approx(expected, abs=0.1)
    own = found.estimator(view, roles.train, np.array(["a", "b", "c"])[codes[:80]])
    assert found.chosen["C"] == own.C
    assert (own.predict(X[80:]) == np.array(["a", "b", "c"])[expected.argmax(1)]).mean() > 0.95


def test_a_wide_choice_of_c_is_near_the_best_of_the_grid() -> None:
    """Patience ends the path early, but not before the loss has risen."""
    X, codes = clouds(300, 12, 3, apart=0.5)
    roles = roles_of(150, 300, folds=5)
    found, view = fitted("probe", X, codes, roles)
    path = probe_path(
        X[:150], codes[:150], Cs=GRID / view.scale, folds=[(f, h) for f, h in roles.inner], tol=1e-6
    )
    losses = np.mean([fold.log_loss_ for fold in path.folds], axis=0)
    at = int(np.argmin(np.abs(path.Cs - found.chosen["C"])))
    assert losses[at] <= losses.min() + 2e-3


@pytest.mark.parametrize("inner", [False, True])
def test_held_out_rows_of_an_unseen_class_have_no_say_in_the_choice_of_c(inner: bool) -> None:
    X, codes = clouds(160, 8, 3, apart=1.0)
    rows = np.arange(100)
    fit, held = rows[:60][codes[:60] != 2], rows[60:]
    able = held[codes[held] != 2]
    chosen = []
    for others in (held, able):
        train = np.union1d(fit, held) if inner else fit
        select = None if inner else held
        roles = Roles(train=train, test=np.arange(100, 160), inner=((fit, others),), select=select)
        chosen.append(fitted("probe", X, codes, roles)[0].chosen)
    assert chosen[0] == chosen[1]


def test_tfidf_weighs_by_the_training_rows_and_saves_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 90)
    rates = np.abs(rng.normal(size=(3, 30)))
    X = rng.poisson(rates[codes]).astype(np.float32)
    roles = roles_of(60, 90)
    view = ArrayView(X, codes, roles)
    found = TfidfStrategy().fit(view, roles, seed=0)
    assert (found.scores(view, roles.test).argmax(1) == codes[60:]).mean() > 0.8
    kept = found.estimator(view, roles.train, codes[:60])
    assert kept.decision_function(X[60:]) == pytest.approx(found.scores(view, roles.test), abs=0.05)
    long = ArrayView(np.repeat(X, 50, axis=1).reshape(90, 30, 50).sum(axis=2), codes, roles)
    again = TfidfStrategy().fit(long, roles, seed=0)
    assert again.chosen == found.chosen, "texts that are 50 times as long are no other texts"
