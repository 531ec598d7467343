"""Saving and loading the probes of plugins, as their ``ProbeSpec`` says, in the format of tlengine's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import HeadFormatError, InputError, MissingPackageError, PluginError
from tlengine.plugins import ProbeSpec, registry
from tlengine.plugins.containment import contained, reason
from tlengine.probes.container import configuration, decode_labels, locate, read, write
from tlengine.probes.offered import own_scores
from tlengine.probes.persistence import saves_itself

__all__ = ["load_registered", "load_with", "save_with"]

Arrays = Mapping[str, npt.NDArray[Any]]

_PREFIX = "probe."
"""Before the names of a plugin's arrays, so that none is taken for tlengine's own."""

_KINDS, _WIDEST = "biuf", 8
"""Numbers of up to so many bytes can be kept."""


def save_with(
    spec: ProbeSpec,
    estimator: Any,
    directory: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a fitted probe, so that ``from_pretrained`` gives it back; never a pickle.

    What ``spec.save`` returns goes through ``spec.load`` at once, and what that returns must predict the
    same; so what is written can be loaded. Without ``save`` and ``load`` only tlengine's own classes can be
    saved.

    Args:
        spec: the probe.
        estimator: what was fitted.
        directory: where to; made if missing. A model there is replaced in one step.
        metadata: anything that JSON can hold.

    Returns:
        The directory.

    Raises:
        InputError: the probe cannot be saved, with the reason; nothing is written.

    >>> import tempfile
    >>> from sklearn.naive_bayes import GaussianNB
    >>> def save(nb):
    ...     return {"theta": nb.theta_, "var": nb.var_, "prior": nb.class_prior_}, {}
    >>> def load(arrays, facts):
    ...     nb = GaussianNB()
    ...     nb.theta_, nb.var_, nb.class_prior_ = arrays["theta"], arrays["var"], arrays["prior"]
    ...     return nb
    >>> spec = ProbeSpec(name="nb", estimator=GaussianNB, save=save, load=load)
    >>> fitted = GaussianNB().fit(np.array([[0.0], [1.0], [5.0], [6.0]]), ["low", "low", "high", "high"])
    >>> load_with(spec, save_with(spec, fitted, tempfile.mkdtemp())).predict([[0.4]]).tolist()
    ['low']
    """
    if spec.save is None or spec.load is None:
        if not saves_itself(estimator):
            raise _cannot(spec, f"its {type(estimator).__name__} has no format of tlengine's")
        return Path(estimator.save_pretrained(directory, metadata=metadata))
    labels, width = getattr(estimator, "classes_", None), getattr(estimator, "n_features_in_", None)
    if labels is None or width is None:
        missing = "classes_" if labels is None else "n_features_in_"
        raise _cannot(spec, f"its fitted {type(estimator).__name__} has no {missing}")
    arrays, facts = _saved(spec, spec.save, estimator)
    try:
        again = _completed(_loaded(spec, arrays, facts), np.asarray(labels), int(width), {})
    except PluginError as error:
        raise _cannot(spec, error.message) from error
    if not _agree(estimator, again, int(width)):
        raise _cannot(spec, "what load makes of what save returns predicts something else")
    config = configuration(
        estimator=type(estimator).__name__,
        probe={"name": spec.name, "plugin": _plugin(spec)},
        params={},
        facts=facts,
        fitted={"n_features_in_": int(width)},
        metadata=dict(metadata or {}),
    )
    return write(directory, config, {_PREFIX + n: array for n, array in arrays.items()}, np.asarray(labels))


def load_with(spec: ProbeSpec, path: str | os.PathLike[str]) -> Any:
    """The estimator that :func:`save_with` wrote, for a probe that no plugin registers.

    Args:
        spec: the probe that it was saved with.
        path: the directory, or the ``model.safetensors`` inside it.

    Returns:
        The fitted estimator, with ``metadata_``.

    Raises:
        FileNotFoundError, UnsafeArtifactError, HeadFormatError: as ``from_pretrained``; also another probe.
        PluginError: its ``load`` failed.
    """
    model = locate(Path(path))
    config, tensors = read(model)
    name = _name(model, config)
    if name != spec.name:
        raise HeadFormatError(f"{model} holds the probe {name!r}, not {spec.name!r}")
    return _rebuilt(spec, model, config, tensors)


