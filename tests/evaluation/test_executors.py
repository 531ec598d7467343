"""The same bytes wherever tasks are run, and a process that dies costs its own task."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.fragile import Closes, Kills, Opens
from tests.evaluation.machinery import assert_same, clouds, files_in, setup_of, tasks_for
from tests.evaluation.pictures import tiny
from tests.evaluation.trained import Borrows, Trained, sentences, spec
from tests.plugins.conftest import Plant, plant  # noqa: F401 - a fixture
from tlengine.data.dataset import Dataset
from tlengine.errors import InputError, ResourceError
from tlengine.evaluation import compare, executors
from tlengine.evaluation.executors import Here, Processes, choose_executor, resolve_executor
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.strategies import (
    CentroidStrategy,
    EstimatorStrategy,
    RidgeStrategy,
)
from tlengine.plugins import as_probe_spec
from tlengine.plugins.contracts import Record, Task
from tlengine.settings import thread_limit

X, CODES = clouds(60)

PLUGIN = """
import tlengine as tl
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

@tl.hookimpl
def tlengine_probes():
    yield tl.ProbeSpec(
        name="lda", estimator=LinearDiscriminantAnalysis,
        candidates=[{"solver": "lsqr", "shrinkage": s} for s in (0.1, 0.5)],
    )
"""

RUN = """
import random, sys
import numpy as np
import tlengine as tl
from tlengine.evaluation.executors import Here

class Shuffled:
    def run(self, setup, tasks):
        tasks = list(tasks)
        random.Random(0).shuffle(tasks)
        yield from Here().run(setup, tasks)

out, executor = sys.argv[1:]
rng = np.random.default_rng(0)
y = rng.integers(0, 3, 240)
X = (rng.normal(size=(240, 320)) + 0.3 * rng.normal(size=(3, 320))[y]).astype(np.float32)
run = tl.compare(
    (X, y), strategies=["probe", "lda", "ridge", "knn"], controls={"raw": X[:, :20]}, budgets=[10, "all"],
    seeds=1, progress=False, out=out, executor=Shuffled() if executor == "shuffled" else executor,
)
assert not run.document["failed"], run.document["failed"]
"""


def python(code: str, *words: str, path: Path, threads: int) -> "subprocess.CompletedProcess[str]":
    threaded = dict.fromkeys(
        ("TLENGINE_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)
    )
    found = [str(path), *filter(None, sys.path)]
    environment = {**os.environ, **threaded, "PYTHONPATH": os.pathsep.join(found)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.timeout(600)
def test_fresh_processes_threads_and_order_give_the_same_bytes(tmp_path: Path, plant: Plant) -> None:  # noqa: F811
    """A probe of the core, one of a plugin in scikit-learn, ridge (by NumPy), and a control."""
    plant("discriminants", PLUGIN)
    ways = [("here", 1), ("here", 2), ("processes", 1), ("processes", 2), ("shuffled", 2)]
    found = []
    for number, (executor, threads) in enumerate(ways):
        out = tmp_path / f"out{number}"
        done = python(RUN, str(out), executor, path=tmp_path, threads=threads)
        assert done.returncode == 0, done.stderr
        found.append(files_in(out / "predictions"))
    assert len(found[0]) == 5 * 2 * 5
    for other, way in zip(found[1:], ways[1:], strict=True):
        assert other == found[0], way


def estimator(thing: Any, name: str = "x") -> EstimatorStrategy:
    return EstimatorStrategy(as_probe_spec((name, thing)))


def records_of(setup: Setup, workers: int = 2) -> dict[tuple[str, int], Record]:
    tasks = tasks_for(setup, [5])
    found = list(Processes(workers).run(setup, tasks))
    assert Counter(record.task for record in found) == Counter(tasks), "each task once"
    return {(record.task.strategy, record.task.fold): record for record in found}


def test_a_process_that_dies_costs_its_task_one_retry(tmp_path: Path) -> None:
    """It dies in the first fit of one strategy, which is then done again, and in every fit of another."""
    once = estimator(Kills(str(tmp_path / "mark")))
    honest = {"centroid": CentroidStrategy(), "once": once, "ridge": RidgeStrategy()}
    setup = setup_of(X, CODES, {**honest, "always": estimator(Kills())})
    tasks = [task for task in tasks_for(setup, [5]) if task.strategy != "always" or task.fold < 2]
    records = list(Processes(2).run(setup, tasks))
    assert Counter(record.task for record in records) == Counter(tasks), "each task once"
    here = {r.task: r for r in Here().run(setup, [task for task in tasks if task.strategy != "always"])}
    for record in records:
        if record.task.strategy == "always":
            assert record.error == "the process that ran it died"
            assert record.key == setup.key(record.task)
        else:
            assert_same(record, here[record.task])


def contents_setup(**strategies: Any) -> Setup:
    texts, codes = sentences(60)
    return setup_of(X, codes, strategies, kind="holdout", seeds=2, contents=texts, rows=np.arange(60))


def test_a_process_that_dies_while_it_trains_costs_its_task_one_retry(tmp_path: Path) -> None:
    """Contents go with a retry, too; what dies each time is a failure, fit by fit."""
    setup = contents_setup(once=Trained(dies=str(tmp_path / "mark")), always=Trained(dies=""))
    tasks = [
        task for task in tasks_of(setup, ["net"], [5])
        if task.seed == 0 and (task.strategy == "once" or task.part == "inner:1/3")
    ]  # fmt: skip
    records = {record.task: record for record in Processes(1).run(setup, tasks)}
    assert len(records) == len(tasks) == 4 + 1
    alive = [task for task in tasks if task.strategy == "once"]
    here = {record.task: record for record in Here().run(setup, alive)}
    for task, record in records.items():
        if task.strategy == "always":
            assert record.error == "the process that ran it died"
        else:
            assert_same(record, here[task])


def test_each_fit_has_its_share_of_the_threads_whatever_is_left_to_run() -> None:
    """Sums of a network depend on it: a run that goes on with one task gives what all at once would."""
    setup = contents_setup(net=Trained(inner_tasks=0))
    one = tasks_of(setup, ["net"], [5])[:1]
    with thread_limit(4):
        threads = [next(iter(place.run(setup, one))).facts["threads"] for place in (Here(), Processes(2))]
    assert threads == [4, 2]


def test_a_backbone_of_the_users_goes_to_other_processes_with_its_weights(digit_images: Dataset) -> None:
    """Each fit has a copy of its own: zeroing its weights changes no other's."""
    found = []
    for executor in (Here(), Processes(1)):
        run = compare(
            digit_images, tiny(), strategies=[spec("net", Borrows(inner_tasks=0))], controls=(), budgets=[5],
            seeds=2, executor=executor, progress=False,
        )  # fmt: skip
        assert [failed["step"] for failed in run.document["failed"]] == ["refit"]
        found.append(run)
    assert found[0].results == found[1].results


