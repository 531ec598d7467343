"""Strategies against naive references: each fit, each inner fold, each candidate by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.evaluation.machinery import clouds, folds_of, roles_of
from tlengine.errors import InputError
from tlengine.evaluation.identity import identity_of
from tlengine.evaluation.strategies import (
    CentroidStrategy,
    EstimatorStrategy,
    LogisticStrategy,
    NeighborsStrategy,
    RidgeStrategy,
    TfidfStrategy,
    read_scores,
)
from tlengine.evaluation.strategies.base import loss, pad
from tlengine.plugins import ProbeSpec, as_probe_spec, resolve
from tlengine.plugins.contracts import Job, Roles
from tlengine.probes import NearestCentroidProbe, probe_path
from tlengine.statistics.calibration import softmax
from tlengine.testing import ArrayView

BUILT_IN: dict[str, Callable[[], Any]] = {
    "knn": NeighborsStrategy,
    "probe": LogisticStrategy,
    "ridge": RidgeStrategy,
    "centroid": CentroidStrategy,
    "tfidf": TfidfStrategy,
    "svm": lambda: EstimatorStrategy(resolve("probe", "svm")),
    "preval": lambda: EstimatorStrategy(resolve("probe", "preval")),
}
BY_CANDIDATES = ("knn", "centroid", "svm", "preval")
"""Those whose choice is the least log-loss of held-out rows, calibrated on themselves."""


OF_ROWS = tuple(name for name in BUILT_IN if name != "tfidf")
"""Those that fit the rows of the view as they are."""


@pytest.fixture(params=BUILT_IN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def seen(X: np.ndarray, codes: np.ndarray, roles: Roles, name: str = "") -> ArrayView:
    """For the strategy of texts as counts of terms."""
    return ArrayView(np.floor(np.abs(2 * X)) if name == "tfidf" else X, codes, roles)


def fitted(name: str, X: np.ndarray, codes: np.ndarray, roles: Roles) -> tuple[Any, ArrayView]:
    view = seen(X, codes, roles, name)
    return BUILT_IN[name]().fit(view, roles, seed=0), view


def select_at_all(n: int) -> Roles:
    """A user's validation rows, on which hyper-parameters are chosen."""
    train, select = np.arange(0, n // 2), np.arange(n // 2, 3 * n // 4)
    return Roles(train=train, test=np.arange(3 * n // 4, n), inner=((train, select),), select=select)


def odd_jobs(classes: int) -> list[tuple[np.ndarray, np.ndarray, Roles]]:
    """Rows of one matrix, for different roles: folds, a selection split, nothing to hold out."""
    X, codes = clouds(96, 8, classes)
    few = Roles(train=np.arange(classes), test=np.arange(60, 96))
    some = Roles(train=np.arange(9, 40), test=np.arange(60, 96), inner=folds_of(np.arange(9, 40), 4))
    return [(X, codes, roles) for roles in (roles_of(60, 96), few, select_at_all(96), some)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1], [2, 0, 3]])
def test_many_fits_at_once_equal_fits_one_by_one(name: str, classes: int, order: list[int]) -> None:
    """Bit for bit, in any batch: a run that is taken up again solves other batches than the first."""
    cases = [odd_jobs(classes)[i] for i in order]
    jobs = [Job(seen(X, codes, roles, name), roles) for X, codes, roles in cases]
    together = list(BUILT_IN[name]().fit_many(jobs))
    assert len(together) == len(jobs)
    for job, found in zip(jobs, together, strict=True):
        alone = BUILT_IN[name]().fit(job.view, job.roles, seed=0)
        assert found.chosen == alone.chosen
        test = job.roles.test
        assert found.scores(job.view, test).tobytes() == alone.scores(job.view, test).tobytes()
        assert (found.held_out is None) == (alone.held_out is None) == (not job.roles.inner)
        if job.roles.inner:
            assert found.held_out.tobytes() == alone.held_out.tobytes()


def refitted(name: str, view: ArrayView, roles: Roles, chosen: dict[str, Any]) -> np.ndarray:
    """Scores of the rows held out, each inner part fitted by itself with what was chosen."""
    strategy, parts = BUILT_IN[name](), []
    for rows, held in roles.inner:
        known, codes = np.unique(view.codes(rows), return_inverse=True)
        X, others = view.features(rows), view.features(held)
        if name == "probe":
            path = probe_path(X, codes, Cs=[chosen["C"]], tol=1e-8)
            s = others @ path.coef_[0].T + path.intercept_[0]
            found = np.concatenate([-s / 2, s / 2], axis=1) if s.shape[1] == 1 else s
        else:
            found = read_scores(strategy.make(**chosen).fit(X, codes), others, strategy.reading)[1]
        parts.append(pad(found, known, view.classes))
    return np.concatenate(parts)


@pytest.mark.parametrize("name", OF_ROWS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("select", [False, True])
def test_held_out_scores_are_those_of_naive_refits(name: str, classes: int, select: bool) -> None:
    X, codes = clouds(120, 6, classes)
    roles = select_at_all(120) if select else roles_of(80, 120, folds=5)
    found, view = fitted(name, X, codes, roles)
    expected = refitted(name, view, roles, dict(found.chosen))
    assert found.held_out.shape == (len(roles.held), classes)
    if name == "probe":  # the fits that choose C are certified to 1 % of their objective
        assert softmax(found.held_out) == pytest.approx(softmax(expected), abs=0.05)
    else:
        assert found.held_out == pytest.approx(expected, abs=2e-4)
    right = (found.held_out.argmax(1) == view.codes(roles.held)).mean()
    assert right > 1.3 / classes


@pytest.mark.parametrize("name", BY_CANDIDATES)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_choice_is_the_candidate_of_the_least_held_out_loss(name: str, classes: int) -> None:
    X, codes = clouds(90, 5, classes, apart=0.8)
    roles = roles_of(60, 90)
    found, view = fitted(name, X, codes, roles)
    strategy = BUILT_IN[name]()
    candidates = strategy.candidates(view, 40)
    assert len(candidates) > 1
    losses = []
    for candidate in candidates:
        scores = refitted(name, view, roles, candidate)
        losses.append(strategy.losses(found.kind, scores[None], view.codes(roles.held), 60)[0])
    assert dict(found.chosen) == candidates[int(np.argmin(losses))]
    if name != "knn":
        assert min(losses) == pytest.approx(loss(found.kind, found.held_out, view.codes(roles.held), 60))


@pytest.mark.parametrize(("n", "d"), [(60, 20), (60, 90), (200, 6)])
@pytest.mark.parametrize("classes", [2, 4])
def test_ridge_chooses_by_the_squared_error_of_held_out_rows(n: int, d: int, classes: int) -> None:
    """By leave-one-out where every row is a unit; else by whole folds. Both against one fit at a time."""
    X, codes = clouds(n + 10, d, classes, apart=0.5)
    for units in (np.arange(n + 10), np.arange(n + 10) // 2):
        roles = roles_of(n, n + 10, folds=5)
        if units[-1] < n:
            held = [np.flatnonzero(units[:n] % 5 == f) for f in range(5)]
            roles = Roles(
                train=roles.train,
                test=roles.test,
                inner=tuple((np.setdiff1d(roles.train, h), h) for h in held),
            )
        view = ArrayView(X, codes, roles)
        view.units = units
        strategy = RidgeStrategy()
        found = strategy.fit(view, roles)
        parts = roles.inner
        if units[-1] >= n:
            parts = tuple((np.delete(roles.train, i), roles.train[[i]]) for i in range(n))
        errors = []
        grid = [c["alpha"] for c in strategy.candidates(view, n)]
        targets = 2.0 * np.eye(classes)[codes] - 1
        for alpha in grid:
            squared = []
            for rows, held in parts:
                scores = strategy.make(alpha=alpha).fit(X[rows], codes[rows]).decision_function(X[held])
                scores = np.stack([-scores, scores], 1) if classes == 2 else scores
                squared.append((scores - targets[held]) ** 2)
            errors.append(np.concatenate(squared).mean())
        best = min(errors)
        assert errors[grid.index(found.chosen["alpha"])] <= best * (1 + 1e-5)


@pytest.mark.parametrize(("n", "d"), [(40, 10), (25, 50), (200, 6)])
@pytest.mark.parametrize("classes", [2, 3])
def test_ridge_leaves_folds_out_without_a_fit_for_each(n: int, d: int, classes: int) -> None:
    X, codes = clouds(n + 10, d, classes)
    roles = roles_of(n, n + 10, folds=2 if n == 200 else 5)
    found, view = fitted("ridge", X, codes, roles)
    assert found.held_out == pytest.approx(refitted("ridge", view, roles, dict(found.chosen)), abs=2e-4)


def test_nothing_to_hold_out_takes_the_default_and_still_learns(name: str) -> None:
    X, codes = clouds(93, 8, 3, apart=3.0)
    roles = Roles(train=np.arange(3), test=np.arange(3, 93))
    found, view = fitted(name, X, codes, roles)
    assert found.held_out is None
    scores = found.scores(view, roles.test)
    assert scores.shape == (90, 3)
    assert np.isfinite(scores).all()
    if name != "tfidf":
        assert (scores.argmax(1) == codes[3:]).mean() > 0.7


def test_a_class_that_is_not_in_train_has_no_score(name: str) -> None:
    X, codes = clouds(90, 8, 4)
    rows = np.flatnonzero(codes[:60] != 1)
    roles = Roles(train=rows, test=np.arange(60, 90), inner=folds_of(rows))
    found, view = fitted(name, X, codes, roles)
    for scores in (found.scores(view, roles.test), found.held_out):
        assert (scores[:, 1] == -np.inf).all()
        assert np.isfinite(scores[:, [0, 2, 3]]).all()


def test_a_class_that_an_inner_part_does_not_have_is_impossible_there(name: str) -> None:
    """Held-out rows of that class say nothing; the others are scored as if it did not exist."""
    X, codes = clouds(90, 8, 3, apart=2.0)
    train = np.arange(60)
    lost = np.flatnonzero(codes[:60] == 2)
    held = [np.union1d(lost, train[:10]), np.setdiff1d(train, lost)[-10:]]
    roles = Roles(train=train, test=np.arange(60, 90), inner=tuple((np.setdiff1d(train, h), h) for h in held))
    found, _ = fitted(name, X, codes, roles)
    first, second = found.held_out[: len(held[0])], found.held_out[len(held[0]) :]
    assert (first[:, 2] == -np.inf).all()
    assert np.isfinite(first[:, :2]).all()
    assert np.isfinite(second).all()
    if name != "tfidf":
        able = codes[held[0]] != 2
        assert (first[able].argmax(1) == codes[held[0]][able]).mean() > 0.7


def test_a_selected_class_that_is_not_in_train_spoils_no_choice(name: str) -> None:
    X, codes = clouds(120, 8, 3)
    train = np.flatnonzero(codes[:60] != 2)
    select = np.arange(60, 90)
    roles = Roles(train=train, test=np.arange(90, 120), inner=((train, select),), select=select)
    found, _ = fitted(name, X, codes, roles)
    assert (found.held_out[:, 2] == -np.inf).all()
    known = codes[select] != 2
    assert np.isfinite(found.held_out[:, :2]).all()
    if name != "tfidf":
        assert (found.held_out[known].argmax(1) == codes[select][known]).mean() > 0.7


@pytest.mark.parametrize("name", OF_ROWS)
@pytest.mark.parametrize("factor", [1_000.0, 2.0**-10])
def test_the_unit_of_the_features_does_not_matter(name: str, factor: float) -> None:
    X, codes = clouds(120, 6, 3, apart=0.8)
    roles = roles_of(60, 120, folds=4)
    small, view = fitted(name, X, codes, roles)
    large, wide = fitted(name, X * np.float32(factor), codes, roles)
    same = small.scores(view, roles.test).argmax(1) == large.scores(wide, roles.test).argmax(1)
    assert same.mean() >= 0.98
    assert large.held_out == pytest.approx(small.held_out, abs=0.2 if name == "probe" else 0.01)


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
    from tlengine.evaluation.strategies.logistic import GRID

    path = probe_path(
        X[:150], codes[:150], Cs=GRID / view.scale, folds=[(f, h) for f, h in roles.inner], tol=1e-6
    )
    losses = np.mean([fold.log_loss_ for fold in path.folds], axis=0)
    at = int(np.argmin(np.abs(path.Cs - found.chosen["C"])))
    assert losses[at] <= losses.min() + 2e-3


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


class Reversed(ClassifierMixin, BaseEstimator):
    """One that numbers its classes from the last to the first."""

    def fit(self, X: Any, y: Any) -> "Reversed":
        self.inside = LinearDiscriminantAnalysis().fit(X, y)
        self.classes_ = self.inside.classes_[::-1]
        return self

    def predict(self, X: Any) -> Any:
        return self.inside.predict(X)

    def predict_proba(self, X: Any) -> Any:
        return self.inside.predict_proba(X)[:, ::-1]


def with_estimator(thing: Any, X: np.ndarray, codes: np.ndarray, roles: Roles) -> tuple[Any, ArrayView]:
    view = ArrayView(X, codes, roles)
    return EstimatorStrategy(as_probe_spec(thing)).fit(view, roles, seed=0), view


FORMS = {
    "forest": (RandomForestClassifier, RandomForestClassifier(), lambda: RandomForestClassifier()),
    "no probabilities": (LinearSVC, LinearSVC(), lambda **options: LinearSVC(**options)),
    "decisions": (RidgeClassifier, RidgeClassifier(), RidgeClassifier),
    "pipeline": (
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
        lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
        lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
    ),
    "order": (Reversed, LinearDiscriminantAnalysis(), LinearDiscriminantAnalysis),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_class_instance_and_callable_give_the_same_numbers(form: str, classes: int) -> None:
    X, codes = clouds(90, 6, classes)
    roles = roles_of(60, 90)
    first, *others = (with_estimator(thing, X, codes, roles) for thing in FORMS[form])
    expected = first[0].scores(first[1], roles.test)
    assert (expected.argmax(1) == codes[60:]).mean() > 0.6
    for found, view in others:
        assert found.kind == first[0].kind == "logits"
        assert np.array_equal(found.scores(view, roles.test), expected)
        assert np.array_equal(found.held_out, first[0].held_out)


@pytest.mark.parametrize("thing", [RandomForestClassifier, RidgeClassifier, LinearDiscriminantAnalysis])
def test_where_nothing_is_held_out_an_estimator_answers_more_than_class_0(thing: Any) -> None:
    X, codes = clouds(93, 8, 3, apart=3.0)
    roles = Roles(train=np.arange(9), test=np.arange(9, 93))
    found, view = with_estimator(thing, X, codes, roles)
    assert found.held_out is None
    answers = found.scores(view, roles.test).argmax(1)
    assert set(answers.tolist()) == {0, 1, 2}
    assert (answers == codes[9:]).mean() > 0.6


class Votes(ClassifierMixin, BaseEstimator):
    """Answers, and says no more."""

    def fit(self, X: Any, y: Any) -> "Votes":
        self.inside = LinearDiscriminantAnalysis().fit(X, y)
        self.classes_ = self.inside.classes_
        return self

    def predict(self, X: Any) -> Any:
        return self.inside.predict(X)


def test_an_estimator_that_only_answers_gives_votes() -> None:
    X, codes = clouds(90, 6, 3)
    roles = roles_of(60, 90)
    found, view = with_estimator(Votes, X, codes, roles)
    assert found.kind == "votes"
    scores = found.scores(view, roles.test)
    assert np.array_equal(
        scores, np.eye(3)[LinearDiscriminantAnalysis().fit(X[:60], codes[:60]).predict(X[60:])]
    )


class Shares(ClassifierMixin, BaseEstimator):
    """Probabilities that a function spoils."""

    def __init__(self, spoil: Any = None) -> None:
        self.spoil = spoil

    def fit(self, X: Any, y: Any) -> "Shares":
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[np.zeros(len(X), int)]

    def predict_proba(self, X: Any) -> Any:
        return self.spoil(np.full((len(X), len(self.classes_)), 1 / len(self.classes_)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: p * np.nan, "NaN or infinity"),
        (lambda p: p[:, 1:], r"shape \(\d+, 2\), expected"),
        (lambda p: p[:-1], "expected"),
        (lambda p: p * 3, "adds up to 3"),
        (lambda p: "none", "no array of numbers"),
    ],
)
def test_bad_probabilities_are_refused_in_words(spoil: Any, says: str) -> None:
    X, codes = clouds(60, 4, 3)
    with pytest.raises(InputError, match=says):
        with_estimator(Shares(spoil), X, codes, roles_of(40, 60))


def test_what_is_left_to_chance_is_drawn_the_same_each_time() -> None:
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))
    strategy = EstimatorStrategy(as_probe_spec(("forest", forest)))
    made = strategy.make()
    assert made.get_params()["randomforestclassifier__random_state"] == 0
    assert EstimatorStrategy(as_probe_spec(RandomForestClassifier(random_state=7))).make().random_state == 7
    assert forest.get_params()["randomforestclassifier__random_state"] is None, (
        "the user's own stays as it is"
    )


def test_settings_of_an_estimator_tell_all_that_counts() -> None:
    def told(**facts: Any) -> Any:
        spec = ProbeSpec(**{"name": "x", "estimator": LinearDiscriminantAnalysis, **facts})
        return identity_of(EstimatorStrategy(spec))

    assert told() == told()
    assert told(candidates=[{"shrinkage": 0.1}]) != told(candidates=[{"shrinkage": 0.1}, {"shrinkage": 0.2}])
    scaled = [lambda n, d, scale, by=by: [{"tol": by}, {"tol": by / scale}] for by in (1.0, 2.0)]
    assert told(candidates=scaled[0]) != told(candidates=scaled[1])
    assert told(estimator=Shares) != told()
    assert told(estimator=lambda: LinearDiscriminantAnalysis(tol=1.0)) != told()


def test_groups_stay_whole_in_the_folds_of_an_estimator() -> None:
    seen_groups = []

    class Grouped(Votes):
        def fit(self, X: Any, y: Any, groups: Any = None) -> "Grouped":
            seen_groups.append(groups)
            super().fit(X, y)
            return self

    X, codes = clouds(60, 4, 3)
    roles = roles_of(40, 60)
    view = ArrayView(X, codes, roles)
    view.units = np.arange(60) // 2
    EstimatorStrategy(as_probe_spec(("grouped", lambda: Grouped()))).fit(view, roles, seed=0)
    rows = [rows for rows, _ in roles.inner] + [roles.train]
    assert [g.tolist() for g in seen_groups] == [view.units[r].tolist() for r in rows]


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


def test_no_label_but_those_of_the_roles_is_ever_read(name: str) -> None:
    """The view refuses all others, so a fit that goes through has not asked."""
    X, codes = clouds(60, 6, 2)
    for roles in (roles_of(40, 60), Roles(train=np.arange(2), test=np.arange(2, 60)), select_at_all(60)):
        found, view = fitted(name, X, codes, roles)
        found.scores(view, roles.test)
        with pytest.raises(LookupError):
            view.codes(roles.test)


def forest(**options: Any) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=5, **options)


