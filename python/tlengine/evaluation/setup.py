"""All that the workers of a run need, and the key of each of its tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import __version__
from tlengine.data.plans import Plan
from tlengine.documents import plain
from tlengine.evaluation.identity import Identity, identity_of, identity_of_parts
from tlengine.evaluation.views import Ground, RunView, Site
from tlengine.plugins import PluginInfo
from tlengine.plugins.contracts import Budget, Role, Roles, Rows, Strategy, Task
from tlengine.plugins.registry import owner, resolve_backbone
from tlengine.settings import num_threads

__all__ = ["Chosen", "Setup"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """A strategy that takes part.

    Attributes:
        name: what users call it.
        strategy: the thing itself.
        role: ``"strategy"`` or ``"control"``.
        view: ``"backbone"``, ``"random"``, or the name of the view that it reads.
        asked: whether the user named it.
        networks: of ``"random"``, how many untrained networks of each backbone it is fitted on.
        plugin: which registered it; None for what a user passes.
    """

    name: str
    strategy: Strategy
    role: Role = "strategy"
    view: str = "backbone"
    asked: bool = False
    networks: int = 1
    plugin: PluginInfo | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """What a run is made of, sent to every worker once.

    Attributes:
        ground, views, plan: the rows, what is seen of them, and what each task does with them.
        strategies: by name.
        folder: where the run is kept, for what an executor puts beside it; None for nowhere.
        site: where networks are run; it enters no key.
        identities, networks: what each strategy is, and what code each backbone brings for those who train
            it; told once, so that a process that gets the setup takes them as they are.
    """

    ground: Ground
    views: Mapping[str, RunView]
    plan: Plan
    strategies: Mapping[str, Chosen]
    folder: Path | None = None
    site: Site = field(default_factory=Site)
    identities: dict[str, Identity] = field(default_factory=dict, repr=False)
    networks: dict[str, Identity] = field(default_factory=dict, repr=False)
    _known: dict[Any, bytes] = field(default_factory=dict, init=False, repr=False)
    _draws: dict[Budget, frozenset[tuple[int, int]]] = field(default_factory=dict, init=False, repr=False)

    def key(self, task: Task) -> str:
        """A digest of all that can change the result of a task: 32 hex digits.

        Contents and labels of its rows, what they are for, the view and what it shows of all rows (contents,
        units, groups, domains), for a strategy that reads contents the parts that its backbone names, the
        code that gives it untrained weights and the kind of device, what the strategy is (plugin, code,
        settings, head; see :mod:`~tlengine.evaluation.identity`), budget, the seed where the strategy is
        seeded, and tlengine's version. Not: threads, executor, order, labels of test rows.
        """
        strategy = self.strategies[task.strategy].strategy
        facts = {
            "version": __version__,
            "strategy": task.strategy,
            "budget": task.budget,
            "part": task.part,
            "seed": task.seed if strategy.seeded else None,
        }
        digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
        digest.update(self.identity(task.strategy).digest.encode())
        digest.update(self._once(("view", task.view), lambda: self._view(self.views[task.view])))
        if strategy.reads == "contents":
            network = self.views[task.view]
            kind = self.device_kind
            digest.update(self._once(("network", task.view, kind), lambda: _parts_told(network, kind)))
            digest.update(self.network(task.view).digest.encode())
        digest.update(self._once("shown", self._shown))
        digest.update(
            self._once(
                (task.budget, task.seed, task.fold, task.part), lambda: self._roles(self.plan.roles(task))
            )
        )
        return digest.hexdigest()

    def draws(self, budget: Budget) -> frozenset[tuple[int, int]]:
        """(seed, fold) of the resamples that say something new: with other rows, or of a seeded strategy."""
        found = self._draws.get(budget)
        if found is None:
            seeded = any(chosen.strategy.seeded for chosen in self.strategies.values())
            places = [(r.seed, r.fold) for r in self.plan.resamples] if seeded else self.plan.distinct(budget)
            found = self._draws[budget] = frozenset(places)
        return found

    def sharing(self, fits: int) -> Setup:
        """The setup for so many fits at once, each with its share of the threads."""
        return replace(self, site=replace(self.site, threads=max(1, num_threads() // fits)))

    def _once(self, place: Any, make: Any) -> bytes:
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = hashlib.blake2b(make(), digest_size=16).digest()
        return found

    def settings(self, strategy: str) -> Mapping[str, Any]:
        """The settings of a strategy; whatever its author's code raises."""
        return self.strategies[strategy].strategy.settings()

    def identity(self, strategy: str) -> Identity:
        """What a strategy is; told when it is first asked for."""
        if strategy not in self.identities:
            chosen = self.strategies[strategy]
            self.identities[strategy] = identity_of(chosen.strategy, chosen.plugin)
        return self.identities[strategy]

    def network(self, view: str) -> Identity:
        """The code by which a backbone gets untrained weights; ``collate`` is in the recipe of the view."""
        if view not in self.networks:
            loaded = self.views[view].loaded
            plugin = owner(loaded, "backbone") if isinstance(loaded, str) else None
            parts = {"initialise": getattr(_source(loaded), "initialise", None)}
            self.networks[view] = identity_of_parts(parts, plugin)
        return self.networks[view]

    @property
    def device_kind(self) -> str:
        """``cpu``, ``cuda`` or ``mps``: they train in other precisions."""
        from tlengine.features.forward import choose_device

        return choose_device(self.site.device).partition(":")[0]

    def _view(self, view: RunView) -> bytes:
        if view.fingerprint is not None and view.recipe:
            return json.dumps(plain({"recipe": view.recipe}), sort_keys=True).encode()
        return _told(view.X)

    def _shown(self) -> bytes:
        """A strategy sees all rows but their labels: the scale of a grid, for one, hangs on each of them."""
        ground = self.ground
        columns = (ground.digests, ground.units, ground.groups, ground.domains)
        return b"".join(_told(column) for column in columns)

    def _roles(self, roles: Roles) -> bytes:
        parts = [_told(np.array([str(label) for label in self.ground.classes])), self._labelled(roles.train)]
        parts.append(_told(roles.test))
        for fit, held in roles.inner:
            parts += [_told(fit), self._labelled(held)]
        for rows in (roles.select, roles.calibrate):
            parts.append(_told(None) if rows is None else self._labelled(rows))
        return b"".join(parts)

    def _labelled(self, rows: Rows) -> bytes:
        return _told(rows) + _told(self.ground.codes[rows])

    def __getstate__(self) -> dict[str, Any]:
        for name in self.strategies:
            self.identity(name)
        if any(chosen.strategy.reads == "contents" for chosen in self.strategies.values()):
            for view in self.views:
                self.network(view)
        return {**self.__dict__, "_known": {}, "_draws": {}}


def _parts_told(view: RunView, device: str) -> bytes:
    """What a backbone says of its network for those that train it, and the kind of device that does."""
    source = _source(view.loaded)
    parts = {name: getattr(source, name, None) for name in ("blocks", "tokens", "lora_targets")}
    return json.dumps({"device": device, **plain(parts)}, sort_keys=True).encode()


def _source(loaded: Any) -> Any:
    """The record of a backbone that is given by its name, or the backbone itself."""
    return resolve_backbone(loaded) if isinstance(loaded, str) else loaded


def _told(array: npt.NDArray[Any] | None) -> bytes:
    """An array as bytes that no other array has."""
    if array is None:
        return b"-"
    head = f"{array.dtype.str}{array.shape}:".encode()
    return head + np.ascontiguousarray(array).tobytes()
