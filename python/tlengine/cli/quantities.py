"""Numbers with a unit on the command line."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["AGES", "SIZES", "Quantity", "max_disk_option"]

SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Quantity(click.ParamType[int]):
    """A number with a unit, such as ``20GB`` or ``30d``."""

    def __init__(self, name: str, units: dict[str, int], suffix: str = "") -> None:
        self.name, self.units, self.suffix = name, units, suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number in its smallest unit."""
        match = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*([a-z]?){self.suffix}", str(value).strip().lower())
        if match is None or match[2] not in self.units:
            example = " or ".join(
                f"20{unit.upper() if self.suffix else unit}" for unit in list(self.units)[1:4]
            )
            self.fail(f"{value!r} is not a number with a unit, such as {example}", param, ctx)
        return int(float(match[1]) * self.units[match[2]])


max_disk_option = click.option(
    "--max-disk",
    type=Quantity("size", SIZES, "b?"),
    help="Bytes that frozen parts of networks may take in the cache for a fit, e.g. 2GB; beyond it they are "
    "computed in every step. [default: what is free]",
)
