//! The one place where files are mapped into memory.
//!
//! A [`Map`] is for views. A [`Window`] is for copies: a page of it that cannot be read is zeros
//! instead of the end of the process, see [`guard`].
#![allow(unsafe_code, reason = "mapping a file is unsafe by nature")]

#[cfg_attr(not(target_os = "linux"), path = "unguarded.rs")]
mod guard;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod window;

pub use window::Window;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use memmap2::{Advice, MmapOptions, MmapRaw};

/// The beginning of a file, mapped privately: what is written to the memory never reaches the
/// file. Handed out as a raw pointer, because another process may still change or cut the file;
/// a cut file raises SIGBUS on access, which only the caller of a *view* is exposed to.
#[derive(Debug)]
pub struct Map {
    raw: MmapRaw,
}

impl Map {
    /// Maps the first `length` bytes, all of which must lie inside the file.
    pub fn new(file: BorrowedFd<'_>, length: usize) -> io::Result<Map> {
        // SAFETY: no reference into the mapping is ever made here; users get a raw pointer and
        // take over the contract that is stated above.
        let map = unsafe { MmapOptions::new().len(length).map_copy(file.as_raw_fd()) }?;
        Ok(Map { raw: map.into() })
    }

    /// Brings every page in, with an error instead of a signal where the file ends too early.
    pub fn populate(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match self.raw.advise(Advice::PopulateRead) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {} // before Linux 5.14
            outcome => return outcome,
        }
        Ok(())
    }

    /// Where the mapping begins; valid while `self` lives.
    pub fn as_ptr(&self) -> *const u8 {
        self.raw.as_ptr()
    }

    /// The mapped length in bytes.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
