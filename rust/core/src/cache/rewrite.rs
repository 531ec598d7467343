//! Copying the good rows of some segments into a new one: how a table is repaired and compacted.
//!
//! The order that makes it safe to die at any point: the new segment is durable and sealed before
//! the first old file goes. Until the last one went, rows lie in two places with equal bytes,
//! which hurts nobody. What cannot be read is not known to be damaged: it ends the call before
//! any file goes. Where rows are damaged, the old files stay, out of service.

use std::io;
use std::sync::Arc;

use super::checksum::Key;
use super::copying::copy;
use super::format::{LOG_HEADER, array_at};
use super::index::{Candidate, Place};
use super::lock::unheld;
use super::memory;
use super::names::{BAD, LOG, ROWS, hex, parse};
use super::problem;
use super::segment::Pool;
use super::state::{Source, Standing, State};
use super::storage::{Dir, remove_unchanged, set_aside};
use super::table::Table;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::parallel::Run;

/// What [`Table::rewrite`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Segments that were replaced.
    pub segments: Vec<String>,
    /// Rows that were copied.
    pub rows: u64,
    /// Rows that were damaged, and are gone.
    pub lost: u64,
}

impl Table {
    /// Replaces the segments `sources` by one that holds their good rows. Segments that a living
    /// process is writing are left alone. With `keep`, or where a row is damaged, the old files
    /// stay, out of service.
    ///
    /// The caller holds the maintenance lock. The new segment is synced whatever the table's
    /// durability: it takes the place of rows that others were told are safe.
    ///
    /// # Errors
    /// Whatever cannot be read, or cannot be locked, ends the call with every row in place.
    pub fn rewrite(&self, run: Run<'_>, sources: &[String], keep: bool) -> Result<Rewritten> {
        self.close()?;
        let mut ids = Vec::new();
        for which in sources {
            let id = parse(&format!("{which}{LOG}"), LOG);
            let id = id.ok_or_else(|| Error::Invalid(format!("{which:?} names no segment")))?;
            if !self.is_being_written(which)? {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut done = Rewritten::default();
        if ids.is_empty() {
            return Ok(done);
        }
        // From the disk: what this process believes of rows that it could not read counts for nothing.
        let pool = Arc::new(Pool::new(Arc::clone(self.dir())));
        let mut state = State::default();
        state.refresh(&Source { pool: &pool, ..self.source() })?;
        let copied = copy(run, &state, &ids, self.successor(&ids)?, self.commit_rows)?;
        (done.rows, done.lost) = (copied.rows, copied.lost);
        done.segments = self.retire(&state, &ids, keep || done.lost > 0)?;
        self.pool.clear();
        self.refresh()?;
        Ok(done)
    }

    /// Whether the process that writes a segment is alive (it may be this one).
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn is_being_written(&self, which: &str) -> Result<bool> {
        let log = format!("{which}{LOG}");
        let outcome = unheld(&**self.dir(), &log);
        let free = outcome.map_err(|error| problem::io(&**self.dir(), "lock", &log, &error))?;
        Ok(free.is_none())
    }

    /// Every key of the table with the row that readers get for it, in the order of the files.
    pub fn live(&self) -> Result<Vec<(Key, Candidate)>> {
        self.despite_compaction(|| self.live_once())
    }

    fn live_once(&self) -> Result<Vec<(Key, Candidate)>> {
        let state = self.fresh_state()?;
        let mut found = Vec::new();
        let mut live = memory::room(state.index.len(), "the keys of a table")?;
        let mut order: Vec<usize> = (0..state.segments.len()).collect();
        order.sort_by_key(|number| state.segments[*number].segment.id);
        for number in order {
            let known = &state.segments[number];
            if !known.is_there() {
                continue;
            }
            for span in &known.log.spans {
                let rows = span.first..span.first + span.rows;
                let entries = known.segment.read_entries(&known.log, rows)?;
                for (row, entry) in (span.first..).zip(entries) {
                    state.find(&entry.key, &mut found);
                    let place = Place { segment: number as u32, row: row as u32 };
                    if let Some(first) = found.first().filter(|first| first.place == place) {
                        live.push((entry.key, *first));
                    }
                }
            }
        }
        Ok(live)
    }

    /// A new segment that comes before everything that the sources came before.
    fn successor(&self, sources: &[[u8; 16]]) -> Result<Writer> {
        let first = sources.first().map_or(0, |id| u64::from_be_bytes(array_at(id, 0)));
        let id = self.new_id(first)?;
        Writer::create(self.dir(), &self.home, &self.manifest.id, id, self.shape(), true)
    }

    /// Removes the files of segments, or takes them out of service: all logs for good, then the
    /// rows, because a log without rows looks like damage. Returns the names of those that went.
    fn retire(&self, state: &State, ids: &[[u8; 16]], keep: bool) -> Result<Vec<String>> {
        let mut gone = Vec::new();
        for id in ids {
            let read = match state.known(id) {
                Some((_, known)) if known.standing == Standing::Out => None,
                known => Some(known.map_or(0, |(_, known)| known.log.seen)),
            };
            let log = hex(id) + LOG;
            let went = read.map_or(Ok(false), |read| take_log(&**self.dir(), &log, read, keep));
            if went.map_err(|error| problem::io(&**self.dir(), "remove", &log, &error))? {
                gone.push(hex(id));
            }
        }
        let sync = || self.dir().sync().map_err(|e| problem::io(&**self.dir(), "sync", "", &e));
        sync()?;
        for which in &gone {
            let rows = format!("{which}{ROWS}");
            let outcome = take(&**self.dir(), &rows, keep);
            outcome.map_err(|error| problem::io(&**self.dir(), "remove", &rows, &error))?;
        }
        sync()?;
        Ok(gone)
    }
}

/// Removes a file or takes it out of service. One that is not there has gone before.
fn take(dir: &dyn Dir, file: &str, keep: bool) -> io::Result<()> {
    let bad = format!("{file}{BAD}");
    match if keep { dir.rename(file, &bad) } else { dir.remove(file) } {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// The same for a log of which `read` bytes were read; false where somebody has added to it. (Bytes
/// of its header that were never read publish nothing.)
fn take_log(dir: &dyn Dir, log: &str, read: u64, keep: bool) -> io::Result<bool> {
    let file = match dir.open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        outcome => outcome?,
    };
    let read = read.max(LOG_HEADER as u64);
    if keep {
        set_aside(dir, (log, &format!("{log}{BAD}")), &*file, read)
    } else {
        remove_unchanged(dir, log, &*file, read)
    }
}
