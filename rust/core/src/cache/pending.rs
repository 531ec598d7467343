//! What was put by one handle and is not yet durable.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::checksum::Key;
use super::writer::Writer;

/// Rows that may wait for a commit, in bytes.
pub const COMMIT_BYTES: usize = 32 << 20;

/// Rows on their way to the disk.
#[derive(Debug, Default)]
pub struct Pending {
    /// The writer, once something new was put.
    pub writer: Option<Writer>,
    /// When the oldest pending row came.
    pub since: Option<Instant>,
    /// Keys that were put but found in segments, by number, that may not be durable yet.
    pub relied: HashMap<u32, Vec<Key>>,
    /// Keys that were put and could not be kept. Until they are put again, no flush succeeds:
    /// any of the threads that share this table may have put them.
    pub lost: HashSet<Key>,
}
