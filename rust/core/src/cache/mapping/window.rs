//! A file mapped to copy rows out of it, faster than `pread` does.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::guard::{Guard, watch};
use crate::simd::checksum::{Stores, copy_checksum};

/// The beginning of a file, mapped to be copied from. Pages that the file no longer has, or that
/// the disk cannot read, are copied as zeros: the checksum of the copy tells.
#[derive(Debug)]
pub struct Window {
    // Dropped first: a range is never guarded after it was unmapped.
    guard: Guard,
    raw: MmapRaw,
}

impl Window {
    /// Maps the first `length` bytes; None where too many files are mapped already, or where the
    /// kernel does not let a bad page be replaced.
    pub fn new(file: BorrowedFd<'_>, length: usize) -> io::Result<Option<Window>> {
        let raw = MmapOptions::new().len(length).map_raw_read_only(file.as_raw_fd())?;
        let Some(guard) = Guard::new(raw.as_ptr() as usize, raw.len()) else { return Ok(None) };
        // Rows are asked for in any order: what lies behind one is not wanted.
        let _ = raw.advise(Advice::Random);
        Ok(Some(Window { guard, raw }))
    }

    /// Whether it still shows the file: after the first page that could not be read it is all zeros.
    pub fn is_intact(&self) -> bool {
        self.guard.is_intact()
    }

    /// Whether reading is safe now; to be asked before a run of copies.
    pub fn is_guarded(&self) -> bool {
        watch()
    }

    /// The mapped length in bytes.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Copies the bytes from `offset` on and returns the XXH3-128 of the copy; None where they lie
    /// outside. Those from `next` on are the ones that will be wanted then.
    pub fn copy(
        &self,
        offset: u64,
        into: &mut [u8],
        seed: u64,
        next: u64,
        stores: Stores,
    ) -> Option<u128> {
        let at = self.at(offset, into.len())?;
        // SAFETY: `into.len()` bytes from `at` on lie in the mapping, which lives as long as `self`;
        // `into` is exclusively borrowed and no part of it. Another process may change the bytes
        // meanwhile, so no reference to them is made. The checksum is that of the registers that are
        // stored: the compilers that we know load each byte once, which the language does not
        // promise. (Were one to load twice, a row that some other program overwrites in between
        // could pass; tlengine never overwrites.)
        Some(unsafe {
            copy_checksum(at, into, seed, self.raw.as_ptr().wrapping_add(next as usize), stores)
        })
    }

    fn at(&self, offset: u64, length: usize) -> Option<*const u8> {
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(length)?;
        (end <= self.raw.len()).then(|| self.raw.as_ptr().wrapping_add(offset))
    }
}
