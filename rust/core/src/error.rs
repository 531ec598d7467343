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
    /// A finite number that the storage type cannot hold.
    #[error("{value} at row {row}, column {column} does not fit {dtype} (limit {limit})")]
    OutOfRange { row: usize, column: usize, value: f64, dtype: &'static str, limit: f64 },
    /// Bytes on disk are not the bytes that were written.
    #[error("{path}: {what}")]
    CacheCorrupt { path: String, what: String, rows: u64 },
    /// A file of another format version, or no cache file at all. It was left untouched.
    #[error("{path}: format version {found}, this tlengine reads up to {supported}")]
    CacheFormat { path: String, found: u32, supported: u32 },
    /// No space, quota or file size left.
    #[error("{path}: {reason} ({needed} bytes needed, {free} free); earlier commits are intact")]
    CacheFull { path: String, reason: String, errno: i32, needed: u64, free: u64 },
    /// The operating system refused something.
    #[error("{path}: cannot {action}: {reason}")]
    CacheIo { path: String, action: &'static str, reason: String, errno: i32 },
    /// A write to a cache that cannot be written.
    #[error("{path}: the cache is read-only ({why})")]
    CacheReadOnly { path: String, why: String },
    /// Another process keeps the maintenance lock.
    #[error("{path}: locked by {holder} for more than {seconds} s")]
    CacheLocked { path: String, holder: String, seconds: u64 },
    /// A fault of tlengine itself, never of the input.
    #[error("internal error: {0}")]
    Internal(String),
}
