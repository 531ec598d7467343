"""Long solves are shown, can be ended, and keep every C that is done."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.exceptions import ConvergenceWarning

import tlengine as tl
from tlengine.errors import InputError, RunFormatError, TimeLimitError, TimeLimitWarning
from tlengine.probes import PathProgress

CS = [1e-2, 1e-1, 1.0]

pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


def data(n: int = 400, d: int = 12, classes: int = 3) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    return (rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(classes, d))[y]).astype(np.float32), y


def slow() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Work for some tenths of a second for every C, seen by several looks."""
    return data(6_000, 192, 120)


def after(solved: int) -> Any:
    """A callback that ends the path once so many C are done."""
    return lambda progress: progress.solved >= solved


def same(a: Any, b: Any) -> None:
    assert a.Cs.tolist() == b.Cs.tolist()
    np.testing.assert_allclose(a.objective_, b.objective_, rtol=1e-4)
    np.testing.assert_allclose(a.coef_, b.coef_, atol=0.02)


def test_a_callback_hears_of_every_step_and_of_what_is_left() -> None:
    X, y = slow()
    told: list[PathProgress] = []
    tl.probe_path(X, y, Cs=CS[:2], callback=told.append, progress=False)
    passes = [progress.passes for progress in told]
    assert passes == sorted(passes)
    assert passes[-1] > passes[0] >= 1
    assert told[0].total == 2
    assert told[-1].solved == 2
    assert told[-1].passes_left == 0
    assert {progress.C for progress in told} <= {*CS[:2]}
    assert all(progress.passes_left >= 0 and progress.seconds >= 0 for progress in told)


def test_what_is_done_when_a_path_is_ended_is_its_result() -> None:
    X, y = slow()
    with pytest.warns(TimeLimitWarning, match="of 3 values of C"):
        path = tl.probe_path(X, y, Cs=CS, folds=2, callback=after(1), progress=False)
    whole = tl.probe_path(X, y, Cs=CS, folds=2)
    count = len(path.Cs)
    assert 1 <= count < 3
    assert path.ended_early_
    assert path.converged_.all()
    np.testing.assert_array_equal(path.coef_, whole.coef_[:count])
    assert path.log_loss_ is not None
    assert whole.log_loss_ is not None
    np.testing.assert_array_equal(path.log_loss_, whole.log_loss_[:count])


def test_a_path_that_is_ended_before_the_first_step_is_an_error() -> None:
    X, y = data(20_000, 512, 400)  # a pass takes longer than the first look lets pass
    with pytest.raises(TimeLimitError, match="no step was made"):
        tl.probe_path(X, y, Cs=CS, max_seconds=1e-3, progress=False, n_jobs=1)
    with pytest.raises(TimeLimitError):
        tl.LinearProbe(max_seconds=1e-3, n_jobs=1).fit(X, y)


def test_an_error_in_a_callback_is_raised_and_costs_nothing_that_is_done(tmp_path: Path) -> None:
    X, y = slow()

    def fail(progress: PathProgress) -> None:
        if progress.solved:
            raise LookupError("mine")

    file = tmp_path / "path"
    with pytest.raises(LookupError, match="mine"):
        tl.probe_path(X, y, Cs=CS, callback=fail, resume=file)
    whole = tl.probe_path(X, y, Cs=CS[:1], resume=file, max_seconds=1e-3)
    assert whole.converged_.all()


def test_an_ended_path_is_taken_up_from_its_file(tmp_path: Path) -> None:
    X, y = slow()
    file = tmp_path / "path"
    with pytest.warns(TimeLimitWarning):
        part = tl.probe_path(X, y, Cs=CS, folds=2, resume=file, callback=after(1))
    told: list[PathProgress] = []
    whole = tl.probe_path(X, y, Cs=CS, folds=2, resume=file, callback=told.append)
    assert told[0].solved == told[0].taken_up == len(part.Cs)
    assert part.Cs.max() < told[0].C
    np.testing.assert_array_equal(whole.coef_[: len(part.Cs)], part.coef_)
    same(whole, tl.probe_path(X, y, Cs=CS, folds=2))
    again: list[PathProgress] = []
    last = tl.probe_path(X, y, Cs=CS, folds=2, resume=file, callback=again.append)
    assert not again
    np.testing.assert_array_equal(last.coef_, whole.coef_)


