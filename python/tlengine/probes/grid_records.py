"""What a grid hands out: a flat record for each probe, and predictions where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.errors import MissingPackageError
from tlengine.probes.grid_jobs import Job, Key
from tlengine.probes.grid_notes import Note
from tlengine.probes.grid_targets import Target

__all__ = ["Finished", "Prediction", "Predictions", "ProbeGrid", "Record", "Said", "place", "records_of"]

Record = dict[str, Any]
Kind = Literal["probabilities", "scores", "votes"]


class Said(NamedTuple):
    """What the probes of one job say of their test rows.

    Attributes:
        rows: (m,) numbers of the test rows.
        values: (records, m, K) float32.
        kind: what they are.
    """

    rows: npt.NDArray[np.intp]
    values: npt.NDArray[np.float32]
    kind: Kind


class Finished(NamedTuple):
    """A job that is done.

    Attributes:
        key: its place in the grid.
        records: one, or one for each C.
        said: what its probes say of the test rows, where that is asked for.
        edge: -1 where the smallest C was chosen, 1 where the largest was, and held-out rows gain there.
        note: what is to be said of it at the end.
    """

    key: Key
    records: list[Record]
    said: Said | None = None
    edge: int = 0
    note: Note = {}  # noqa: RUF012 - a tuple's default, that nobody fills


def place(job: Job) -> Record:
    """The columns that every record of a job begins with."""
    return {**job.key._asdict(), "n_train": len(job.rows), "n_test": len(job.test)}


def records_of(job: Job, columns: Mapping[str, npt.NDArray[Any]]) -> list[Record]:
    """One record for each row of columns of equal length."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    start = place(job)
    return [start | dict(zip(columns, row, strict=True)) for row in rows]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one probe says of its test rows.

    Attributes:
        rows: (m,) numbers of the test rows.
        labels: (m,) their labels as the user wrote them, or (m, L) of 0 and 1.
        classes: (K,) the label of each column of ``values``; or (L,) the names of the columns.
        values: (m, K) float32.
        kind: ``"probabilities"``; ``"scores"`` of a decision function where the probe has none; ``"votes"``
            of 0 and 1 where it has neither.
    """

    rows: npt.NDArray[np.intp]
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    values: npt.NDArray[np.float32]
    kind: Kind


class Predictions(Sequence[Prediction]):
    """A :class:`Prediction` for each record, in their order.

    They are read when asked for, from memory or from the folder beside ``resume``.

    Args:
        places: the job of each record, and which of its records it is.
        said: of a job.
        targets: by name.
    """

    def __init__(
        self, places: Sequence[tuple[Key, int]], said: Mapping[Key, Said], targets: Mapping[str, Target]
    ) -> None:
        self._places, self._said, self._targets = places, said, targets

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Predictions(self._places[at], self._said, self._targets)
        key, number = self._places[at]
        said, target = self._said[key], self._targets[key.target]
        return Prediction(said.rows, target.labels(said.rows), target.classes, said.values[number], said.kind)

    def __iter__(self) -> Iterator[Prediction]:
        return (self[at] for at in range(len(self)))


@dataclass(frozen=True, eq=False)
class ProbeGrid:
    """The results of :func:`tlengine.probe_grid`: one flat record per probe.

    Attributes:
        records: each has ``features, target, seed, budget, n_train, n_test``, the chosen ``C`` (or ``alpha``
            or ``k`` where the probe has one), the scores, and ``converged`` where the probe says so.
        classes: target -> (K,) its sorted labels; or (L,) names of the columns of a DataFrame, else their
            numbers.
        predictions: a :class:`~tlengine.probes.grid_records.Prediction` for each record, or None.
    """

    records: tuple[Record, ...]
    classes: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    predictions: Sequence[Prediction] | None = None

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with one row per record.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingPackageError("to_pandas needs pandas", hint="pip install pandas") from None
        return pd.DataFrame.from_records(list(self.records))
