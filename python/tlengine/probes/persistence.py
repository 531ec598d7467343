"""Saved probes: ``config.json`` to read, ``model.safetensors`` to load; never pickle.

``model.safetensors`` is complete by itself: its header carries the configuration and a BLAKE2b
digest over configuration and tensors, so a flipped bit is found, and replacing that one file replaces
the model as a whole. ``config.json`` is the same configuration for people.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tlengine.documents import replace_file, replace_text
from tlengine.errors import HeadFormatError, InputError, UnsafeArtifactError

__all__ = ["PretrainedMixin", "from_pretrained"]

_FORMAT, _VERSION = "tlengine-probe", 1
_CONFIG, _MODEL = "config.json", "model.safetensors"
_MAX_HEADER = 1 << 20
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
    ),
    "tlengine.probes",
)
"""The only classes that a saved model can name; nothing else is ever imported."""


class PretrainedMixin:
    """``save_pretrained`` and ``from_pretrained`` for a scikit-learn classifier.

    A class lists what ``fit`` learns: ``_tensors`` maps each array attribute to its axes (two tensors
    that share an axis name must agree in length; ``"features"`` is ``n_features_in_`` and
    ``"classes"`` the number of classes), ``_scalars`` names attributes that JSON can hold.
    ``classes_``, ``n_features_in_`` and ``feature_names_in_`` are kept for every class.
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _scalars: ClassVar[tuple[str, ...]] = ()

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
            InputError: metadata or class labels that JSON cannot hold.
        """
        from safetensors.numpy import save
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in self._tensors}
        tensors["classes"] = _encode_labels(getattr(self, "classes_"))  # noqa: B009 - mypy: a mixin
        config = _configuration(self, dict(metadata or {}))
        header = {"tlengine": config, "digest": _digest(config, tensors)}
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        data = save(tensors, metadata=header)
        replace_file(folder / _MODEL, lambda file: file.write(data))
        replace_text(folder / _CONFIG, json.dumps(json.loads(config), indent=2) + "\n")
        return folder

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
    """Loads a probe that ``save_pretrained`` wrote; no file can make it run code.

    Args:
        path: the directory, or the ``model.safetensors`` inside it.

    Returns:
        The fitted estimator, with ``metadata_`` as it was given when saving.

    Raises:
        FileNotFoundError: nothing is there.
        UnsafeArtifactError: a pickle, joblib or torch file; it is not opened further.
        HeadFormatError: anything else that is not a complete, undamaged saved probe.

    >>> import numpy as np, tempfile, tlengine as tl
    >>> clf = tl.RidgeProbe().fit(np.eye(4, dtype=np.float32), ["a", "a", "b", "b"])
    >>> where = clf.save_pretrained(tempfile.mkdtemp(), metadata={"backbone": "raw"})
    >>> tl.from_pretrained(where).metadata_
    {'backbone': 'raw'}
    """
    model = _locate(Path(path))
    config, tensors = _read(model)
    estimator = _home(config, model)()
    labels = _decode_labels(tensors.pop("classes", None), model)
    _check_tensors(type(estimator), config, labels, tensors, model)
    try:
        estimator.set_params(**config["params"])
        fitted = {**config["fitted"], "metadata_": config["metadata"], **tensors}
        names = fitted.pop("feature_names_in_", None)
        vars(estimator).update(fitted, classes_=labels)
    except (KeyError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model}: configuration that does not fit: {error}") from None
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def _configuration(estimator: Any, metadata: dict[str, Any]) -> str:
    params, left_out = {}, {}
    for name, value in estimator.get_params(deep=False).items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        try:
            params[name] = json.loads(json.dumps(plain, allow_nan=False))
        except (TypeError, ValueError):
            left_out[name] = repr(value)[:200]
    names = getattr(estimator, "feature_names_in_", None)
    config = {
        "format": _FORMAT,
        "version": _VERSION,
        "estimator": type(estimator).__name__,
        "params": params,
        "params_left_out": left_out,
        "fitted": {name: _plain(getattr(estimator, name)) for name in (*estimator._scalars, "n_features_in_")}
        | ({} if names is None else {"feature_names_in_": [str(name) for name in names]}),
        "metadata": metadata,
    }
    try:
        text = json.dumps(config, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"metadata that JSON cannot hold: {error}", hint="pass plain numbers and text"
        ) from None
    if len(text) > _MAX_HEADER // 2:
        raise InputError(f"metadata of {len(text)} bytes; the limit is {_MAX_HEADER // 2}")
    return text


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _digest(config: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    state = hashlib.blake2b(config.encode(), digest_size=32)
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        state.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def _encode_labels(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Class labels as UTF-8 JSON in a tensor: any number of classes, any script, no pickle."""
    kinds = {
        "U": "str",
        "T": "str",
        "O": "object",
        "b": "bool",
        "i": labels.dtype.name,
        "u": labels.dtype.name,
        "f": labels.dtype.name,
    }
    try:
        text = json.dumps([kinds[labels.dtype.kind], labels.tolist()])
    except (KeyError, TypeError):
        raise InputError(
            f"class labels of type {labels.dtype} cannot be saved", hint="use text or numbers"
        ) from None
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _decode_labels(stored: npt.NDArray[Any] | None, model: Path) -> npt.NDArray[Any]:
    try:
        if stored is None:
            raise ValueError("no class labels")
        kind, values = json.loads(stored.tobytes().decode("utf-8", "surrogatepass"))
        labels: npt.NDArray[Any] = np.array(values, dtype=kind)
        if labels.ndim != 1:
            raise ValueError("class labels are not a list")
    except (TypeError, ValueError) as error:
        raise HeadFormatError(f"{model}: {error}") from None
    return labels


