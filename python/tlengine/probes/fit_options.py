"""Arguments of ``fit`` that a probe does not have are refused with the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.errors import UnknownOptionError
from tlengine.options import refuse_unknown

__all__ = ["refuse_options"]


def refuse_options(
    probe: str,
    unknown: Mapping[str, Any],
    *,
    why: str,
    instead: str,
    weighs: bool = True,
    option: str = "groups",
) -> None:
    """Refuse what ``fit`` does not have; ``option`` with the reason.

    Args:
        probe: the name of its class.
        unknown: what was given besides.
        why: there is no ``option``; of ``groups``: there are no folds that could part them.
        instead: what takes it.
        weighs: whether ``fit`` has ``sample_weight``.
        option: ``"groups"`` or ``"sample_weight"``, where ``fit`` has the other one.

    Raises:
        UnknownOptionError: anything was given; also a ``TypeError``.

    >>> refuse_options("RidgeProbe", {"groups": [0]}, why="no folds", instead="...")
    Traceback (most recent call last):
    tlengine.errors.UnknownOptionError: RidgeProbe.fit() has no option 'groups': no folds
    hint: leave them out; ...
    """
    if option in unknown:
        raise UnknownOptionError(
            f"{probe}.fit() has no option {option!r}: {why}", hint=f"leave them out; {instead}"
        )
    has = {"sample_weight": weighs and option == "groups", "groups": option != "groups"}
    names = ("X", "y", *(name for name, is_there in has.items() if is_there))
    refuse_unknown(f"{probe}.fit", unknown, (), names)
