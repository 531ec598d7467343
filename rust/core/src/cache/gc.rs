//! Removing files: leftovers, files out of service, whole tables.

use std::io;
use std::sync::Arc;

use super::format::LOG_HEADER;
use super::lock::{Free, Lock, unheld};
use super::names::{BAD, LOG, ROWS, TEMPORARY, is_ours, is_segment, is_table};
use super::problem;
use super::root::Cache;
use super::storage::{Dir, remove_unchanged};
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
    ///
    /// # Errors
    /// Whatever cannot be read or locked stays, the others go, and the error tells the first of them:
    /// nothing is removed that was not seen to be a leftover.
    pub fn sweep(&self, run: Run<'_>, dry_run: bool) -> Result<(usize, u64)> {
        let _lock = if dry_run { None } else { Some(self.lock(run)?) };
        let mut swept = Swept::default();
        for table in self.table_names()? {
            run.check()?;
            match self.root().subdir(&table, false) {
                Err(error) if is_elsewhere(&error) => {}
                Err(error) => swept.fail(problem::io(&**self.root(), "open", &table, &error)),
                Ok(dir) => {
                    if let Err(error) = swept.table(&dir, dry_run) {
                        swept.fail(problem::io(&*dir, "sweep", "", &error));
                    }
                }
            }
        }
        swept.error.map_or(Ok((swept.files, swept.bytes)), Err)
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
        let mut files = dir.list().map_err(fail)?;
        for file in files.iter().filter(|file| file.ends_with(LOG)) {
            if unheld(&*dir, file).map_err(fail)?.is_none() {
                return Err(Error::CacheLocked {
                    path: dir.path().join(file).display().to_string(),
                    holder: "a process that writes to this table".into(),
                    seconds: 0,
                });
            }
        }
        // Logs first, for good: a log without rows would look like damage.
        files.retain(|file| is_ours(file));
        let (logs, others): (Vec<_>, Vec<_>) = files.iter().partition(|f| f.ends_with(LOG));
        for files in [logs, others] {
            for file in files {
                dir.remove(file).map_err(|error| problem::io(&*dir, "remove", file, &error))?;
            }
            dir.sync().map_err(fail)?;
        }
        self.root().remove_dir(name).map_err(fail)
    }

    /// The names of all tables, sorted.
    pub(super) fn table_names(&self) -> Result<Vec<String>> {
        let mut names = match self.root().list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            outcome => outcome.map_err(|e| problem::io(&**self.root(), "list", "", &e))?,
        };
        names.retain(|name| is_table(name));
        Ok(names)
    }

    fn check_writable(&self) -> Result<()> {
        self.writable().clone().map_err(|why| Error::CacheReadOnly {
            path: self.root().path().display().to_string(),
            why,
        })
    }
}

/// What a sweep has removed, and the first thing that it could not look at.
#[derive(Default)]
struct Swept {
    files: usize,
    bytes: u64,
    error: Option<Error>,
}

impl Swept {
    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Sweeps one table.
    fn table(&mut self, dir: &Arc<dyn Dir>, dry_run: bool) -> io::Result<()> {
        let (rows, others): (Vec<_>, Vec<_>) =
            dir.list()?.into_iter().partition(|file| file.ends_with(ROWS));
        for (files, is_rows) in [(others, false), (rows, true)] {
            // A power cut must not bring a log back whose rows are gone: that is damage.
            if is_rows && !dry_run {
                dir.sync()?;
            }
            for file in files {
                match sweep_file(&**dir, &file, dry_run) {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        (self.files, self.bytes) = (self.files + 1, self.bytes + bytes);
                    }
                    Err(error) => self.fail(problem::io(&**dir, "sweep", &file, &error)),
                }
            }
        }
        Ok(())
    }
}

/// Whether a table is gone by now, or somebody else's.
fn is_elsewhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

/// Removes a file if it is a leftover; returns its length then.
fn sweep_file(dir: &dyn Dir, file: &str, dry_run: bool) -> io::Result<Option<u64>> {
    let Some(holder) = leftover(dir, file)? else { return Ok(None) };
    let length = match dir.length(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome?,
    };
    if dry_run {
        return Ok(Some(length));
    }
    let is_log = file.ends_with(LOG);
    let is_gone = match &holder.0 {
        Some(log) if is_log => remove_unchanged(dir, file, &**log, LOG_HEADER as u64)?,
        _ => match dir.remove(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            outcome => outcome.map(|()| true)?,
        },
    };
    Ok(is_gone.then_some(length))
}

/// The lock of a leftover, held so that nobody takes it up meanwhile; None where a file is in use.
fn leftover(dir: &dyn Dir, file: &str) -> io::Result<Option<Free>> {
    if file.ends_with(BAD) || file.starts_with(TEMPORARY) {
        return if is_ours(file) { unheld(dir, file) } else { Ok(None) };
    }
    if !is_segment(file) {
        return Ok(None);
    }
    let Some(log) = unheld(dir, &file.replace(ROWS, LOG))? else { return Ok(None) };
    // Asked under the lock: a log that nobody holds never changes again.
    let length = log.0.as_ref().map_or(Ok(0), |log| log.len())?;
    Ok((length <= LOG_HEADER as u64).then_some(log))
}
