"""Numbers as people read them."""

from __future__ import annotations

__all__ = [
    "count",
    "duration",
    "in_fits",
    "interval",
    "joules",
    "megabytes",
    "milliseconds",
    "p_value",
    "percent",
    "plural",
    "points",
    "signed_interval",
]

NARROW = "\u202f"
"""The narrow no-break space between a number and its unit."""
NBSP = "\u00a0"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage.

    >>> percent(0.9731).replace(NARROW, " ")
    '97.3 %'
    """
    return f"{100 * share:.{digits}f}{NARROW}%"


def interval(low: float | None, high: float | None) -> str:
    """The ends of an interval of shares, in per cent; a dash where there is none.

    >>> interval(0.912, 0.955), interval(None, None)
    ('91.2–95.5', '–')
    """
    if low is None or high is None:
        return "–"
    return f"{100 * low:.1f}–{100 * high:.1f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(-0.031), points(0.2)
    ('−3.1', '+20.0')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def signed_interval(low: float | None, high: float | None) -> str:
    """The ends of an interval of differences, in percentage points; a dash where there is none.

    >>> signed_interval(-0.031, 0.2), signed_interval(None, None)
    ('−3.1 to +20.0', '–')
    """
    return "–" if low is None or high is None else f"{points(low)} to {points(high)}"


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


def milliseconds(number: float) -> str:
    """Milliseconds, with as many digits as tell something.

    >>> milliseconds(0.0004), milliseconds(0.0042), milliseconds(3.14159), milliseconds(1234.5)
    ('<0.001', '0.004', '3.14', '1,234')
    """
    if number < 0.001:
        return "<0.001"
    return f"{number:.3f}" if number < 1 else f"{number:.2f}" if number < 100 else f"{number:,.0f}"


def megabytes(nbytes: float) -> str:
    """Bytes in MB (10**6).

    >>> megabytes(40), megabytes(2640), megabytes(12_300_000)
    ('<0.001', '0.003', '12.30')
    """
    return milliseconds(nbytes / 1e6)


def joules(number: float, source: str) -> str:
    """Joules, two digits of an estimate, four of a counter.

    >>> joules(1234.56, "model"), joules(1234.56, "counter"), joules(0.0184, "constant")
    ('1,200', '1,235', '0.018')
    """
    digits = 4 if source == "counter" else 2
    return f"{float(f'{number:.{digits}g}'):,.10g}"


def plural(number: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "class"), plural(2, "class"), plural(3, "row")
    ('1 class', '2 classes', '3 rows')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{count(number)} {noun}{ending}"


def in_fits(times: int, of: int) -> str:
    """How often something was so.

    >>> in_fits(2, 10), in_fits(1, 1)
    ('in 2 of 10 fits', 'in 1 of 1 fit')
    """
    return f"in {count(times)} of {plural(of, 'fit')}"


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
