"""Who takes part: strategies and controls, by name or as a user passes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tlengine.errors import InputError, PluginError, PluginWarning, TlengineError, UnknownNameError
from tlengine.evaluation.inner import number_of_folds
from tlengine.evaluation.setup import Chosen
from tlengine.evaluation.strategies import EstimatorStrategy
from tlengine.plugins import ProbeSpec, StrategySpec, as_probe_spec, resolve_strategy, strategies
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.contracts import Role, Strategy
from tlengine.plugins.registry import origin, owner

__all__ = ["array_controls", "listed", "participants", "spoken_names"]

Settings = Mapping[str, Mapping[str, Any]]
"""Keywords for what makes a strategy, by its name."""

ON_ARRAYS = "probe"
"""The strategy that a control given as an array is fitted by."""


def participants(
    named: Any, controls: Any, modality: str, settings: Settings | None = None
) -> dict[str, Chosen]:
    """The strategies and controls of a run, by name.

    Args:
        named: names, estimators, ``(name, estimator)``, or a ``StrategySpec``; None for the default
            strategies.
        controls: names; None for the default controls, more of them where a strategy trains networks; ()
            for none.
        modality: of the data; by default, what cannot be used on it is left out.
        settings: of strategies and controls by their names.

    Raises:
        InputError: nothing given; something that is neither a name nor an estimator; a name given twice for
            different things; a strategy that is not for such data; settings that it does not take, or for
            what takes no part.
        UnknownNameError: an unknown name; the hint has the nearest ones.
        PluginError: a strategy that was named cannot be made.
    """
    settings = _checked_settings(settings)
    found: dict[str, Chosen] = {}
    for thing in _working("strategy", modality) if named is None else listed(named):
        _add(found, _chosen(thing, modality, settings, asked=named is not None))
    if not found:
        raise InputError(
            "no strategy given", hint=f"for instance {','.join(_defaults('strategy', modality))}"
        )
    networks = any(one.role == "strategy" and one.strategy.reads == "contents" for one in found.values())
    for thing in _working("control", modality, networks) if controls is None else listed(controls):
        chosen = _chosen(thing, modality, settings, asked=controls is not None, what="controls")
        if chosen.role != "control":
            raise InputError(f"{chosen.name!r} is a strategy, no control", hint="name it under strategies")
        if thing not in found:
            found[chosen.name] = chosen
    if strange := [name for name in settings if name not in found]:
        raise InputError(
            f"settings for {strange[0]!r}, which takes no part", hint=f"there are {', '.join(found)}"
        )
    return found


def listed(given: Any) -> list[Any]:
    """What was given as a list; a single name, number or classifier is one of its kind.

    >>> listed("knn"), listed(5), listed(("knn", "probe"))
    (['knn'], [5], ['knn', 'probe'])
    """
    alone = isinstance(given, str | bytes | Mapping) or hasattr(given, "fit")
    return list(given) if isinstance(given, Iterable) and not alone else [given]


def _checked_settings(settings: Any) -> Settings:
    if settings is None:
        return {}
    whole = isinstance(settings, Mapping) and all(
        isinstance(given, Mapping) and all(isinstance(key, str) for key in given)
        for given in settings.values()
    )
    if not whole:
        raise InputError(
            f"settings are {settings!r:.60}", hint="keywords by name: settings={'random': {'networks': 3}}"
        )
    found: Settings = settings
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
    probe = _chosen(ON_ARRAYS, "features", {}, asked=True)
    return {name: replace(probe, name=name, role="control", view=name) for name in given}


def spoken_names(chosen: Mapping[str, Chosen]) -> dict[str, str]:
    """What sentences call each strategy."""
    known = strategies()
    return {name: (known[name].spoken if name in known else "") or name for name in chosen}


def _defaults(role: Role, modality: str, networks: bool = False) -> list[str]:
    """Who takes part unasked; some controls do only where networks are trained."""
    return [
        name
        for name, spec in strategies().items()
        if spec.role == role
        and (networks if spec.default == "networks" else spec.default)
        and modality in spec.modalities
        and not (modality == "features" and spec.view != "backbone")
    ]


def _chosen(
    thing: Any, modality: str, settings: Settings, *, asked: bool, what: str = "strategies"
) -> Chosen:
    registered = resolve_strategy(thing) if isinstance(thing, str) else _passed(thing, what)
    given = dict(settings.get(registered.name, {}))
    if isinstance(registered, ProbeSpec):
        if given:
            raise InputError(
                f"{registered.name!r} has no settings, but candidates",
                hint="pass the classifier as you want it: (name, estimator)",
            )
        plugin = owner(thing, "probe") if isinstance(thing, str) else None
        strategy = EstimatorStrategy(registered)
        return Chosen(name=registered.name, strategy=strategy, asked=asked, plugin=plugin)
    if modality not in registered.modalities or (modality == "features" and registered.view != "backbone"):
        raise InputError(
            f"{registered.name!r} is not for {modality} data",
            hint=f"it is for {', '.join(registered.modalities)}"
            if modality != "features"
            else "features have no contents to read; give arrays: controls={'raw': X0}",
        )
    networks = _networks(given) if registered.view == "random" else 1
    plugin = owner(registered.name, "strategy") if isinstance(thing, str) else None
    return Chosen(
        name=registered.name, strategy=_made(registered, modality, given), role=registered.role,
        view=registered.view, asked=asked, networks=networks, plugin=plugin,
    )  # fmt: skip


def _networks(given: dict[str, Any]) -> int:
    """How many untrained networks are asked for; taken out of the settings."""
    asked = given.pop("networks", 1)
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise InputError(f"{asked!r} untrained networks", hint="use a whole number, 1 or more")
    return asked


def _working(role: Role, modality: str, networks: bool = False) -> list[str]:
    """The default ones; what a plugin cannot make is left out with a warning."""
    found = []
    for name in _defaults(role, modality, networks):
        try:
            _chosen(name, modality, {}, asked=False)
        except PluginError as error:
            warnings.warn(f"{error.message}; it is left out", PluginWarning, stacklevel=4)
        else:
            found.append(name)
    return found


def _made(spec: StrategySpec, modality: str, given: Mapping[str, Any]) -> Strategy:
    """The strategy of a record, with the settings that were given.

    Raises:
        InputError: it has no such settings.
        PluginError: it cannot be made, or what is made is none.
    """
    known = spec.name in strategies()
    owner = f"strategy {spec.name!r}" + (f" of plugin {origin(spec.name, 'strategy')}" if known else "")
    try:
        with contained():
            made = spec.maker(modality)(**given)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even exit
        if given and isinstance(error, TypeError | ValueError | TlengineError):
            shown = ", ".join(f"{key}={value!r:.40}" for key, value in given.items())
            look = f"leave it out, or see what {owner} says of its settings"
            raise InputError(
                f"{spec.name!r} does not take {shown}: {_said(error)}",
                hint=getattr(error, "hint", None) or look,
            ) from error
        raise PluginError(f"{owner} cannot be made: {reason(error)}") from error
    missing = [n for n in ("reads", "seeded", "settings", "fit", "fit_many") if not hasattr(made, n)]
    if missing:
        raise PluginError(
            f"{owner} is a {type(made).__name__} without {', '.join(missing)}",
            hint="derive it from tlengine.plugins.SimpleStrategy",
        )
    try:
        number_of_folds(made)
    except InputError as error:
        raise PluginError(f"{owner}: {error.message}", hint=error.hint) from None
    return made


def _said(error: BaseException) -> str:
    """What is wrong, without the name of tlengine's own class."""
    return error.message if isinstance(error, TlengineError) else reason(error)


