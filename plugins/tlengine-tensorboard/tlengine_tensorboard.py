"""Training curves and results in TensorBoard, by tlengine's lifecycle hooks.

What a run does is told to the driver alone, also where its fits are made in other processes: no file is
written from two sides.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tlengine

if TYPE_CHECKING:
    from tlengine.plugins.contracts import Record

FOLDER = "TLENGINE_TENSORBOARD"
"""Names the folder in the environment; without it nothing is written."""
_run: list[Path] = []
"""The folder of the run that is under way."""


@tlengine.hookimpl
def tlengine_run_started(run: Mapping[str, Any]) -> None:
    """A folder for the run, named by its data and the time."""
    _run.clear()
    if place := os.environ.get(FOLDER):
        name = f"{_plain(run.get('dataset') or 'run')}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        _run.append(Path(place) / name)


@tlengine.hookimpl
def tlengine_task_finished(record: Record) -> None:
    """The curve of a fit, and what it cost."""
    if not _run or record.failed:
        return
    task, facts = record.task, record.facts
    found = [("train/loss", int(step), float(loss)) for step, loss in facts.get("curve", ())]
    numbers = {
        "seconds": record.seconds,
        "train_accuracy": record.train_accuracy,
        "drift": facts.get("drift"),
    }
    found += [
        (f"fit/{name}", record.labels, float(value)) for name, value in numbers.items() if value is not None
    ]
    draw = f"{task.budget}-seed{task.seed}-fold{task.fold}-{task.part}"
    write(_run[0] / _plain(task.view) / _plain(task.strategy) / _plain(draw), found)


@tlengine.hookimpl
def tlengine_run_finished(document: Mapping[str, Any]) -> None:
    """The metrics of each strategy by budget, and the verdict's sentence."""
    if not _run:
        return
    values: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in document.get("results", ()):
        if one["value"] is not None:
            labels = 0 if one["budget"] == "all" else int(one["budget"])
            name = one["backbone"] or "", one["strategy"]
            values[name][f"test/{one['metric']}", labels].append(one["value"])
    for (backbone, strategy), found in values.items():
        means = [(tag, labels, sum(some) / len(some)) for (tag, labels), some in sorted(found.items())]
        write(_run[0] / _plain(backbone or strategy) / _plain(strategy), means)
    if answer := (document.get("verdict") or {}).get("answer"):
        write(_run[0], [], text={"verdict": answer})
    _run.clear()


def write(
    folder: Path, scalars: Iterable[tuple[str, int, float]], text: Mapping[str, str] | None = None
) -> None:
    """An event file with scalars (tag, step, value) and texts by tag; none where there are neither."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    values = [(step, Summary.Value(tag=tag, simple_value=value)) for tag, step, value in scalars]
    for tag, words in (text or {}).items():
        metadata = create_summary_metadata(display_name=tag, description="")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[words.encode()], tensor_shape=shape)
        values.append((0, Summary.Value(tag=tag, metadata=metadata, tensor=tensor)))
    if not values:
        return
    writer = EventFileWriter(str(folder))
    try:
        for step, value in values:
            writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
    finally:
        writer.close()


def _plain(name: object) -> str:
    """A name of a folder: no separators."""
    return re.sub(r"[^\w.@:+-]+", "_", str(name)) or "_"
