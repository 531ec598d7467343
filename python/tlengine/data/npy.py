"""``.npy`` files: a matrix of features, and its labels and groups, each in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.arrays import dataset_from_arrays
from tlengine.data.dataset import Dataset
from tlengine.data.tables import LabelMode
from tlengine.errors import DatasetError, UnsafeArtifactError

__all__ = ["dataset_from_npy"]


def dataset_from_npy(X: Path, *, labels: Path | None, groups: Path | None = None) -> Dataset:
    """Features (n, d), with the label of each row, if it is known, and, if told, its group.

    Args:
        X: numbers (n, d).
        labels: (n,) words or whole numbers; None: there are none.
        groups: (n,) names or numbers; rows of one group stay on one side of every split.

    Raises:
        UnsafeArtifactError: a file holds pickled objects; it is not loaded.
        DatasetError: a file that is not there or no ``.npy``.
        ShapeMismatchError, DtypeError, NonFiniteError, LabelError: see
            :func:`~tlengine.data.arrays.dataset_from_arrays`.
    """
    y, column = (None if path is None else _array(path) for path in (labels, groups))
    mode: LabelMode = "ignore" if labels is None else "require"
    return dataset_from_arrays(_array(X), y, name=X.name, labels=mode, groups=column)


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            if magic != b"\x93NUMPY":
                raise DatasetError(f"{path}: not a .npy file", hint="write it with numpy.save(path, array)")
            found: npt.NDArray[Any] = np.load(file, allow_pickle=False)
            return found
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file", hint="check the path") from None
    except DatasetError:
        raise
    except ValueError as error:
        if "pickle" not in str(error):
            raise DatasetError(f"{path}: not a readable .npy ({error})", hint="write it again") from None
        raise UnsafeArtifactError(
            f"{path}: holds pickled objects, which are not loaded",
            hint="write numbers or strings alone: numpy.save(path, numpy.array(values).astype(str))",
        ) from None
    except (EOFError, OSError) as error:
        raise DatasetError(f"{path}: not a readable .npy ({error})", hint="write it again") from None
