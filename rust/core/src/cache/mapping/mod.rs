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

use memmap2::{MmapOptions, MmapRaw};

/// Memory that may be written to without any file changing: the beginning of a file, mapped
/// privately, or zeros. Handed out as a raw pointer, because another process may still change or
/// cut the file; a cut file raises SIGBUS on access, which only the caller of a *view* is exposed to.
#[derive(Debug)]
pub struct Map {
    raw: MmapRaw,
}

impl Map {
    /// Maps the first `length` bytes, all of which must lie inside the file. They may be more than
    /// there is memory: nothing is set aside for pages that nobody writes to.
    pub fn new(file: BorrowedFd<'_>, length: usize) -> io::Result<Map> {
        let mut options = MmapOptions::new();
        options.len(length).no_reserve_swap();
        // SAFETY: no reference into the mapping is ever made here; users get a raw pointer and
        // take over the contract that is stated above.
        let map = unsafe { options.map_copy(file.as_raw_fd()) }?;
        Ok(Map { raw: map.into() })
    }

    /// `length` bytes of memory, zeros until `fill` has been there.
    pub fn filled(
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Map> {
        let mut map = MmapOptions::new().len(length.max(1)).map_anon()?;
        fill(&mut map[..length])?;
        Ok(Map { raw: map.into() })
    }

    /// Where it begins; valid, and free to be written to, while `self` lives.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.raw.as_mut_ptr()
    }
}