class OfTheTest(CentroidStrategy):
    """Can be imported by a fresh process as a part of this module."""


def test_what_cannot_be_sent_is_named() -> None:
    class Local(CentroidStrategy):
        pass

    for strategies, says in (
        (
            {"centroid": CentroidStrategy(), "mine": Local()},
            "strategy 'mine' cannot be sent to another process",
        ),
        ({"x": estimator(lambda: Kills())}, "strategy 'x' cannot be sent to another process: .*lambda"),
    ):
        setup = setup_of(X, CODES, strategies)
        with pytest.raises(InputError, match=says) as caught:
            next(Processes(1).run(setup, tasks_for(setup, [5])))
        assert "define it in a module that can be imported" in str(caught.value.hint)
    sent = setup_of(X, CODES, {"mine": OfTheTest()})
    assert not next(Processes(1).run(sent, tasks_for(sent, [5])[:1])).failed


def test_what_cannot_be_opened_is_told_once() -> None:
    setup = setup_of(X, CODES, {"a": Chosen(name="a", strategy=CentroidStrategy(), view="backbone")})
    setup.strategies["a"].strategy.extra = Opens()  # type: ignore[attr-defined]
    with pytest.raises(
        InputError, match="cannot be opened in another process: ValueError: not in this process"
    ):
        list(Processes(2).run(setup, tasks_for(setup, [5])))


def test_a_process_that_never_begins_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlengine.evaluation.crew._serve", os._exit)
    setup = setup_of(X, CODES, {"a": CentroidStrategy()})
    with pytest.raises(ResourceError, match="before it could begin"):
        list(Processes(2).run(setup, tasks_for(setup, [5])))


