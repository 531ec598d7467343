//! Rows of a mapped segment as a Python buffer: no copy, and alive as long as somebody looks.
#![allow(unsafe_code, reason = "the buffer protocol hands out raw pointers")]

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use tlengine_core::cache::View;

/// The rows of a segment. Supports the buffer protocol (unsigned bytes).
#[pyclass(frozen, module = "tlengine._core")]
pub struct Rows {
    view: View,
}

impl Rows {
    /// Rows over `view`.
    pub fn new(view: View) -> Rows {
        Rows { view }
    }
}

#[pymethods]
impl Rows {
    /// Rows and numbers per row.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.view.rows, self.view.shape.dim)
    }

    /// `float32`, `float16` or `bfloat16`.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.view.shape.dtype.name()
    }

    /// Whether the bytes are those of the file, mapped; False where they had to be copied.
    #[getter]
    fn is_mapped(&self) -> bool {
        self.view.is_mapped()
    }

    /// # Safety
    /// Called by the interpreter alone, with a buffer record for it to fill.
    unsafe fn __getbuffer__(
        this: Bound<'_, Self>,
        buffer: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let view = &this.get().view;
        let bytes = view.rows * view.shape.stride();
        let bytes = isize::try_from(bytes).map_err(|e| PyBufferError::new_err(e.to_string()))?;
        // SAFETY: the pointer is valid for `bytes` while `this` lives, and the record keeps a
        // reference to `this`. The memory is private to this process (a copy-on-write mapping or
        // a copy), so a writable buffer cannot change the file; and it is a mapping whose pointer
        // was made to be written through, with no Rust reference into it.
        let outcome = unsafe {
            ffi::PyBuffer_FillInfo(buffer, this.as_ptr(), view.as_mut_ptr().cast(), bytes, 0, flags)
        };
        if outcome == -1 { Err(PyErr::fetch(this.py())) } else { Ok(()) }
    }
}
