"""Forks while threads of the core start and end; each child makes a call with threads of its own.

``python -m tests.forks 500`` exits with 1 once a child has taken longer than it may: such a child waits
for a lock whose holder did not come along.
"""

import os
import signal
import sys
import threading
import time

import numpy as np

from tlengine import _core

__all__ = ["main"]

LIMIT = 10.0
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 8)).astype(np.float32)
Y = RNG.normal(size=(1, 300))
ROWS = RNG.normal(size=(4000, 64)).astype(np.float32)
INDEX = _core.NeighborIndex(ROWS, "cosine", "auto", 2)


def call() -> None:
    """Starts threads in the core, several times."""
    _core.solve_ridge(
        X, Y, np.ones(300), None, [1.0], fit_intercept=True, leave_one_out=True, predictions=False, threads=3
    )
    INDEX.search(ROWS[:16], 3, 2)


def child_ends(pid: int) -> bool:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def main(forks: int) -> int:
    call()
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            call()

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    ended = 0
    while ended < forks:
        pid = os.fork()
        if pid == 0:
            try:
                call()
            except BaseException:
                os._exit(1)
            os._exit(0)
        if not child_ends(pid):
            break
        ended += 1
    over.set()
    for thread in threads:
        thread.join()
    print(f"{ended} of {forks} children ended")
    return 0 if ended == forks else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
