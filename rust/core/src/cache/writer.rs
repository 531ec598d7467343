//! Appending to a segment of one's own.
//!
//! The order that durability rests on: rows are written and synced, then the commit that
//! publishes them is written and synced. After a failed sync nothing about the file is certain
//! any more, so the segment is abandoned, never synced again; what it published stays.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::checksum::Key;
use super::format::{COMMIT_HEADER, Commit, ENTRY, Entry, Identity, LOG_HEADER, Shape};
use super::log::Span;
use super::memory;
use super::names::{LOG, ROWS, TEMPORARY, hex};
use super::problem;
use super::storage::{Dir, File, is_named, read_exact_at, write_all_at};
use crate::error::{Error, Result};

const WHAT: &str = "a commit";
const PENDING: &str = "rows that wait for a commit";

/// The open end of one segment.
#[derive(Debug)]
pub struct Writer {
    /// The number of its segment within the table.
    pub segment: u32,
    identity: Identity,
    dir: Arc<dyn Dir>,
    home: Arc<dyn Dir>,
    rows: Arc<dyn File>,
    log: Arc<dyn File>,
    /// Rows written, published or not.
    next: u64,
    log_end: u64,
    named: bool,
    /// Whether a commit was tried: somebody may have seen it, and rely on it, even where it failed.
    tried: bool,
    durable: bool,
    pending: VecDeque<Entry>,
    seconds: f64,
}

/// Times that a new log is begun again because somebody swept it away.
const ATTEMPTS: usize = 8;

/// A new log whose lock is held. It gets its name when that is so: maintenance takes a log that
/// nobody holds for one whose writer is gone. Whoever sweeps temporary files may be holding it for
/// a moment, and then removes it. Where there are no locks, none is needed to be safe: maintenance
/// cannot have them either, and does nothing then.
fn start_log(dir: &Arc<dyn Dir>, identity: &Identity, log_name: &str) -> Result<Arc<dyn File>> {
    let temporary = format!("{TEMPORARY}{}", hex(&identity.segment));
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let mut swept = gone();
    for _ in 0..ATTEMPTS {
        let file = start(dir, &temporary, &identity.log_header())?;
        let locked = match file.try_lock() {
            Err(error) if problem::is_without_locks(&error) => Ok(true),
            outcome => outcome,
        };
        match locked
            .and_then(|locked| if locked { dir.rename(&temporary, log_name) } else { Err(gone()) })
        {
            Ok(()) => return Ok(file),
            Err(error) => swept = error,
        }
        let _ = dir.remove(&temporary);
        if swept.kind() != io::ErrorKind::NotFound {
            break;
        }
    }
    Err(problem::io(&**dir, "create", log_name, &swept))
}

/// A new file that begins with `header`; nothing is left of it if that fails.
fn start(dir: &Arc<dyn Dir>, file_name: &str, header: &[u8]) -> Result<Arc<dyn File>> {
    let fail = |action, error: &io::Error| problem::io(&**dir, action, file_name, error);
    let file = dir.create(file_name).map_err(|error| fail("create", &error))?;
    if let Err(error) = write_all_at(&*file, header, 0) {
        let _ = dir.remove(file_name);
        return Err(problem::needing(fail("write", &error), header.len()));
    }
    Ok(file)
}

/// The rows that one commit is about to publish.
#[derive(Debug)]
pub struct Batch {
    first: u64,
    entries: Vec<Entry>,
    seconds: f64,
}

impl Batch {
    /// Its rows, the first of which has the number [`Batch::first`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number of its first row.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// What its rows cost to compute.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}

impl Writer {
    /// Creates the files of the segment `id` in `dir`, which lies in `home`.
    pub fn create(
        dir: &Arc<dyn Dir>,
        home: &Arc<dyn Dir>,
        table: &Key,
        id: [u8; 16],
        shape: Shape,
        durable: bool,
    ) -> Result<Writer> {
        let identity = Identity { table: *table, segment: id, shape };
        let log_name = hex(&id) + LOG;
        let log = start_log(dir, &identity, &log_name)?;
        let rows = start(dir, &(hex(&id) + ROWS), &identity.rows_header()).inspect_err(|_| {
            let _ = dir.remove(&log_name);
        })?;
        Ok(Writer {
            segment: 0,
            identity,
            dir: Arc::clone(dir),
            home: Arc::clone(home),
            rows,
            log,
            next: 0,
            log_end: LOG_HEADER as u64,
            named: false,
            tried: false,
            durable,
            pending: VecDeque::new(),
            seconds: 0.0,
        })
    }

    /// The number that the next appended row gets.
    pub fn next_row(&self) -> u64 {
        self.next
    }

