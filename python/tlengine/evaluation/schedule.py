"""Time in hand: how long the fits of networks will take, and what is cut where that is too long.

Strategies that can say how long a fit takes are asked before the first one. Where all of it does not fit
into the time that is given, their inner folds go first: then they are judged, and cannot be chosen. Next all
that can train for fewer steps do, each for the same fraction of its own. A cut is remembered beside the
journal, so that the same call goes on with the same one, whatever the clock says by then.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tlengine.documents import replace_text
from tlengine.errors import (
    BackboneError,
    InputError,
    MissingPackageError,
    PluginError,
    ResourceError,
    TimeLimitError,
    TlengineWarning,
)
from tlengine.evaluation.inner import is_inner
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.worker import Worker
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.contracts import Task

__all__ = ["LEAST", "Schedule", "make_schedule", "spoken_seconds"]

LEAST = 0.1
"""The smallest fraction of its steps that a network is trained for."""
_FILE = "cut.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """What is run, and how long it will take.

    Attributes:
        setup, tasks: with what was cut.
        asked: strategies that said how long they take, in the order of the run.
        seconds: of their fits that are still to be run; None where none can say it.
        whole_seconds: the same before anything was cut.
        fraction: of the steps of networks, 1 for all.
        bare: strategies whose inner folds were dropped.
        limit: minutes that were given, or None.
        at_once: fits that are under way at a time.
        unasked, unasked_seconds: controls among ``asked`` that nobody named, and the part of ``seconds`` that
            is theirs.
    """

    setup: Setup
    tasks: Sequence[Task]
    asked: tuple[str, ...] = ()
    seconds: float | None = None
    whole_seconds: float | None = None
    fraction: float = 1.0
    bare: tuple[str, ...] = ()
    limit: float | None = None
    at_once: int = 1
    unasked: tuple[str, ...] = ()
    unasked_seconds: float = 0.0

    @property
    def notes(self) -> list[str]:
        """A sentence for each thing that was cut."""
        found = []
        within = f"to fit in {self.limit:g} minutes" if self.limit is not None else ""
        if self.fraction < 1:
            found.append(f"Networks were trained for {100 * self.fraction:.0f} % of their steps, {within}")
        if self.bare:
            found.append(f"Judged, but not chosen from, {within}: {', '.join(self.bare)}")
        return found

    @property
    def announcement(self) -> str:
        """What is to be expected; "" where nobody can say."""
        if not self.seconds:
            return ""
        names = ", ".join(self.asked) + (f", {self.at_once} at a time" if self.at_once > 1 else "")
        whole = f"about {spoken_seconds(self.seconds)} for the fits of {names}{self._avoidable}"
        return ". ".join([whole, *self.notes])

    @property
    def _avoidable(self) -> str:
        """What controls that nobody named take of it, and how to do without them."""
        if not self.unasked_seconds:
            return ""
        others = [
            name
            for name, chosen in self.setup.strategies.items()
            if chosen.role == "control" and name not in self.unasked
        ]
        own = f"{spoken_seconds(self.unasked_seconds)} of it for {', '.join(self.unasked)}"
        return f"; {own} (a control by default: --controls {','.join(others) or 'none'} leaves it out)"


def make_schedule(
    setup: Setup,
    tasks: Sequence[Task],
    known: Callable[[str], bool],
    *,
    minutes: float | None = None,
    spent: float = 0.0,
    fresh: bool = False,
    at_once: int = 1,
    here: int | None = None,
) -> Schedule:
    """Estimate the run, and cut it to the time that is given.

    Args:
        setup: of the run.
        tasks: uncut.
        known: whether there is a record of a key already.
        minutes: for the whole run, or None.
        spent: seconds of it that are gone.
        fresh: forget how an earlier run in the same folder was cut.
        at_once: fits that will be under way at a time, each with its share of the threads.
        here: those of them on this machine; None for all.

    Raises:
        TimeLimitError: not even :data:`LEAST` of the steps fit; the hint says how many minutes would do.
        PluginError: a strategy cannot be scaled, though it says so.
    """
    timer = _Timer(setup, known, at_once, at_once if here is None else here)
    if not timer.names(tasks):
        return Schedule(setup=setup, tasks=tasks, limit=minutes, at_once=at_once)
    if minutes is None:
        seconds = timer.left(tasks)
        return _uncut(timer, tasks, seconds, None)
    place = None if setup.folder is None else setup.folder / _FILE
    digest = _digest(setup, tasks, minutes)
    if place is not None and fresh:
        place.unlink(missing_ok=True)
    if place is not None and not fresh and (fraction := _remembered(place, digest)) is not None:
        return _cut(timer, tasks, fraction, minutes)
    seconds, left = timer.left(tasks), 60 * minutes - spent
    if seconds <= left:
        return _uncut(timer, tasks, seconds, minutes)
    bare = _without_inner(tasks, timer.names(tasks))
    fraction = 1.0 if timer.left(bare) <= left else _fraction(timer, bare, left, spent)
    found = replace(_cut(timer, tasks, fraction, minutes), whole_seconds=seconds)
    if place is not None:
        with suppress(OSError):  # a full disk, of which the journal has more to say
            replace_text(place, json.dumps({"digest": digest, "fraction": fraction}))
    return found


def spoken_seconds(seconds: float) -> str:
    """As people say it.

    >>> spoken_seconds(4.2), spoken_seconds(200), spoken_seconds(9000)
    ('5 s', '4 min', '2.5 h')
    """
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class _Timer:
    """Seconds of fits, from strategies that can say them; each is asked once for a view and budget."""

    def __init__(self, setup: Setup, known: Callable[[str], bool], at_once: int, here: int) -> None:
        self.setup, self.known, self.at_once = setup, known, at_once
        self._worker = Worker(setup.sharing(here))
        self._seconds: dict[Any, float] = {}

    def names(self, tasks: Sequence[Task]) -> list[str]:
        """Who can say it, in the order of the run."""
        return [name for name in dict.fromkeys(t.strategy for t in tasks) if self._has(name, "estimate")]

    def scalable(self, tasks: Sequence[Task]) -> list[str]:
        """Those of them that can train for fewer steps."""
        return [name for name in self.names(tasks) if self._has(name, "scaled")]

    def unasked(self, tasks: Sequence[Task]) -> list[str]:
        """Controls among them that nobody named."""
        known = self.setup.strategies
        return [n for n in self.names(tasks) if known[n].role == "control" and not known[n].asked]

    def _has(self, name: str, method: str) -> bool:
        return hasattr(self.setup.strategies[name].strategy, method)

    def left(self, tasks: Sequence[Task], *, setup: Setup | None = None) -> float:
        """Of the fits that have no record by the keys of ``setup``; each once."""
        todo = [task for key, task in self._fits(tasks, setup).items() if not self.known(key)]
        return self._together([self.seconds(task) for task in todo])

    def whole(self, tasks: Sequence[Task]) -> float:
        """Of all of the fits; each once."""
        return self._together([self.seconds(task) for task in self._fits(tasks).values()])

    def _together(self, seconds: Sequence[float]) -> float:
        """Of fits that run side by side: no less than the longest."""
        return max([sum(seconds) / self.at_once, *seconds])

    def _fits(self, tasks: Sequence[Task], setup: Setup | None = None) -> dict[str, Task]:
        names = set(self.names(tasks))
        return {(setup or self.setup).key(task): task for task in tasks if task.strategy in names}

    def seconds(self, task: Task) -> float:
        """Of one fit; an inner fold is taken to be as long as the whole."""
        place = (task.view, task.strategy, task.budget)
        if place not in self._seconds:
            self._seconds[place] = self._ask(replace(task, part="fit"))
        return self._seconds[place]

    def _ask(self, task: Task) -> float:
        """What cannot be told counts as nothing: its fit will show what is wrong.

        An error of a user's making is left to the fit; what else a strategy raises is said here.
        """
        strategy: Any = self.setup.strategies[task.strategy].strategy
        try:
            job = self._worker.job(task)
            with contained():
                found = float(strategy.estimate(job.view, job.roles))
            if not 0 <= found < math.inf:
                raise ValueError(f"{found} seconds")
        except KeyboardInterrupt:
            raise
        except (InputError, BackboneError, MissingPackageError, ResourceError):
            return 0.0
        except BaseException as error:  # a plugin may even exit
            note = f"nobody knows how long {task.strategy} on {task.view} takes: {reason(error)}"
            warnings.warn(note, TlengineWarning, stacklevel=2)
            return 0.0
        return found


def _uncut(timer: _Timer, tasks: Sequence[Task], seconds: float, minutes: float | None) -> Schedule:
    unasked = timer.unasked(tasks)
    return Schedule(
        setup=timer.setup, tasks=tasks, asked=tuple(timer.names(tasks)), seconds=seconds,
        whole_seconds=seconds, limit=minutes, at_once=timer.at_once, unasked=tuple(unasked),
        unasked_seconds=timer.left(_of(unasked, tasks)),
    )  # fmt: skip


def _cut(timer: _Timer, tasks: Sequence[Task], fraction: float, minutes: float) -> Schedule:
    """Without inner folds, and with a fraction of the steps."""
    names, shorter = timer.names(tasks), timer.scalable(tasks) if fraction < 1 else []
    setup, kept = _scaled(timer.setup, shorter, fraction), _without_inner(tasks, names)
    unasked = timer.unasked(tasks)

    def left(who: Collection[str]) -> float:
        mine, others = (_of([n for n in who if (n in shorter) == cut], kept) for cut in (True, False))
        return timer.left(others) + fraction * timer.left(mine, setup=setup)

    bare = dict.fromkeys(task.strategy for task in tasks if is_inner(task) and task.strategy in names)
    return Schedule(
        setup=setup, tasks=kept, asked=tuple(names), seconds=left(names), whole_seconds=None,
        fraction=fraction, bare=tuple(bare), limit=minutes, at_once=timer.at_once, unasked=tuple(unasked),
        unasked_seconds=left(unasked),
    )  # fmt: skip


def _of(names: Collection[str], tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.strategy in names]


def _without_inner(tasks: Sequence[Task], names: Collection[str]) -> list[Task]:
    return [task for task in tasks if not (is_inner(task) and task.strategy in names)]


def _fraction(timer: _Timer, tasks: Sequence[Task], left: float, spent: float) -> float:
    """How much of their steps networks have time for.

    Raises:
        TimeLimitError: less than :data:`LEAST`.
    """
    shorter = timer.scalable(tasks)
    fixed = timer.left([task for task in tasks if task.strategy not in shorter])
    most = timer.whole([task for task in tasks if task.strategy in shorter])
    if fixed + LEAST * most > left:
        needed = math.ceil((spent + fixed + LEAST * most) / 60)
        raise TimeLimitError(
            f"{(left + spent) / 60:g} minutes are too few: with {100 * LEAST:.0f} % of its steps, this run "
            f"takes {needed}",
            hint=f"give {needed} minutes or more, or ask for fewer seeds, budgets, strategies or controls",
        )
    return min(1.0, max(LEAST, math.floor(100 * (left - fixed) / most) / 100))


def _scaled(setup: Setup, names: Collection[str], fraction: float) -> Setup:
    """The setup with some strategies that train for a fraction of their steps.

    Raises:
        PluginError: one cannot, though it says so.
    """
    if not names:
        return setup
    strategies = {
        name: _shorter(chosen, fraction) if name in names else chosen
        for name, chosen in setup.strategies.items()
    }
    identities = {name: told for name, told in setup.identities.items() if name not in names}
    return replace(setup, strategies=strategies, identities=identities)


def _shorter(chosen: Chosen, fraction: float) -> Chosen:
    strategy: Any = chosen.strategy
    try:
        with contained():
            return replace(chosen, strategy=strategy.scaled(fraction))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even exit
        raise PluginError(
            f"{chosen.name!r} cannot train for {fraction:.0%} of its steps: {reason(error)}",
            hint="leave it out, or give more minutes",
        ) from error


def _digest(setup: Setup, tasks: Sequence[Task], minutes: float) -> str:
    """Of what is asked for: fits and time."""
    told = json.dumps([minutes, sorted({setup.key(task) for task in tasks})])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _remembered(place: Path, digest: str) -> float | None:
    """The fraction of an earlier run of the same call; None where there is none, or another one."""
    try:
        found = json.loads(place.read_bytes())
        fraction = float(found["fraction"])
        return fraction if found["digest"] == digest and LEAST <= fraction <= 1 else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # not what was written: decide anew
        return None
