//! Copying the good rows of some segments into a new one: how a table is repaired and compacted.
//!
//! The order that makes it safe to die at any point: the new segment is durable and sealed before
//! the first old file goes. Until the last one went, rows lie in two places with equal bytes,
//! which hurts nobody. What cannot be read is not known to be damaged: it ends the call before
//! any file goes. Where rows are damaged, the old files stay, out of service.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::checksum::Key;
use super::format::{Entry, array_at};
use super::get::read_row;
use super::index::{Candidate, Place};
use super::lock::unheld;
use super::log::Log;
use super::memory;
use super::names::{BAD, LOG, ROWS, hex, parse};
use super::problem;
use super::put::COMMIT_BYTES;
use super::segment::{Pool, Segment};
use super::state::{Source, Standing, State};
use super::storage::{Dir, remove_unchanged};
use super::table::Table;
use super::writer::{Failure, Writer};
use crate::error::{Error, Result};
use crate::parallel::Run;

/// Rows that are copied between two looks at the stop flag, and their bytes.
const ROWS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 4 << 20;
const WHAT: &str = "rows that are copied";

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
    /// Whatever cannot be read, or cannot be locked, ends the call with every old file in place.
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
        let mut copying = Copying::new(self, &state, &ids, self.successor(&ids)?);
        let copied = copying.all(run);
        // What is committed stays, copied twice, where that failed: somebody may rely on it by now.
        let Copying { writer, rows, lost, .. } = copying;
        let sealed = writer.seal();
        copied?;
        sealed?;
        (done.rows, done.lost) = (rows, lost);
        done.segments = self.retire(&state, &ids, keep || lost > 0)?;
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
            let went = read.map_or(Ok(false), |read| take_log(self.dir(), &log, read, keep));
            if went.map_err(|error| problem::io(&**self.dir(), "remove", &log, &error))? {
                gone.push(hex(id));
            }
        }
        let sync = || self.dir().sync().map_err(|e| problem::io(&**self.dir(), "sync", "", &e));
        sync()?;
        for which in &gone {
            let rows = format!("{which}{ROWS}");
            let outcome = take(self.dir(), &rows, keep);
            outcome.map_err(|error| problem::io(&**self.dir(), "remove", &rows, &error))?;
        }
        sync()?;
        Ok(gone)
    }
}

/// Removes a file or takes it out of service. One that is not there has gone before.
fn take(dir: &Arc<dyn Dir>, file: &str, keep: bool) -> io::Result<()> {
    let bad = format!("{file}{BAD}");
    match if keep { dir.rename(file, &bad) } else { dir.remove(file) } {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// The same for a log of which `read` bytes were read; false where somebody has added to it. (Bytes
/// of its header that were never read publish nothing.)
fn take_log(dir: &Arc<dyn Dir>, log: &str, read: u64, keep: bool) -> io::Result<bool> {
    let file = match dir.open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        outcome => outcome?,
    };
    let read = read.max(super::format::LOG_HEADER as u64);
    if !keep {
        return remove_unchanged(dir, log, &file, read);
    }
    take(dir, log, true)?;
    if file.len()? <= read {
        return Ok(true);
    }
    dir.rename(&format!("{log}{BAD}"), log)?;
    Ok(false)
}

/// A copy under way.
struct Copying<'a> {
    table: &'a Table,
    /// What is on the disk.
    state: &'a State,
    /// The segments that are copied, in the order of their ids; and as a set.
    sources: Vec<u32>,
    replaced: HashSet<u32>,
    /// Rows that were copied, of those whose key has several.
    copied: HashSet<Place>,
    writer: Writer,
    seconds_per_row: f64,
    rows: u64,
    lost: u64,
}

/// Consecutive rows of one segment, as they were read.
struct Piece {
    number: u32,
    segment: Arc<Segment>,
    first: u64,
    entries: Vec<Entry>,
    /// Their bytes; empty where they cannot be read together.
    bytes: Vec<u8>,
}

