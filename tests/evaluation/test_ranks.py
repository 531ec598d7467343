"""Ranks share the fits of a run: the bytes are those of other executors, and who dies costs what it had."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlengine as tl
from tests.evaluation.fragile import Kills, Opens
from tests.evaluation.machinery import assert_same, clouds, files_in, setup_of, tasks_for
from tests.evaluation.ranked import Stalls, alive, ended, environment, launch, wait_for
from tests.evaluation.trained import Trained, sentences
from tests.finetuning.networks import backbone, pictures
from tlengine.errors import InputError
from tlengine.evaluation import meeting as module
from tlengine.evaluation.crew import _placed
from tlengine.evaluation.executors import Here, resolve_executor
from tlengine.evaluation.meeting import PLACE, Host
from tlengine.evaluation.pulse import Pulse
from tlengine.evaluation.ranks import Rank, Ranks, _Given, _Own
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.strategies import CentroidStrategy, EstimatorStrategy, RidgeStrategy
from tlengine.evaluation.views import Site
from tlengine.features import forward
from tlengine.plugins import as_probe_spec
from tlengine.plugins.contracts import Record
from tlengine.settings import thread_limit

X, CODES = clouds(60)

TRAINS = """
import os, sys
from tests.evaluation.test_ranks import trained

run = trained("torchrun", sys.argv[1])
print(f"{os.environ['RANK']} {run.verdict.answer} {sorted(run.save(sys.argv[1]))}", flush=True)
"""


def trained(executor: str, out: str | Path) -> tl.RunResult:
    """A network, a probe and a control on pictures of two tints."""
    codes = np.arange(40) % 2
    return tl.compare(
        tl.load_dataset((np.stack(pictures(codes)), codes.astype(str)), name="tints"), backbone("cnn"),
        strategies=["probe", "finetune"], controls=["stats"], budgets=[4], seeds=2, all_seeds=True,
        settings={"finetune": {"steps": 2}}, executor=executor, out=out, progress=False,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_two_ranks_of_torchrun_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    """With a thread for each fit; in a script that all ranks run, whose answer is theirs."""
    (tmp_path / "trains.py").write_text(TRAINS)
    torchrun = [str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "trains.py"), str(tmp_path / "ranks")], capture_output=True, text=True,
        timeout=540, env=environment(0, 1, TLENGINE_NUM_THREADS=2),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with thread_limit(1):
        run = trained("here", tmp_path / "here")
    zero, one = sorted(done.stdout.splitlines())
    assert zero == f"0 {run.verdict.answer} ['model', 'report', 'run']"
    assert one == f"1 {run.verdict.answer} []", "rank 0 writes"
    found = [files_in(tmp_path / place / "predictions") for place in ("ranks", "here")]
    assert found[0] == found[1]
    assert len(found[0]) == 2 * (1 + 1 + 3 + 1), "fits, inner folds and controls of each seed"
    names = {path.name for path in (tmp_path / "ranks").iterdir()}
    assert names <= {"run.json", "report.html", "model", "journal.jsonl", "predictions", "checkpoints"}


@pytest.fixture
def features(tmp_path: Path) -> Path:
    np.savez(tmp_path / "features.npz", X=X, y=np.array(["a", "b", "c"])[CODES])
    return tmp_path / "features.npz"


def compare(features: Path, out: Path, executor: str, *more: str) -> list[str]:
    words = ["--strategies", "ridge,centroid,knn", "--budgets", "2,5", "--seeds", "1", "--json"]
    place = ["--executor", executor, "--out", str(out)]
    return ["-m", "tlengine", "compare", str(features), *words, *place, *more]


def test_a_command_of_two_ranks_prints_once_and_goes_on_as_any_other(features: Path, tmp_path: Path) -> None:
    out, results = tmp_path / "out", []
    for executor, size, ranks in (("here", 1, 1), ("torchrun", 2, 2), ("torchrun", 3, 3)):
        place = tmp_path / "here" if executor == "here" else out
        said = ended(launch(compare(features, place, executor), size, range(ranks)))
        assert [code for code, _, _ in said] == [0] * ranks, said
        assert [(text, noise) for _, text, noise in said[1:]] == [("", "")] * (ranks - 1), (
            "the others are silent"
        )
        results.append(json.loads(said[0][1]))
    assert results[0]["results"] == results[1]["results"] == results[2]["results"]
    assert [one["journal"]["taken_up"] for one in results] == [0, 0, 30]
    assert not (out / PLACE).exists()
    assert files_in(out / "predictions") == files_in(tmp_path / "here" / "predictions")


def test_rank_0_that_fails_ends_the_others_with_a_line(features: Path, tmp_path: Path) -> None:
    said = ended(launch(compare(features, tmp_path / "out", "torchrun", "--strategies", "no-such"), 2))
    assert [code for code, _, _ in said] == [1, 1]
    assert "no-such" in said[0][2]
    assert said[1][1:] == ("", f"error: rank 0 ended without a result: {said[0][2].splitlines()[0][7:]}\n")
    assert not (tmp_path / "out" / PLACE).exists()


STALLS = """
import sys
import numpy as np
import tlengine as tl
from tests.evaluation.ranked import Stalls
from tests.evaluation.machinery import clouds

