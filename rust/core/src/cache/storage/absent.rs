//! A directory that is not there: a read-only cache before anybody wrote it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dir, File, Identity};

/// Every operation on it is `NotFound`.
#[derive(Debug)]
pub struct Absent(pub PathBuf);

fn missing<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error()))
}

impl Dir for Absent {
    fn path(&self) -> &Path {
        &self.0
    }

    fn subdir(&self, _name: &str, _create: bool) -> io::Result<Arc<dyn Dir>> {
        missing()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        missing()
    }

    fn length(&self, _name: &str) -> io::Result<u64> {
        missing()
    }

    fn identity(&self, _name: &str) -> io::Result<Identity> {
        missing()
    }

    fn open(&self, _name: &str) -> io::Result<Arc<dyn File>> {
        missing()
    }

    fn create(&self, _name: &str) -> io::Result<Arc<dyn File>> {
        missing()
    }

    fn edit(&self, _name: &str) -> io::Result<Arc<dyn File>> {
        missing()
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        missing()
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        missing()
    }

    fn remove_dir(&self, _name: &str) -> io::Result<()> {
        missing()
    }

    fn sync(&self) -> io::Result<()> {
        missing()
    }

    fn can_sync(&self) -> io::Result<bool> {
        missing()
    }

    fn touch(&self, _name: &str) -> io::Result<()> {
        missing()
    }

    fn idle_seconds(&self, _name: &str) -> io::Result<u64> {
        missing()
    }

    fn free_bytes(&self) -> u64 {
        0
    }
}
