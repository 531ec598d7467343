"""TensorBoard reads back what a run told, and without a folder nothing is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tlengine_tensorboard as plugin

import tlengine as tl
from tlengine.plugins.contracts import Record, Task

RECORD = Record(
    task=Task(view="net@last:mean", strategy="finetune", budget=5, seed=1, fold=0),
    key="k", labels=15, scores=np.zeros((2, 3), np.float32), seconds=2.0, train_accuracy=0.75,
    facts={"curve": [[10, 1.5], [20, 0.5]], "drift": 0.25, "notes": []},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    plugin._run.clear()


def read(folder: Path) -> dict[str, dict[str, list[tuple[int, Any]]]]:
    """By folder and tag: pairs of step and value."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, dict[str, list[tuple[int, Any]]]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        tags = found.setdefault(str(file.parent.relative_to(folder)), {})
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                content = value.tensor.float_val[0] if value.tensor.float_val else value.tensor.string_val[0]
                tags.setdefault(value.tag, []).append((event.step, content))
    return found


def test_a_fit_becomes_a_curve_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugin.FOLDER, str(tmp_path))
    plugin.tlengine_run_started({"dataset": "my photos/2026", "tasks": 1})
    plugin.tlengine_task_finished(RECORD)
    (run,) = tmp_path.iterdir()
    assert run.name.startswith("my_photos_2026-")
    assert read(run) == {
        "net@last:mean/finetune/5-seed1-fold0-fit": {
            "train/loss": [(10, 1.5), (20, 0.5)],
            "fit/seconds": [(15, 2.0)],
            "fit/train_accuracy": [(15, 0.75)],
            "fit/drift": [(15, 0.25)],
        }
    }


def test_the_end_of_a_run_has_metrics_by_budget_and_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugin.FOLDER, str(tmp_path))
    plugin.tlengine_run_started({"dataset": "d"})
    cell = {"backbone": "net", "strategy": "probe", "metric": "accuracy"}
    results = [{**cell, "budget": b, "value": v} for b, v in ((5, 0.25), (5, 0.75), ("all", 1.0), (20, None))]
    plugin.tlengine_run_finished({"results": results, "verdict": {"answer": "Use the probe."}})
    (run,) = tmp_path.iterdir()
    assert read(run) == {
        "net/probe": {"test/accuracy": [(0, 1.0), (5, 0.5)]},
        ".": {"verdict": [(0, b"Use the probe.")]},
    }


def test_failures_and_runs_that_nobody_asked_for_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugin.FOLDER, str(tmp_path))
    plugin.tlengine_run_started({"dataset": "d"})
    plugin.tlengine_task_finished(Record(task=RECORD.task, key="k", error="no memory"))
    assert list(tmp_path.rglob("*")) == []
    monkeypatch.delenv(plugin.FOLDER)
    plugin.tlengine_run_started({"dataset": "d"})
    plugin.tlengine_task_finished(RECORD)
    plugin.tlengine_run_finished({"results": [], "verdict": {"answer": "x"}})
    assert list(tmp_path.rglob("*")) == []


def test_a_real_run_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tlengine.plugins import plugin_manager

    monkeypatch.setenv(plugin.FOLDER, str(tmp_path))
    manager = plugin_manager()
    if added := not manager.is_registered(plugin):  # it is where the plugin is installed
        manager.register(plugin, "tensorboard-test")
    try:
        rng = np.random.default_rng(0)
        y = np.arange(60) % 2
        X = (rng.normal(size=(60, 4)) + 2 * y[:, None]).astype(np.float32)
        tl.compare(
            (X, y), strategies=["probe"], controls={"raw": X[:, :1]}, budgets=[5], seeds=2, progress=False
        )
    finally:
        if added:
            manager.unregister(name="tensorboard-test")
    (run,) = tmp_path.iterdir()
    tags = {tag for tags in read(run).values() for tag in tags}
    assert {"fit/seconds", "test/accuracy", "verdict"} <= tags