X, y = clouds(60)
run = tl.compare(
    (X, y), strategies=["centroid", ("slow", Stalls(sys.argv[2]))], budgets=[2], seeds=1, progress=False,
    executor="torchrun", out=sys.argv[1],
)
print(run.document["journal"]["taken_up"], len(run.results))
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_rank_outlives_rank_0_and_the_same_command_goes_on(tmp_path: Path, sign: signal.Signals) -> None:
    out, mark = tmp_path / "out", tmp_path / "mark"
    command = ["-c", STALLS, str(out), str(mark)]
    ranks = launch(command, 2)
    try:
        _, fit = map(int, wait_for(lambda: mark.exists() and mark.read_text()).split())
        wait_for(lambda: (out / "journal.jsonl").read_bytes().count(b"\n") >= 5)
        os.kill(ranks[0].pid, sign)
        said = ended(ranks, 30)
    finally:
        for rank in ranks:
            rank.kill()
    assert said[0][0] in (-sign, -signal.SIGINT)
    assert said[1][0] == 1
    assert ("rank 0 died" in said[1][2]) == (sign == signal.SIGKILL)
    wait_for(lambda: not alive(fit), 10)
    assert (out / PLACE).exists() == (sign == signal.SIGKILL), (
        "what a kill leaves is for the next run to remove"
    )
    (code, text, noise), (other, echo, _) = ended(launch(command, 2))
    assert (code, other) == (0, 0), noise
    assert text == echo
    assert int(text.split()[0]) >= 5, "centroid was fitted before"
    assert not (out / PLACE).exists()


def setup(folder: Path, **strategies: Any) -> Setup:
    return setup_of(X, CODES, strategies, folder=folder)


def estimator(thing: Any) -> EstimatorStrategy:
    return EstimatorStrategy(as_probe_spec(("x", thing)))


def rank_of(size: int, number: int = 0) -> Rank:
    return Rank.of({name: str(value) for name, value in environment(number, size).items()})


GUEST = """
import sys
from tlengine.evaluation.ranks import told_by_rank_0
told_by_rank_0("torchrun", sys.argv[1])
"""


