//! Copying the rows of some segments that readers get, and that are what was written.
//!
//! An error of reading ends it: what cannot be read is not known to be damaged.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::format::Entry;
use super::index::{Candidate, Place};
use super::log::Log;
use super::memory;
use super::pending::COMMIT_BYTES;
use super::segment::Segment;
use super::state::State;
use super::writer::{Failure, Writer};
use crate::error::{Error, Result};
use crate::parallel::Run;

/// Rows that are copied between two looks at the stop flag, and their bytes.
const ROWS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 4 << 20;
const WHAT: &str = "rows that are copied";

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copied {
    /// Rows that were copied.
    pub rows: u64,
    /// Rows that were damaged, and are not.
    pub lost: u64,
}

/// Copies the segments `ids` (in order) with `writer`, whose segment is durable and sealed afterwards.
/// `state` is what the disk says.
pub fn copy(
    run: Run<'_>,
    state: &State,
    ids: &[[u8; 16]],
    writer: Writer,
    commit_rows: usize,
) -> Result<Copied> {
    let mut copying = Copying::new(state, ids, writer, commit_rows);
    let outcome = copying.all(run);
    // What is committed stays, in two places, where that failed: somebody may rely on it by now.
    let Copying { writer, done, is_abandoned, .. } = copying;
    let sealed = if is_abandoned {
        writer.give_up();
        Ok(())
    } else {
        writer.seal().map(drop)
    };
    outcome.and(sealed).map(|()| done)
}

/// A copy under way.
struct Copying<'a> {
    /// What is on the disk.
    state: &'a State,
    /// The segments that are copied, in the order of their ids; and as a set.
    sources: Vec<u32>,
    replaced: HashSet<u32>,
    /// Rows that were copied, of those whose key has several.
    copied: HashSet<Place>,
    writer: Writer,
    commit_rows: usize,
    seconds_per_row: f64,
    done: Copied,
    /// Whether nothing is certain of the files of `writer` any more: they get no seal.
    is_abandoned: bool,
}

/// Consecutive rows of one segment, as they were read.
struct Stretch {
    number: u32,
    segment: Arc<Segment>,
    first: u64,
    entries: Vec<Entry>,
    /// Their bytes; empty where they cannot be read together.
    bytes: Vec<u8>,
}

