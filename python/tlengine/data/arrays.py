"""Arrays in memory: features, images or texts with labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.dataset import Contents, Dataset, LazyContents
from tlengine.data.labels import class_labels
from tlengine.data.paths import image_path, names_files, names_images
from tlengine.data.roles import name_column, role_column
from tlengine.data.scalars import as_text, is_missing, is_nothing, short
from tlengine.data.tables import LabelMode, text_of
from tlengine.data.tensors import image_array, is_tensor, numpy_array, row_list
from tlengine.errors import (
    DatasetError,
    DtypeError,
    NonFiniteError,
    RangeError,
    ShapeMismatchError,
)

__all__ = ["COLUMNS", "dataset_from_arrays", "feature_matrix", "label_column", "refuse_other_order"]

COLUMNS = ("ids", "groups", "domains", "splits", "keys")
"""What may stand beside X and y, one entry per row."""

Matrix = npt.NDArray[np.float32]


def dataset_from_arrays(
    X: Any,
    y: Any = None,
    *,
    name: str = "arrays",
    labels: LabelMode = "auto",
    modality: str | None = None,
    ids: Any = None,
    groups: Any = None,
    domains: Any = None,
    splits: Any = None,
    keys: Any = None,
    **more: Any,
) -> Dataset:
    """Samples in memory.

    Args:
        X: (n, d) numbers are features; (n, h, w) or (n, h, w, 3) uint8 and tensors (n, 3, h, w) are images;
            a sequence of str are texts, or images where they are paths of such; a sequence of paths,
            ``PIL.Image``, uint8 arrays or tensors are images.
        y: n labels, or None; a column (n, 1) counts as n.
        name: for people.
        labels: ``"ignore"`` leaves ``y`` out.
        modality: settles what strings are.
        ids: n names; default: row numbers.
        groups: n names, of which none is missing.
        domains: likewise.
        splits: n words for roles.
        keys: (n, 32) uint8 digests of contents.
        **more: ``metadata``.

    Raises:
        ShapeMismatchError: X and y of different length, or of a shape that is nothing of the above.
        DtypeError: numbers of a type that cannot be used.
        NonFiniteError: NaN or infinity in X.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.

    >>> ds = dataset_from_arrays([[0.0, 1.0], [2.0, 3.0]], ["a", "b"])
    >>> ds.modality, ds.X.shape
    ('features', (2, 2))
    """
    kind, contents, matrix = _samples(X, name, modality)
    n = len(contents if contents is not None else np.asarray(matrix))
    refuse_other_order(X, y, name)

    def column(values: Any, what: str) -> tuple[Any, str, Callable[[int], str]]:
        return _column(values, n, what, name), f"{name}, {what}", lambda row: f"{name}, {what}[{row}]"

    def names(values: Any, what: str) -> npt.NDArray[np.str_] | None:
        if values is None:
            return None
        entries, where, place = column(values, what)
        return name_column(entries, what.removesuffix("s"), where, place)

    return Dataset(
        name=name,
        modality=kind,  # type: ignore[arg-type]
        ids=np.array([as_text(i) for i in (range(n) if ids is None else column(ids, "ids")[0])]),
        contents=contents,
        X=matrix,
        y=None if y is None or labels == "ignore" else label_column(y, n, name),
        groups=names(groups, "groups"),
        domains=names(domains, "domains"),
        splits=None if splits is None else role_column(*column(splits, "splits")),
        keys=None if keys is None else np.asarray(keys, dtype=np.uint8),
        **more,
    )


def label_column(y: Any, n: int, name: str) -> npt.NDArray[Any]:
    """``y`` as the labels of ``n`` rows.

    Raises:
        ShapeMismatchError: another number of rows or dimensions.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.
    """
    return class_labels(_column(y, n, "y", name), lambda row: f"{name}, y[{row}]", where=f"{name}, y")


def _column(values: Any, n: int, what: str, name: str) -> Any:
    entries = row_list(values)
    if entries is None or (dimensions := _dimensions(entries)) != 1:
        found = _dimensions(values) if entries is None else dimensions
        if found < 2:
            raise ShapeMismatchError(
                f"{name}: {what} is a {type(values).__name__}, which has {found} dimensions, not 1",
                hint="pass a list or an array with one entry per row, in the order of the rows",
            )
        raise ShapeMismatchError(
            f"{name}: {what} has {found} dimensions, not 1",
            hint="one label per row: y.argmax(axis=1) if it is one-hot; several labels per row are for "
            "tl.LinearProbe on features"
            if what == "y"
            else "one entry per row",
        )
    if len(entries) != n:
        raise ShapeMismatchError(
            f"{name}: X has {n} rows, {what} has {len(entries)}",
            hint=f"X and {what} have one row per sample",
        )
    return entries


def _dimensions(values: Any) -> int:
    """As NumPy counts them; 1 for entries of different length, which are judged one by one."""
    try:
        return np.ndim(values)
    except (ValueError, TypeError, RuntimeError):
        return 1


def refuse_other_order(X: Any, y: Any, name: str) -> None:
    """Rows are matched by position; two pandas indexes of the same rows in another order are a slip.

    Raises:
        DatasetError: ``X`` and ``y`` have such indexes.
    """
    first: Any = getattr(X, "index", None)
    second: Any = getattr(y, "index", None)
    if not (hasattr(first, "equals") and hasattr(second, "equals")) or first.equals(second):
        return
    if len(first) == len(second) and first.is_unique and second.is_unique and first.isin(second).all():
        raise DatasetError(
            f"{name}: X and y have the same index in another order, and rows are matched by position",
            hint="pass (X, y.loc[X.index]), or reset both indexes if the positions are right",
        )


def _samples(X: Any, name: str, modality: str | None) -> tuple[str, Contents | None, Matrix | None]:
    if is_tensor(X) and X.ndim == 4 and not _is_channels_last(X):
        return "image", _tensor_images(X, name), None
    if isinstance(X, list | tuple):
        return _listed(X, name, modality)
    if not is_tensor(X) and not isinstance(X, np.ndarray) and getattr(X, "ndim", 1) == 1:
        listed = row_list(X)
        if isinstance(listed, list):
            return _listed(listed, name, modality)
    array = numpy_array(X, f"{name}: X")
    if array.dtype.kind in "UTOS" and array.size and (array.ndim == 1 or array.shape[1:] == (1,)):
        return _listed(array.reshape(-1).tolist(), name, modality)
    if array.ndim in (3, 4) and array.dtype == np.uint8:
        _refuse_channels_first(array, name)
        return "image", array, None  # type: ignore[return-value]
    return "features", None, feature_matrix(array, name)


def _is_channels_last(X: Any) -> bool:
    """Whether a tensor is what images are as arrays: uint8 (n, h, w, 3)."""
    return "uint8" in str(X.dtype) and X.shape[3] in (3, 4) and X.shape[1] not in (1, 3)


def _tensor_images(X: Any, name: str) -> LazyContents:
    images = LazyContents(len(X), partial(_tensor_image, X, name))
    images[0]
    return images


def _tensor_image(X: Any, name: str, row: int) -> npt.NDArray[np.uint8]:
    return image_array(X[row], f"{name}, X[{row}]")


def _refuse_channels_first(array: npt.NDArray[Any], name: str) -> None:
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        raise ShapeMismatchError(
            f"{name}: X has shape {array.shape}, with channels first",
            hint="images are (n, h, w, 3): X.transpose(0, 2, 3, 1)",
        )


def _listed(items: Sequence[Any], name: str, modality: str | None) -> tuple[str, Contents | None, Any]:
    """What a list holds, by its first entry that is there."""
    first = next((item for item in items if not is_nothing(item)), "" if len(items) else None)
    if isinstance(first, str):
        return _strings(items, name, modality)
    if _is_row(first) or first is None:
        rows = [numpy_array(item, f"{name}: X") for item in items] if is_tensor(first) else items
        return "features", None, feature_matrix(numpy_array(rows, f"{name}: X"), name)
    for row, item in enumerate(items):
        place = f"{name}, X[{row}]"
        if is_tensor(item):
            continue
        if not (isinstance(item, Path | bytes | np.ndarray) or hasattr(item, "convert")):
            raise DtypeError(
                f"{place}: a {type(item).__name__} is no sample",
                hint="use str, pathlib.Path, PIL.Image, or uint8 arrays (h, w, 3)",
            )
        if isinstance(item, np.ndarray) and item.ndim not in (2, 3):
            raise ShapeMismatchError(
                f"{place}: an array of shape {item.shape} is no image",
                hint="images are (h, w, 3); features and labels are a tuple: (X, y)",
            )
    if is_tensor(first):
        return "image", _tensor_images(list(items), name), None
    return "image", list(items), None


def _is_row(item: Any) -> bool:
    return isinstance(item, int | float | complex | list | tuple | np.number) or (
        (is_tensor(item) or isinstance(item, np.ndarray)) and item.ndim < 2
    )


def _strings(items: Sequence[Any], name: str, modality: str | None) -> tuple[str, Contents, None]:
    """Texts, or paths of images: strings that end as image files do and exist."""
    if modality == "text":
        return "text", _texts(items, name), None
    if modality == "image" or names_images(items):
        paths = [_path(item, f"{name}, X[{row}]", sure=modality == "image") for row, item in enumerate(items)]
        return "image", paths, None
    if names_files(items):
        raise DatasetError(
            f"{name}: X holds names of files, such as {short(items[0])}, not texts",
            hint="pass what is in them: [pathlib.Path(path).read_text() for path in X]; "
            "modality='text' embeds the names",
        )
    return "text", _texts(items, name), None


def _path(item: Any, place: str, *, sure: bool) -> Path:
    path = image_path(item, None, place) if isinstance(item, str) else None
    if path is None or not (sure or path.is_file()):
        raise DatasetError(
            f"{place}: {short(item)} stands for an image, and there is no such file"
            if path is not None
            else f"{place}: {short(item)} is no image path",
            hint="check the path; modality='image' counts it as unreadable, modality='text' embeds the "
            "strings themselves",
        )
    return path


def _texts(items: Sequence[Any], name: str) -> list[str]:
    texts = []
    for row, item in enumerate(items):
        if not isinstance(item, str | bytes) and not is_missing(item):
            raise DtypeError(
                f"{name}, X[{row}]: a {type(item).__name__} is no sample among texts",
                hint="write it as text, or drop the row",
            )
        texts.append(text_of(item, f"{name}, X[{row}]"))
    return texts


def feature_matrix(array: npt.NDArray[Any], name: str) -> Matrix:
    """``array`` as (n, d) float32, row-major, checked to be finite.

    Raises:
        ShapeMismatchError: not two-dimensional, or without columns.
        DtypeError: not real numbers.
        NonFiniteError: NaN or infinity; the message has the first row and column and the count.
        RangeError: a number too large for float32.
    """
    if array.dtype.names:
        raise DtypeError(
            f"{name}: X is a structured array",
            hint="pass numpy.lib.recfunctions.structured_to_unstructured(X)",
        )
    if array.ndim != 2 or not array.shape[1]:
        raise ShapeMismatchError(
            f"{name}: X has shape {array.shape}", hint="features are (rows, columns); images are uint8"
        )
    if array.dtype == object:
        array = _numbers(array, name)
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


def _numbers(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Objects that are all numbers; None and pandas' NA are NaN."""
    numbers = np.full(array.shape, np.nan)
    for (row, column), value in np.ndenumerate(array):
        if is_missing(value):
            continue
        if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
            raise DtypeError(
                f"{name}: X is {short(value)} at row {row}, column {column}", hint="features are real numbers"
            )
        numbers[row, column] = value
    return numbers
