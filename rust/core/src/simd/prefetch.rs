//! Asking memory for numbers before they are needed.

#![expect(clippy::needless_range_loop, reason = "see the comment on loops")]

use super::Kernels;

/// Bytes that come from memory together.
const LINE: usize = 64;

/// Asks for the cache lines that begin among the `count` numbers from `at` on of some rows, which may
/// lie beyond the ends. A few lines at a time between other work, so that none waits for a free place.
#[inline(always)]
pub(super) fn prefetch_parts<T, const N: usize>(rows: &[&[T]; N], at: usize, count: usize) {
    let size = size_of::<T>();
    let mut line = (at * size).next_multiple_of(LINE);
    // Plain loops, for the reason given in `exact`.
    while line < (at + count) * size {
        #[cfg(target_arch = "x86_64")]
        for n in 0..N {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let place = rows[n].as_ptr().cast::<i8>().wrapping_add(line);
            // SAFETY: a prefetch reads nothing that a program could see, from any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place) }
        }
        line += LINE;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = rows;
}

impl Kernels {
    /// Asks for numbers that are needed soon, and not for long, so that their way from memory is over
    /// by then.
    pub fn prefetch<T>(self, row: &[T]) {
        #[cfg(target_arch = "x86_64")]
        for line in (0..size_of_val(row)).step_by(LINE) {
            use std::arch::x86_64::{_MM_HINT_NTA, _mm_prefetch};
            let line = row.as_ptr().cast::<i8>().wrapping_add(line);
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_NTA>(line) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = row;
    }
}
