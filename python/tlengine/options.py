"""Keyword options that travel through: what nobody knows is refused, with the nearest name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from tlengine.errors import UnknownOptionError

__all__ = ["refuse_unknown"]


def refuse_unknown(
    function: str, given: Iterable[str], known: Iterable[str], others: Iterable[str] = ()
) -> None:
    """Refuse options of ``function`` that are not among ``known``; ``others`` are its named arguments.

    Raises:
        UnknownOptionError: an option of no such name, also a ``TypeError``; the hint has the nearest names.

    >>> refuse_unknown("compare", ["strict"], ["strict", "device"])
    >>> refuse_unknown("compare", ["strategy"], ["strict"], ["strategies"])
    Traceback (most recent call last):
    tlengine.errors.UnknownOptionError: compare() has no option 'strategy'
    hint: did you mean strategies?
    """
    allowed = list(known)
    for name in given:
        if name not in allowed:
            names = [*others, *allowed]
            near = get_close_matches(name, names, n=3, cutoff=0.6)
            hint = f"did you mean {', '.join(near)}?" if near else f"options: {', '.join(names)}"
            raise UnknownOptionError(f"{function}() has no option {name!r}", hint=hint)
