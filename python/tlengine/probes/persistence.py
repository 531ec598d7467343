"""Probes that save themselves, and loading whatever was saved; the format is that of :mod:`.container`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tlengine.errors import HeadFormatError, InputError
from tlengine.probes.container import configuration, decode_labels, locate, plain, read, write

__all__ = ["PretrainedMixin", "from_pretrained", "kept_tensors", "saves_itself"]

_HOMES = dict.fromkeys(
    (
        "KNeighborsProbe",
        "LinearProbe",
        "LinearProbeCV",
        "LinearSVMProbe",
        "LinearSVMProbeCV",
        "NearestCentroidProbe",
        "PreValProbe",
        "RidgeProbe",
        "RidgeProbeCV",
        "RidgeRegressor",
        "TfidfProbe",
    ),
    "tlengine.probes",
)
"""The only classes that a saved model can name; nothing else is ever imported."""


class PretrainedMixin:
    """``save_pretrained`` and ``from_pretrained`` for a scikit-learn classifier.

    A class lists what ``fit`` learns: ``_tensors`` maps each array attribute to its axes (two tensors
    that share an axis name must agree in length; ``"features"`` is ``n_features_in_`` and
    ``"classes"`` the number of classes), ``_scalars`` names attributes that JSON can hold, ``_may_lack`` the
    arrays in which a NaN says that there is no number.
    ``n_features_in_``, ``feature_names_in_`` and what ``_labels`` names are kept for every class. The axis
    ``"classes?"`` may be missing where there is one.
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _scalars: ClassVar[tuple[str, ...]] = ()
    _labels: ClassVar[str] = "classes_"
    _may_lack: ClassVar[tuple[str, ...]] = ()

    def save_pretrained(
        self, directory: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes ``config.json`` and ``model.safetensors`` into ``directory``, which is made if missing.

        An existing model there is replaced in one step: a crash leaves the old one or the new one.

        Args:
            directory: where to.
            metadata: anything that JSON can hold, given back as ``metadata_`` by ``from_pretrained``.

        Returns:
            The directory.

        Raises:
            NotFittedError: ``fit`` has not been called.
            InputError: metadata or class labels that JSON cannot hold; a class that is not tlengine's.
        """
        from sklearn.utils.validation import check_is_fitted

        if not saves_itself(self):
            raise InputError(
                f"{type(self).__name__} is no class of tlengine and could not be loaded again",
                hint="register it as a ProbeSpec with save= and load=, see docs/plugins.md",
            )
        check_is_fitted(self)
        labels = getattr(self, self._labels)
        return write(directory, _configuration(self, dict(metadata or {})), kept_tensors(self), labels)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator saved in ``path``; see :func:`from_pretrained`.

        Raises:
            HeadFormatError: also when another class was saved there.
        """
        found = from_pretrained(path)
        if not isinstance(found, cls):
            raise HeadFormatError(
                f"{path} holds a {type(found).__name__}, not a {cls.__name__}",
                hint=f"use {type(found).__name__}.from_pretrained or tlengine.from_pretrained",
            )
        return found


def from_pretrained(path: str | os.PathLike[str]) -> Any:
    """Loads a probe that was saved; no file can make it run code.

    The probe of a plugin is loaded by the plugin, which must be installed here.

    Args:
        path: the directory, or the ``model.safetensors`` inside it.

    Returns:
        The fitted estimator, with ``metadata_`` as it was given when saving.

    Raises:
        FileNotFoundError: nothing is there.
        UnsafeArtifactError: a pickle, joblib or torch file; it is not opened further.
        HeadFormatError: anything else that is not a complete, undamaged saved probe.
        MissingPackageError: no plugin here offers the probe, or it cannot load.

    >>> import numpy as np, tempfile, tlengine as tl
    >>> clf = tl.RidgeProbe().fit(np.eye(4, dtype=np.float32), ["a", "a", "b", "b"])
    >>> where = clf.save_pretrained(tempfile.mkdtemp(), metadata={"backbone": "raw"})
    >>> tl.from_pretrained(where).metadata_
    {'backbone': 'raw'}
    """
    model = locate(Path(path))
    config, tensors = read(model)
    if "probe" in config:
        from tlengine.probes.plugged import load_registered

        return load_registered(model, config, tensors)
    estimator = _home(config, model)()
    labels = decode_labels(tensors.pop("classes", None), model)
    _check_tensors(type(estimator), config, labels, tensors, model)
    try:
        estimator.set_params(**config["params"])
        fitted = {**config["fitted"], "metadata_": config["metadata"], **tensors}
        names = fitted.pop("feature_names_in_", None)
        vars(estimator).update(fitted | {estimator._labels: labels})
    except (KeyError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model}: configuration that does not fit: {error}") from None
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def _configuration(estimator: Any, metadata: dict[str, Any]) -> str:
    params, left_out = {}, {}
    for name, value in estimator.get_params(deep=False).items():
        try:
            params[name] = json.loads(json.dumps(plain(value), allow_nan=False))
        except (TypeError, ValueError):
            left_out[name] = repr(value)[:200]
    names = getattr(estimator, "feature_names_in_", None)
    return configuration(
        estimator=type(estimator).__name__,
        params=params,
        params_left_out=left_out,
        fitted={name: plain(getattr(estimator, name)) for name in (*estimator._scalars, "n_features_in_")}
        | ({} if names is None else {"feature_names_in_": [str(name) for name in names]}),
        metadata=metadata,
    )


def saves_itself(estimator: Any) -> bool:
    """Whether the estimator is of one of tlengine's classes, which :func:`from_pretrained` knows."""
    kind = type(estimator)
    home = _HOMES.get(kind.__name__)
    return home is not None and getattr(import_module(home), kind.__name__) is kind


def kept_tensors(estimator: PretrainedMixin) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a fitted probe that are saved, by name."""
    return {name: getattr(estimator, name) for name in estimator._tensors}


def _home(config: Mapping[str, Any], model: Path) -> type[Any]:
    name = config.get("estimator")
    if not isinstance(name, str) or name not in _HOMES:
        raise HeadFormatError(
            f"{model} names an unknown estimator: {name!r}", hint=f"known: {', '.join(_HOMES)}"
        )
    found: type[Any] = getattr(import_module(_HOMES[name]), name)
    return found


def _check_tensors(
    kind: type[PretrainedMixin],
    config: Mapping[str, Any],
    labels: npt.NDArray[Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    model: Path,
) -> None:
    if set(tensors) != set(kind._tensors):
        raise HeadFormatError(f"{model}: tensors {sorted(tensors)}, expected {sorted(kind._tensors)}")
    sizes = {"features": config["fitted"].get("n_features_in_"), "classes": len(labels)}
    for name, axes in kind._tensors.items():
        array = tensors[name]
        # A regressor of one target has no axis for it, nor has one label per row.
        lacks_axis = array.ndim < len(axes)
        if lacks_axis and axes[0] == "classes?" and len(labels) == 1:
            axes = axes[1:]
        elif lacks_axis and axes[1:] == ("classes?",):
            axes = axes[:-1]
        axes = tuple(axis.removesuffix("?") for axis in axes)
        if array.ndim != len(axes) or any(
            sizes.setdefault(a, n) != n for a, n in zip(axes, array.shape, strict=True)
        ):
            raise HeadFormatError(f"{model}: {name} has shape {array.shape}; expected {axes} with {sizes}")
        missing = np.isnan(array) if name in kind._may_lack else False
        if array.dtype.kind == "f" and not (np.isfinite(array) | missing).all():
            raise HeadFormatError(f"{model}: {name} contains NaN or infinity")
