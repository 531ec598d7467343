"""Exact nearest neighbours.

Results are those of a brute force in float64, ties by the lowest row, on any data: a fast pass in
8-bit, bfloat16 or single-precision arithmetic rules out rows with a rigorous error bound, and the
rows that are left are scored as if in twice double precision.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError
from tlengine.probes.arrays import Rows, as_rows, check_same_columns
from tlengine.probes.index_file import IndexFile
from tlengine.probes.units import (
    Exponents,
    common_exponent,
    exponent,
    in_units,
    times_units,
    unusual_exponents,
)
from tlengine.settings import num_threads

__all__ = ["Found", "Metric", "NeighborIndex", "check_choice", "nearest"]

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
Metric = Literal["cosine", "inner", "euclidean"]
Precision = Literal["auto", "float", "float32", "bfloat16", "int8"]

_FAR = 480
"""From ``2**480`` units away, all rows within ``2**300`` are as far as the origin."""

_METRICS = ("cosine", "inner", "euclidean")
_PRECISIONS = ("auto", "float", "float32", "bfloat16", "int8")


class NeighborIndex:
    """The rows of ``X`` made ready for many searches.

    Args:
        X: (n, d) rows; float32 and float64 are kept, other numbers are converted without loss.
            The array is not copied: leave it unchanged while the index is in use.
        metric: ``"cosine"`` (0 with a row of zeros), ``"inner"`` or ``"euclidean"``.
        precision: arithmetic of the first pass; results do not depend on it. ``"auto"`` takes 8 bits
            where this chip multiplies them faster and they tell the rows apart, else ``"float"``:
            bfloat16 under the same two conditions, else float32. ``"int8"``, ``"bfloat16"`` and
            ``"float32"`` take just that.
        n_jobs: threads; default ``$TLENGINE_NUM_THREADS``, else the cores this process may use.

    Raises:
        EmptyInputError, DtypeError, ShapeMismatchError: ``X`` is not a matrix of numbers.
        NonFiniteError: NaN or infinity in ``X``; ``context`` has ``row`` and ``column``.
        InputError: an unknown metric or precision; inner products or distances of rows of which some are
            1e90 times larger than others.

    >>> import numpy as np
    >>> index = NeighborIndex(np.array([[0.0, 1], [1, 0], [1, 1]]))
    >>> index.search(np.array([[2.0, 1.9]]), k=2)[0].tolist()
    [[2, 1]]
    >>> index.search(k=1)[0].tolist()    # each row among the others
    [[2], [2], [0]]
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        metric: Metric = "cosine",
        *,
        precision: Precision = "auto",
        n_jobs: int | None = None,
    ) -> None:
        check_choice("metric", metric, _METRICS)
        check_choice("precision", precision, _PRECISIONS)
        self._options: dict[str, Any] = {"metric": metric, "precision": precision, "n_jobs": n_jobs}
        self._wide: NeighborIndex | None = None
        self._file: IndexFile | None = None
        self._rows = as_rows(X, "X")
        self._build()

    def _build(self) -> None:
        metric, rows = self._options["metric"], self._rows
        self._size = unusual_exponents(rows) if metric == "cosine" else common_exponent(rows, "X")
        placed, threads = in_units(rows, self._size), num_threads(self._options["n_jobs"])
        made, precision = None, self._options["precision"]
        if self._file is not None:
            made = _core.NeighborIndex.restore(placed, metric, precision, self._file.codes)
        self._codes: _core.NeighborIndex | None = made or _core.NeighborIndex(
            placed, metric, precision, threads
        )

    def _ready(self) -> _core.NeighborIndex:
        """The codes; of an index from a file or another process they are made as they are first asked for."""
        if self._codes is None:
            if self._file is not None:
                self._file.check()
            self._build()
            assert self._codes is not None
        return self._codes

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of ``X``."""
        rows, columns = self._rows.shape
        return rows, columns

    def __reduce__(self) -> tuple[Any, ...]:
        """By its data: ``X`` and the options. The codes are made again where they are needed."""
        return _restored, (np.asarray(self._rows), self._options, type(self))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Writes ``X``, its codes and the options to one file, from which :meth:`open` takes them unread.

        The file appears whole or not at all: after a crash or on a full disk there is what was there before.
        Format, version, shape and checksums stand in its header; it holds no pickle.

        Args:
            path: the file; its folder exists.
            overwrite: whether an existing file may be replaced. Who has it open keeps the old rows.

        Raises:
            InputError: there is something at ``path``.
            OSError: the disk is full, or the folder cannot be written.

        >>> import tempfile
        >>> index = NeighborIndex(np.eye(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(f"{folder}/rows.index")
        ...     NeighborIndex.open(f"{folder}/rows.index").search(np.eye(3)[:1], k=1)[0].tolist()
        [[0]]
        """
        options = {name: self._options[name] for name in ("metric", "precision")}
        IndexFile.write(path, self._rows, self._ready().codes(), options, overwrite=overwrite)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, n_jobs: int | None = None) -> Self:
        """The index that :meth:`save` wrote; it finds the same rows with the same scores.

        Rows and codes are mapped, not read, so this takes milliseconds and processes share their memory.
        Header and length are checked here, the checksums before the first search. Codes of another version,
        or for another kind of chip, are made anew by that search. Replace the file if you have to
        (``save`` does), but never write into it while an index has it open.

        Args:
            path: the file.
            n_jobs: threads; default ``$TLENGINE_NUM_THREADS``, else the cores this process may use.

        Raises:
            FileNotFoundError: nothing is there.
            HeadFormatError: it is no index, of another version, cut off or damaged; the first search
                raises it where rows are damaged.
        """
        file = IndexFile.open(path)
        for name, choices in (("metric", _METRICS), ("precision", _PRECISIONS)):
            file.check_option(name, choices)
        index: Self = _restored(file.rows, {**file.options, "n_jobs": n_jobs}, cls)
        index._file = file
        return index

    def search(
        self, Q: npt.ArrayLike | None = None, k: int = 20, *, n_jobs: int | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The ``k`` nearest rows of each query, best first, ties by the lowest row.

        Args:
            Q: (m, d) queries; ``None`` searches for each row of ``X`` among the others (leave-one-out).
            k: how many, at most the rows to choose from.
            n_jobs: threads; default those of the index.

        Returns:
            Rows (m, k) int64, and their scores (m, k) float64: cosines or inner products, falling,
            or Euclidean distances, rising. Scores are rounded once from the exact value.

        Raises:
            InputError: ``k`` is outside its limits.
            ShapeMismatchError: another number of columns than ``X``.
            NonFiniteError: NaN or infinity in ``Q``.
        """
        threads = num_threads(self._options["n_jobs"] if n_jobs is None else n_jobs)
        most = self.shape[0] - (Q is None)
        if not 1 <= k <= most:
            raise InputError(f"k={k} is not between 1 and {most}, the rows to choose from", hint="lower k")
        codes = self._ready()
        if Q is None:
            return self._scored(codes.search(None, k, threads), self._size)
        queries = as_rows(Q, "Q", allow_empty=True)
        check_same_columns(queries, self._rows)
        if not len(queries):
            return np.empty((0, k), np.int64), np.empty((0, k))
        if queries.dtype != self._rows.dtype:
            if self._rows.dtype == np.float32:
                self._wide = self._wide or NeighborIndex(self._rows.astype(np.float64), **self._options)
                return self._wide.search(queries, k, n_jobs=threads)
            queries = queries.astype(np.float64)
        if self._options["metric"] != "euclidean":
            size = unusual_exponents(queries)
            return self._scored(codes.search(in_units(queries, size), k, threads), size)
        far = exponent(queries, axis=1)[:, 0] - self._size > _FAR
        if not far.any():
            return self._scored(codes.search(in_units(queries, self._size), k, threads), self._size)
        ids, scores = np.tile(np.arange(k), (len(queries), 1)), np.empty((len(queries), k))
        if not far.all():
            ids[~far], scores[~far] = self.search(queries[~far], k, n_jobs=threads)
        scores[far] = _norms(queries[far])
        return ids, scores

    def _scored(self, found: Found, size: Exponents) -> Found:
        """What was found for queries in units of ``2**size``, with scores in the user's own."""
        ids, scores = found
        if self._options["metric"] == "inner":
            return ids, times_units(scores, size + self._size)
        return ids, scores if self._options["metric"] == "cosine" else times_units(scores, size)


def _norms(rows: Rows) -> npt.NDArray[np.float64]:
    """(n, 1) norms, rounded once: distances from the origin."""
    origin = _core.NeighborIndex(np.zeros((1, rows.shape[1])), "euclidean", "float", 1)
    sizes = exponent(rows, axis=1)
    return times_units(origin.search(in_units(rows, sizes), 1, 1)[1], sizes)


def nearest(
    Q: npt.ArrayLike,
    X: npt.ArrayLike,
    k: int = 20,
    metric: Metric = "cosine",
    *,
    precision: Precision = "auto",
    n_jobs: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The ``k`` nearest rows of ``X`` for each row of ``Q``: exact, on any data.

    Several searches over the same ``X`` share their preparation with :class:`NeighborIndex`, which
    documents the parameters and the errors.

    Returns:
        Rows of ``X`` (m, k) int64, and their scores (m, k) float64: cosines or inner products,
        falling, or Euclidean distances, rising; ties by the lowest row.

    >>> import numpy as np
    >>> ids, similarity = nearest(np.array([[1.0, 0.1]]), np.array([[0.0, 1], [1, 0], [1, 1]]), k=2)
    >>> ids.tolist(), similarity.round(3).tolist()
    ([[1, 2]], [[0.995, 0.774]])
    """
    return NeighborIndex(X, metric, precision=precision, n_jobs=n_jobs).search(Q, k)


def _restored(rows: Rows, options: dict[str, Any], kind: type[NeighborIndex] = NeighborIndex) -> Any:
    """An index of rows that were one before, without its codes."""
    index = kind.__new__(kind)
    index._options, index._rows, index._codes = dict(options), rows, None
    index._wide = index._file = None
    return index


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        InputError: it is another one.
    """
    if value not in choices:
        raise InputError(f"{name}={value!r} is unknown", hint=f"use one of {', '.join(choices)}")
