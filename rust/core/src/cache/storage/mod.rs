//! What the cache asks of a file system, as two small traits: [`Dir`] and [`File`].
//!
//! [`Disk`] is the real one. [`Sim`] keeps everything in memory, fails or stops at the n-th
//! operation and forgets, reorders or tears what was not synced: the crash tests run on it.
//! Every name is one component made by the cache itself (hex digits and a fixed suffix).

mod absent;
mod disk;
mod sim;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use absent::Absent;
pub use disk::Disk;
pub use sim::{Fault, Locks, Sim};

use super::mapping::{Map, Window};
use super::names::BAD;

/// The number of a device, and that of a file on it.
pub type Identity = (i128, u64);

/// An open directory. Operations stay inside it whatever happens to its path.
pub trait Dir: Send + Sync + Debug {
    /// Where it was opened, for messages only.
    fn path(&self) -> &Path;
    /// A directory inside this one; with `create` it is made where missing.
    fn subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Dir>>;
    /// The names in it, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The length of a file in bytes.
    fn length(&self, name: &str) -> io::Result<u64>;
    /// What [`File::identity`] says of the file of this name.
    fn identity(&self, name: &str) -> io::Result<Identity>;
    /// An existing file, for reading; symbolic links are refused.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// A new file, for reading and writing; an existing name is an error.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// An existing file, for reading and writing.
    fn edit(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Gives `from` the name `to`; an existing `to` is an error.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Removes an empty directory inside this one.
    fn remove_dir(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals in this directory durable, where the file system can.
    fn sync(&self) -> io::Result<()>;
    /// Whether the file system can.
    fn can_sync(&self) -> io::Result<bool>;
    /// Notes that the file is in use, for `gc(unused_for=...)` only.
    fn touch(&self, name: &str) -> io::Result<()>;
    /// Seconds since the last [`Dir::touch`] of the file, for `gc(unused_for=...)` only.
    fn idle_seconds(&self, name: &str) -> io::Result<u64>;
    /// Bytes left on the device.
    fn free_bytes(&self) -> u64;
}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// What tells it from all other files, whatever names it has.
    fn identity(&self) -> io::Result<Identity>;
    /// Reads at most `buffer.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at most `bytes.len()` bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes its content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Makes the file read-only for everybody who can read it.
    fn protect(&self) -> io::Result<()>;
    /// Takes the exclusive lock of the file without waiting; the kernel frees it with the handle.
    /// On NFS the file must be open for writing.
    fn try_lock(&self) -> io::Result<bool>;
    /// The same for a shared lock, for which a file that is open for reading will do.
    fn try_share(&self) -> io::Result<bool>;
    /// Gives the lock back at once, also where a forked process still has the handle.
    fn unlock(&self) -> io::Result<()>;
    /// The first `length` bytes mapped into memory, or None where this file system cannot be
    /// trusted with mappings.
    fn map(&self, length: usize) -> io::Result<Option<Map>>;
    /// The whole file mapped to be copied from, or None where reading is better.
    fn window(&self) -> Option<Arc<Window>>;
}

/// Random bytes from the operating system, for names: a forked process must not get those of its
/// parent.
pub fn random() -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    #[cfg(target_os = "linux")]
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    #[cfg(not(target_os = "linux"))]
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

/// Fills `buffer` from `offset` on. A file that ends too early is `UnexpectedEof`.
pub fn read_exact_at(file: &dyn File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buffer = &mut buffer[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`, through short writes and interruptions.
pub fn write_all_at(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the file is still the one of this name.
pub fn is_named(dir: &dyn Dir, name: &str, file: &dyn File) -> io::Result<bool> {
    match dir.identity(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        outcome => Ok(outcome? == file.identity()?),
    }
}

/// Gives the file `name`, open as `file`, the name `aside`, unless it holds more than `length` bytes
/// by then: it gets its name back, and the answer is false. Locks are worth nothing here, and
/// somebody was told that what he appended is safe. (Whoever appends later finds that his file has
/// lost its name, and is told so.)
pub fn set_aside(
    dir: &dyn Dir,
    (name, aside): (&str, &str),
    file: &dyn File,
    length: u64,
) -> io::Result<bool> {
    dir.rename(name, aside)?;
    let is_unchanged = file.len().map(|now| now <= length);
    if !matches!(is_unchanged, Ok(true)) {
        dir.rename(aside, name)?;
        dir.sync()?;
    }
    is_unchanged
}

/// Removes the file `name`, open as `file`, which held `length` bytes when it was read; false where it
/// has grown since, and stays.
pub fn remove_unchanged(
    dir: &dyn Dir,
    name: &str,
    file: &dyn File,
    length: u64,
) -> io::Result<bool> {
    let aside = format!("{name}{BAD}");
    let is_unchanged = set_aside(dir, (name, &aside), file, length)?;
    if is_unchanged {
        dir.remove(&aside)?;
    }
    Ok(is_unchanged)
}