def _locate(path: Path) -> Path:
    """The model file of a complete saved probe; files that could hold code are refused on the way."""
    if path.is_file():
        _refuse_code(path)
        if path.name not in (_CONFIG, _MODEL):
            raise HeadFormatError(
                f"{path} is not a saved probe", hint=f"pass the directory that holds {_MODEL}"
            )
        path = path.parent
    if not path.exists():
        raise FileNotFoundError(f"no saved probe at {path}")
    missing = [name for name in (_CONFIG, _MODEL) if not (path / name).is_file()]
    for file in path.iterdir() if missing else (path / _CONFIG, path / _MODEL):
        if file.is_file():
            _refuse_code(file)
    if missing:
        hint = "pass a directory that save_pretrained wrote"
        raise HeadFormatError(f"{path} has no {' and no '.join(missing)}", hint=hint)
    with (path / _CONFIG).open("rb") as config:
        _load_json(config.read(_MAX_HEADER), path / _CONFIG)
    return path / _MODEL


def _refuse_code(path: Path) -> None:
    """Pickles, joblib files, torch checkpoints and NumPy archives are told by their first bytes."""
    with path.open("rb") as file:
        start = file.read(16)
    is_pickle = len(start) > 1 and start[0] == 0x80 and start[1] in range(1, 6) and start[8:9] != b"{"
    if is_pickle or start.startswith(
        (b"PK\x03\x04", b"\x93NUMPY", b"\x1f\x8b", b"cos\n", b"cposix\n", b"c__builtin__")
    ):
        raise UnsafeArtifactError(
            f"{path} is a pickle or an archive that may hold one; it was not loaded",
            hint="tlengine reads only what save_pretrained wrote (safetensors and JSON)",
        )


def _load_json(raw: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    try:
        found = json.loads(raw, object_pairs_hook=unique)
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise HeadFormatError(f"{path} is not the JSON of a saved probe: {error}") from None
    return found


def _read(model: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The configuration and the tensors, after size caps, structure and digest were checked."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    raw = model.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or not 2 <= length <= min(_MAX_HEADER, len(raw) - 8):
        raise HeadFormatError(
            f"{model}: header of {length} bytes; the limit is {_MAX_HEADER} and the file's size"
        )
    header = _load_json(raw[8 : 8 + length], model).get("__metadata__")
    if not isinstance(header, dict) or not isinstance(header.get("tlengine"), str):
        raise HeadFormatError(f"{model} was not written by save_pretrained")
    try:
        tensors = load(raw)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model} is damaged: {error}") from None
    if _digest(header["tlengine"], tensors) != header.get("digest"):
        raise HeadFormatError(f"{model} is damaged: its digest does not match", hint="save the probe again")
    config = _load_json(header["tlengine"].encode(), model)
    if not all(isinstance(config.get(part), dict) for part in ("params", "fitted", "metadata")):
        raise HeadFormatError(f"{model}: incomplete configuration")
    if config.get("format") != _FORMAT or config.get("version") != _VERSION:
        raise HeadFormatError(
            f"{model} has format {config.get('format')!r}, version {config.get('version')!r}; "
            f"this tlengine reads {_FORMAT!r}, version {_VERSION}"
        )
    return config, tensors


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
        if array.ndim != len(axes) or any(
            sizes.setdefault(a, n) != n for a, n in zip(axes, array.shape, strict=True)
        ):
            raise HeadFormatError(f"{model}: {name} has shape {array.shape}; expected {axes} with {sizes}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise HeadFormatError(f"{model}: {name} contains NaN or infinity")