def test_other_values_of_c_start_from_the_nearest_smaller_one(tmp_path: Path) -> None:
    X, y = slow()
    file = tmp_path / "path"
    tl.probe_path(X, y, Cs=[0.09], resume=file)
    started = tl.probe_path(X, y, Cs=[0.1], resume=file)
    cold = tl.probe_path(X, y, Cs=[0.1])
    assert started.n_passes_[0] < cold.n_passes_[0]
    np.testing.assert_allclose(started.objective_, cold.objective_, rtol=1e-4)


def test_patience_goes_on_where_it_was(tmp_path: Path) -> None:
    X, y = data(300, 40)
    wanted = tl.probe_path(X, y, Cs=12, folds=3, patience=2)
    assert len(wanted.Cs) < 12
    for count in (1, len(wanted.Cs) - 1, len(wanted.Cs)):
        file = tmp_path / str(count)
        tl.probe_path(X, y, Cs=wanted.Cs[:count], folds=3, resume=file)
        found = tl.probe_path(X, y, Cs=12, folds=3, patience=2, resume=file)
        assert found.Cs.tolist() == wanted.Cs.tolist(), count


def test_with_patience_a_value_of_c_beyond_the_end_is_not_in_the_result(tmp_path: Path) -> None:
    X, y = data(300, 40)
    wanted = tl.probe_path(X, y, Cs=12, folds=3, patience=2)
    tl.probe_path(X, y, Cs=12, folds=3, resume=tmp_path / "all")
    tl.probe_path(X, y, Cs=[1e5], folds=3, resume=tmp_path / "last")
    for name in ("all", "last"):
        found = tl.probe_path(X, y, Cs=12, folds=3, patience=2, resume=tmp_path / name)
        assert found.Cs.tolist() == wanted.Cs.tolist()
        assert found.ended_early_


def test_nothing_is_taken_up_that_was_not_kept() -> None:
    X, y = slow()
    told: list[PathProgress] = []
    tl.probe_path(X, y, Cs=CS[:2], callback=told.append)
    assert {progress.taken_up for progress in told} == {0}


def test_a_saved_probe_does_not_carry_what_its_fit_kept() -> None:
    X, y = data()
    probe = tl.LinearProbeCV(CS, warm_start=True).fit(X, y)
    assert "_kept" in vars(probe)
    assert "_kept" not in vars(pickle.loads(pickle.dumps(probe)))  # noqa: S301 - our own bytes
    assert "_kept" not in vars(probe.set_params(warm_start=False).fit(X, y))


def test_a_file_of_another_problem_is_refused(tmp_path: Path) -> None:
    X, y = data()
    file = tmp_path / "path"
    tl.probe_path(X, y, Cs=CS, resume=file)
    with pytest.raises(RunFormatError, match="other data or settings"):
        tl.probe_path(X, y, Cs=CS, fit_intercept=False, resume=file)
    with pytest.raises(RunFormatError, match="other data or settings"):
        tl.probe_path(X, np.roll(y, 1), Cs=CS, resume=file)