    /// Bytes of rows that are not published yet.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len() * self.identity.shape.stride()
    }

    /// The pending entry of row `row`, if it is pending.
    pub fn pending_entry(&self, row: u64) -> Option<&Entry> {
        row.checked_sub(self.first_pending()).and_then(|at| self.pending.get(at as usize))
    }

    /// Writes rows, which stay unpublished until a commit. All or none are taken.
    pub fn append(&mut self, keys: &[Key], bytes: &[u8], seconds: f64) -> Result<()> {
        let shape = self.identity.shape;
        let offset = shape.offset(self.next);
        let lack = |_| Error::OutOfMemory { what: PENDING, bytes: keys.len() * ENTRY };
        self.pending.try_reserve(keys.len()).map_err(lack)?;
        if let Err(error) = write_all_at(&*self.rows, bytes, offset) {
            // Gives the space back; the bytes beyond the last row mean nothing either way.
            let _ = self.rows.truncate(offset);
            return Err(problem::needing(self.fail("write", ROWS, &error), bytes.len()));
        }
        let binding = self.identity.binding();
        for (key, row) in keys.iter().zip(bytes.chunks_exact(shape.stride())) {
            self.pending.push_back(Entry { key: *key, check: binding.row(self.next, key, row) });
            self.next += 1;
        }
        self.seconds += seconds;
        Ok(())
    }

    /// The number of the first pending row.
    pub fn first_pending(&self) -> u64 {
        self.next - self.pending.len() as u64
    }

    /// Takes the oldest pending rows, `limit` at most, for a commit.
    pub fn take(&mut self, limit: usize) -> Result<Batch> {
        let first = self.first_pending();
        let entries = if limit >= self.pending.len() {
            Vec::from(std::mem::take(&mut self.pending))
        } else {
            let mut entries = memory::room(limit, PENDING)?;
            entries.extend(self.pending.drain(..limit));
            entries
        };
        let share = entries.len() as f64 / (entries.len() + self.pending.len()).max(1) as f64;
        let seconds = self.seconds * share;
        self.seconds -= seconds;
        Ok(Batch { first, entries, seconds })
    }

    /// Puts rows back whose commit could not be written, to be tried again.
    pub fn restore(&mut self, batch: Batch) {
        let mut entries = VecDeque::from(batch.entries);
        entries.append(&mut self.pending);
        self.pending = entries;
        self.seconds += batch.seconds;
    }

    /// The keys and bytes of the rows from `first` on that can still be read back; the keys of
    /// the others.
    pub fn salvage(&self, entries: &[Entry], first: u64) -> (Vec<Key>, Vec<u8>, Vec<Key>) {
        let shape = self.identity.shape;
        let (mut keys, mut bytes, mut lost) = (vec![], vec![], vec![]);
        let mut row = vec![0; shape.stride()];
        for (number, entry) in (first..).zip(entries) {
            let read = read_exact_at(&*self.rows, &mut row, shape.offset(number)).is_ok();
            if read && self.identity.binding().row(number, &entry.key, &row) == entry.check {
                keys.push(entry.key);
                bytes.extend_from_slice(&row);
            } else {
                lost.push(entry.key);
            }
        }
        (keys, bytes, lost)
    }

    /// What a commit needs, so that it can run while more rows are appended.
    pub fn committer(&mut self) -> Committer {
        self.tried = true;
        Committer {
            identity: self.identity,
            dir: Arc::clone(&self.dir),
            home: Arc::clone(&self.home),
            rows: Arc::clone(&self.rows),
            log: Arc::clone(&self.log),
            log_end: self.log_end,
            named: self.named,
            durable: self.durable,
        }
    }

    /// Notes that a commit ended at `log_end`.
    pub fn committed(&mut self, log_end: u64) {
        self.log_end = log_end;
        self.named = true;
    }

    /// Ends the segment: nothing can be appended afterwards. Where no commit was tried its files go.
    /// Returns the end of the log.
    pub fn seal(self) -> Result<u64> {
        let sealed = if self.named { self.write_seal() } else { Ok(self.log_end) };
        if !self.tried {
            for suffix in [LOG, ROWS] {
                let _ = self.dir.remove(&(hex(&self.identity.segment) + suffix));
            }
        }
        self.give_up();
        sealed
    }

    /// Lets maintenance have the segment at once. Closing the file would not do: a forked process
    /// has it too.
    pub fn give_up(self) {
        let _ = self.log.unlock();
    }