def _passed(thing: Any, what: str) -> StrategySpec | ProbeSpec:
    """A record of what a user passes: a record, or a classifier."""
    spec = thing if isinstance(thing, StrategySpec) else _estimator(thing, what)
    try:
        resolve_strategy(spec.name)
    except UnknownNameError:
        return spec
    kind = "a strategy" if isinstance(spec, StrategySpec) else "an estimator"
    raise InputError(
        f"{kind} is named {spec.name!r}, which is a registered strategy",
        hint="give it another name" + ("" if isinstance(spec, StrategySpec) else ": (name, estimator)"),
    )


def _estimator(thing: Any, what: str) -> ProbeSpec:
    try:
        return as_probe_spec(thing)
    except InputError as error:
        raise InputError(
            f"{what} hold a {type(thing).__name__}, which is no name and no classifier: {error.message}",
            hint="for instance knn,probe,ridge; or ('lda', LinearDiscriminantAnalysis)"
            if what == "strategies"
            else "for instance raw,stats; for features, arrays by name: controls={'raw': X0}",
        ) from None


def _add(found: dict[str, Chosen], chosen: Chosen) -> None:
    other = found.get(chosen.name)
    if other is not None and isinstance(chosen.strategy, EstimatorStrategy):
        one, two = other.strategy, chosen.strategy
        if not (isinstance(one, EstimatorStrategy) and one.spec is two.spec):
            raise InputError(
                f"two strategies are named {chosen.name!r}", hint="give each its own name: (name, estimator)"
            )
    found.setdefault(chosen.name, chosen)
