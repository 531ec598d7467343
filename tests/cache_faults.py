"""What the tests of the cache's faults share: self-checking rows, and code in a process of its own."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tlengine.features.cache import EmbeddingCache, Table

RECIPE = {"backbone": "faults"}
DIM = 256
PRELUDE = f"""
import errno, os, resource, signal, sys, threading, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tlengine.errors import *
from tests.cache_faults import *
"""


def keys_of(n: int, salt: int = 0) -> np.ndarray:
    return np.random.default_rng(salt).integers(0, 256, (n, 32)).astype(np.uint8)


def rows_of(keys: np.ndarray) -> np.ndarray:
    """Self-checking: the row follows from its key."""
    return np.tile(keys.astype(np.float32), DIM // 32) - 3.5


def table_in(path: Path, **options: object) -> Table:
    return EmbeddingCache(path, **options).table(RECIPE, dim=DIM)


def store(table: Table, keys: np.ndarray) -> None:
    table.put(keys, rows_of(keys))
    table.flush()


def holds(path: Path, keys: np.ndarray) -> bool:
    X, hit = table_in(path, on_corrupt="raise").get(keys)
    assert (rows_of(keys)[hit] == X[hit]).all()
    return bool(hit.all())


def python(
    code: str, *, tracer: tuple[str, ...] = (), before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*tracer, sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=before,
    )


def sealed(path: Path, n: int = 20) -> np.ndarray:
    with EmbeddingCache(path) as cache:
        store(cache.table(RECIPE, dim=DIM), keys_of(n))
    return keys_of(n)
