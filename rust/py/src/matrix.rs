//! X as Python hands it over: an array, or the arrays of a CSR matrix.

use crate::arrays::rows_of;
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use tlengine_core::probes::{Csr, Features, Selection};
use tlengine_core::simd::pass;
use tlengine_core::{Error, Result};

/// The data, indices, indptr and number of columns of a CSR matrix.
type SparseArrays<'py, T> =
    (PyReadonlyArray1<'py, T>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, i64>, usize);

/// X: (n, d), or sparse.
pub(crate) enum Matrix<'py, T: Element> {
    Dense(PyReadonlyArray2<'py, T>),
    Sparse(SparseArrays<'py, T>),
}

impl<'a, 'py, T: Element> FromPyObject<'a, 'py> for Matrix<'py, T> {
    type Error = PyErr;

    fn extract(x: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(dense) = x.extract() {
            return Ok(Self::Dense(dense));
        }
        Ok(Self::Sparse(x.extract()?))
    }
}

impl<T: Element + pass::Element> Matrix<'_, T> {
    /// Its rows, or those of a list; for a sparse X only all of them.
    pub fn features<'a>(
        &'a self,
        rows: Option<&'a PyReadonlyArray1<'_, i64>>,
    ) -> PyResult<Result<Features<'a, T>>> {
        Ok(match (self, rows) {
            (Self::Dense(x), None) => Selection::new(rows_of(x)?, x.shape()[1]).map(Into::into),
            (Self::Dense(x), Some(rows)) => {
                Selection::of_rows(rows_of(x)?, x.shape()[1], rows.as_slice()?).map(Into::into)
            }
            (Self::Sparse((data, indices, starts, d)), None) => {
                Csr::new(data.as_slice()?, indices.as_slice()?, starts.as_slice()?, *d)
                    .map(Into::into)
            }
            (Self::Sparse(_), Some(_)) => {
                Err(Error::Invalid("row numbers beside a sparse X".into()))
            }
        })
    }
}
