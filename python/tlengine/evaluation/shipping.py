"""A setup on its way to other processes: a file, and the features beside it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.errors import InputError, ResourceError
from tlengine.evaluation.setup import Setup
from tlengine.plugins.contracts import Matrix

__all__ = ["SETUP", "reads_contents", "ship", "unsendable_part"]

SETUP = "setup.pickle"
"""The name of the file."""


def ship(setup: Setup, read: Set[str], folder: Path, executor: str = "processes") -> Path:
    """The setup in a file, the features of the views that are read in files beside it.

    Raises:
        InputError: a part of it cannot be sent to another process.
        ResourceError: no room.
    """
    if why := unsendable_part(setup):
        raise InputError(
            f"{why[0]} cannot be sent to another process: {why[1]}",
            hint=f"define it in a module that can be imported, or leave executor={executor!r} out",
        )
    reads = reads_contents(setup)
    views = {}
    for number, (name, view) in enumerate(setup.views.items()):
        if name not in read:
            continue
        stored = folder / f"{number}.npy"
        _save(stored, view.X)
        views[name] = replace(
            view, stored=str(stored), loaded=view.loaded if reads else None, check_rows=None
        )
    ground = setup.ground if reads else replace(setup.ground, contents=None)
    path = folder / SETUP
    with _room(path, "the run"), path.open("wb") as file:
        pickle.dump(replace(setup, views=views, ground=ground), file)
    return path


def _save(path: Path, X: Matrix) -> None:
    with _room(path, "the features"):
        np.save(path, X)


@contextmanager
def _room(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{what} cannot be written to {path.parent}: {error}",
            hint="run it in one process: executor='here', or choose a place with room by --out or TMPDIR",
        ) from error


def reads_contents(setup: Setup) -> bool:
    """Whether any strategy reads contents, so that they and the backbones have to be sent."""
    return any(chosen.strategy.reads == "contents" for chosen in setup.strategies.values())


def unsendable_part(setup: Setup) -> tuple[str, str] | None:
    """What of a setup cannot be sent to another process, and why; None: all of it can."""
    from tlengine.features.workers import unsendable

    things: dict[str, Any] = {f"strategy {name!r}": one for name, one in setup.strategies.items()}
    if reads_contents(setup):
        things |= {f"view {name!r}": view.loaded for name, view in setup.views.items()}
        things["the data"] = setup.ground.contents
    return next(((name, why) for name, thing in things.items() if (why := unsendable(thing))), None)