def test_a_folder_holds_a_file_for_each_problem_until_it_is_whole(tmp_path: Path) -> None:
    X, y = slow()
    with pytest.warns(TimeLimitWarning):
        tl.LinearProbeCV(CS, cv=2, resume=tmp_path, callback=after(1), patience=None).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 1
    tl.LinearProbeCV(CS, cv=2, resume=tmp_path, patience=None).fit(X, y)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_keeps_what_is_done_for_a_warm_start() -> None:
    X, y = slow()
    probe = tl.LinearProbeCV(CS, cv=2, warm_start=True, patience=None, tol=1e-6)

    def interrupt(progress: PathProgress) -> None:
        if progress.solved:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        probe.set_params(callback=interrupt).fit(X, y)
    told: list[PathProgress] = []
    probe.set_params(callback=told.append).fit(X, y)
    assert told[0].solved >= 1
    np.testing.assert_array_equal(probe.Cs_, CS)
    same_scores = tl.LinearProbeCV(CS, cv=2, patience=None, tol=1e-6).fit(X, y).scores_
    np.testing.assert_allclose(probe.scores_, same_scores, atol=1e-3)


def test_a_warm_start_of_one_c_saves_passes_and_other_data_start_anew() -> None:
    X, y = slow()
    probe = tl.LinearProbe(0.09, tol=1e-4, warm_start=True).fit(X, y)
    warm = probe.set_params(C=0.1).fit(X, y).n_passes_
    cold = tl.LinearProbe(0.1, tol=1e-4).fit(X, y).n_passes_
    assert warm < cold
    probe.fit(X[:, :20], y)
    assert probe.converged_
    assert probe.coef_.shape == (120, 20)


def test_ctrl_c_is_noticed_at_a_thousand_classes() -> None:
    X, y = data(3_000, 512, 1_000)
    told: list[PathProgress] = []

    def look(progress: PathProgress) -> None:
        if not told:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        told.append(progress)

    with pytest.raises(KeyboardInterrupt):
        tl.probe_path(X, y, Cs=[1e-2, 1.0, 1e2], tol=1e-9, callback=look)
    # It ended in the middle: some seconds of passes were still to come.
    assert told[-1].solved < 3
    assert told[-1].passes_left > 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_seconds": 0}, "max_seconds=0"),
        ({"max_seconds": "1"}, "max_seconds='1'"),
        ({"callback": 3}, "callback=3"),
        ({"resume": "/nowhere/at/all"}, "cannot be opened"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], match: str) -> None:
    X, y = data()
    with pytest.raises(InputError, match=match):
        tl.probe_path(X, y, Cs=CS, **options)


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = slow()
    tl.probe_path(X, y, Cs=CS[:2])
    assert capsys.readouterr() == ("", "")


def test_two_classes_are_kept_before_their_columns_fill_a_pass(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60_000, 300)) @ rng.normal(size=(300, 300))).astype(np.float32)
    y = X[:, 0] + 20 * rng.normal(size=len(X)) > 0
    with pytest.warns(TimeLimitWarning):
        path = tl.probe_path(X, y, Cs=np.logspace(-6, 3, 30), resume=tmp_path / "path", callback=after(1))
    assert 1 <= len(path.Cs) < 30


def test_nobody_is_asked_again_after_enough() -> None:
    X, y = slow()
    told: list[int] = []

    def enough(progress: PathProgress) -> bool:
        told.append(progress.solved)
        return progress.solved >= 1

    with pytest.warns(TimeLimitWarning):
        tl.probe_path(X, y, Cs=CS, callback=enough)
    assert [solved for solved in told if solved] == [told[-1]]


@pytest.mark.parametrize("first", [True, False])
def test_a_warm_start_leaves_no_intercept_behind(first: bool) -> None:
    X, y = data(classes=2)
    probe = tl.LinearProbe(warm_start=True, fit_intercept=first).fit(X, y > 0)
    probe.set_params(fit_intercept=not first).fit(X, y > 0)
    cold = tl.LinearProbe(fit_intercept=not first).fit(X, y > 0)
    np.testing.assert_allclose(probe.intercept_, cold.intercept_, atol=1e-3)
    np.testing.assert_allclose(probe.coef_, cold.coef_, atol=1e-3)


