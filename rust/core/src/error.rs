//! One error type; every message holds the value, the limit and, where there is one, the fix.

/// Result of a fallible core call.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. The Python binding maps each variant to one class of `tlengine.errors`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each variant names its fields")]
pub enum Error {
    /// The caller raised the stop flag of its [`crate::Run`].
    #[error("interrupted")]
    Interrupted,
    /// The first NaN or infinity met, in reading order.
    #[error("{name} contains NaN or infinity: {value} at row {row}, column {column}")]
    NonFinite { name: &'static str, row: usize, column: usize, value: f64 },
    /// Shapes that do not fit together.
    #[error("{0}")]
    Shape(String),
    /// A parameter outside its limits.
    #[error("{0}")]
    Invalid(String),
    /// Memory for the data could not be had.
    #[error("not enough memory for {what}: {bytes} bytes")]
    OutOfMemory { what: &'static str, bytes: usize },
    /// A fault of tlengine itself, never of the input.
    #[error("internal error: {0}")]
    Internal(String),
}
