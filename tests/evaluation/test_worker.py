"""Whatever a strategy does costs its own record, and no more."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.machinery import assert_same, clouds, setup_of, tasks_for
from tests.evaluation.trained import Trained, sentences
from tlengine.errors import InputError
from tlengine.evaluation.strategies import (
    CentroidStrategy,
    LogisticStrategy,
    NeighborsStrategy,
    RidgeStrategy,
)
from tlengine.evaluation.worker import Worker, run_task, run_tasks
from tlengine.plugins.contracts import Fitted, Job, Record, Roles

X, CODES = clouds(60)
HONEST = {
    "knn": NeighborsStrategy,
    "probe": LogisticStrategy,
    "ridge": RidgeStrategy,
    "centroid": CentroidStrategy,
}


def exits(*_: Any, **__: Any) -> Any:
    sys.exit("no licence")


def raises(*_: Any, **__: Any) -> Any:
    raise InputError("not today", hint="try tomorrow")


class Spoilt(CentroidStrategy):
    """A strategy of which one part is replaced."""

    def __init__(self, scores: Any = None, held_out: Any = None, fit: Any = None) -> None:
        self._scores, self._held_out, self._fit = scores, held_out, fit

    def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
        if self._fit is not None:
            return self._fit(super().fit(view, roles, **options))  # type: ignore[no-any-return]
        found: Any = super().fit(view, roles, **options)
        own = found.scores
        if self._scores is not None:
            found.scores = lambda view, rows: self._scores(own(view, rows))
        if self._held_out is not None:
            found.held_out = self._held_out(found.held_out)
        return found  # type: ignore[no-any-return]


def nan(scores: Any) -> Any:
    scores[1, 0] = np.nan
    return scores


FAULTS = {
    "exits": (Spoilt(fit=exits), "SystemExit: no licence", None),
    "raises": (Spoilt(fit=raises), "not today", "try tomorrow"),
    "no result": (Spoilt(fit=lambda _: None), "AttributeError", None),
    "exits later": (Spoilt(scores=exits), "SystemExit", None),
    "NaN": (Spoilt(scores=nan), "scores of test rows are not finite in 1 of 12 rows", None),
    "infinity": (Spoilt(scores=lambda s: s + np.inf), "test rows are not finite in 12 of 12 rows", None),
    "no class": (Spoilt(scores=lambda s: s - np.inf), "test rows are not finite in 12 of 12 rows", None),
    "columns": (Spoilt(scores=lambda s: s[:, :-1]), r"rows have shape \(\d+, 2\), expected \(\d+, 3\)", None),
    "rows": (Spoilt(scores=lambda s: s[1:]), r"shape \(\d+, 3\), expected", None),
    "text": (Spoilt(scores=lambda s: "many"), "ValueError", None),
    "held out NaN": (Spoilt(held_out=nan), "scores of rows held out are not finite", None),
    "kind": (Spoilt(fit=lambda f: setattr(f, "kind", "probabilities") or f), "scores of kind 'probabilities'",
             "use logits or votes"),
    "too large": (Spoilt(scores=lambda s: s + 1e39), "test rows are not finite in 12 of 12", None),
    "too small": (Spoilt(scores=lambda s: s - 1e39), "test rows are not finite in 12 of 12", None),
    "no shares": (Spoilt(fit=lambda f: setattr(f, "kind", "votes") or f), "votes of test rows do not add",
                  "give shares, or logits as kind 'logits'"),
    "nbytes": (Spoilt(fit=lambda f: setattr(f, "nbytes", "12 MB") or f), "nbytes of a fit is '12 MB'",
               "give a number from 0 on, or None"),
    "flops": (Spoilt(fit=lambda f: setattr(f, "flops", -1.0) or f), "flops of a fit is -1.0",
              "give a number from 0 on, or None"),
    "held out rows": (Spoilt(held_out=lambda s: s[1:]), "scores of rows held out have shape", None),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_its_own_record(fault: str) -> None:
    strategy, says, hint = FAULTS[fault]
    setup = setup_of(X, CODES, {"centroid": CentroidStrategy(), "spoilt": strategy, "ridge": RidgeStrategy()})
    tasks = tasks_for(setup, [5])
    records = list(run_tasks(Worker(setup), tasks))
    assert [record.task for record in records] == tasks
    for record in records:
        assert record.key == setup.key(record.task)
        if record.task.strategy == "spoilt":
            assert record.scores is None
            assert record.hint == hint
            with pytest.raises(AssertionError, match=says):
                raise AssertionError(record.error)
        else:
            assert not record.failed


def test_one_bad_job_of_a_batch_costs_itself_alone() -> None:
    """A fit of many that fails is done again one by one."""

    class Picky(CentroidStrategy):
        def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
            if any(0 in job.roles.test for job in jobs):
                raise MemoryError("too much")
            return list(super().fit_many(jobs))

    setup = setup_of(X, CODES, {"picky": Picky(), "centroid": CentroidStrategy()})
    worker, tasks = Worker(setup), tasks_for(setup, [5])
    records = {(r.task.strategy, r.task.fold): r for r in run_tasks(worker, tasks)}
    failed = [key for key, record in records.items() if record.failed]
    assert failed == [("picky", f) for f in range(5) if 0 in setup.plan.resample(0, f).test]
    for fold in range(5):
        if ("picky", fold) not in failed:
            mine, other = records["picky", fold].scores, records["centroid", fold].scores
            assert mine is not None
            assert np.array_equal(mine, other)


def test_too_few_results_of_a_batch_are_never_given_to_the_wrong_task() -> None:
    class Lazy(CentroidStrategy):
        def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
            return list(super().fit_many(jobs))[1:]

    setup = setup_of(X, CODES, {"lazy": Lazy()})
    for record in run_tasks(Worker(setup), tasks_for(setup, [5])):
        assert record.error == "fit_many returned 0 results for 1 jobs"


def test_ctrl_c_is_no_fault_of_a_task() -> None:
    def interrupt(_: Any) -> Any:
        raise KeyboardInterrupt

    for strategy in (Spoilt(fit=interrupt), Spoilt(scores=interrupt)):
        setup = setup_of(X, CODES, {"spoilt": strategy})
        with pytest.raises(KeyboardInterrupt):
            list(run_tasks(Worker(setup), tasks_for(setup, [5])))


def test_who_listens_no_more_ends_the_tasks() -> None:
    fits = []

    class Counts(CentroidStrategy):
        def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
            fits.append(roles)
            return super().fit(view, roles, **options)

    setup = setup_of(X, CODES, {"counts": Counts(), "more": Counts()})
    records = run_tasks(Worker(setup), tasks_for(setup, [5]))
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert len(fits) == 1, "folds alternate between two strategies, so the first batch is one task"


def test_a_record_is_the_same_in_any_batch() -> None:
    setup = setup_of(X, CODES, {name: make() for name, make in HONEST.items()}, seeds=2)
    tasks = sorted(tasks_for(setup), key=lambda task: task.strategy)
    worker = Worker(setup)
    for together, task in zip(run_tasks(worker, tasks), tasks, strict=True):
        assert_same(together, run_task(worker, task))


def test_a_record_says_what_was_done() -> None:
    setup = setup_of(X, CODES, {"probe": LogisticStrategy()})
    (record,) = run_tasks(Worker(setup), tasks_for(setup, [5])[:1])
    roles = setup.plan.roles(record.task)
    assert record.labels == len(roles.train) == 15
    assert record.scores is not None
    assert record.held_out is not None
    assert record.scores.shape == (len(roles.test), 3)
    assert record.scores.dtype == record.held_out.dtype == np.float32
    assert record.held_out.shape == (len(roles.held), 3)
    assert record.train_accuracy is not None
    assert record.train_accuracy > 0.7
    assert record.seconds > 0
    assert record.cpu_seconds > 0
    assert record.predict_seconds > 0
    assert record.nbytes == 3 * X.shape[1] * 4 + 3 * 8


class Looks(Trained):
    """A network that starts from features, or asks for their scale."""

    def __init__(self, at: str) -> None:
        super().__init__(steps=1, inner_tasks=0)
        self.at = at

    def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
        assert np.isfinite(view.features(roles.train) if self.at == "features" else view.scale).all()
        return super().fit(view, roles, **options)


def test_a_record_says_whether_the_fit_read_features() -> None:
    """Those that score rows look at the features then: that is no part of the fit."""

    class Scores(Trained):
        def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
            found: Any = super().fit(view, roles, **options)
            real = found.scores
            found.scores = lambda view, rows: (view.features(rows), real(view, rows))[1]
            return found  # type: ignore[no-any-return]

    texts, codes = sentences(60)
    strategies: dict[str, Any] = {
        **{name: make() for name, make in HONEST.items()},
        "alone": Trained(steps=1, inner_tasks=0),
        "later": Scores(steps=1, inner_tasks=0),
        "rows": Looks("features"),
        "scale": Looks("scale"),
    }
    setup = setup_of(X, codes, strategies, contents=texts, rows=np.arange(60))
    records = run_tasks(Worker(setup), [t for t in tasks_for(setup, [1]) if t.fold == 0])
    assert {r.task.strategy: r.features for r in records} == {
        name: name not in ("alone", "later") for name in strategies
    }


def test_what_a_strategy_chose_is_plain_json() -> None:
    class Odd(CentroidStrategy):
        def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
            found: Any = super().fit(view, roles, **options)
            found.chosen = {"C": np.float64(2), "by": (1, 2), "path": os.PathLike, "none": float("nan")}
            return found  # type: ignore[no-any-return]

    setup = setup_of(X, CODES, {"odd": Odd()})
    record: Record = run_task(Worker(setup), tasks_for(setup, [5])[0])
    assert record.chosen == {"C": 2.0, "by": [1, 2], "path": str(os.PathLike), "none": None}


def test_a_fit_that_shuffles_its_rows_changes_nobody_elses() -> None:
    """Rows of a task are shared by all strategies; the usual first line of a training loop shuffles them."""

    class Shuffles(CentroidStrategy):
        def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
            np.random.default_rng(0).shuffle(roles.train)
            return super().fit(view, roles, **options)

    class ShufflesLater(CentroidStrategy):
        def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
            found: Any = super().fit(view, roles, **options)
            own = found.scores

            def scores(view: Any, rows: Any) -> Any:
                rows[:] = rows[::-1].copy()
                return own(view, rows)

            found.scores = scores
            return found  # type: ignore[no-any-return]

    alone = list(run_tasks(Worker(made := setup_of(X, CODES, {"ridge": RidgeStrategy()})), tasks_for(made)))
    setup = setup_of(X, CODES, {"a": Shuffles(), "b": ShufflesLater(), "ridge": RidgeStrategy()})
    found = list(run_tasks(Worker(setup), tasks_for(setup)))
    for record in found:
        if record.task.strategy == "a":
            assert "read-only" in str(record.error)
        else:
            assert not record.failed
    for one, two in zip(alone, [r for r in found if r.task.strategy == "ridge"], strict=True):
        assert_same(one, two)


def test_what_a_fit_does_to_the_process_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A journal in a relative folder would be lost by another directory, a table on stdout by prints."""

    def messy(fitted: Fitted) -> Fitted:
        os.chdir("/")
        print("learning")
        return fitted

    monkeypatch.chdir(tmp_path)
    setup = setup_of(X, CODES, {"messy": Spoilt(fit=messy)})
    assert not any(record.failed for record in run_tasks(Worker(setup), tasks_for(setup, [5])))
    assert Path.cwd() == tmp_path
    out, err = capfd.readouterr()
    assert (out, "learning" in err) == ("", True)