def test_a_warm_start_knows_labels_that_no_row_has() -> None:
    X, y = data()
    Y = np.stack([y == 0, y == 1], axis=1)
    absent = np.stack([y == 0, y < 0], axis=1)
    probe = tl.LinearProbe(warm_start=True).fit(X, Y).fit(X, absent)
    assert probe.predict_proba(X.mean(axis=0)[None])[0, 1] < 1e-8


def test_equal_values_of_c_have_equal_solutions(tmp_path: Path) -> None:
    X, y = data()
    path = tl.probe_path(X, y, Cs=[0.1, 1.0, 0.1, 0.1], folds=3, resume=tmp_path / "path")
    assert path.converged_.all()
    assert path.Cs.tolist() == [0.1, 1.0, 0.1, 0.1]
    np.testing.assert_array_equal(path.coef_[0], path.coef_[3])
    np.testing.assert_array_equal(path.folds[0].coef_[0], path.folds[0].coef_[2])


def test_what_is_not_certified_to_tol_is_where_the_next_call_starts(tmp_path: Path) -> None:
    X, y = data(600, 30, 10)
    file = tmp_path / "path"
    with pytest.warns(ConvergenceWarning):
        part = tl.probe_path(X, y, Cs=[100.0], max_iter=10, resume=file)
    rest = tl.probe_path(X, y, Cs=[100.0], resume=file)
    whole = tl.probe_path(X, y, Cs=[100.0])
    assert not part.converged_.any()
    assert rest.converged_.all()
    assert rest.n_iter_[0] < whole.n_iter_[0]
    sharper = tl.probe_path(X, y, Cs=[100.0], tol=1e-6, resume=file)
    assert sharper.gap_bound_[0] <= 1e-6 * sharper.objective_[0]
    loose = tl.probe_path(X, y, Cs=[100.0], tol=1e-2, resume=file)
    np.testing.assert_array_equal(loose.coef_, sharper.coef_)


def test_a_warm_start_goes_on_from_a_solution_that_was_given_up() -> None:
    X, y = data(600, 30, 10)
    probe = tl.LinearProbe(C=100, max_iter=10, tol=1e-4, warm_start=True)
    gaps = []
    for _ in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            gaps.append(probe.fit(X, y).gap_bound_)
    assert gaps[-1] < 0.1 * gaps[0]


def test_ctrl_c_says_what_is_kept(tmp_path: Path) -> None:
    X, y = slow()

    def interrupt(progress: PathProgress) -> None:
        if progress.solved:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        tl.probe_path(X, y, Cs=CS, callback=interrupt, resume=tmp_path / "path")
    assert "of 3 values of C are kept" in caught.value.__notes__[0]


def test_no_cv_is_five_folds_as_in_scikit_learn() -> None:
    X, y = data()
    assert tl.LinearProbeCV(CS, cv=None).fit(X, y).scores_.shape[0] == 5


def test_one_long_c_is_done_in_pieces(tmp_path: Path) -> None:
    """Each call ends by ``max_iter``, keeps its solution with its gap, and the next goes on from there."""
    X, y = data(600, 30, 10)
    gaps, calls = [], 0
    while not gaps or gaps[-1] > 1e-4:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            path = tl.probe_path(X, y, Cs=[100.0], max_iter=20, resume=tmp_path / "path")
        gaps.append(float(path.gap_bound_[0] / path.objective_[0]))
        assert any(one.category is ConvergenceWarning for one in said) is not bool(path.converged_[0])
        calls += 1
        assert calls < 20
    assert calls > 2
    best = tl.probe_path(X.astype(np.float64), y, Cs=[100.0], tol=1e-9).objective_[0]
    assert best <= path.objective_[0] <= best * (1 + 1e-4)


def at_pass(passes: int) -> Any:
    """A callback that ends the solve once so many passes are made."""
    return lambda progress: progress.passes >= passes