impl<'a> Copying<'a> {
    fn new(table: &'a Table, state: &'a State, ids: &[[u8; 16]], writer: Writer) -> Copying<'a> {
        let known = ids.iter().filter_map(|id| state.known(id));
        let sources = known.filter(|(_, known)| known.is_there()).map(|(number, _)| number);
        let sources: Vec<u32> = sources.collect();
        let logs = || state.segments.iter().map(|known| &known.log);
        let rows: u64 = logs().map(|log| log.rows).sum();
        let seconds_per_row = logs().map(|log| log.seconds).sum::<f64>() / rows.max(1) as f64;
        Copying {
            table,
            state,
            replaced: sources.iter().copied().collect(),
            sources,
            copied: HashSet::new(),
            writer,
            seconds_per_row,
            rows: 0,
            lost: 0,
        }
    }

    fn all(&mut self, run: Run<'_>) -> Result<()> {
        let state = self.state;
        let at_once = (BYTES_AT_ONCE / self.table.shape().stride()).clamp(1, ROWS_AT_ONCE);
        for number in self.sources.clone() {
            let known = &state.segments[number as usize];
            for span in &known.log.spans {
                let end = span.first + span.rows;
                for first in (span.first..end).step_by(at_once) {
                    run.check()?;
                    let rows = first..(first + at_once as u64).min(end);
                    self.piece(&Piece::read(number, &known.segment, &known.log, rows)?)?;
                    self.commit(COMMIT_BYTES)?;
                }
            }
        }
        self.commit(1)
    }

    /// Copies the rows of a piece that readers get.
    fn piece(&mut self, piece: &Piece) -> Result<()> {
        let stride = self.table.shape().stride();
        let (mut keys, mut bytes) = (memory::room(piece.entries.len(), WHAT)?, Vec::new());
        memory::more(&mut bytes, piece.entries.len() * stride, WHAT)?;
        let mut row = vec![0; stride];
        for (at, entry) in piece.entries.iter().enumerate() {
            match self.fate(piece, at, &mut row)? {
                Fate::Copied => {
                    keys.push(entry.key);
                    bytes.extend_from_slice(&row);
                }
                Fate::Overruled => {}
                Fate::Lost => self.lost += 1,
            }
        }
        self.rows += keys.len() as u64;
        self.writer.append(&keys, &bytes, self.seconds_per_row * keys.len() as f64)
    }

    /// What becomes of a row, which lies in `bytes` if it is copied. The first sound row of its key
    /// is; but one of the sources counts as sound only if it was copied, whatever it holds now.
    fn fate(&mut self, piece: &Piece, at: usize, bytes: &mut [u8]) -> Result<Fate> {
        let own = piece.candidate(at);
        let mut rows = Vec::new();
        self.state.find(&piece.entries[at].key, &mut rows);
        let own_at = rows.iter().position(|row| row.place == own.place).unwrap_or(rows.len());
        if own_at == rows.len() {
            rows.push(own); // the index holds a bounded number of rows for each key
        }
        let mut unreadable = None;
        for (number, row) in rows.iter().enumerate() {
            let is_source = || self.replaced.contains(&row.place.segment);
            if number < own_at && is_source() && !self.copied.contains(&row.place) {
                continue;
            }
            let is_own = number == own_at;
            match if is_own { piece.row(at, bytes) } else { self.read(piece, at, *row, bytes) } {
                Ok(true) if is_own => {
                    if rows.len() > 1 {
                        let lack = |_| Error::OutOfMemory { what: WHAT, bytes: rows.len() * 8 };
                        self.copied.try_reserve(1).map_err(lack)?;
                        self.copied.insert(row.place);
                    }
                    return Ok(Fate::Copied);
                }
                Ok(true) => return Ok(Fate::Overruled),
                Ok(false) => {}
                Err(error) if is_own => unreadable = Some(error),
                Err(_) => {} // one more reason to copy this one
            }
        }
        let fail = |e: io::Error| piece.segment.problem("read", &piece.segment.rows_name, &e);
        unreadable.map_or(Ok(Fate::Lost), |error| Err(fail(error)))
    }

    fn read(&self, piece: &Piece, at: usize, row: Candidate, bytes: &mut [u8]) -> io::Result<bool> {
        read_row(self.state.segment(row.place.segment), &piece.entries[at].key, row, bytes)
    }

    /// Commits once there are so many bytes of rows.
    fn commit(&mut self, bytes: usize) -> Result<()> {
        if self.writer.pending_bytes() < bytes {
            return Ok(());
        }
        while self.writer.pending_bytes() > 0 {
            let batch = self.writer.take(self.table.commit_rows);
            let outcome = self.writer.committer().commit(&batch);
            let (_, end) = outcome.map_err(Failure::into_error)?;
            self.writer.committed(end);
        }
        Ok(())
    }
}

impl Piece {
    fn read(number: u32, segment: &Arc<Segment>, log: &Log, rows: Range<u64>) -> Result<Piece> {
        let entries = segment.read_entries(log, rows.clone())?;
        let mut bytes = Vec::new();
        memory::more(&mut bytes, entries.len() * segment.shape.stride(), WHAT)?;
        bytes.resize(entries.len() * segment.shape.stride(), 0);
        if segment.read_rows(rows.start, &mut bytes).is_err() {
            bytes.clear();
        }
        Ok(Piece { number, segment: Arc::clone(segment), first: rows.start, entries, bytes })
    }

    fn candidate(&self, at: usize) -> Candidate {
        let place = Place { segment: self.number, row: (self.first + at as u64) as u32 };
        Candidate { entry: 0, place, check: self.entries[at].check }
    }

    /// Reads a row of it; whether it is what was written.
    fn row(&self, at: usize, bytes: &mut [u8]) -> io::Result<bool> {
        let (key, candidate) = (&self.entries[at].key, self.candidate(at));
        let stride = bytes.len();
        let Some(read) = self.bytes.get(at * stride..(at + 1) * stride) else {
            return read_row(&self.segment, key, candidate, bytes);
        };
        bytes.copy_from_slice(read);
        let row = u64::from(candidate.place.row);
        Ok(self.segment.binding.row(row, key, bytes) == candidate.check)
    }
}

/// What becomes of one stored row.
enum Fate {
    /// It is the one that readers get.
    Copied,
    /// Another row of its key is.
    Overruled,
    /// It is damaged, and no other row of its key is there.
    Lost,
}