@pytest.mark.parametrize("how", ["exits", "raises"])
def test_a_process_that_cannot_be_replaced_costs_its_tasks_alone(tmp_path: Path, how: str) -> None:
    """The first opened the run and has results; there is no memory left for another."""
    mark = str(tmp_path / "mark")
    setup = setup_of(X, CODES, {"a": CentroidStrategy(), "dies": estimator(Kills(mark))})
    setup.strategies["a"].strategy.extra = Closes(mark, how)  # type: ignore[attr-defined]
    records = records_of(setup, 1)
    errors = {(record.task.strategy, record.error) for record in records.values()}
    assert errors == {("a", None), ("dies", "the process that ran it died")}


SCRIPT = """
import numpy as np
import tlengine as tl
from sklearn.naive_bayes import GaussianNB
print("once")
class Mine(GaussianNB):
    pass
rng = np.random.default_rng(0)
y = rng.integers(0, 2, 60)
X = rng.normal(size=(60, 4)) + y[:, None]
options = {{"budgets": [5], "seeds": 1, "progress": False, "executor": "processes"}}
run = tl.compare((X, y), strategies=["centroid", {}], **options)
print(len(run.results))
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(SCRIPT.format("('nb', GaussianNB())"))
    done = subprocess.run(
        [sys.executable, "plain.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["once", "40"]
    assert done.stderr == ""


def test_what_a_script_defines_is_refused_in_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SCRIPT.format("('mine', Mine())"))
    done = subprocess.run(
        [sys.executable, "own.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 1
    assert done.stdout.split() == ["once"]
    assert (
        "strategy 'mine' cannot be sent to another process: Mine is defined in the script itself"
        in done.stderr
    )
    assert done.stderr.count("Traceback") == 1


def test_a_process_that_imports_the_script_again_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    setup = setup_of(X, CODES, {"a": CentroidStrategy()})
    with pytest.raises(InputError, match="imports the script again") as caught:
        list(Processes(1).run(setup, tasks_for(setup, [5])))
    assert "__main__" in str(caught.value.hint)


SLEEPS = """
import sys
import numpy as np
import tlengine as tl
from tests.evaluation.fragile import Sleeps
rng = np.random.default_rng(0)
y = rng.integers(0, 2, 60)
X = rng.normal(size=(60, 4)) + y[:, None]
slow = [(name, Sleeps(sys.argv[1])) for name in ("one", "two")]
tl.compare((X, y), strategies=slow, budgets=[5], seeds=1, progress=False, executor="processes")
"""


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_run(tmp_path: Path, sign: signal.Signals) -> None:
    """However it ends, and though each is in the middle of a fit of a minute."""
    mark = tmp_path / "mark"
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "TLENGINE_NUM_THREADS": "2", "PYTHONPATH": path}
    command = [sys.executable, "-c", SLEEPS, str(mark)]
    run = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: mark.exists() and len(set(mark.read_text().split())) == 2)
        workers = [int(pid) for pid in mark.read_text().split()]
        assert all(alive(pid) for pid in workers)
        if sign == signal.SIGINT:  # Ctrl-C reaches the whole group
            os.killpg(run.pid, sign)
        else:
            run.kill()
        _, said = run.communicate(timeout=30)
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not any(alive(pid) for pid in workers), 10)
    assert said.count("Traceback") == (sign == signal.SIGINT)
    if sign == signal.SIGINT:
        assert said.rstrip().endswith("KeyboardInterrupt")


def chosen(networks: int, backbone: Any = None) -> Here | Processes:
    """What is chosen for so many fits of a network, and as many of a probe."""
    setup = contents_setup(net=Trained(inner_tasks=0), probe=CentroidStrategy())
    setup = replace(setup, views={"net": replace(setup.views["net"], loaded=backbone)})
    tasks = [
        Task(view="net", strategy=name, budget=5, seed=seed % 2, fold=0)
        for seed in range(networks)
        for name in ("net", "probe")
    ]
    found = choose_executor(None, setup, tasks)
    assert isinstance(found, Here | Processes)
    return found


def test_many_fits_of_networks_are_trained_side_by_side() -> None:
    """A process for each eight, as the threads allow; probes are not counted."""
    with thread_limit(4):
        found = [chosen(networks) for networks in (0, 15, 16, 24, 200)]
    assert [one.at_once for one in found] == [1, 1, 2, 3, 4]
    assert [type(one) for one in found] == [Here, Here, Processes, Processes, Processes]
    with thread_limit(1):
        assert isinstance(chosen(200), Here)


def test_processes_are_no_more_than_memory_and_device_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    with thread_limit(4):
        monkeypatch.setattr(executors, "total_memory", lambda: 7 << 30)
        assert chosen(200).at_once == 2
        monkeypatch.setattr(executors, "total_memory", lambda: 5 << 30)
        assert isinstance(chosen(200), Here)
        monkeypatch.setattr(executors, "total_memory", lambda: 64 << 30)
        monkeypatch.setattr(Setup, "device_kind", "cuda")
        assert isinstance(chosen(200), Here)


def test_large_weights_are_for_fewer_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny()
    weights = sum(parameter.nbytes for parameter in backbone.module.parameters())
    monkeypatch.setattr(executors, "WEIGHTS", (3 << 30) // weights)  # as much again as a process has
    monkeypatch.setattr(executors, "total_memory", lambda: 13 << 30)
    with thread_limit(4):
        assert (chosen(200).at_once, chosen(200, backbone).at_once) == (4, 2)


def test_a_network_that_cannot_be_loaded_is_not_for_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny()

    def short() -> Any:
        raise MemoryError

    monkeypatch.setattr(backbone, "copy", short)
    monkeypatch.setattr(executors, "unsendable_part", lambda setup: None)
    with thread_limit(4):
        assert isinstance(chosen(200, backbone), Here)


def test_what_cannot_be_sent_is_trained_here_unless_processes_are_asked_for() -> None:
    class Local(Trained):
        """Known to this test alone."""

    setup = contents_setup(net=Local(inner_tasks=0))
    tasks = [Task(view="net", strategy="net", budget=5, seed=seed % 2, fold=0) for seed in range(200)]
    asked = Processes(2)
    with thread_limit(4):
        assert isinstance(choose_executor(None, setup, tasks), Here)
        assert choose_executor(asked, setup, tasks) is asked


def test_executors_by_name() -> None:
    assert isinstance(resolve_executor("processes"), Processes)
    own = Here()
    assert resolve_executor(own) is own
    for thing in (3, Here, object()):
        with pytest.raises(InputError, match="cannot run tasks"):
            resolve_executor(thing)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no executor is named 'cloud'") as caught:
        resolve_executor("cloud")
    assert caught.value.hint == "there are here, processes, torchrun"


def test_no_task_starts_no_process() -> None:
    assert list(Processes(2).run(setup_of(X, CODES, {"a": CentroidStrategy()}), [])) == []


def test_features_travel_in_files_and_not_with_the_setup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tlengine.evaluation.shipping as module

    wide = np.concatenate([X] * 200, axis=1)
    setup = setup_of(wide, CODES, {"a": CentroidStrategy()}, controls={"raw": wide})
    shipped = module.ship(setup, {"net"}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.npy", "setup.pickle"], "what is read"
    assert shipped.stat().st_size < wide.nbytes / 10
    read = pickle.loads(shipped.read_bytes())  # noqa: S301 - our own bytes
    assert isinstance(read.views["net"].X, np.memmap)
    assert np.array_equal(read.views["net"].X, wide)
    task = tasks_for(setup, [5])[0]
    assert read.key(task) == setup.key(task)
    assert json.dumps(read.views["net"].scale) == json.dumps(setup.views["net"].scale)


def test_features_lie_in_the_folder_of_the_run_and_end_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a run that was killed has left there ends, too; the place for temporary files may be memory."""
    out, places = tmp_path / "out", []
    left = out / ".tlengine-processes" / "0.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))

    class Watched(Processes):
        def run(self, setup: Setup, tasks: Any) -> Any:
            for record in super().run(setup, tasks):
                places.append(sorted(p.name for p in left.parent.iterdir()))
                yield record

    compare(
        (X, CODES), strategies=["centroid"], controls=(), budgets=[5], seeds=1, out=out, progress=False,
        executor=Watched(1),
    )  # fmt: skip
    assert {tuple(names) for names in places} == {("0.npy", "setup.pickle")}
    assert not left.parent.exists()


def test_no_room_for_the_features_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    setup = setup_of(X, CODES, {"a": CentroidStrategy()})
    with pytest.raises(ResourceError, match=r"features cannot be written to .*No space left") as caught:
        next(Processes(1).run(setup, tasks_for(setup, [5])))
    assert "TMPDIR" in str(caught.value.hint)
