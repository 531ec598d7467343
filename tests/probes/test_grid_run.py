"""A grid that is cut short loses one job or half a second, and does what is cheap first."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tlengine.errors import TimeLimitWarning
from tlengine.probes import grid_logistic, grid_run, probe_grid
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_records import Finished

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 12)).astype(np.float32)
Y = (X[:, 0] + 0.5 * RNG.normal(size=300) > 0).astype(int) + (X[:, 1] > 0)
MANY = {f"layer{i}": np.roll(X, i, axis=1).copy() for i in range(6)}
OPTIONS = {"Cs": [0.1, 1.0], "cv": 3, "progress": False}

KILLED = """
import os, signal, sys, numpy as np, tlengine as tl
from tlengine.errors import TimeLimitWarning
from tlengine.probes import grid_logistic, grid_run
rng = np.random.default_rng(0)
X = rng.normal(size=(4_000, 64)).astype("f4")
y = (X @ rng.normal(size=(64, 20))).argmax(axis=1)
when, number = sys.argv[2], int(sys.argv[3])
told, solved, solve = [], [], grid_logistic._core.solve_paths
def count(record):
    told.append(record)
    if when == "told" and len(told) == number:
        os.kill(os.getpid(), signal.SIGKILL)
def solve_paths(problems, *args, **kwargs):
    if when == "solving" and len(solved) >= number:
        print(len(solved), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    solved.extend(problems)
    return solve(problems, *args, **kwargs)
if when == "solving":
    grid_run.LOSS, grid_logistic.LogisticJobs.most = 0.0, 1  # every job counts as a long one
grid_logistic._core.solve_paths = solve_paths
layers = {f"layer{i}": np.roll(X, i, axis=1).copy() for i in range(4)}
tl.probe_grid(layers, y, budgets=[5, 10, "all"], seeds=3, Cs=[1e-3], cv=None, resume=sys.argv[1],
              callback=count, progress=False)
"""


def killed(file, when, number):
    """The budgets of the jobs in the file, and what was printed; 24 small jobs come first, then 12 large."""
    command = [sys.executable, "-c", KILLED, str(file), when, str(number)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [json.loads(line)[1][0][3] for line in file.read_text().splitlines()[1:]], done.stdout


def test_a_kill_in_the_middle_keeps_what_was_told(tmp_path):
    budgets, _ = killed(tmp_path / "grid.jsonl", "told", 25)
    assert len(budgets) >= 25
    assert budgets == ([5] * 12 + [10] * 12 + ["all"] * 12)[: len(budgets)]


def test_a_kill_in_a_large_job_loses_that_job_alone(tmp_path):
    budgets, solved = killed(tmp_path / "grid.jsonl", "solving", 25)
    assert len(budgets) == int(solved) == 25


def test_ctrl_c_keeps_what_is_finished_and_a_second_call_does_the_rest(tmp_path, monkeypatch):
    file = tmp_path / "grid.jsonl"
    monkeypatch.setattr(grid_logistic.LogisticJobs, "most", 4)
    whole = probe_grid(MANY, Y, budgets=[5, "all"], seeds=2, **OPTIONS)
    solve, calls = grid_logistic._core.solve_paths, []

    def interrupted(problems, *args, **kwargs):
        calls.append(len(problems))
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return solve(problems, *args, **kwargs)

    monkeypatch.setattr(grid_logistic._core, "solve_paths", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe_grid(MANY, Y, budgets=[5, "all"], seeds=2, resume=file, **OPTIONS)
    assert len(file.read_text().splitlines()) == 1 + 12
    again = probe_grid(MANY, Y, budgets=[5, "all"], seeds=2, resume=file, **OPTIONS)
    assert again.records == whole.records
    assert sum(calls[4:]) == 24 - 12


def test_small_budgets_come_first_and_the_records_stay_in_order():
    told = []
    found = probe_grid(MANY, Y, budgets=["all", 20, 5], seeds=2, callback=told.append, **OPTIONS)
    assert [record["budget"] for record in told] == [5] * 12 + [20] * 12 + ["all"] * 12
    assert [r["budget"] for r in found.records] == ["all", 20, 5] * 12
    assert [r["features"] for r in found.records[:6]] == ["layer0"] * 6
    as_text = sorted(map(json.dumps, told))
    assert as_text == sorted(map(json.dumps, found.records))


def test_what_a_callback_raises_ends_the_grid_and_its_record_is_kept(tmp_path):
    file, told = tmp_path / "grid.jsonl", []

    def enough(record):
        told.append(record)
        if len(told) == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        probe_grid(MANY, Y, seeds=2, callback=enough, resume=file, **OPTIONS)
    told.clear()
    again = probe_grid(MANY, Y, seeds=2, callback=told.append, resume=file, **OPTIONS)
    assert len(told) < len(again.records) == 12, "only what is left is done, and told of"


@pytest.mark.parametrize("probe", ["logistic", "ridge"])
def test_a_true_answer_of_a_callback_ends_the_grid_with_what_is_finished(tmp_path, monkeypatch, probe):
    monkeypatch.setattr(grid_logistic.LogisticJobs, "most", 2)
    options = {"probe": probe, "seeds": 3, "progress": False, "resume": tmp_path / "g", "predictions": True}
    told = []

    def enough(record):
        told.append(record)
        return len(told) == 3

    with pytest.warns(TimeLimitWarning, match=r"ended after \d+ of 18 probes; take it up") as said:
        found = probe_grid(MANY, Y, callback=enough, **options)
    assert said[0].filename == __file__
    assert 3 <= len(found.records) == len(told) == len(found.predictions) <= 6
    assert found.predictions[-1].values.shape == (found.records[-1]["n_test"], 3)
    rest = probe_grid(MANY, Y, callback=told.append, **options)
    assert len(rest.records) == len(told) == 18
    assert [r for r in rest.records if r in found.records] == list(found.records)


def test_a_true_answer_at_the_last_record_is_no_early_end():
    assert len(probe_grid(X, Y, seeds=1, callback=lambda record: True, **OPTIONS).records) == 1


def test_a_callback_cannot_change_the_records():
    found = probe_grid(X, Y, seeds=1, callback=lambda record: record.clear(), **OPTIONS)
    assert found.records[0]["features"] == "X"


def test_nothing_is_printed_without_a_terminal(capfd):
    probe_grid(X, Y, seeds=1, **{**OPTIONS, "progress": True})
    assert capfd.readouterr() == ("", "")


def test_the_bar_moves_by_work_and_counts_probes(monkeypatch, capfd):
    monkeypatch.setattr(grid_run, "hidden_bar", lambda progress: False)
    probe_grid(X, Y, seeds=2, budgets=[5, "all"], **OPTIONS)
    shown = capfd.readouterr().err.split("\r")[-1]
    assert "100%" in shown
    assert "4 of 4 probes" in shown


@pytest.mark.parametrize("threads", [1, 3])
def test_records_do_not_depend_on_threads_or_on_who_shares_a_batch(threads):
    wide = {"narrow": X, "double": X.astype(np.float64), "half": X[:, ::2]}
    settings = {"budgets": [5, 20], "seeds": 2, **OPTIONS}
    together = probe_grid(wide, {"y": Y, "big": Y > 1}, n_jobs=threads, **settings)
    alone = [
        record
        for name, array in wide.items()
        for target, y in {"y": Y, "big": Y > 1}.items()
        for record in probe_grid({name: array}, {target: y}, keys=keys_of(wide), n_jobs=1, **settings).records
    ]
    assert list(together.records) == alone


def keys_of(arrays):
    from tlengine.data.units import content_digests

    return content_digests(*arrays.values())


class Slow:
    """Jobs that take long, to see in which order they are solved and kept."""

    most, scores_beside = 64, True

    def __init__(self, events):
        self.events = events

    def kind(self, key):
        return 0

    def prepare(self, keys):
        return keys

    def solve(self, batch):
        self.events.append(("solve", len(batch)))
        return batch

    def score(self, batch, found):
        return [Finished(key, [{}]) for key in batch]


class Price:
    def __init__(self, each):
        self.each = each

    def of(self, key):
        return self.each

    def size(self, key):
        return 1


@pytest.mark.parametrize(("limit", "kept_between"), [(1e9, False), (0.0, True)])
def test_a_large_job_is_kept_before_the_next_begins(monkeypatch, limit, kept_between):
    monkeypatch.setattr(grid_run, "LOSS", limit)
    events = []
    keys = [Key("X", "y", seed, "all") for seed in range(3)]
    jobs = Slow(events)
    jobs.most = 1
    grid_run.run_jobs(jobs, keys, Price(1.0), lambda finished: events.append(("keep", len(finished))))
    assert sum(count for what, count in events if what == "keep") == 3
    solves = [i for i, (what, _) in enumerate(events) if what == "solve"]
    assert (events[solves[1] - 1][0] == "keep") is kept_between
    assert len(solves) == 3
