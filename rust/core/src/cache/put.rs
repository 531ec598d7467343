//! Storing rows: which are new, and writing them to a segment of one's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checksum::Key;
use super::convert;
use super::format::Durability;
use super::index::{Candidate, Place};
use super::memory;
use super::pending::{COMMIT_BYTES, Pending};
use super::segment::Segment;
use super::state::{Standing, State};
use super::table::Table;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::parallel::Run;

/// How long rows may wait for a commit, as long as more keep coming.
const COMMIT_AFTER: Duration = Duration::from_secs(5);
/// Rows that a put converts and writes at a time, and their bytes.
const PUT_ROWS: usize = 1024;
const PUT_BYTES: usize = 4 << 20;
const WHAT: &str = "the keys of a put";

/// What a [`Table::put`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// Rows that were not in the table.
    pub new: usize,
    /// Rows whose key was there with another vector; what was there stays.
    pub conflicts: Vec<usize>,
}

impl Table {
    /// Stores the rows (`keys.len()` × dim, float32) whose keys are not there yet. They are
    /// durable after the next [`Table::flush`]. `seconds` is what they cost to compute.
    pub fn put(&self, run: Run<'_>, keys: &[Key], rows: &[f32], seconds: f64) -> Result<Put> {
        let dim = self.shape().dim;
        if rows.len() != keys.len() * dim {
            let (n, len) = (keys.len(), rows.len());
            return Err(Error::Shape(format!("{n} keys need {n} × {dim} numbers, got {len}")));
        }
        self.check_writable()?;
        self.refresh()?;
        let mut put = Put::default();
        let per_row = seconds / keys.len().max(1) as f64;
        let mut bytes = Vec::new();
        let at_once = (PUT_BYTES / self.shape().stride()).clamp(1, PUT_ROWS);
        for (chunk, part) in keys.chunks(at_once).enumerate() {
            run.check()?;
            if self.is_full() {
                self.close()?;
            }
            let first = chunk * at_once;
            let rows = &rows[first * dim..(first + part.len()) * dim];
            convert::encode(self.shape(), rows, first, &mut bytes)?;
            if self.put_chunk(part, &bytes, first, per_row, &mut put)? {
                self.flush()?;
            }
        }
        Ok(put)
    }

    /// Whether the open segment has no room for another chunk.
    fn is_full(&self) -> bool {
        let limit = u64::from(u32::MAX) - PUT_ROWS as u64;
        self.pending().writer.as_ref().is_some_and(|writer| writer.next_row() > limit)
    }

    /// Returns whether a commit is due.
    fn put_chunk(
        &self,
        keys: &[Key],
        bytes: &[u8],
        first: usize,
        seconds: f64,
        put: &mut Put,
    ) -> Result<bool> {
        let mut pending = self.pending();
        let stride = self.shape().stride();
        let fresh = self.fresh(&mut pending, keys, bytes, first, &mut put.conflicts)?;
        for run in runs(&fresh) {
            let keys = &keys[run.clone()];
            let bytes = &bytes[run.start * stride..run.end * stride];
            self.append(&mut pending, keys, bytes, seconds * run.len() as f64)?;
            put.new += run.len();
            for key in keys {
                pending.lost.remove(key);
            }
        }
        let Pending { writer: Some(writer), since, .. } = &mut *pending else { return Ok(false) };
        let waiting = since.get_or_insert_with(Instant::now).elapsed();
        Ok(writer.pending_bytes() >= COMMIT_BYTES || waiting > COMMIT_AFTER)
    }

    /// Appends rows to the segment of this handle, which is made if there is none.
    pub(super) fn append(
        &self,
        pending: &mut Pending,
        keys: &[Key],
        bytes: &[u8],
        seconds: f64,
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let writer = match &mut pending.writer {
            Some(writer) => writer,
            none => none.insert(self.create()?),
        };
        let from = writer.next_row();
        // Before anything is written: what is pending is always indexed.
        self.state_mut().index.reserve(keys.len())?;
        writer.append(keys, bytes, seconds)?;
        self.index(writer, keys, from)
    }