def load_registered(model: Path, config: Mapping[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> Any:
    """The estimator in ``model``, by the plugin that registers its probe.

    Raises:
        MissingPackageError: none does here, or it cannot load.
        HeadFormatError: the file is not what it should be.
        PluginError: the plugin's ``load`` failed.
    """
    name = _name(model, config)
    spec, plugin = registry.probes().get(name), config["probe"].get("plugin")
    if spec is None or spec.load is None:
        lacks = "which no plugin here offers" if spec is None else "which cannot load here"
        way = f"install {plugin}" if isinstance(plugin, str) else "tlengine.probes.load_with(spec, folder)"
        raise MissingPackageError(f"{model} needs the probe {name!r}, {lacks}", hint=way)
    return _rebuilt(spec, model, config, tensors)


def _cannot(spec: ProbeSpec, why: str) -> InputError:
    return InputError(
        f"probe {spec.name!r} cannot be saved: {why}", hint="give its ProbeSpec save= and load=, as a pair"
    )


def _saved(
    spec: ProbeSpec, save: Callable[[Any], Any], estimator: Any
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays of numbers, and facts as JSON gives them back."""
    try:
        with contained():
            arrays, facts = save(estimator)
            arrays = {name: np.asarray(array) for name, array in dict(arrays).items()}
            facts = json.loads(json.dumps(dict(facts), allow_nan=False))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even exit
        raise _cannot(spec, f"its save failed: {reason(error)}") from error
    for name, array in arrays.items():
        if not isinstance(name, str) or array.dtype.kind not in _KINDS or array.dtype.itemsize > _WIDEST:
            raise _cannot(spec, f"array {name!r} is of {array.dtype}; text and objects belong into facts")
    return arrays, facts


def _loaded(spec: ProbeSpec, arrays: Arrays, facts: Mapping[str, Any]) -> Any:
    """What the plugin makes of copies."""
    assert spec.load is not None
    try:
        with contained():
            return spec.load({name: array.copy() for name, array in arrays.items()}, dict(facts))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even exit
        raise PluginError(
            f"probe {spec.name!r}: its load failed: {reason(error)}", hint="its plugin may be another version"
        ) from error


def _completed(estimator: Any, labels: npt.NDArray[Any], width: int, metadata: Mapping[str, Any]) -> Any:
    """The estimator with its classes, its number of columns and the metadata.

    Raises:
        PluginError: it says other ones, or cannot take them.
    """
    for name, value in (("classes_", labels), ("n_features_in_", width)):
        try:
            found = getattr(estimator, name, None)
            if found is None:
                setattr(estimator, name, value)
            elif not np.array_equal(np.asarray(found), np.asarray(value)):
                raise PluginError(f"its load gives back other {name} than were saved")
        except AttributeError as error:
            raise PluginError(f"its load returned a {type(estimator).__name__}: {error}") from None
    estimator.metadata_ = dict(metadata)
    return estimator


def _agree(one: Any, other: Any, width: int) -> bool:
    """Whether both say the same of a few rows; True where the first cannot say anything of them."""
    X = np.random.default_rng(0).random((5, width), dtype=np.float32)
    try:
        kind, scores = own_scores(one, X)
    except Exception:  # an estimator may refuse such rows; what it says of its own, the user sees
        return True
    try:
        found, again = own_scores(other, X)
    except Exception:
        return False
    return kind == found and np.allclose(scores, again, rtol=1e-5, atol=1e-6)


def _plugin(spec: ProbeSpec) -> str | None:
    """The plugin that registers ``spec``, or the same after a pickle; None where it is the user's own."""
    known = registry.probes().get(spec.name)
    same = known is not None and (known.save, known.load) == (spec.save, spec.load)
    return registry.origin(spec.name, "probe") if same else None


def _name(model: Path, config: Mapping[str, Any]) -> str:
    probe = config.get("probe")
    name = probe.get("name") if isinstance(probe, dict) else None
    if not isinstance(name, str):
        raise HeadFormatError(f"{model} does not hold the probe of a plugin", hint="use tl.from_pretrained")
    return name


def _rebuilt(
    spec: ProbeSpec, model: Path, config: Mapping[str, Any], tensors: dict[str, npt.NDArray[Any]]
) -> Any:
    labels = decode_labels(tensors.pop("classes", None), model)
    width, facts = config["fitted"].get("n_features_in_"), config.get("facts")
    strange = [name for name in tensors if not name.startswith(_PREFIX)]
    if not isinstance(width, int) or not isinstance(facts, dict) or strange:
        raise HeadFormatError(f"{model}: incomplete configuration, or arrays that do not belong there")
    arrays = {name.removeprefix(_PREFIX): array for name, array in tensors.items()}
    return _completed(_loaded(spec, arrays, facts), labels, width, config["metadata"])
