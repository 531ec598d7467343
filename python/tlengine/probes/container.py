"""The file format of saved probes: ``config.json`` to read, ``model.safetensors`` to load; never pickle.

``model.safetensors`` is complete by itself: its header carries the configuration and a BLAKE2b
digest over configuration and tensors, so a flipped bit is found, and replacing that one file replaces
the model as a whole. ``config.json`` is the same configuration for people.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.documents import replace_file, replace_text
from tlengine.errors import HeadFormatError, InputError, UnsafeArtifactError

__all__ = [
    "MAX_HEADER",
    "configuration",
    "decode_labels",
    "encode_labels",
    "format_of",
    "locate",
    "plain",
    "read",
    "read_header",
    "write",
]

_FORMAT, _VERSION = "tlengine-probe", 1
_CONFIG, _MODEL = "config.json", "model.safetensors"
MAX_HEADER = 1 << 20


def configuration(**parts: Any) -> str:
    """The configuration as JSON; ``metadata`` is the user's.

    Raises:
        InputError: something that JSON cannot hold, or too much of it.
    """
    try:
        text = json.dumps({"format": _FORMAT, "version": _VERSION, **parts}, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"metadata that JSON cannot hold: {error}", hint="pass plain numbers and text"
        ) from None
    if len(text) > MAX_HEADER // 2:
        raise InputError(f"metadata of {len(text)} bytes; the limit is {MAX_HEADER // 2}")
    return text


def write(
    directory: str | os.PathLike[str],
    config: str,
    tensors: Mapping[str, npt.NDArray[Any]],
    labels: npt.NDArray[Any],
) -> Path:
    """Writes both files into ``directory``, which is made if missing; returns it.

    An existing model there is replaced in one step: a crash leaves the old one or the new one.
    """
    from safetensors.numpy import save

    kept = {name: np.asarray(a, dtype=a.dtype.newbyteorder("="), order="C") for name, a in tensors.items()}
    kept["classes"] = encode_labels(labels)
    header = {"tlengine": config, "digest": _digest(config, kept)}
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    data = save(kept, metadata=header)
    replace_file(folder / _MODEL, lambda file: file.write(data))
    replace_text(folder / _CONFIG, json.dumps(json.loads(config), indent=2) + "\n")
    return folder


def plain(value: Any) -> Any:
    """Arrays and numbers of NumPy as lists and numbers."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _digest(config: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    state = hashlib.blake2b(config.encode(), digest_size=32)
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        state.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def encode_labels(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
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


def decode_labels(stored: npt.NDArray[Any] | None, model: Path) -> npt.NDArray[Any]:
    """The reverse of :func:`encode_labels`.

    Raises:
        HeadFormatError: no labels, or none in a row.
    """
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


def locate(path: Path) -> Path:
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
        _load_json(config.read(MAX_HEADER), path / _CONFIG)
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


def read_header(model: Path, raw: bytes) -> tuple[str, str | None]:
    """The configuration and the digest in the header of a model's bytes, of whatever kind it is.

    Raises:
        HeadFormatError: no such header, or one beyond the limit.
    """
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or not 2 <= length <= min(MAX_HEADER, len(raw) - 8):
        raise HeadFormatError(
            f"{model}: header of {length} bytes; the limit is {MAX_HEADER} and the file's size"
        )
    header = _load_json(raw[8 : 8 + length], model).get("__metadata__")
    if not isinstance(header, dict) or not isinstance(header.get("tlengine"), str):
        raise HeadFormatError(f"{model} was not written by save_pretrained")
    return header["tlengine"], header.get("digest")


def format_of(model: Path) -> str:
    """What a model file says that it is; the rest of it is not read.

    Raises:
        HeadFormatError: it does not say.
    """
    with model.open("rb") as file:
        raw = file.read(8 + MAX_HEADER)
    text, _ = read_header(model, raw)
    return str(_load_json(text.encode(), model).get("format"))


def read(model: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The configuration and the tensors, after size caps, structure and digest were checked."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    raw = model.read_bytes()
    text, digest = read_header(model, raw)
    try:
        tensors = load(raw)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model} is damaged: {error}") from None
    if _digest(text, tensors) != digest:
        raise HeadFormatError(f"{model} is damaged: its digest does not match", hint="save the probe again")
    config = _load_json(text.encode(), model)
    if not all(isinstance(config.get(part), dict) for part in ("params", "fitted", "metadata")):
        raise HeadFormatError(f"{model}: incomplete configuration")
    if config.get("format") != _FORMAT or config.get("version") != _VERSION:
        raise HeadFormatError(
            f"{model} has format {config.get('format')!r}, version {config.get('version')!r}; "
            f"this tlengine reads {_FORMAT!r}, version {_VERSION}"
        )
    return config, tensors
