"""Arrays of other packages become NumPy's: tensors on any device, of any type; never imported here."""

from __future__ import annotations

from collections.abc import Sequence, ValuesView
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import DatasetError, DtypeError, ShapeMismatchError

__all__ = ["image_array", "is_tensor", "numpy_array", "row_list"]


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a torch tensor, by what it does.

    >>> is_tensor([1.0])
    False
    """
    return hasattr(value, "detach") and hasattr(value, "cpu")


def numpy_array(value: Any, what: str) -> npt.NDArray[Any]:
    """``value`` as a NumPy array: detached, on the CPU, bfloat16 and smaller floats as float32.

    Quantised tensors are what they stand for. Masked entries become NaN, so that what they hide is not read.

    Args:
        value: an array of any package, nested lists, or a list of tensors.
        what: its name, for messages.

    Raises:
        DtypeError: a sparse array, one without values, or objects that are no array.
        ShapeMismatchError: rows of different length, a nested tensor.
    """
    if isinstance(value, list | tuple) and value and is_tensor(value[0]):
        value = [numpy_array(row, what) for row in value]
    if hasattr(value, "tocsr") or str(getattr(value, "layout", "torch.strided")) != "torch.strided":
        way = "to_dense()" if is_tensor(value) else "toarray()"
        raise DtypeError(f"{what} is a sparse matrix", hint=f"pass {what.rpartition(' ')[2]}.{way}")
    try:
        if is_tensor(value):
            return _from_tensor(value, what)
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            return np.ma.filled(value.astype(np.float64), np.nan)
        array = np.asarray(_on_host(value))
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        if isinstance(error, ShapeMismatchError):
            raise
        if "inhomogeneous" in str(error):
            raise ShapeMismatchError(
                f"{what} has rows of different length", hint="give every row the same number of columns"
            ) from None
        raise DtypeError(
            f"{what}: a {type(value).__name__} that is no array of numbers ({error})",
            hint="pass a NumPy array",
        ) from None
    # float types that NumPy knows through ml_dtypes alone: bfloat16, float8
    return array.astype(np.float32) if "float" in array.dtype.name and array.dtype.kind == "V" else array


def _from_tensor(value: Any, what: str) -> npt.NDArray[Any]:
    if getattr(value, "is_nested", False):
        raise ShapeMismatchError(
            f"{what} is a nested tensor", hint="give every row the same number of columns (to_padded_tensor)"
        )
    value = value.detach().cpu()
    if getattr(value, "is_quantized", False):
        value = value.dequantize()
    small = value.is_floating_point() and (value.element_size() == 1 or "bfloat16" in str(value.dtype))
    return np.asarray((value.float() if small else value).resolve_conj().resolve_neg().numpy())


def _on_host(value: Any) -> Any:
    return value.get() if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get") else value


def row_list(values: Any) -> list[Any] | npt.NDArray[Any] | None:
    """A column as a list or a one-dimensional array; None where it is no column of single values.

    Takes lists and other sequences, arrays (n,) and (n, 1), tensors, and what pandas, Arrow and polars call
    a series.
    """
    for convert in ("to_pylist", "tolist", "to_list"):
        if not isinstance(values, np.ndarray | list | tuple) and hasattr(values, convert):
            values = getattr(values, convert)()
            break
    else:
        if hasattr(values, "to_numpy"):
            values = values.to_numpy()
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        return values if values.ndim == 1 else None
    if not isinstance(values, Sequence | ValuesView) or isinstance(
        values, str | bytes | bytearray | memoryview
    ):
        return None
    entries = list(values)
    if entries and all(isinstance(entry, list) and len(entry) == 1 for entry in entries):
        return [entry[0] for entry in entries]
    return entries


def image_array(content: Any, place: str) -> npt.NDArray[np.uint8]:
    """A tensor (c, h, w), uint8 or floats in [0, 1], as a uint8 array (h, w, 3).

    Raises:
        DatasetError: another shape, or values out of range.
    """
    array = numpy_array(content, place)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        hint = "images are (3, h, w) or (1, h, w)"
        if array.ndim == 1:
            hint += "; features are passed as (X, y)"
        elif array.shape[-1] in (1, 3):
            hint += ": tensor.permute(2, 0, 1)"
        raise DatasetError(f"{place}: a tensor of shape {array.shape}", hint=hint)
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):
            raise DatasetError(
                f"{place}: values from {array.min()} to {array.max()}",
                hint="leave normalisation to the backbone: floats are in [0, 1], or uint8",
            )
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DatasetError(f"{place}: an image of {array.dtype}", hint="use uint8, or floats in [0, 1]")
    return np.ascontiguousarray(np.broadcast_to(array, (3, *array.shape[1:])).transpose(1, 2, 0))
