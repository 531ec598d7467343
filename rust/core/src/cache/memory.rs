//! Memory that grows with the data: an error where there is none, never an abort.

use std::io;

use crate::error::{Error, Result};

/// An empty vector with room for `length` values.
pub fn room<T>(length: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    more(&mut vector, length, what)?;
    Ok(vector)
}

/// Makes room for `additional` values more.
pub fn more<T>(vector: &mut Vec<T>, additional: usize, what: &'static str) -> Result<()> {
    let bytes = additional.saturating_mul(size_of::<T>());
    vector.try_reserve(additional).map_err(|_| Error::OutOfMemory { what, bytes })
}

/// Gives `bytes` this length, for a file to be read into.
pub fn resize(bytes: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let additional = length.saturating_sub(bytes.len());
    bytes.try_reserve(additional).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(length, 0);
    Ok(())
}