def test_a_rank_that_is_killed_costs_its_tasks_one_retry(tmp_path: Path) -> None:
    """Rank 0 has a batch under way, the other one the last; it dies with the process that it fits in."""
    out, mark = tmp_path / "out", tmp_path / "mark"
    run = setup(out, centroid=CentroidStrategy(), slow=estimator(Stalls(str(mark), os.getpid())))
    tasks = tasks_for(run, [2, 5])
    (guest,) = launch(["-c", GUEST, str(out)], 2, [1])

    def kill() -> None:
        wait_for(mark.exists)
        os.kill(guest.pid, signal.SIGKILL)

    blow = threading.Thread(target=kill)
    blow.start()
    try:
        records = list(Ranks(rank_of(2)).run(run, tasks))
    finally:
        blow.join()
        said = ended([guest])
    assert said[0][0] == -signal.SIGKILL
    rank, fit = map(int, mark.read_text().split())
    assert rank == guest.pid, "the fit was that rank's"
    wait_for(lambda: not alive(fit), 10)
    assert Counter(record.task for record in records) == Counter(tasks), "each task once"
    here = {record.task: record for record in Here().run(run, tasks)}
    for record in records:
        assert_same(record, here[record.task])
    assert list(out.iterdir()) == []


def test_what_loses_its_rank_twice_is_a_failure(tmp_path: Path) -> None:
    """Task by task; what a rank told before it died counts."""
    run = setup(tmp_path, centroid=CentroidStrategy())
    tasks = tasks_for(run, [5])
    with Host(tmp_path, "launch", 1) as host:
        given = _Given(host, _Own(host.board, rank_of(1)), run)
        found: list[Record] = []
        coming = threading.Thread(target=lambda: found.extend(given.records(tasks)))
        coming.start()
        pulse = Pulse(host.board.folder / "ranks" / "7")
        first = wait_for(lambda: host.board.take(7))
        assert first.tasks == tasks
        record = next(iter(Here().run(run, tasks[:1])))
        host.board.put(first, tasks[0], record)
        pulse.stop()
        for task in tasks[1:]:
            again = wait_for(lambda: host.board.take(8))
            assert (again.again, again.tasks) == (True, [task])
        coming.join(timeout=30)
    assert [one.task for one in found] == tasks
    assert not found[0].failed
    assert {one.error for one in found[1:]} == {"the process that ran it died"}
    assert [one.key for one in found] == [run.key(task) for task in tasks]


