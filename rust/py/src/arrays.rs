//! NumPy's arrays as the core takes them.

use numpy::{Element, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The numbers of a matrix, row by row. `as_slice` alone would take one that lies column by column, too.
pub fn rows_of<'a, T: Element>(array: &'a PyReadonlyArray2<'_, T>) -> PyResult<&'a [T]> {
    if !array.is_c_contiguous() {
        return Err(PyValueError::new_err("a matrix that does not lie row by row"));
    }
    Ok(array.as_slice()?)
}