    fn write_seal(&self) -> Result<u64> {
        let binding = self.identity.binding();
        let seal = Commit {
            first: self.first_pending(),
            rows: 0,
            seconds: 0.0,
            seal: true,
            synced: self.durable,
            entries: binding.block(self.log_end + COMMIT_HEADER as u64, &[]),
        };
        let bytes = seal.encode(binding, self.log_end);
        write_all_at(&*self.log, &bytes, self.log_end)
            .and_then(|()| if self.durable { self.log.sync() } else { Ok(()) })
            .and_then(|()| self.log.protect())
            .and_then(|()| self.rows.protect())
            .map_err(|error| self.fail("seal", LOG, &error))?;
        Ok(self.log_end + bytes.len() as u64)
    }

    fn fail(&self, action: &'static str, suffix: &str, error: &io::Error) -> Error {
        problem::io(&*self.dir, action, &(hex(&self.identity.segment) + suffix), error)
    }
}

/// One commit under way.
#[derive(Debug)]
pub struct Committer {
    identity: Identity,
    dir: Arc<dyn Dir>,
    home: Arc<dyn Dir>,
    rows: Arc<dyn File>,
    log: Arc<dyn File>,
    log_end: u64,
    named: bool,
    durable: bool,
}

/// Why a commit did not happen.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was published; the same commit may be tried again.
    Retry(Error),
    /// The state of the files is unknown: the segment must be abandoned.
    Abandon(Error),
}

impl Failure {
    /// The error itself.
    pub fn into_error(self) -> Error {
        match self {
            Failure::Retry(error) | Failure::Abandon(error) => error,
        }
    }
}

impl Committer {
    /// Publishes `batch`; returns where the log lists it and the new end of the log.
    pub fn commit(self, batch: &Batch) -> std::result::Result<(Span, u64), Failure> {
        self.sync(&*self.rows, ROWS)?;
        if self.durable && !self.named {
            for dir in [&self.dir, &self.home] {
                let fail = |error| Failure::Abandon(problem::io(&**dir, "sync", "", &error));
                dir.sync().map_err(fail)?;
            }
        }
        let (span, bytes) = self.encode(batch).map_err(Failure::Retry)?;
        if let Err(error) = write_all_at(&*self.log, &bytes, self.log_end) {
            let error = problem::needing(self.fail("write", LOG, &error), bytes.len());
            return Err(match self.log.truncate(self.log_end) {
                Ok(()) => Failure::Retry(error),
                Err(_) => Failure::Abandon(error),
            });
        }
        self.sync(&*self.log, LOG).inspect_err(|_| {
            // Nobody shall rely on a commit that may never reach the disk.
            let _ = self.log.truncate(self.log_end);
        })?;
        self.still_there()?;
        Ok((span, self.log_end + bytes.len() as u64))
    }

    fn encode(&self, batch: &Batch) -> Result<(Span, Vec<u8>)> {
        let binding = self.identity.binding();
        let start = self.log_end + COMMIT_HEADER as u64;
        let rows = batch.entries.len() as u64;
        let mut bytes = memory::room(COMMIT_HEADER + batch.entries.len() * ENTRY, WHAT)?;
        bytes.extend_from_slice(&[0; COMMIT_HEADER]);
        bytes.extend(batch.entries.iter().flat_map(Entry::encode));
        let commit = Commit {
            first: batch.first,
            rows,
            seconds: batch.seconds,
            seal: false,
            synced: self.durable,
            entries: binding.block(start, &bytes[COMMIT_HEADER..]),
        };
        bytes[..COMMIT_HEADER].copy_from_slice(&commit.encode(binding, self.log_end));
        Ok((Span { first: batch.first, rows, entries: start }, bytes))
    }

    /// Rows in files that lost their names are not found, so their commit must fail.
    fn still_there(&self) -> std::result::Result<(), Failure> {
        for (file, suffix) in [(&self.rows, ROWS), (&self.log, LOG)] {
            let name = hex(&self.identity.segment) + suffix;
            let reason = match is_named(&*self.dir, &name, &**file) {
                Ok(true) => continue,
                Ok(false) => io::Error::from_raw_os_error(Errno::NOENT.raw_os_error()),
                Err(error) => error,
            };
            return Err(Failure::Abandon(self.fail("commit", suffix, &reason)));
        }
        Ok(())
    }

    fn sync(&self, file: &dyn File, suffix: &str) -> std::result::Result<(), Failure> {
        if !self.durable {
            return Ok(());
        }
        file.sync().map_err(|error| Failure::Abandon(self.fail("sync", suffix, &error)))
    }

    fn fail(&self, action: &'static str, suffix: &str, error: &io::Error) -> Error {
        problem::io(&*self.dir, action, &(hex(&self.identity.segment) + suffix), error)
    }
}
