"""Who takes part: strategies and controls, by name or as a user passes them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tlengine.errors import InputError, PluginError, PluginWarning, UnknownNameError
from tlengine.evaluation.setup import Chosen
from tlengine.evaluation.strategies import EstimatorStrategy, LogisticStrategy
from tlengine.plugins import ProbeSpec, StrategySpec, as_probe_spec, resolve_strategy, strategies
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.contracts import Role, Strategy
from tlengine.plugins.registry import origin, owner

__all__ = ["array_controls", "participants", "spoken_names"]


def participants(named: Any, controls: Any, modality: str) -> dict[str, Chosen]:
    """The strategies and controls of a run, by name.

    Args:
        named: names, estimators, or ``(name, estimator)``; None for the default strategies.
        controls: names; None for the default controls, () for none.
        modality: of the data; by default, what cannot be used on it is left out.

    Raises:
        InputError: nothing given; something that is neither a name nor an estimator; a name given twice for
            different things; a strategy that is not for such data.
        UnknownNameError: an unknown name; the hint has the nearest ones.
        PluginError: a strategy that was named cannot be made.
    """
    named = [named] if isinstance(named, str) else named
    found: dict[str, Chosen] = {}
    for thing in _working("strategy", modality) if named is None else named:
        _add(found, _chosen(thing, modality, asked=named is not None))
    if not found:
        raise InputError(
            "no strategy given", hint=f"for instance {','.join(_defaults('strategy', modality))}"
        )
    controls = [controls] if isinstance(controls, str) else controls
    for thing in _working("control", modality) if controls is None else controls:
        chosen = _chosen(thing, modality, asked=controls is not None)
        if chosen.role != "control":
            raise InputError(f"{chosen.name!r} is a strategy, no control", hint="name it under strategies")
        if thing not in found:
            found[chosen.name] = chosen
    return found


def array_controls(given: Mapping[str, Any], strategies: Mapping[str, Chosen]) -> dict[str, Chosen]:
    """A linear probe on each of the arrays that a user gives as controls.

    Raises:
        InputError: a name that is no text, or that of a strategy.
    """
    for name in given:
        if not isinstance(name, str) or name in strategies:
            why = "as a strategy" if name in strategies else "which is no text"
            raise InputError(
                f"a control is named {name!r}, {why}",
                hint="give it another name, for instance controls={'raw': X0}",
            )
    return {
        name: Chosen(name=name, strategy=LogisticStrategy(), role="control", view=name, asked=True)
        for name in given
    }


def spoken_names(chosen: Mapping[str, Chosen]) -> dict[str, str]:
    """What sentences call each strategy."""
    known = strategies()
    return {name: (known[name].spoken if name in known else "") or name for name in chosen}


def _defaults(role: Role, modality: str) -> list[str]:
    return [
        name
        for name, spec in strategies().items()
        if spec.role == role
        and spec.default
        and modality in spec.modalities
        and not (modality == "features" and spec.view != "backbone")
    ]


def _chosen(thing: Any, modality: str, *, asked: bool) -> Chosen:
    if not isinstance(thing, str):
        spec = _estimator(thing)
        return Chosen(name=spec.name, strategy=EstimatorStrategy(spec), asked=asked)
    registered: StrategySpec | ProbeSpec = resolve_strategy(thing)
    if isinstance(registered, ProbeSpec):
        return Chosen(
            name=thing, strategy=EstimatorStrategy(registered), asked=asked, plugin=owner(thing, "probe")
        )
    if modality not in registered.modalities or (modality == "features" and registered.view != "backbone"):
        raise InputError(
            f"{thing!r} is not for {modality} data",
            hint=f"it is for {', '.join(registered.modalities)}"
            if modality != "features"
            else "features have no contents to read; give arrays: controls={'raw': X0}",
        )
    return Chosen(
        name=thing,
        strategy=_made(registered),
        role=registered.role,
        view=registered.view,
        asked=asked,
        plugin=owner(thing, "strategy"),
    )


def _working(role: Role, modality: str) -> list[str]:
    """The default ones; what a plugin cannot make is left out with a warning."""
    found = []
    for name in _defaults(role, modality):
        try:
            _chosen(name, modality, asked=False)
        except PluginError as error:
            warnings.warn(f"{error.message}; it is left out", PluginWarning, stacklevel=4)
        else:
            found.append(name)
    return found


def _made(spec: StrategySpec) -> Strategy:
    """The strategy of a record.

    Raises:
        PluginError: it cannot be made, or what is made is none.
    """
    owner = f"strategy {spec.name!r} of plugin {origin(spec.name, 'strategy')}"
    try:
        with contained():
            made = spec.make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even exit
        raise PluginError(f"{owner} cannot be made: {reason(error)}") from error
    missing = [n for n in ("reads", "seeded", "needs", "settings", "fit", "fit_many") if not hasattr(made, n)]
    if missing:
        raise PluginError(
            f"{owner} is a {type(made).__name__} without {', '.join(missing)}",
            hint="derive it from tlengine.plugins.SimpleStrategy",
        )
    return made


def _estimator(thing: Any) -> ProbeSpec:
    try:
        spec = as_probe_spec(thing)
    except InputError as error:
        raise InputError(
            f"strategies hold a {type(thing).__name__}, which is no name and no classifier: {error.message}",
            hint="for instance knn,probe,ridge; or ('lda', LinearDiscriminantAnalysis)",
        ) from None
    try:
        resolve_strategy(spec.name)
    except UnknownNameError:
        return spec
    raise InputError(
        f"an estimator is named {spec.name!r}, which is a registered strategy",
        hint="give it another name: (name, estimator)",
    )


def _add(found: dict[str, Chosen], chosen: Chosen) -> None:
    other = found.get(chosen.name)
    if other is not None and isinstance(chosen.strategy, EstimatorStrategy):
        one, two = other.strategy, chosen.strategy
        if not (isinstance(one, EstimatorStrategy) and one.spec is two.spec):
            raise InputError(
                f"two strategies are named {chosen.name!r}", hint="give each its own name: (name, estimator)"
            )
    found.setdefault(chosen.name, chosen)
