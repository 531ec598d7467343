"""Arrays in memory and in ``.npz`` files: features, images or texts with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tlengine.data.dataset import Dataset, check_text
from tlengine.data.labels import class_labels
from tlengine.data.tables import LabelMode
from tlengine.errors import (
    DatasetError,
    DtypeError,
    NonFiniteError,
    RangeError,
    ShapeMismatchError,
    UnsafeArtifactError,
)

__all__ = ["dataset_from_arrays", "dataset_from_npz", "feature_matrix"]


def dataset_from_arrays(
    X: Any, y: Any = None, *, name: str = "arrays", labels: LabelMode = "auto", **columns: Any
) -> Dataset:
    """Samples in memory.

    Args:
        X: (n, d) numbers are features; (n, h, w) or (n, h, w, 3) uint8 are images; a sequence of str are
            texts; a sequence of paths, ``PIL.Image`` or uint8 arrays are images.
        y: n labels, or None.
        name: for people.
        labels: ``"ignore"`` leaves ``y`` out.
        **columns: ``ids``, ``groups``, ``domains``, ``splits``: n values each; ``metadata``.

    Raises:
        ShapeMismatchError: X and y of different length, or of a shape that is nothing of the above.
        DtypeError: numbers of a type that cannot be used.
        NonFiniteError: NaN or infinity in X.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.

    >>> ds = dataset_from_arrays([[0.0, 1.0], [2.0, 3.0]], ["a", "b"])
    >>> ds.modality, ds.X.shape
    ('features', (2, 2))
    """
    X = X.to_numpy() if hasattr(X, "to_numpy") else X
    modality, contents, matrix = _samples(X, name)
    n = len(contents if contents is not None else np.asarray(matrix))
    if y is not None and labels != "ignore":
        values = y.to_numpy() if hasattr(y, "to_numpy") else y
        y = _labels(values, n, name)
    ids = columns.pop("ids", None)
    return Dataset(
        name=name,
        modality=modality,  # type: ignore[arg-type]
        ids=np.array([str(i) for i in (range(n) if ids is None else ids)]),
        contents=contents,
        X=matrix,
        y=None if labels == "ignore" else y,
        **columns,
    )


def _labels(values: Any, n: int, name: str) -> npt.NDArray[Any]:
    if np.ndim(values) != 1:
        raise ShapeMismatchError(
            f"{name}: y has {np.ndim(values)} dimensions, not 1", hint="one label per row; not one-hot"
        )
    if len(values) != n:
        raise ShapeMismatchError(
            f"{name}: X has {n} rows, y has {len(values)}", hint="X and y have one row per sample"
        )
    return class_labels(values, lambda row: f"{name}, y[{row}]")


def _samples(X: Any, name: str) -> tuple[str, Sequence[Any] | None, npt.NDArray[np.float32] | None]:
    if hasattr(X, "tocsr"):
        raise DtypeError(f"{name}: X is a sparse matrix", hint="pass X.toarray()")
    if isinstance(X, list | tuple) and X and not isinstance(X[0], int | float | list | tuple | np.number):
        return _listed(X, name)
    array = np.asarray(X)
    if array.dtype.kind in "UT" or (array.dtype == object and array.size and isinstance(array.flat[0], str)):
        return _listed(array.tolist(), name)
    if array.ndim in (3, 4) and array.dtype == np.uint8:
        return "image", array, None  # type: ignore[return-value]
    return "features", None, feature_matrix(array, name)


def _listed(items: Sequence[Any], name: str) -> tuple[str, Sequence[Any], None]:
    if all(isinstance(item, str) for item in items):
        for row, item in enumerate(items):
            check_text(item, f"{name}, X[{row}]")
        return "text", list(items), None
    for row, item in enumerate(items):
        if not (isinstance(item, Path | bytes | np.ndarray) or hasattr(item, "convert")):
            raise DtypeError(
                f"{name}, X[{row}]: a {type(item).__name__} is no sample",
                hint="use str, pathlib.Path, PIL.Image, or uint8 arrays (h, w, 3)",
            )
    if all(isinstance(item, np.ndarray) and item.ndim == 1 for item in items):
        raise ShapeMismatchError(f"{name}: X is a list of 1-D arrays", hint="pass numpy.stack(X)")
    return "image", list(items), None


def feature_matrix(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    """``array`` as (n, d) float32, row-major, checked to be finite.

    Raises:
        ShapeMismatchError: not two-dimensional, or without columns.
        DtypeError: not real numbers.
        NonFiniteError: NaN or infinity; the message has the first row and column and the count.
        RangeError: a number too large for float32.
    """
    if array.ndim != 2 or not array.shape[1]:
        raise ShapeMismatchError(
            f"{name}: X has shape {array.shape}", hint="features are (rows, columns); images are uint8"
        )
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"{name}: X is of type {array.dtype}", hint="features are real numbers")
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(
            f"{name}: X is {array[row, column]} at row {row}, column {column}; "
            f"{int(bad.sum())} of {array.size} values are NaN or inf",
            hint="drop these rows or fill the values in",
            row=row,
            column=column,
        )
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(matrix).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
        raise RangeError(
            f"{name}: X is {array[row, column]} at row {row}, column {column}; float32 ends at 3.4e38",
            hint="scale X down",
        )
    return matrix


_COLUMNS = ("ids", "groups", "domains", "splits")


def dataset_from_npz(path: Path, *, labels: LabelMode = "auto") -> Dataset:
    """A ``.npz`` with ``X`` and optionally ``y ids groups domains splits`` (as ``extract --out`` writes).

    Raises:
        UnsafeArtifactError: the file is or holds a pickle; it is not loaded.
        DatasetError: not a ``.npz``, or without ``X``.
    """
    arrays = _npz(path)
    if "X" not in arrays:
        raise DatasetError(f"{path}: no array X", hint=f"arrays are: {', '.join(arrays) or 'none'}")
    columns: dict[str, Any] = {name: arrays[name].astype(np.str_) for name in _COLUMNS if name in arrays}
    known = {"X", "y", *_COLUMNS}
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
