"""``check.safetensors`` in the folder of a model: a few samples and their embeddings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tlengine.documents import replace_file
from tlengine.types import CheckRows

__all__ = ["read_check_rows", "write_check_rows"]

_NAME = "check.safetensors"
_LIMIT = 64 << 20


def write_check_rows(check: CheckRows, folder: Path) -> str:
    """Write the file, whole or not at all; returns the digest by which the model knows it."""
    from safetensors.numpy import save

    inputs = {f"input_{place}": np.ascontiguousarray(array) for place, array in enumerate(check.inputs)}
    data = save({**inputs, "embeddings": np.ascontiguousarray(check.X)})
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / _NAME, lambda file: file.write(data))
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def read_check_rows(folder: Path, digest: str) -> CheckRows | None:
    """Read the file that belongs to a model; None where it is missing or another one.

    The model is whole without it: then only the very fingerprint that it was saved with is accepted.
    """
    from safetensors.numpy import load

    path = folder / _NAME
    if not path.is_file() or path.stat().st_size > _LIMIT:
        return None
    data = path.read_bytes()
    if hashlib.blake2b(data, digest_size=32).hexdigest() != digest:
        return None
    tensors = load(data)
    X = tensors.pop("embeddings")
    return CheckRows(inputs=tuple(tensors[f"input_{place}"] for place in range(len(tensors))), X=X)
