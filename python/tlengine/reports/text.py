"""Numbers as people read them."""

from __future__ import annotations

__all__ = ["count", "duration", "interval", "p_value", "percent", "plural", "points"]

NARROW = "\u202f"
"""The narrow no-break space between a number and its unit."""
NBSP = "\u00a0"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage.

    >>> percent(0.9731).replace(NARROW, " ")
    '97.3 %'
    """
    return f"{100 * share:.{digits}f}{NARROW}%"


def interval(low: float, high: float) -> str:
    """The ends of an interval of shares, in per cent.

    >>> interval(0.912, 0.955)
    '91.2–95.5'
    """
    return f"{100 * low:.1f}–{100 * high:.1f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(-0.031), points(0.2)
    ('−3.1', '+20.0')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value.

    >>> p_value(0.00001).split(NBSP), p_value(0.0312).split(NBSP)
    (['p', '<', '0.001'], ['p', '=', '0.031'])
    """
    return f"p{NBSP}<{NBSP}0.001" if p < 0.001 else f"p{NBSP}={NBSP}{p:.3f}"


def count(number: float) -> str:
    """A whole number with thousands apart.

    >>> count(12345)
    '12,345'
    """
    return f"{number:,.0f}"


def plural(number: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "class"), plural(2, "class"), plural(3, "row")
    ('1 class', '2 classes', '3 rows')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{count(number)} {noun}{ending}"


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(0.04), duration(7.26), duration(192)
    ('40 ms', '7.3 s', '3 min 12 s')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
