//! Removing files: leftovers, files out of service, whole tables.

use std::io;

use super::lock::{LOCK, Lock};
use super::problem;
use super::root::{Cache, MANIFEST, TEMPORARY, is_table};
use super::segment::{BAD, LOG, ROWS, parse};
use super::storage::Dir;
use crate::error::{Error, Result};
use crate::parallel::Run;

impl Cache {
    /// Takes the maintenance lock.
    pub fn lock(&self, run: Run<'_>) -> Result<Lock> {
        self.check_writable()?;
        Lock::acquire(run, &**self.root(), self.patience)
    }

    /// Removes what no reader will ever look at, from every table: files out of service, temporary
    /// files and segments without a commit whose writers are gone. Returns files and bytes.
    pub fn sweep(&self, run: Run<'_>, dry_run: bool) -> Result<(usize, u64)> {
        let _lock = if dry_run { None } else { Some(self.lock(run)?) };
        let mut total = (0, 0);
        for table in self.root().list().unwrap_or_default().iter().filter(|name| is_table(name)) {
            run.check()?;
            let Ok(dir) = self.root().subdir(table, false) else { continue };
            for file in dir.list().unwrap_or_default() {
                if !is_leftover(&*dir, &file) {
                    continue;
                }
                total.0 += 1;
                total.1 += dir.open(&file).and_then(|file| file.len()).unwrap_or(0);
                if !dry_run {
                    dir.remove(&file).map_err(|e| problem::io(&*dir, "remove", &file, &e))?;
                }
            }
        }
        Ok(total)
    }

    /// Removes a table with all its files.
    ///
    /// # Errors
    /// [`Error::CacheLocked`] while a living process writes to it.
    pub fn remove(&self, run: Run<'_>, name: &str) -> Result<()> {
        let _lock = self.lock(run)?;
        let fail = |error: io::Error| problem::io(&**self.root(), "remove", name, &error);
        let dir = match self.root().subdir(name, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(fail)?,
        };
        let files = dir.list().map_err(fail)?;
        if let Some(file) = files.iter().find(|f| f.ends_with(LOG) && is_held(&*dir, f)) {
            return Err(Error::CacheLocked {
                path: dir.path().join(file).display().to_string(),
                holder: "a process that writes to this table".into(),
                seconds: 0,
            });
        }
        for file in files.iter().filter(|file| is_ours(file)) {
            dir.remove(file).map_err(|error| problem::io(&*dir, "remove", file, &error))?;
        }
        self.root().remove_dir(name).map_err(fail)
    }

    fn check_writable(&self) -> Result<()> {
        self.writable().clone().map_err(|why| Error::CacheReadOnly {
            path: self.root().path().display().to_string(),
            why,
        })
    }
}

fn is_held(dir: &dyn Dir, file: &str) -> bool {
    dir.open(file).is_ok_and(|file| !file.try_lock().unwrap_or(true))
}

/// Whether the cache could have made a file of this name.
fn is_ours(file: &str) -> bool {
    let plain = file.strip_suffix(BAD).unwrap_or(file);
    let is_segment = parse(plain, LOG).is_some() || parse(plain, ROWS).is_some();
    is_segment || file == MANIFEST || file == LOCK || file.starts_with(TEMPORARY)
}

fn is_leftover(dir: &dyn Dir, file: &str) -> bool {
    if file.ends_with(BAD) || file.starts_with(TEMPORARY) {
        return is_ours(file) && !is_held(dir, file);
    }
    let twin = file.replace(ROWS, LOG);
    let is_segment = parse(file, LOG).is_some() || parse(file, ROWS).is_some();
    is_segment && has_no_commit(dir, &twin) && !is_held(dir, &twin)
}

/// Whether a log ends with its header, or is not there.
fn has_no_commit(dir: &dyn Dir, log: &str) -> bool {
    match dir.open(log).and_then(|file| file.len()) {
        Ok(length) => length <= super::format::LOG_HEADER as u64,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
