"""A search in a thread of a pool ends when it is told to; Python tells the main thread alone of Ctrl-C."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tlengine as tl
from tlengine.probes.interruption import stop_calls


def test_calls_in_a_pool_stop() -> None:
    X = np.random.default_rng(0).normal(size=(60_000, 256)).astype(np.float32)
    started = threading.Event()

    def search() -> None:
        started.set()
        tl.nearest(X, X, k=5, n_jobs=1)

    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(search)
        started.wait()
        while not future.done():
            stop_calls()
            threading.Event().wait(0.05)
        with pytest.raises(KeyboardInterrupt):
            future.result()


def test_later_calls_are_not_stopped() -> None:
    stop_calls()
    X = np.eye(400, 300, dtype=np.float32)
    assert tl.nearest(X, X, k=1)[0].shape == (400, 1)