@pytest.mark.parametrize("keep", ["file", "memory"])
def test_a_c_that_is_ended_on_the_way_is_a_result_and_where_the_next_call_starts(
    keep: str, tmp_path: Path
) -> None:
    X, y = slow()
    options: dict[str, Any] = {"resume": tmp_path / "path"} if keep == "file" else {"warm_start": True}
    whole = tl.LinearProbe(10.0, tol=1e-6).fit(X, y)
    probe = tl.LinearProbe(10.0, tol=1e-6, callback=at_pass(whole.n_passes_ // 3), **options)
    with (
        pytest.warns(TimeLimitWarning, match="on the way to its first C.*the next call goes on from there"),
        pytest.warns(ConvergenceWarning, match="not certified.*Give it more time"),
    ):
        probe.fit(X, y)
    assert not probe.converged_
    best = whole.objective_ - whole.gap_bound_
    assert best < whole.objective_ < probe.objective_
    assert probe.objective_ - probe.gap_bound_ <= whole.objective_
    gap = probe.gap_bound_
    probe.set_params(callback=None).fit(X, y)
    assert probe.converged_
    assert gap > probe.gap_bound_
    assert probe.n_passes_ < whole.n_passes_
    np.testing.assert_allclose(probe.objective_, whole.objective_, rtol=1e-6)


def test_max_seconds_ends_a_c_on_the_way(tmp_path: Path) -> None:
    X, y = slow()
    with pytest.warns(TimeLimitWarning), pytest.warns(ConvergenceWarning):
        path = tl.probe_path(X, y, Cs=[1e4], tol=1e-9, max_seconds=0.2, folds=2, resume=tmp_path / "path")
    assert path.cut_short_
    assert not path.converged_.any()
    assert path.log_loss_ is not None
    assert len(path.folds) == 2
    assert np.isfinite([path.gap_bound_, path.log_loss_, path.folds[0].gap_bound_]).all()
    with pytest.warns(TimeLimitWarning), pytest.warns(ConvergenceWarning):
        more = tl.probe_path(X, y, Cs=[1e4], tol=1e-9, max_seconds=0.2, folds=2, resume=tmp_path / "path")
    assert more.objective_[0] < path.objective_[0]


def test_no_c_is_the_result_on_the_way_where_another_one_is_done_but_it_is_kept(tmp_path: Path) -> None:
    X, y = slow()
    Cs, ends = [1e-6, 10.0], 15
    cold = tl.probe_path(X, y, Cs=Cs, tol=1e-6)
    assert cold.n_passes_[0] < ends < cold.n_passes_[1] // 2
    with pytest.warns(TimeLimitWarning, match="after 1 of 2 values of C"):
        part = tl.probe_path(X, y, Cs=Cs, tol=1e-6, resume=tmp_path / "path", callback=at_pass(ends))
    assert part.Cs.tolist() == Cs[:1]
    assert part.converged_.all()
    assert part.ended_early_
    rest = tl.probe_path(X, y, Cs=Cs, tol=1e-6, resume=tmp_path / "path")
    assert rest.converged_.all()
    assert rest.n_passes_[1] < cold.n_passes_[1]
    np.testing.assert_allclose(rest.objective_, cold.objective_, rtol=1e-6)


def test_a_folder_keeps_the_c_on_the_way_until_it_is_done(tmp_path: Path) -> None:
    X, y = slow()
    probe = tl.LinearProbe(10.0, tol=1e-6, resume=tmp_path)
    with pytest.warns(TimeLimitWarning), pytest.warns(ConvergenceWarning):
        probe.set_params(callback=at_pass(15)).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 1
    assert probe.set_params(callback=None).fit(X, y).converged_
    assert not list(tmp_path.iterdir())


def test_an_end_that_is_not_kept_says_how_to_keep_it() -> None:
    X, y = slow()
    probe = tl.LinearProbe(10.0, tol=1e-6, callback=at_pass(15))
    with (
        pytest.warns(TimeLimitWarning, match="resume=FILE or warm_start=True goes"),
        pytest.warns(ConvergenceWarning),
    ):
        probe.fit(X, y)
