//! Large allocations that fail with an error where the plain ones end the process.

use crate::error::{Error, Result};

/// An empty vector with room for `length` elements.
pub(crate) fn room<T>(length: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    vector.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { what, bytes })?;
    Ok(vector)
}

/// A vector of `length` times `value`.
pub(crate) fn filled<T: Clone>(value: T, length: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = room(length, what)?;
    vector.resize(length, value);
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error() {
        assert_eq!(filled(7u8, 3, "a test").unwrap(), [7, 7, 7]);
        for length in [isize::MAX as usize / 8, usize::MAX] {
            let lack = filled(0.0f64, length, "a test").unwrap_err();
            assert!(matches!(lack, Error::OutOfMemory { what: "a test", .. }), "{lack}");
        }
    }
}