def test_a_fit_that_kills_its_process_costs_a_retry_and_no_rank(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    run = setup(tmp_path, once=estimator(Kills(mark)), always=estimator(Kills()), ridge=RidgeStrategy())
    tasks = [task for task in tasks_for(run, [5]) if task.strategy != "always" or task.fold < 1]
    records = list(Ranks(rank_of(1)).run(run, tasks))
    assert Counter(record.task for record in records) == Counter(tasks)
    here = {r.task: r for r in Here().run(run, [task for task in tasks if task.strategy != "always"])}
    for record in records:
        if record.task.strategy == "always":
            assert record.error == "the process that ran it died"
        else:
            assert_same(record, here[record.task])
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


def test_a_run_that_is_closed_early_leaves_nothing_running(tmp_path: Path) -> None:
    """As when time is over: a fit that is under way is not waited for."""
    mark = tmp_path / "mark"
    run = setup(tmp_path, centroid=CentroidStrategy(), slow=estimator(Stalls(str(mark))))
    records = Ranks(rank_of(1)).run(run, tasks_for(run, [5]))
    assert next(records).task.strategy == "centroid"
    fit = int(wait_for(lambda: mark.exists() and mark.read_text()).split()[1])
    records.close()  # type: ignore[attr-defined]
    wait_for(lambda: not alive(fit), 10)
    assert not (tmp_path / PLACE).exists()


def test_each_fit_has_its_share_of_the_threads_of_its_machine(tmp_path: Path) -> None:
    """Whatever is left to run, and whatever torchrun sets for OpenMP."""
    texts, codes = sentences(60)
    run = setup_of(X, codes, {"net": Trained(inner_tasks=0)}, kind="holdout", seeds=2, contents=texts,
                   rows=np.arange(60), folder=tmp_path)  # fmt: skip
    one = tasks_of(run, ["net"], [5])[:1]
    with thread_limit(4), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COMING", 0.0)
        for local, threads in (("2", 2), ("", 1)):
            rank = Rank.of({"RANK": "0", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": local})
            assert Ranks(rank).at_once == 6
            (record,) = Ranks(rank).run(run, one)
            assert record.facts["threads"] == threads


def test_what_cannot_be_run_elsewhere_is_told_with_the_way_out(tmp_path: Path) -> None:
    closed = CentroidStrategy()
    closed.extra = Opens()  # type: ignore[attr-defined]
    for strategy, says in (
        (estimator(lambda: Kills()), "strategy 'mine' cannot be sent to another process"),
        (closed, "rank 0: the run cannot be opened in another process: ValueError: not in this process"),
    ):
        run = setup(tmp_path, mine=strategy)
        with pytest.raises(InputError, match=says) as caught:
            list(Ranks(rank_of(1)).run(run, tasks_for(run, [5])))
        assert "leave executor='torchrun' out" in str(caught.value.hint)
        assert list(tmp_path.iterdir()) == []


def test_no_task_makes_no_folder(tmp_path: Path) -> None:
    assert list(Ranks(rank_of(1)).run(setup(tmp_path, a=CentroidStrategy()), [])) == []
    assert list(tmp_path.iterdir()) == []


BAD = [
    ({}, "needs RANK"),
    ({"RANK": "0"}, "needs WORLD_SIZE"),
    ({"RANK": " ", "WORLD_SIZE": "2"}, "needs RANK"),
    ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 is not below WORLD_SIZE=2"),
    ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK is '-1'"),
    ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK is 'one'"),
    ({"RANK": "٣", "WORLD_SIZE": "4"}, "RANK is"),
    ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
    ({"RANK": "0", "WORLD_SIZE": "9" * 5000}, "WORLD_SIZE is"),
    ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "1.5"}, "LOCAL_RANK is '1.5'"),
    ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE is '0'"),
]


@pytest.mark.parametrize(("told", "says"), BAD)
def test_what_no_launcher_would_set_is_refused(
    told: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=says) as caught:
        tl.compare((X, CODES), strategies=["centroid"], executor="torchrun", out=tmp_path / "out")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=says):
        resolve_executor("torchrun")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_folder_that_all_see_is_needed(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"needs a folder that all ranks see\nhint") as caught:
        tl.compare((X, CODES), strategies=["centroid"], executor="torchrun")
    assert "--out" in str(caught.value.hint)


def test_a_launch_is_told_from_another_one() -> None:
    told = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "a"}
    same = {**told, "RANK": "0", "LOCAL_RANK": "3", "TORCHELASTIC_RESTART_COUNT": "1"}
    assert Rank.of(told).launch == Rank.of(same).launch
    for name in ("MASTER_PORT", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"):
        assert Rank.of({**told, name: "7"}).launch != Rank.of(told).launch


def test_of_several_gpus_each_rank_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "available_devices", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(forward, "_count", lambda kind: 4)
    asked = [("auto", 1), ("cuda", 2), ("auto", 5), ("cuda", None), ("cuda:3", 1), ("cpu", 1)]
    found = [forward.choose_device(name, worker) for name, worker in asked]
    assert found == ["cuda:1", "cuda:2", "cuda:1", "cuda", "cuda:3", "cpu"]
    monkeypatch.setattr(forward, "_count", lambda kind: 1)
    assert forward.choose_device("auto", 3) == "cuda"


def test_the_key_of_a_fit_does_not_tell_on_which_gpu_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "available_devices", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(forward, "_count", lambda kind: 4)
    site = Site(device="auto", threads=3)
    trains, probes = (
        replace(setup_of(X, CODES, {"x": strategy}), site=site)
        for strategy in (Trained(), CentroidStrategy())
    )
    placed = _placed(trains, 2)
    assert placed.site == replace(site, device="cuda:2")
    task = tasks_for(trains, [5])[0]
    assert placed.key(task) == trains.key(task)
    assert _placed(probes, 2) is probes
