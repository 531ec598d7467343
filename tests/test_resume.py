"""``compare`` killed at any moment and taken up again equals one that was never interrupted, file for file.

And no fit is done twice: what stood in the journal when it was killed is never fitted again. More moments by
``TLENGINE_KILLS=20``.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.evaluation.machinery import files_in

KILLS = int(os.environ.get("TLENGINE_KILLS", "8"))
TIMES = {"created", "seconds", "cpu_seconds", "predict_ms", "costs", "journal", "environment"}
"""What two equal runs differ in."""

LISTENS = """
import os
import tlengine as tl

@tl.hookimpl
def tlengine_task_finished(record):
    with open(os.environ["HEARD"], "a") as file:
        file.write(f"{record.key} {os.getpid()}\\n")
"""

RUN = """
import sys
import numpy as np
from sklearn.datasets import load_digits
import tlengine as tl

X, y = load_digits(n_class=4, return_X_y=True)
X = X[:240].astype(np.float32)
run = tl.compare(
    (X, y[:240]), strategies=["knn", "probe", "ridge", "centroid", "svm"], controls={"raw": X[:, 20:28]},
    budgets=[2, 5, 10, "all"], seeds=3, progress=False, out=sys.argv[1], executor=sys.argv[2],
)
run.save(sys.argv[1])
"""
FITS = 6 * 4 * 15


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin that writes down every fit, and a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "listens.py").write_text(LISTENS)
    info = folder / "listens-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: listens\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tlengine]\nlistens = listens\n")
    finish(start(folder, "whole"))
    assert len(kept(folder / "whole")) == len(heard(folder, "whole")) == FITS
    return folder


def start(desk: Path, name: str, executor: str = "here") -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "HEARD": str(desk / f"{name}.heard"),
        "TLENGINE_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(desk), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-c", RUN, str(desk / name), executor]
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(run: "subprocess.Popen[str]") -> None:
    _, said = run.communicate(timeout=240)
    assert run.returncode == 0, said


def heard(desk: Path, name: str) -> list[str]:
    """The key of each fit of which the plugin was told."""
    file = desk / f"{name}.heard"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def kept(folder: Path) -> list[str]:
    """The keys that stand in a journal, whole lines alone."""
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return [json.loads(line)["record"]["key"] for line in lines]


def timeless(value: Any) -> Any:
    """A document without what is different in every run."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def model(folder: Path) -> dict[str, Any]:
    """The arrays and facts of the model that is kept; the order of its facts is the writer's whim."""
    with safe_open(folder / "model" / "model.safetensors", "numpy") as file:
        arrays = {name: file.get_tensor(name).tolist() for name in sorted(file.keys())}
        return {"facts": file.metadata(), **arrays}


def assert_equal_runs(one: Path, two: Path) -> None:
    assert files_in(one / "predictions") == files_in(two / "predictions")
    assert model(one) == model(two)
    assert timeless(document(one)) == timeless(document(two))
    assert sorted(kept(one)) == sorted(kept(two))


def interrupted(
    desk: Path, name: str, moments: Iterator[float], sign: signal.Signals, executor: str
) -> Iterator[int]:
    """Ends the run at each moment after it began to fit; yields the exit codes, then finishes it."""
    for moment in moments:
        before = kept(desk / name)
        run = start(desk, name, executor)
        while (
            run.poll() is None
            and len(kept(desk / name)) <= len(before)
            and not heard_more(desk, name, before)
        ):
            time.sleep(0.005)
        time.sleep(moment)
        if run.poll() is None:
            os.killpg(run.pid, sign)
        run.communicate(timeout=60)
        yield run.returncode
        after = kept(desk / name)
        assert after[: len(before)] == before, "no line that stood there is lost"
        assert len(set(after)) == len(after), "no key is fitted again"
    finish(start(desk, name, executor))


def heard_more(desk: Path, name: str, before: list[str]) -> bool:
    return len(set(heard(desk, name))) > len(before) + 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("sign", "executor", "kills"),
    [(signal.SIGKILL, "here", KILLS), (signal.SIGINT, "here", 1), (signal.SIGKILL, "processes", 1)],
)
def test_a_run_that_is_killed_is_taken_up(
    desk: Path, sign: signal.Signals, executor: str, kills: int
) -> None:
    dice, name = random.Random(kills), f"{executor}-{sign}"
    moments = (dice.uniform(0.0, 0.5) for _ in range(kills))
    codes = list(interrupted(desk, name, moments, sign, executor))
    assert codes.count(-sign) >= min(2, kills), f"the kills came too late to prove anything: {codes}"
    assert_equal_runs(desk / "whole", desk / name)
    # A fit is heard of after its line is written: one for each kill may stand there unheard.
    told = heard(desk, name)
    assert len(told) == len(set(told))
    assert len(kept(desk / name)) - len(told) <= kills


def test_the_last_run_says_what_it_took_up(desk: Path) -> None:
    """After all others: it runs in the folder of the run that was not interrupted."""
    before = files_in(desk / "whole" / "predictions"), kept(desk / "whole")
    assert document(desk / "whole")["journal"] == {"fits": FITS, "taken_up": 0}
    finish(start(desk, "whole"))
    assert document(desk / "whole")["journal"] == {"fits": FITS, "taken_up": FITS}
    assert (files_in(desk / "whole" / "predictions"), kept(desk / "whole")) == before
    assert len(heard(desk, "whole")) == FITS, "the second run fitted nothing"
