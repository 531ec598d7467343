"""Arguments of ``fit`` that a probe does not have are refused with the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.errors import UnknownOptionError
from tlengine.options import refuse_unknown

__all__ = ["refuse_options"]


def refuse_options(
    probe: str, unknown: Mapping[str, Any], *, why: str, instead: str, weighs: bool = True
) -> None:
    """Refuse what ``fit`` does not have; ``groups`` with the reason.

    Args:
        probe: the name of its class.
        unknown: what was given besides.
        why: there are no folds that could part groups.
        instead: what takes groups.
        weighs: whether ``fit`` has ``sample_weight``.

    Raises:
        UnknownOptionError: anything was given; also a ``TypeError``.

    >>> refuse_options("RidgeProbe", {"groups": [0]}, why="no folds", instead="...")
    Traceback (most recent call last):
    tlengine.errors.UnknownOptionError: RidgeProbe.fit() has no option 'groups': no folds
    hint: leave them out; ...
    """
    if "groups" in unknown:
        raise UnknownOptionError(
            f"{probe}.fit() has no option 'groups': {why}", hint=f"leave them out; {instead}"
        )
    refuse_unknown(f"{probe}.fit", unknown, (), ("X", "y", "sample_weight") if weighs else ("X", "y"))
