"""The compiled core. Private: the public functions and classes of ``tlengine`` wrap it."""

import os
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from tlengine.types import FloatArray

__version__: str
build_profile: str

@final
class Blake3:
    """Incremental BLAKE3 (256 bits)."""

    def __new__(cls) -> Blake3: ...
    def update(self, data: npt.NDArray[np.uint8]) -> None:
        """Absorb contiguous bytes."""
    def digest(self) -> bytes:
        """The 32 bytes of the digest of everything absorbed so far."""

@final
class CacheHandle:
    """An open cache directory."""

    def __new__(
        cls, path: str | os.PathLike[str], *, read_only: bool, durable: bool, patience: float
    ) -> CacheHandle: ...
    @property
    def read_only_reason(self) -> str | None:
        """Why the cache cannot be written; None if it can."""
    def syncs_folders(self) -> bool:
        """Whether the file system makes names of files durable when asked to."""
    def table(self, recipe: bytes, dim: int, dtype: str, info: bytes) -> TableHandle:
        """The table of a recipe (canonical JSON), made if it is missing."""
    def open_table(self, name: str) -> TableHandle | None:
        """The table in the directory of this name, if there is one with an intact manifest."""
    def tables(self) -> list[tuple[str, tuple[int, str, bytes, bytes] | None]]:
        """Directory name, and (dim, dtype, recipe, info) if the manifest is intact, of every table."""
    def sweep(self, dry_run: bool) -> tuple[int, int]:
        """Remove leftovers that no reader looks at; files and bytes."""
    def remove(self, name: str) -> None:
        """Remove a table with all its files."""
    def rewrite(self, table: TableHandle, segments: list[str], keep: bool) -> tuple[list[str], int, int]:
        """Rewrite segments into one; the segments replaced, rows copied, rows lost."""

@final
class TableHandle:
    """An open table."""

    @property
    def name(self) -> str:
        """The digest of the recipe, in hex."""
    @property
    def dim(self) -> int:
        """Numbers per row."""
    @property
    def dtype(self) -> str:
        """How they are stored."""
    def put(
        self, keys: npt.NDArray[np.uint8], rows: npt.NDArray[np.float32], seconds: float
    ) -> tuple[int, npt.NDArray[np.int64]]:
        """Store rows; how many were new, and which ones conflict."""
    def flush(self) -> None:
        """Make everything that was put durable."""
    def get(
        self,
        keys: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.float32],
        hit: npt.NDArray[np.bool_],
        threads: int,
    ) -> list[tuple[str, int]]:
        """Fill ``rows`` and ``hit``; the damaged rows as (path, row number)."""
    def segments(self) -> list[tuple[str, int, bool]]:
        """Name, published rows, and whether sealed, of each segment."""
    def view(self, segment: str | None, check: bool, threads: int) -> Rows:
        """The rows of a segment without a copy."""
    def keys(self, segment: str | None) -> npt.NDArray[np.uint8]:
        """The keys of the rows of a segment."""
    def seconds_per_row(self) -> float:
        """What a row costs to compute on average, in seconds."""
    def summary(self) -> tuple[int, int, int, float, int, int]:
        """Rows, segments, bytes, seconds, files out of service, seconds since the last use."""
    def segment_names(self) -> list[str]:
        """The names of all segments, damaged and empty ones too."""
    def verify(self, segment: str, threads: int) -> tuple[int, bool, list[int], list[str], int]:
        """Rows, whether sealed, bad rows, other damage, and unfinished bytes of a segment."""
    def live_keys(self) -> npt.NDArray[np.uint8]:
        """The key of every row that readers get, each once."""
    def quarantined(self) -> list[tuple[str, str]]:
        """Files that were taken out of service: path and reason."""
    def close(self) -> None:
        """Publish what is pending and end this handle's segment."""

@final
class Rows(Buffer):
    """The rows of a segment. Supports the buffer protocol (unsigned bytes)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and numbers per row."""
    @property
    def dtype(self) -> str:
        """``float32``, ``float16`` or ``bfloat16``."""
    @property
    def is_mapped(self) -> bool:
        """Whether the bytes are those of the file, mapped; False where they had to be copied."""

