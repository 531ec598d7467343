"""What an extraction tells its user: samples that cannot be read, what that costs, how others were read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tlengine.data import Dataset
from tlengine.data.filenames import shown

__all__ = ["depths_message", "unreadable_message"]

_SHOWN = 5
"""Failures, and classes, that a message spells out; all failures are in ``Features.failures``."""


def unreadable_message(ds: Dataset, failures: Mapping[int, str], rows: npt.NDArray[np.intp]) -> str:
    """How many samples cannot be read, the first of them with the reason, and classes of which none is left.

    Args:
        ds: the dataset.
        failures: rows and reasons.
        rows: those that can be read.
    """
    first = [f"{shown(ds.ids[row])} ({shown(why)})" for row, why in sorted(failures.items())[:_SHOWN]]
    message = f"{len(failures)} of {len(ds)} samples cannot be read: {'; '.join(first)}"
    if len(failures) > _SHOWN:
        message += "; ..."
    if len(rows) and (lost := _lost_classes(ds, rows)):
        names = ", ".join(repr(shown(name)) for name in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        message += f". No sample is left of class {names}{more}"
    return message


def _lost_classes(ds: Dataset, rows: npt.NDArray[np.intp]) -> list[str]:
    if ds.y is None:
        return []
    return [str(name) for name in np.setdiff1d(ds.y, ds.y[rows])]


def depths_message(name: str, notes: Mapping[str, int]) -> str:
    """How images of more than 8 bits were read.

    >>> depths_message("scans", {"12 significant bits in 16, all values are scaled by 2 ** -4": 3})
    'scans: 3 images have 12 significant bits in 16, all values are scaled by 2 ** -4'
    """
    told = [
        f"{count} image{' has' if count == 1 else 's have'} {note}" for note, count in sorted(notes.items())
    ]
    message = f"{shown(name)}: {'; '.join(told)}"
    if len(told) > 1:
        message += ". If they belong to one camera, settle one scale: store 8 bits, or the PNG chunk sBIT"
    return message