impl<'a> Copying<'a> {
    fn new(state: &'a State, ids: &[[u8; 16]], writer: Writer, commit_rows: usize) -> Copying<'a> {
        let known = ids.iter().filter_map(|id| state.known(id));
        let sources = known.filter(|(_, known)| known.is_there()).map(|(number, _)| number);
        let sources: Vec<u32> = sources.collect();
        let logs = || state.segments.iter().map(|known| &known.log);
        let rows: u64 = logs().map(|log| log.rows).sum();
        let seconds_per_row = logs().map(|log| log.seconds).sum::<f64>() / rows.max(1) as f64;
        Copying {
            state,
            replaced: sources.iter().copied().collect(),
            sources,
            copied: HashSet::new(),
            writer,
            commit_rows,
            seconds_per_row,
            done: Copied::default(),
            is_abandoned: false,
        }
    }

    fn all(&mut self, run: Run<'_>) -> Result<()> {
        let state = self.state;
        for number in self.sources.clone() {
            let known = &state.segments[number as usize];
            let stride = known.segment.shape.stride();
            let at_once = (BYTES_AT_ONCE / stride).clamp(1, ROWS_AT_ONCE);
            for span in &known.log.spans {
                let end = span.first + span.rows;
                for first in (span.first..end).step_by(at_once) {
                    run.check()?;
                    let rows = first..(first + at_once as u64).min(end);
                    self.stretch(&Stretch::read(number, &known.segment, &known.log, rows)?)?;
                    self.commit(COMMIT_BYTES)?;
                }
            }
        }
        self.commit(1)
    }

    /// Copies the rows of a stretch that readers get.
    fn stretch(&mut self, stretch: &Stretch) -> Result<()> {
        let stride = stretch.segment.shape.stride();
        let (mut keys, mut bytes) = (memory::room(stretch.entries.len(), WHAT)?, Vec::new());
        memory::more(&mut bytes, stretch.entries.len() * stride, WHAT)?;
        let mut row = vec![0; stride];
        for (at, entry) in stretch.entries.iter().enumerate() {
            match self.fate(stretch, at, &mut row)? {
                Fate::Copied => {
                    keys.push(entry.key);
                    bytes.extend_from_slice(&row);
                }
                Fate::Overruled => {}
                Fate::Lost => self.done.lost += 1,
            }
        }
        self.done.rows += keys.len() as u64;
        self.writer.append(&keys, &bytes, self.seconds_per_row * keys.len() as f64)
    }

    /// What becomes of a row, which lies in `bytes` if it is copied. The first sound row of its key
    /// is; but one of the sources counts as sound only if it was copied, whatever it holds now, and
    /// another process's only if it is durable, as this one may be.
    fn fate(&mut self, stretch: &Stretch, at: usize, bytes: &mut [u8]) -> Result<Fate> {
        let own = stretch.candidate(at);
        let mut rows = Vec::new();
        self.state.find(&stretch.entries[at].key, &mut rows);
        let own_at = rows.iter().position(|row| row.place == own.place).unwrap_or(rows.len());
        if own_at == rows.len() {
            rows.push(own); // the index holds a bounded number of rows for each key
        }
        let (mut unreadable, mut is_damaged) = (None, false);
        for (number, row) in rows.iter().enumerate() {
            let is_source = || self.replaced.contains(&row.place.segment);
            if number < own_at && is_source() && !self.copied.contains(&row.place) {
                continue;
            }
            let is_own = number == own_at;
            match if is_own { stretch.row(at, bytes) } else { self.read(stretch, at, *row, bytes) }
            {
                Ok(true) if is_own => {
                    if rows.len() > 1 {
                        let lack = |_| Error::OutOfMemory { what: WHAT, bytes: rows.len() * 8 };
                        self.copied.try_reserve(1).map_err(lack)?;
                        self.copied.insert(row.place);
                    }
                    return Ok(Fate::Copied);
                }
                Ok(true) if is_source() || is_damaged || self.is_durable(row.place) => {
                    return Ok(Fate::Overruled);
                }
                Ok(true) => {}
                Ok(false) => is_damaged |= is_own,
                Err(error) if is_own => unreadable = Some(error),
                Err(_) => {} // one more reason to copy this one
            }
        }
        let fail = |e: io::Error| stretch.segment.problem("read", &stretch.segment.rows_name, &e);
        unreadable.map_or(Ok(Fate::Lost), |error| Err(fail(error)))
    }

    fn read(
        &self,
        stretch: &Stretch,
        at: usize,
        row: Candidate,
        bytes: &mut [u8],
    ) -> io::Result<bool> {
        let (segment, number) = (self.state.segment(row.place.segment), row.place.row);
        segment.read_row(u64::from(number), &stretch.entries[at].key, row.check, bytes)
    }

    fn is_durable(&self, place: Place) -> bool {
        u64::from(place.row) < self.state.segments[place.segment as usize].log.synced
    }

    /// Commits once there are so many bytes of rows.
    fn commit(&mut self, bytes: usize) -> Result<()> {
        if self.writer.pending_bytes() < bytes {
            return Ok(());
        }
        while self.writer.pending_bytes() > 0 {
            let batch = self.writer.take(self.commit_rows)?;
            let outcome = self.writer.committer().commit(&batch);
            self.is_abandoned = matches!(outcome, Err(Failure::Abandon(_)));
            let (_, end) = outcome.map_err(Failure::into_error)?;
            self.writer.committed(end);
        }
        Ok(())
    }
}

impl Stretch {
    fn read(number: u32, segment: &Arc<Segment>, log: &Log, rows: Range<u64>) -> Result<Stretch> {
        let entries = segment.read_entries(log, rows.clone())?;
        let mut bytes = Vec::new();
        memory::more(&mut bytes, entries.len() * segment.shape.stride(), WHAT)?;
        bytes.resize(entries.len() * segment.shape.stride(), 0);
        if segment.read_rows(rows.start, &mut bytes).is_err() {
            bytes.clear();
        }
        Ok(Stretch { number, segment: Arc::clone(segment), first: rows.start, entries, bytes })
    }

    fn candidate(&self, at: usize) -> Candidate {
        let place = Place { segment: self.number, row: (self.first + at as u64) as u32 };
        Candidate { entry: 0, place, check: self.entries[at].check }
    }

    /// Reads a row of it; whether it is what was written.
    fn row(&self, at: usize, bytes: &mut [u8]) -> io::Result<bool> {
        let (number, Entry { key, check }) = (self.first + at as u64, &self.entries[at]);
        let stride = bytes.len();
        let Some(read) = self.bytes.get(at * stride..(at + 1) * stride) else {
            return self.segment.read_row(number, key, *check, bytes);
        };
        bytes.copy_from_slice(read);
        Ok(self.segment.binding.row(number, key, bytes) == *check)
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