def solve_paths(
    problems: Sequence[
        tuple[
            npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int64], int],
            npt.NDArray[np.intp] | None,
            Sequence[
                tuple[str, int, npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float64] | None]
            ],
        ]
    ],
    cs: Sequence[float],
    *,
    tol: float,
    max_iter: int,
    fit_intercept: bool,
    threads: int,
    patience: int | None = None,
) -> list[list[dict[str, npt.NDArray[Any]]]]:
    """For each problem (X, its rows or all, tasks that share them) and each task, the solutions for every C.

    Only for the smallest ones where ``patience`` ended the path.
    """

def watch_paths(
    x: npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int64], int],
    tasks: Sequence[
        tuple[str, int, npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float64] | None]
    ],
    cs: Sequence[float],
    *,
    tol: float,
    max_iter: int,
    fit_intercept: bool,
    threads: int,
    look: Callable[[int, float, int, float, list[tuple[int, int, bool, dict[str, npt.NDArray[Any]]]]], bool],
    patience: int | None = None,
    before: Sequence[float] = ...,
    starts: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] | None = None,
) -> bool:
    """Solve one problem while ``look(solved, C, passes, gap, finished)`` is called about every 50 ms.

    ``finished`` are new solutions: task, place in ``cs``, whether that is its end, arrays over one C.
    ``look`` says whether that is enough: then the path ends after the pass under way, and hands over the
    next C as far as it got. Returns whether the path came to its end. ``before``: held-out losses of smaller
    C, for patience; ``starts``: where each task starts.
    """

def patient_count(losses: Sequence[float], patience: int, tol: float) -> int | None:
    """After how many of these held-out losses, of ascending C, patience ends a path; None: it does not."""

def solution_logits(
    x: npt.NDArray[Any],
    rows: npt.NDArray[np.intp],
    coef: npt.NDArray[Any],
    intercept: npt.NDArray[np.float64],
) -> npt.NDArray[Any]:
    """Logits (n_C, K, n) of the solutions (n_C, K, d) and (n_C, K) for these rows of X."""

def solve_ridge(
    x: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint32] | None,
    alphas: Sequence[float],
    *,
    fit_intercept: bool,
    leave_one_out: bool,
    predictions: bool,
    threads: int,
    look: Callable[[float], bool] | None = None,
) -> dict[str, Any] | None:
    """Ridge solutions for all alphas; None where ``look``, told the part that is done, said it was enough."""

def solve_prevalidated(
    x: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint32] | None,
    alphas: Sequence[float],
    *,
    fit_intercept: bool,
    threads: int,
) -> dict[str, Any]:
    """Ridge solutions for all alphas, and the scale and log-loss of their leave-one-out predictions."""

def fit_scales(
    predictions: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint32] | None,
    signs: npt.NDArray[np.float64] | None,
    share: npt.NDArray[np.float64],
    threads: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The best scale of predictions (alphas, columns, n) about their centre, and their log-loss at it."""

def panic_in_a_call(threads: int) -> None:
    """Panic on every thread of a call, so that a test can see that nobody dies of it."""

def stop_calls() -> None:
    """Ask every running call of this process to stop; each raises ``KeyboardInterrupt``."""

def instruction_sets() -> tuple[str, list[str]]:
    """The instruction set in use, and those of this machine, the portable one first."""

def faster_than_float32() -> list[str]:
    """The precisions of a first pass whose products are faster than single precision here."""

@final
class NeighborIndex:
    """Codes of the rows of ``X``, which stays with NumPy."""

    def __new__(cls, X: FloatArray, metric: str, precision: str, threads: int) -> NeighborIndex: ...
    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of ``X``."""
    @staticmethod
    def restore(
        X: FloatArray, metric: str, precision: str, codes: npt.NDArray[np.uint8]
    ) -> NeighborIndex | None:
        """The index of ``X`` with these codes; None where an index made here is the better one."""
    def codes(self) -> npt.NDArray[np.uint8]:
        """What ``restore`` takes: the codes that were made so far, and all that goes with them."""
    def search(
        self, Q: FloatArray | None, k: int, threads: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Rows and scores, (queries, k) each; leave-one-out where ``Q`` is None."""

def neighbor_vote(
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint32],
    classes: int,
    ks: list[int],
    temperatures: list[float],
    threads: int,
) -> npt.NDArray[np.float64]:
    """Class probabilities by a weighted vote, (temperatures, ks, queries, classes)."""
