"""What every strategy keeps, against naive references: each fit, inner fold and candidate by itself."""

import numpy as np
import pytest

from tests.evaluation.machinery import clouds, folds_of, roles_of
from tests.evaluation.strategies.built_in import BUILT_IN, OF_ROWS, fitted, refitted, seen, select_at_all
from tlengine.evaluation.strategies.base import loss
from tlengine.plugins.contracts import Job, Roles
from tlengine.statistics.calibration import softmax


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


BY_CANDIDATES = ("knn", "centroid", "svm", "preval")
"""Those whose choice is the least log-loss of held-out rows, calibrated on themselves."""


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


def test_no_label_but_those_of_the_roles_is_ever_read(name: str) -> None:
    """The view refuses all others, so a fit that goes through has not asked."""
    X, codes = clouds(60, 6, 2)
    for roles in (roles_of(40, 60), Roles(train=np.arange(2), test=np.arange(2, 60)), select_at_all(60)):
        found, view = fitted(name, X, codes, roles)
        found.scores(view, roles.test)
        with pytest.raises(LookupError):
            view.codes(roles.test)
