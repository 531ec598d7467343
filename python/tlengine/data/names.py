"""Names that people typed: one form for what looks the same, a word on what nearly does.

Two names whose difference cannot be seen are one name: ``"cat"`` and ``"cat "``, the composed and the
decomposed ``"é"``, a no-break space and a space, a zero-width space and none. Two names that merely look
alike, ``"Cat"`` and ``"cat"``, stay two, and a warning says so. One rule for classes, groups and domains,
whatever the source.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Sequence

from tlengine.errors import TlengineWarning

__all__ = ["canonical", "is_blank", "one_form", "shown"]

_CONTROLS = [c for c in range(0xA0) if unicodedata.category(chr(c)) == "Cc" and not chr(c).isspace()]
_UNSEEN = dict.fromkeys(
    [*_CONTROLS, 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F),
     *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0xFEFF]
)  # fmt: skip
"""Characters without ink or width: soft hyphen, zero-width space, marks of direction, controls."""

_BLANK = {0x2800: " ", 0x115F: " ", 0x1160: " ", 0x3164: " ", 0xFFA0: " "}
"""Letters and symbols, by their category, that are drawn as a blank."""

_JOINERS = "\u200c\u200d"
"""They change a word of Persian or an emoji, so they go at the ends alone."""

_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_QUOTES = dict.fromkeys(map(ord, "\"'`´‘’‚“”„«»‹›"))
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?")
_SHOWN = 3


def canonical(name: str) -> str:
    r"""``name`` without what cannot be seen: NFC, every blank a space, none at the ends.

    >>> canonical(" New\u00a0York\u200b\t"), canonical("e\u0301") == "\u00e9"
    ('New York', True)
    """
    if name.isascii() and name.isprintable():
        return name.strip(" ")
    name = unicodedata.normalize("NFC", name.translate(_UNSEEN).translate(_BLANK))
    return "".join(" " if c.isspace() else c for c in name).strip(" " + _JOINERS)


def is_blank(text: str) -> bool:
    r"""Whether nothing in ``text`` can be seen.

    >>> is_blank(""), is_blank(" \u200b\n"), is_blank(".")
    (True, True, False)
    """
    return not canonical(text)


def shown(name: str) -> str:
    r"""``name`` in quotes, with escapes where its difference cannot be seen.

    >>> shown("é"), shown("e\u0301")
    ("'é'", "'e\\u0301'")
    """
    text = name if len(name) <= 60 else name[:57] + "..."
    return repr(text) if canonical(text) == text else ascii(text)


def one_form(names: Sequence[str], where: str, what: str) -> list[str]:
    """``names`` in their canonical form; warns about names that it changed, and about look-alikes.

    Args:
        names: as the user wrote them.
        where: the place, for the warnings: ``"tickets.csv, column 'topic'"``.
        what: what they name: ``"label"``, ``"group"``.

    >>> one_form(["cat", "dog"], "pets.csv", "label")
    ['cat', 'dog']
    """
    form = {name: canonical(name) for name in dict.fromkeys(names)}
    changed = [f"{shown(name)} is {shown(to)}" for name, to in form.items() if name != to]
    if changed:
        _warn(f"{where}: blanks and characters that cannot be seen are left out of {what}s: {_few(changed)}")
    alike = defaultdict(list)
    for name in dict.fromkeys(form.values()):
        alike[_look(name)].append(name)
    pairs = [" and ".join(map(shown, group[:4])) for group in alike.values() if len(group) > 1]
    if pairs:
        _warn(
            f"{where}: {what}s that look alike and count as different: {_few(pairs)}; "
            "write them in one way if they mean the same"
        )
    return [form[name] for name in names]


def _look(name: str) -> str:
    """Equal for names that a reader may take for each other."""
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    key = key.translate(_DASHES).translate(_QUOTES)
    key = "".join(c for c in key if not c.isspace() and not _weightless(c))
    return repr(float(key)) if _NUMBER.fullmatch(key) else key


def _weightless(c: str) -> bool:
    return not c.isascii() and (unicodedata.category(c) == "Cf" or "\ufe00" <= c <= "\ufe0f")


def _few(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return "; ".join(items[:_SHOWN]) + (f"; {more} more" if more > 0 else "")


def _warn(message: str) -> None:
    warnings.warn(message, TlengineWarning, stacklevel=4)
