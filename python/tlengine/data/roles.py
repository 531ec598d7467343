"""Columns that say what a row is for: the user's own split, groups, domains. One rule for every source."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.columns import ROLE_NAMES
from tlengine.data.names import canonical, one_form
from tlengine.data.scalars import as_text, is_missing, listed, short
from tlengine.errors import DatasetError, TlengineWarning

__all__ = ["name_column", "role_column"]

Place = Callable[[int], str]


def name_column(values: Sequence[Any], what: str, where: str, place: Place) -> npt.NDArray[np.str_]:
    """``values`` as names, none of them missing: a row without a group could stand on both sides.

    Args:
        values: n names or numbers as the user wrote them.
        what: ``"group"`` or ``"domain"``.
        where: of the column, for warnings.
        place: says where a row stands, for messages.

    Raises:
        DatasetError: a value that is missing.

    >>> name_column(["p1", 2, 2.0], "group", "t.csv", str).tolist()
    ['p1', '2', '2']
    """
    for row, value in enumerate(values):
        if is_missing(value):
            raise DatasetError(
                f"{place(row)}: {what} column is empty ({short(value)}) in {where}",
                hint="fill it in or rename the column",
            )
    return np.array(one_form([as_text(value) for value in values], where, what))


def role_column(
    values: Sequence[Any], where: str, place: Place, *, sure: bool = True
) -> npt.NDArray[np.str_] | None:
    """``values`` as roles: ``train``, ``select``, ``test``, by the words people use for them.

    Args:
        values: n words.
        where: of the column, for messages.
        place: says where a row stands.
        sure: the user said that this is a split. Else, where no value is one, None is returned with a
            warning.

    Raises:
        DatasetError: a value that is no split, beside some that are; the message has the row.

    >>> role_column(["TRAIN", "dev ", "Test"], "t.csv", str).tolist()
    ['train', 'select', 'test']
    """
    texts = ["" if is_missing(value) else canonical(as_text(value)) for value in values]
    roles = [ROLE_NAMES.get(text.casefold()) for text in texts]
    if not sure and not any(roles):
        _say_unused(texts, where)
        return None
    if None in roles:
        row, count = roles.index(None), roles.count(None)
        more = f" (one of {count} such rows)" if count > 1 else ""
        raise DatasetError(
            f"{place(row)}: {short(values[row])} is no split{more}, in {where}",
            hint=f"splits are: {', '.join(sorted(ROLE_NAMES))}; mend or drop the rows, or rename the column "
            "if it is none",
        )
    return np.array(roles)


def _say_unused(texts: Sequence[str], where: str) -> None:
    found = sorted({text for text in texts if text})
    what = f"{listed(found, 4)} {'is no word' if len(found) == 1 else 'are no words'} for splits"
    warnings.warn(
        f"{where}: {what if found else 'it is empty'}, and the column is not used; write train, val and test "
        "if it is your split, else rename it",
        TlengineWarning,
        stacklevel=5,
    )
