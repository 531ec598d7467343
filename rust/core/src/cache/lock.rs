//! The lock of maintenance: one process at a time removes or rewrites files of a cache.
//!
//! Reading and writing rows never takes it. The kernel frees it with its holder.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::names::LOCK;
use super::problem;
use super::storage::{Dir, File, read_exact_at, write_all_at};
use crate::error::{Error, Result};
use crate::parallel::Run;

const PAUSE: Duration = Duration::from_millis(20);
const HOLDER_BYTES: usize = 128;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: Arc<dyn File>,
}

/// Closing the file would not do: a process that was forked meanwhile has it too.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of the cache in `root`, waiting no longer than `patience`.
    ///
    /// # Errors
    /// [`Error::CacheLocked`] names the holder.
    pub fn acquire(run: Run<'_>, root: &dyn Dir, patience: Duration) -> Result<Lock> {
        let fail = |error: io::Error| problem::io(root, "lock", LOCK, &error);
        let file = open(root).map_err(fail)?;
        let begin = Instant::now();
        while !file.try_lock().map_err(fail)? {
            run.check()?;
            if begin.elapsed() >= patience {
                return Err(Error::CacheLocked {
                    path: root.path().join(LOCK).display().to_string(),
                    holder: holder(&*file),
                    seconds: patience.as_secs(),
                });
            }
            std::thread::sleep(PAUSE);
        }
        // For people who wait; nothing is decided by it.
        let mut note = [b' '; HOLDER_BYTES];
        let text = format!("process {} on {}", std::process::id(), host());
        let length = text.len().min(HOLDER_BYTES);
        note[..length].copy_from_slice(&text.as_bytes()[..length]);
        let _ = write_all_at(&*file, &note, 0);
        Ok(Lock { file })
    }
}

fn open(root: &dyn Dir) -> io::Result<Arc<dyn File>> {
    match root.create(LOCK) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match root.edit(LOCK) {
            // Somebody else's: it can be locked all the same, without a note.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => root.open(LOCK),
            outcome => outcome,
        },
        outcome => outcome,
    }
}

/// A file that nobody held, or that is not there; held by us until this is dropped.
#[derive(Debug)]
pub struct Free(pub Option<Arc<dyn File>>);

impl Drop for Free {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}

/// Takes the lock of a file of a table, which a living writer holds; None where somebody has it,
/// or where the file is not ours to judge. The lock is shared, which keeps every writer out: one of
/// its own would have to be asked for on NFS with a file that is open for writing.
///
/// # Errors
/// Where it cannot be told: maintenance must then leave the file alone.
pub fn unheld(dir: &dyn Dir, file: &str) -> io::Result<Option<Free>> {
    let file = match dir.open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Free(None))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(file.try_share()?.then(|| Free(Some(file))))
}

fn holder(file: &dyn File) -> String {
    let mut note = [0; HOLDER_BYTES];
    match read_exact_at(file, &mut note, 0) {
        Ok(()) => String::from_utf8_lossy(&note).trim().to_owned(),
        Err(_) => "another process".to_owned(),
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::storage::Disk;
    use super::*;

    /// A fork keeps the file open; what was locked is free all the same once it is let go.
    #[test]
    fn locks_end_with_their_holder_and_not_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (root, never) = (Disk::open(folder.path(), false).unwrap(), AtomicBool::new(false));
        let acquire = || Lock::acquire(Run::new(1, &never), &root, Duration::ZERO);
        let lock = acquire().unwrap();
        let forked = Arc::clone(&lock.file);
        assert!(matches!(acquire(), Err(Error::CacheLocked { .. })));
        drop(lock);
        drop(acquire().unwrap());
        drop(forked);
        let file = root.create("x").unwrap();
        let free = unheld(&root, "x").unwrap().unwrap();
        let forked = free.0.clone();
        assert!(!file.try_lock().unwrap(), "it is looked at");
        drop(free);
        assert!(file.try_lock().unwrap() && unheld(&root, "x").unwrap().is_none());
        drop(forked);
    }
}
