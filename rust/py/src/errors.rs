//! The one place where core errors become the exceptions of `tlengine.errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use tlengine_core::Error;

/// The Python exception for a core error.
pub fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let context = PyDict::new(py);
    let class = match &error {
        Error::Interrupted => {
            return pyo3::exceptions::PyKeyboardInterrupt::new_err(error.to_string());
        }
        Error::NonFinite { row, column, .. } => {
            let _ = context.set_item("row", row);
            let _ = context.set_item("column", column);
            "NonFiniteError"
        }
        Error::Shape(_) => "ShapeMismatchError",
        Error::Invalid(_) => "InputError",
        Error::OutOfMemory { .. } => "ResourceError",
        _ => "InternalError",
    };
    raise(py, class, &error.to_string(), &context)
}

/// An instance of `tlengine.errors.<class>` with its message and context.
pub fn raise(py: Python<'_>, class: &str, message: &str, context: &Bound<'_, PyDict>) -> PyErr {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let build = || -> PyResult<PyErr> {
        let module =
            MODULE.get_or_try_init(py, || py.import("tlengine.errors").map(Bound::unbind))?;
        let class = module.bind(py).getattr(class)?.cast_into::<PyType>()?;
        Ok(PyErr::from_value(class.call((message,), Some(context))?))
    };
    build().unwrap_or_else(|error| error)
}
