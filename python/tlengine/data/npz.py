"""``.npz`` files: features and what belongs to their rows, as ``extract --out`` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tlengine.data.arrays import COLUMNS, dataset_from_arrays
from tlengine.data.dataset import Dataset
from tlengine.data.tables import LabelMode
from tlengine.errors import DatasetError, UnsafeArtifactError

__all__ = ["dataset_from_npz"]


def dataset_from_npz(path: Path, *, labels: LabelMode = "auto") -> Dataset:
    """A ``.npz`` with ``X`` and optionally ``y ids groups domains splits keys``.

    Raises:
        UnsafeArtifactError: the file is or holds a pickle; it is not loaded.
        DatasetError: not a ``.npz``, or without ``X``.
    """
    arrays = _npz(path)
    if "X" not in arrays:
        raise DatasetError(f"{path}: no array X", hint=f"arrays are: {', '.join(arrays) or 'none'}")
    columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS if name in arrays}
    known = {"X", "y", *COLUMNS}
    metadata = {n: str(a) for n, a in arrays.items() if n not in known and a.ndim == 0}
    return dataset_from_arrays(
        arrays["X"], arrays.get("y"), name=path.name, labels=labels, metadata=metadata, **columns
    )


def _npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise UnsafeArtifactError(
                    f"{path}: not a .npz archive; a pickle or another file under that name is not loaded",
                    hint="write it with numpy.savez(path, X=X, y=y)",
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except ValueError as error:
        if isinstance(error, UnsafeArtifactError):
            raise
        raise UnsafeArtifactError(
            f"{path}: holds pickled objects, which are not loaded ({error})",
            hint="write numbers and strings alone: numpy.savez(path, X=X, y=y.astype(str))",
        ) from None
    except (BadZipFile, EOFError, OSError) as error:
        raise DatasetError(f"{path}: not a readable .npz ({error})", hint="write it again") from None
