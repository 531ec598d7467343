"""Memory that is used again, but never while somebody looks at it."""

import gc
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlengine.features.cache.spare import Spare

ROWS, DIM = 2000, 700


def test_memory_is_used_again() -> None:
    spare = Spare()
    at = spare.empty(ROWS, DIM).ctypes.data
    assert [spare.empty(ROWS - n, DIM).ctypes.data for n in range(3)] == [at] * 3


@pytest.mark.parametrize(
    "part",
    [
        lambda X: X,
        lambda X: X[5:7],
        lambda X: X.T[3],
        lambda X: X.reshape(-1)[9:].view(np.uint32),
        lambda X: memoryview(X)[4:],
        lambda X: np.broadcast_to(X[0], (2, DIM)),
    ],
)
def test_never_while_a_part_is_held(part: Any) -> None:
    spare = Spare()
    held = part(spare.empty(ROWS, DIM))
    gc.collect()
    other = spare.empty(ROWS, DIM)
    assert not np.shares_memory(np.asarray(held), other)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2500)), max_size=12))
def test_results_never_overlap(calls: list[tuple[int, int]]) -> None:
    spare, held = Spare(), dict[int, Any]()
    for slot, rows in calls:
        held[slot] = spare.empty(rows, DIM)
        held[slot].fill(slot)
        assert all((number == X).all() for number, X in held.items())


def test_little_and_much_is_not_kept() -> None:
    spare = Spare()
    assert spare.empty(10, 3).base is None
    assert spare.empty(17 << 20, 1).base is None


def test_held_by_another_thread() -> None:
    """A name, a cell, an argument and an attribute of other threads hold it as well as one of ours."""
    spare, held, done = Spare(), [], threading.Event()

    def hold() -> None:
        X = spare.empty(ROWS, DIM)
        held.append(X.ctypes.data)
        done.wait()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(held) < len(threads):
        time.sleep(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert len(set(held)) == len(threads)
