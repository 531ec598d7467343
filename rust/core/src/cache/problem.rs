//! From the operating system's refusals to the cache's errors.

use std::io;

use rustix::io::Errno;

use super::storage::Dir;
use crate::error::Error;

/// The error for a failed operation on `name` in `dir`.
pub fn io(dir: &dyn Dir, action: &'static str, name: &str, error: &io::Error) -> Error {
    let path = dir.path().join(name).display().to_string();
    let reason = error.to_string();
    let errno = error.raw_os_error().unwrap_or(0);
    if error.kind() == io::ErrorKind::OutOfMemory {
        return Error::OutOfMemory { what: "reading the cache", bytes: 0 };
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
            Error::CacheFull { path, reason, errno, needed: 0, free: dir.free_bytes() }
        }
        Some(Errno::ROFS) => Error::CacheReadOnly { path, why: reason },
        _ => Error::CacheIo { path, action, reason, errno },
    }
}

/// The same error with the bytes that the failed write needed.
pub fn needing(error: Error, bytes: usize) -> Error {
    match error {
        Error::CacheFull { path, reason, errno, free, .. } => {
            Error::CacheFull { path, reason, errno, needed: bytes as u64, free }
        }
        other => other,
    }
}

/// Whether a file system says that it has no locks.
pub fn is_without_locks(error: &io::Error) -> bool {
    const NONE: [Errno; 6] =
        [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::BADF];
    Errno::from_io_error(error).is_some_and(|error| NONE.contains(&error))
}

/// Whether the process or the system is short of something, which says nothing about a file.
pub fn is_shortage(error: &io::Error) -> bool {
    out_of_descriptors(error) || error.kind() == io::ErrorKind::OutOfMemory
}

/// Whether the process or the system has no file descriptor left.
pub fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
