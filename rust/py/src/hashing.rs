//! BLAKE3 for keys, recipes and fingerprints.

use std::sync::{Mutex, PoisonError};

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tlengine_core::cache::Digest;

/// Less than this is hashed before the GIL could be given back.
const SMALL: usize = 64 << 10;

/// Incremental BLAKE3 (256 bits).
#[pyclass(frozen, module = "tlengine._core")]
#[derive(Default)]
pub struct Blake3 {
    state: Mutex<Digest>,
}

#[pymethods]
impl Blake3 {
    #[new]
    fn new() -> Blake3 {
        Blake3::default()
    }

    /// Absorbs bytes.
    fn update(&self, py: Python<'_>, data: PyReadonlyArray1<'_, u8>) -> PyResult<()> {
        let bytes = data.as_slice()?;
        let update = || self.state.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
        if bytes.len() < SMALL {
            update()
        } else {
            py.detach(update)
        }
        Ok(())
    }

    /// The digest of everything absorbed so far: 32 bytes.
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.state.lock().unwrap_or_else(PoisonError::into_inner).finish())
    }
}