    fn index(&self, writer: &Writer, keys: &[Key], from: u64) -> Result<()> {
        let mut state = self.state_mut();
        state.index.reserve(keys.len())?;
        for (row, key) in (from..).zip(keys) {
            let entry = writer
                .pending_entry(row)
                .ok_or_else(|| Error::Internal("a pending row is lost".into()))?;
            let place = Place { segment: writer.segment, row: row as u32 };
            state.insert(key, entry.check, place);
        }
        Ok(())
    }

    /// The rows of a chunk that must be stored; conflicting ones are noted.
    fn fresh(
        &self,
        pending: &mut Pending,
        keys: &[Key],
        bytes: &[u8],
        first: usize,
        conflicts: &mut Vec<usize>,
    ) -> Result<Vec<usize>> {
        let state = self.state();
        let stride = self.shape().stride();
        let mut seen: HashMap<&Key, usize> = HashMap::new();
        let lack = |_| Error::OutOfMemory { what: WHAT, bytes: keys.len() * 48 };
        seen.try_reserve(keys.len()).map_err(lack)?;
        memory::more(conflicts, keys.len(), WHAT)?;
        let mut found = Vec::new();
        let row = |at: usize| &bytes[at * stride..(at + 1) * stride];
        let mut fresh = memory::room(keys.len(), WHAT)?;
        for (at, key) in keys.iter().enumerate() {
            if let Some(before) = seen.get(key) {
                if row(*before) != row(at) {
                    conflicts.push(first + at);
                }
                continue;
            }
            seen.insert(key, at);
            state.find(key, &mut found);
            let same =
                |c: &Candidate| Some((c.place, self.compare(&state, pending, c, key, row(at))?));
            let Some((place, is_equal)) = found.iter().find_map(same) else {
                fresh.push(at);
                continue;
            };
            if !is_equal {
                conflicts.push(first + at);
            }
            self.rely(&state, pending, place, key)?;
        }
        Ok(fresh)
    }

    /// Notes that a row which was put is another segment's, to be synced with the next flush.
    fn rely(&self, state: &State, pending: &mut Pending, place: Place, key: &Key) -> Result<()> {
        let own = pending.writer.as_ref().is_some_and(|writer| writer.segment == place.segment);
        let is_durable = u64::from(place.row) < state.segments[place.segment as usize].log.synced;
        if !own && !is_durable && self.durability == Durability::Batch {
            let relied = pending.relied.entry(place.segment).or_default();
            memory::more(relied, 1, WHAT)?;
            relied.push(*key);
        }
        Ok(())
    }

    /// Whether the candidate, if it is this key's row, holds the same bytes. A row that could not be
    /// read, or whose key cannot be read any more, counts as not there.
    fn compare(
        &self,
        state: &State,
        pending: &Pending,
        candidate: &Candidate,
        key: &Key,
        bytes: &[u8],
    ) -> Option<bool> {
        let Place { segment, row } = candidate.place;
        if state.unreadable.contains(&candidate.entry) {
            return None;
        }
        if state.segment(segment).binding.row(u64::from(row), key, bytes) == candidate.check {
            return Some(true);
        }
        let own = pending.writer.as_ref().filter(|writer| writer.segment == segment);
        let own = own.and_then(|writer| writer.pending_entry(u64::from(row)));
        let stored = own.map(|entry| entry.key).or_else(|| state.stored_key(candidate.place));
        (stored? == *key).then_some(false)
    }

    fn create(&self) -> Result<Writer> {
        let mut state = self.state_mut();
        let id = self.new_id(state.next_sequence())?;
        let durable = self.durability == Durability::Batch;
        let mut writer =
            Writer::create(self.dir(), &self.home, &self.manifest.id, id, self.shape(), durable)?;
        let segment = Segment::new(Arc::clone(&self.pool), &self.manifest.id, id, self.shape());
        writer.segment = state.add(segment, Standing::Own);
        Ok(writer)
    }
}

/// Consecutive numbers, grouped.
fn runs(rows: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some(run) if run.end == *row => run.end += 1,
            _ => runs.push(*row..*row + 1),
        }
    }
    runs
}
