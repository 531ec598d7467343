//! Numbers of an index of its own, or where they lie in bytes of somebody else; how such bytes are written and
//! read, part by part.

use std::ops::Deref;
use std::sync::Arc;

use bytemuck::{Pod, cast_slice, try_cast_slice};

use crate::error::{Error, Result};

const ALIGNMENT: usize = 64;
const WHAT: &str = "the codes of an index";

/// Bytes that somebody else owns and nobody changes.
pub trait Memory: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];
}

/// Numbers of an index's own, or a part of shared memory.
pub enum Kept<S> {
    Own(Vec<S>),
    Shared { memory: Arc<dyn Memory>, start: usize, end: usize },
}

impl<S: Pod> Deref for Kept<S> {
    type Target = [S];

    fn deref(&self) -> &[S] {
        match self {
            Self::Own(values) => values,
            Self::Shared { memory, start, end } => cast_slice(&memory.bytes()[*start..*end]),
        }
    }
}

/// Parts one after the other, as they are written.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn put<S: Pod>(&mut self, values: &[S]) -> Result<()> {
        let start = self.bytes.len().next_multiple_of(ALIGNMENT);
        let more = start - self.bytes.len() + size_of_val(values);
        let lack = |_| Error::OutOfMemory { what: WHAT, bytes: more };
        self.bytes.try_reserve(more).map_err(lack)?;
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(cast_slice(values));
        Ok(())
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Parts one after the other, as they are read; nothing is believed that does not fit.
pub struct Reader {
    memory: Arc<dyn Memory>,
    at: usize,
}

impl Reader {
    pub fn new(memory: Arc<dyn Memory>) -> Self {
        Self { memory, at: 0 }
    }

    pub fn take<S: Pod>(&mut self, length: usize) -> Result<Kept<S>> {
        let start = self.at.next_multiple_of(ALIGNMENT);
        let end = length.checked_mul(size_of::<S>()).and_then(|bytes| start.checked_add(bytes));
        let part = end.and_then(|end| self.memory.bytes().get(start..end)).ok_or_else(odd)?;
        try_cast_slice::<u8, S>(part).map_err(|_| odd())?;
        self.at = start + part.len();
        Ok(Kept::Shared { memory: Arc::clone(&self.memory), start, end: self.at })
    }

    pub fn take_usize(&mut self, length: usize) -> Result<Vec<usize>> {
        let found = self.take::<u64>(length)?;
        found.iter().map(|&value| usize::try_from(value).map_err(|_| odd())).collect()
    }
}

/// The error for bytes that no index has written.
pub fn odd() -> Error {
    Error::Invalid("these are not the codes of an index over these rows".into())
}