def test_rows_that_the_user_set_apart_to_calibrate_by_calibrate() -> None:
    """Where their labels are random, a temperature fitted on them is far above that of rows held out."""
    X, y = clouds(300, apart=3.0)
    splits = np.array(["train"] * 150 + ["calibrate"] * 50 + ["test"] * 100)
    noise = y.copy()
    noise[150:200] = np.random.default_rng(0).permutation(y[150:200])
    found = {}
    for name, labels in (("honest", y), ("noise", noise)):
        setup = setup_of(X, labels, {"centroid": CentroidStrategy()}, splits=splits)
        task = tasks_for(setup, ["all"])[0]
        found[name] = run_task(Worker(setup), task)
        assert found[name].labels == 200
        assert found[name].held is not None
    assert found["noise"].calibration > 5 * found["honest"].calibration
    assert found["noise"].scores is not None
    assert np.array_equal(found["noise"].scores, found["honest"].scores)


def test_checkpoints_have_a_folder_that_a_later_run_finds(tmp_path: Path) -> None:
    """Below the run's own, named by the task's key; nothing where the run keeps nothing."""

    class Keeps(CentroidStrategy):
        def fit(self, view: Any, roles: Roles, *, folder: Path | None = None, **options: Any) -> Fitted:
            if folder is not None:
                folder.mkdir(parents=True)
            return super().fit(view, roles, **options)

    setup = setup_of(X, CODES, {"keeps": Keeps()})
    records = list(run_tasks(Worker(replace(setup, folder=tmp_path)), tasks_for(setup, [5])))
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {record.key for record in records}
    assert not any(record.failed for record in run_tasks(Worker(setup), tasks_for(setup, [5])))


def test_an_author_sees_the_traceback_of_a_fit_that_fails(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    setup = setup_of(X, CODES, {"spoilt": Spoilt(fit=raises)})
    task = tasks_for(setup, [5])[0]
    assert run_task(Worker(setup), task).failed
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.setenv("TLENGINE_STRICT_PLUGINS", "1")
    assert run_task(Worker(setup), task).failed
    assert "in raises" in capfd.readouterr().err
