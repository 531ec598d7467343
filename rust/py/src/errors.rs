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
        Error::OutOfRange { row, column, .. } => {
            set(&context, &[("row", *row as i64), ("column", *column as i64)]);
            hint(&context, "store the table with dtype=\"float32\"");
            "RangeError"
        }
        Error::CacheCorrupt { path, .. } => {
            let _ = context.set_item("path", path);
            hint(&context, "run 'tlengine cache verify', then 'tlengine cache repair'");
            "CacheCorruptionError"
        }
        Error::CacheFormat { path, found, supported } => {
            let _ = context.set_item("path", path);
            set(&context, &[("found", i64::from(*found)), ("supported", i64::from(*supported))]);
            hint(&context, "upgrade tlengine, or use another cache directory");
            "CacheFormatError"
        }
        Error::CacheFull { path, errno, needed, free, .. } => {
            let _ = context.set_item("path", path);
            set(&context, &[("errno", i64::from(*errno))]);
            set(&context, &[("needed", *needed as i64), ("free", *free as i64)]);
            hint(&context, "free some space ('tlengine cache gc' helps), then run again");
            "CacheFullError"
        }
        Error::CacheIo { path, errno, .. } => {
            let _ = context.set_item("path", path);
            set(&context, &[("errno", i64::from(*errno))]);
            hint(
                &context,
                "check the path, its permissions and the disk, or set TLENGINE_HOME to another folder",
            );
            "CacheIOError"
        }
        Error::CacheReadOnly { path, .. } => {
            let _ = context.set_item("path", path);
            hint(&context, "open it without read_only, or use a place that you may write");
            "CacheReadOnlyError"
        }
        Error::CacheLocked { path, .. } => {
            let _ = context.set_item("path", path);
            hint(&context, "wait for the other process, or end it");
            "CacheLockTimeout"
        }
        _ => "InternalError",
    };
    raise(py, class, &error.to_string(), &context)
}

fn set(context: &Bound<'_, PyDict>, facts: &[(&str, i64)]) {
    for (name, value) in facts {
        let _ = context.set_item(name, value);
    }
}

fn hint(context: &Bound<'_, PyDict>, text: &str) {
    let _ = context.set_item("hint", text);
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
