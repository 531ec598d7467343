"""Why a table has a dash: each reason once, with a letter at every place that it explains.

>>> notes = Footnotes()
>>> notes.mark("too few test rows"), notes.mark("one unit"), notes.mark("too few test rows")
('a', 'b', 'a')
>>> notes.entries[1]
{'mark': 'b', 'text': 'one unit'}
"""

from __future__ import annotations

from string import ascii_lowercase

__all__ = ["Footnotes"]


class Footnotes:
    """The reasons under one table."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, reason: object) -> str:
        """The letter of a reason; "" for none."""
        if not reason:
            return ""
        at = len(self._marks)
        letter = ascii_lowercase[at % 26] * (at // 26 + 1)
        return self._marks.setdefault(str(reason), letter)

    @property
    def entries(self) -> list[dict[str, str]]:
        """``{"mark", "text"}`` of each reason, in the order of its first use."""
        return [{"mark": mark, "text": reason} for reason, mark in self._marks.items()]
