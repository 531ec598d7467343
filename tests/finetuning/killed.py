"""Trainings that are killed again and again, and then brought to their end.

Run as a program, on one thread: it trains by itself, and forks a process for each training that is killed.

Prints a line of JSON: how many kills hit a training on its way, and from which steps it went on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from tests.finetuning.networks import Case
from tlengine.finetuning import checkpoints, loop

STEPS = 60
BEGIN = loop.Metrics.begin


def train(preset: str, folder: Path, began: int, out: Path | None = None) -> None:
    """Train, telling the pipe ``began`` from which step; keep the weights in ``out``."""

    def told(self: loop.Metrics, step: int) -> None:
        BEGIN(self, step)
        os.write(began, step.to_bytes(4, "little"))

    loop.Metrics.begin = told  # type: ignore[method-assign]
    settings = {"steps": STEPS // (3 if preset == "scratch" else 1), "augment": "crop-flip"}
    trained = Case.of("cnn").train(preset, folder=folder, checkpoint_seconds=0.0, **settings)
    if out is not None:
        save_file({name: one.contiguous() for name, one in trained.network.state_dict().items()}, out)
        out.with_suffix(".json").write_text(
            json.dumps([trained.outcome.losses, trained.facts.get("under_trained")])
        )


def die_in_save(after: int) -> None:
    """Be killed in the middle of writing a checkpoint, the ``after``-th."""
    count, write = 0, checkpoints.replace_file

    def torn(path: Path, work: Callable[..., object], *, durable: bool) -> Path:
        nonlocal count
        count += 1
        if count < after:
            return write(path, work, durable=durable)

        class Half:
            def write(self, data: bytes) -> None:
                path.with_name(".tlengine-1-dead.tmp").write_bytes(data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)

        work(Half())
        raise AssertionError("unreachable")

    checkpoints.replace_file = torn  # type: ignore[assignment]


def forked(work: Callable[[int], None], kill_after: float | None = None) -> tuple[int | None, bool]:
    """Run ``work`` in a process of its own: the step from which it went on, and whether it ended."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            work(write)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(write)
    step = os.read(read, 4)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(read)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a training failed")
    return (int.from_bytes(step, "little") if step else None), os.WIFEXITED(status)


def main(preset: str, kills: int, folder: Path) -> None:
    rng = random.Random(preset)
    _, write = os.pipe()
    train(preset, folder / "whole", write, folder / "whole.safetensors")  # imports everything that is needed
    begun = time.perf_counter()
    train(preset, folder / "timed", write)
    pause = 1.5 * (time.perf_counter() - begun) / kills
    steps: list[list[int | None]] = [[]]
    for i in range(kills):
        if i % 5 == 4:
            after = rng.randrange(1, 6)
            step, ended = forked(lambda told, n=after: (die_in_save(n), train(preset, folder / "cut", told)))  # type: ignore[misc]
        else:
            step, ended = forked(lambda told: train(preset, folder / "cut", told), rng.uniform(0, pause))
        steps[-1].append(step)
        if ended:  # too quick for the blow: the next one begins anew
            steps.append([])
    step, _ = forked(lambda told: train(preset, folder / "cut", told, folder / "cut.safetensors"))
    steps[-1].append(step)
    print(json.dumps(steps))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
