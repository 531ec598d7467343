//! Bytes of a mapped NumPy array as an index of the core reads them: no copy, and alive as long as the index.
#![allow(unsafe_code, reason = "the array outlives the borrow that Python gives of it")]

use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tlengine_core::neighbors::Memory;

/// A contiguous array of bytes that nobody writes to.
pub struct Mapped {
    _array: Py<PyArray1<u8>>,
    start: *const u8,
    length: usize,
}

impl Mapped {
    /// The bytes of an array that is read-only.
    pub fn new(array: &Bound<'_, PyArray1<u8>>) -> PyResult<Self> {
        if !array.is_contiguous() || array.getattr("flags")?.getattr("writeable")?.extract()? {
            return Err(PyValueError::new_err(
                "the codes of an index are read-only and contiguous",
            ));
        }
        let (start, length) = (array.data().cast_const(), array.len());
        Ok(Self { _array: array.clone().unbind(), start, length })
    }
}

// SAFETY: the bytes are only read, and the array that owns them is let go by whoever drops the last index.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Memory for Mapped {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the array is kept, contiguous and read-only; what is mapped is not cut while it is open,
        // which `NeighborIndex.open` asks of its users.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}