def test_only_what_is_kept_is_weighed() -> None:
    """The attributes of a forest that are arrays are its classes; its trees lie elsewhere."""
    X, codes = clouds(60)
    roles = roles_of(45, 60)
    view = ArrayView(X, codes, roles)

    def saved(nb: GaussianNB) -> Any:
        return {"theta": nb.theta_.astype(np.float64), "var": nb.var_.astype(np.float32)}, {}

    def broken(nb: GaussianNB) -> Any:
        raise SystemExit("no licence")

    def weigh(**options: Any) -> Any:
        return EstimatorStrategy(ProbeSpec(**options)).fit(view, roles, seed=0).nbytes

    k, d = len(np.unique(codes[roles.train])), X.shape[1]
    assert weigh(name="forest", estimator=forest) is None
    assert weigh(name="nb", estimator=GaussianNB) is None
    assert weigh(name="nb", estimator=GaussianNB, save=saved, load=dict) == k * d * 8 + k * d * 4
    assert weigh(name="nb", estimator=GaussianNB, save=broken, load=dict) is None
    assert weigh(name="own", estimator=NearestCentroidProbe) == k * d * 8
    assert CentroidStrategy().fit(view, roles, seed=0).nbytes == k * d * 8


def test_the_grid_of_alphas_is_no_concern_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors here: an alpha at the edge of a grid that no one can widen is not said."""
    from tlengine.evaluation.strategies import ridge

    monkeypatch.setattr(ridge, "GRID", np.array([1e2, 1e3, 1e4]))
    X, codes = clouds(50, 10, 3)
    roles = roles_of(40, 50, folds=5)
    chosen = RidgeStrategy().fit(ArrayView(X, codes, roles), roles).chosen
    assert chosen["alpha"] == RidgeStrategy().candidates(ArrayView(X, codes, roles), 40)[0]["alpha"]
