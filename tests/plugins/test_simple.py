"""A strategy of one function: fitted on what it may see, held-out scores from fits that did not."""

from dataclasses import dataclass

import numpy as np
import pytest

from tlengine.errors import InputError
from tlengine.plugins import SimpleStrategy
from tlengine.plugins.contracts import Fitted, Job, Roles, Rows, Scores, Strategy, View
from tlengine.plugins.simple import Scorer
from tlengine.testing import ArrayView

CODES = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
X = np.arange(10.0)[:, None]
ROLES = Roles(
    train=np.arange(6),
    test=np.arange(6, 10),
    inner=((np.arange(3), np.arange(3, 6)), (np.arange(3, 6), np.arange(3))),
)


@dataclass
class Means(SimpleStrategy):
    """Minus the distance to the class mean, times a power."""

    power: float = 1.0

    def learn(self, view: View, rows: Rows, seed: int) -> Scorer:
        features, codes = view.features(rows), view.codes(rows)
        means = np.array([features[codes == c].mean() for c in range(view.classes)])
        return lambda view, rows: -(np.abs(view.features(rows) - means) ** self.power)


def fitted() -> Fitted:
    strategy: Strategy = Means()
    return strategy.fit(ArrayView(X, CODES, ROLES), ROLES, seed=0)


def test_scores_are_those_of_the_training_rows() -> None:
    view = ArrayView(X, CODES, ROLES)
    wanted = -np.abs(X[6:] - np.array([1.5, 2.5, 3.5]))
    np.testing.assert_allclose(fitted().scores(view, ROLES.test), wanted)


def test_held_out_scores_are_by_fits_that_did_not_see_the_rows() -> None:
    held_out = fitted().held_out
    assert held_out is not None
    wanted = [-np.abs(X[3:6] - np.array([0.0, 1, 2])), -np.abs(X[:3] - np.array([3.0, 4, 5]))]
    np.testing.assert_allclose(held_out, np.concatenate(wanted))
    assert len(held_out) == len(ROLES.held)


def test_without_inner_folds_nothing_is_held_out() -> None:
    roles = Roles(train=ROLES.train, test=ROLES.test)
    assert Means().fit(ArrayView(X, CODES, roles), roles, seed=0).held_out is None


def test_settings_are_what_was_set() -> None:
    assert dict(Means(power=2.0).settings()) == {"power": 2.0}
    assert dict(SimpleStrategy().settings()) == {}


def test_many_are_as_one_by_one() -> None:
    view = ArrayView(X, CODES, ROLES)
    many = list(Means().fit_many([Job(view, ROLES, 0), Job(view, ROLES, 1)]))
    assert len(many) == 2
    for one in many:
        np.testing.assert_array_equal(one.scores(view, ROLES.test), fitted().scores(view, ROLES.test))


def test_it_cannot_see_the_labels_of_test_rows() -> None:
    class Peeks(SimpleStrategy):
        def learn(self, view: View, rows: Rows, seed: int) -> Scorer:
            def scores(view: View, rows: Rows) -> Scores:
                return np.asarray(np.eye(3)[view.codes(rows)])

            return scores

    view = ArrayView(X, CODES, ROLES)
    peeks = Peeks().fit(view, ROLES, seed=0)
    with pytest.raises(LookupError, match="row 6"):
        peeks.scores(view, ROLES.test)


def test_it_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="SimpleStrategy is to have a method learn"):
        SimpleStrategy().fit(ArrayView(X, CODES, ROLES), ROLES, seed=0)
    with pytest.raises(InputError, match="a simple strategy cannot be kept"):
        fitted().estimator(ArrayView(X, CODES, ROLES), ROLES.train, CODES[ROLES.train])
