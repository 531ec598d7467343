"""No strategy sees a label that its task may not learn from, whatever way it asks."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from tests.evaluation.machinery import clouds, setup_of, tasks_for
from tlengine.errors import BackboneError, InputError
from tlengine.evaluation.strategies import CentroidStrategy
from tlengine.evaluation.views import Ground, RunView, TaskView
from tlengine.evaluation.worker import Worker, run_task, run_tasks
from tlengine.features import Backbone, ImagePreprocess
from tlengine.features.forward import choose_device
from tlengine.plugins.contracts import Fitted, Job, Roles

ROLES = Roles(train=np.array([0, 2]), test=np.array([1, 5]), select=np.array([3]), calibrate=np.array([4]))


def view_of(roles: Roles = ROLES, **facts: Any) -> TaskView:
    ground = Ground(
        codes=np.arange(8) % 4, classes=np.array(list("abcd")), units=np.arange(8),
        digests=np.zeros((8, 32), np.uint8), **facts,
    )  # fmt: skip
    return TaskView(RunView(name="net", X=np.eye(8, dtype=np.float32)), ground, roles)


def test_labels_of_train_select_and_calibrate_are_given() -> None:
    assert view_of().codes(np.array([4, 0, 3, 2])).tolist() == [0, 0, 3, 2]


@pytest.mark.parametrize("row", [1, 5, 6, 7, -1])
def test_labels_of_other_rows_are_not(row: int) -> None:
    with pytest.raises(LookupError, match="is not train, select or calibrate"):
        view_of().codes(np.array([0, row]))


def test_a_mask_is_no_way_around() -> None:
    with pytest.raises((LookupError, TypeError)):
        view_of().codes(np.ones(8, dtype=bool))


def test_what_a_fit_changes_is_its_own() -> None:
    view = view_of(groups=np.array(list("aabbccdd")))
    rows = view.features(np.array([0, 1]))
    rows[:] = 7
    assert view.matrix()[:2].sum() == 2
    view.codes(np.array([0, 2]))[:] = 3
    assert view.codes(np.array([0, 2])).tolist() == [0, 2]
    assert view.groups is not None
    for array in (view.matrix(), view.units, view.groups):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    assert not view.features(slice(0, 2)).flags.writeable, "no slice is a way to the run's own rows"  # type: ignore[arg-type]


def test_contents_are_those_of_the_rows() -> None:
    picture = Image.new("RGB", (2, 2), (255, 0, 0))
    view = view_of(contents=["zero", np.asarray(picture), "two"], rows=np.array([2, 1, 0, 0, 0, 0, 0, 0]))
    two, red, zero = view.contents(np.array([0, 1, 2]))
    assert (two, zero) == ("two", "zero")
    assert red.getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(InputError, match="without their contents"):
        view_of().contents(np.array([0]))
    with pytest.raises(InputError, match="the view 'net' has no backbone"):
        view_of().backbone("cpu")


class Moves(nn.Module):
    """Remembers where it was moved to."""

    moved: Any = None

    def to(self, device: Any) -> "Moves":
        self.moved = device
        return self


def test_a_backbone_comes_on_the_device_that_was_asked_for() -> None:
    backbone = Backbone(Moves(), preprocess=ImagePreprocess(), modality="image", name="net")
    ground = view_of()._ground
    view = TaskView(RunView(name="net", X=np.eye(8, dtype=np.float32), loaded=backbone), ground, ROLES)
    for device in ("cpu", "auto"):
        found = view.backbone(device)
        assert found.module is not backbone.module
        assert isinstance(found.module, Moves)
        assert found.module.moved == choose_device(device)
    with pytest.raises(BackboneError, match="no device 'tpu' here"):
        view.backbone("tpu")


class Peeks(CentroidStrategy):
    """Asks for the labels of the rows that it is tested on."""

    def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
        view.codes(roles.test)
        return super().fit(view, roles, **options)


class PeeksAtOthers(CentroidStrategy):
    """With several jobs, asks by the first for rows that are free for the second alone."""

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        for job, other in zip(jobs, [*jobs[1:], jobs[0]], strict=True):
            job.view.codes(other.roles.train)
        return list(super().fit_many(jobs))


class PeeksLater(CentroidStrategy):
    """Keeps the labels away until it has to score."""

    def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
        found = super().fit(view, roles, **options)

        def scores(view: Any, rows: Any) -> Any:
            return np.eye(view.classes)[view.codes(rows)]

        found.scores = scores  # type: ignore[method-assign]
        return found


@pytest.mark.parametrize("peeks", [Peeks, PeeksLater])
def test_a_strategy_that_asks_for_test_labels_costs_itself_alone(peeks: type) -> None:
    X, codes = clouds(60)
    setup = setup_of(X, codes, {"honest": CentroidStrategy(), "peeks": peeks()})
    records = list(run_tasks(Worker(setup), tasks_for(setup, [5])))
    assert len(records) == 10
    for record in records:
        assert record.failed == (record.task.strategy == "peeks")
        if record.failed:
            assert "LookupError: the label of row" in str(record.error)
            assert "is not for this task" in str(record.error)


def test_one_job_does_not_lend_its_leave_to_another() -> None:
    """A batch that peeks at each other's labels falls apart, and then each job is alone with itself."""
    X, codes = clouds(60)
    setup = setup_of(X, codes, {"peeks": PeeksAtOthers(), "honest": CentroidStrategy()})
    tasks = tasks_for(setup, [5])
    worker = Worker(setup)
    peeking = [task for task in tasks if task.strategy == "peeks"]
    jobs = [worker.job(task) for task in peeking]
    with pytest.raises(LookupError):
        list(PeeksAtOthers().fit_many(jobs))
    for record in run_tasks(worker, peeking):
        honest = run_task(
            worker, next(t for t in tasks if t.strategy == "honest" and t.fold == record.task.fold)
        )
        assert record.scores is not None
        assert honest.scores is not None
        assert record.scores.tobytes() == honest.scores.tobytes()
