"""How a training went, line by line: ``metrics.jsonl`` with step, split, name and value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import IO

from tlengine.documents import replace_file

__all__ = ["Metrics", "thinned"]

NAME = "metrics.jsonl"


class Metrics:
    """Writes the metrics of one training.

    Args:
        folder: of the training; made when there is something to write. None writes nothing.

    A file that cannot be written costs the metrics, not the training.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / NAME
        self._file: IO[str] | None = None

    def begin(self, step: int) -> None:
        """Go on after ``step`` steps: later lines, and a torn one, are left out."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = [line for line in _lines(self._path) if json.loads(line)["step"] <= step] if step else []
            text = "".join(f"{line}\n" for line in kept).encode()
            replace_file(self._path, lambda file: file.write(text), durable=False)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError:
            self._file = None

    def add(self, step: int, split: str, name: str, value: float) -> None:
        """One line; ``step`` counts the steps that were made."""
        if self._file is None:
            return
        fact = {"step": step, "split": split, "name": name, "value": float(f"{value:.6g}")}
        try:
            self._file.write(json.dumps(fact) + "\n")
        except OSError:
            self._give_up()

    def flush(self) -> None:
        """What was added is in the file."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError:
                self._give_up()

    def close(self) -> None:
        """Nothing more comes."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _give_up(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # it tries to write what is left
                file.close()


def _lines(path: Path) -> list[str]:
    """The whole lines of the file; () where there is none."""
    if not path.is_file():
        return []
    *whole, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [line for line in whole if _is_metric(line)]


def _is_metric(line: str) -> bool:
    try:
        return isinstance(json.loads(line)["step"], int)
    except (ValueError, KeyError, TypeError):
        return False


def thinned(losses: Sequence[float], points: int = 50) -> list[list[float]]:
    """At most ``points`` pairs of step and mean loss, for a curve.

    >>> thinned([4.0, 2.0, 1.0, 1.0], 2)
    [[2, 3.0], [4, 1.0]]
    """
    n = len(losses)
    edges = [round(i * n / min(points, n)) for i in range(min(points, n) + 1)] if n else []
    return [[end, float(f"{sum(losses[start:end]) / (end - start):.6g}")] for start, end in pairwise(edges)]
