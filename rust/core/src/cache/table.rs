//! A table: all rows of one recipe, read and written by any number of processes at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::checksum::Key;
use super::convert;
use super::format::{Header, Shape};
use super::gather::{Hit, Segments, gather};
use super::index::{Candidate, Place};
use super::manifest::Manifest;
use super::segment::{LOG, Pool, Segment, parse};
use super::state::{Source, State};
use super::storage::Dir;
use super::view::Checked;
use super::writer::{Failure, Writer};
use super::{problem, root::Durability};
use crate::error::{Error, Result};
use crate::parallel::Run;

/// Rows that may wait for a commit, in bytes.
const COMMIT_BYTES: usize = 32 << 20;
/// How long rows may wait for a commit, as long as more keep coming.
const COMMIT_AFTER: Duration = Duration::from_secs(5);
/// Rows that a put converts and writes at a time.
const PUT_ROWS: usize = 1024;

/// What a [`Table::put`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// Rows that were not in the table.
    pub new: usize,
    /// Rows whose key was there with another vector; what was there stays.
    pub conflicts: Vec<usize>,
}

/// What a [`Table::get`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// How many rows were there.
    pub hits: usize,
    /// Rows that were there but damaged: the path of their segment and their number in it.
    pub damaged: Vec<(String, u64)>,
}

/// An open table.
#[derive(Debug)]
pub struct Table {
    /// Its manifest.
    pub manifest: Manifest,
    pub(super) pool: Arc<Pool>,
    pub(super) writable: std::result::Result<(), String>,
    pub(super) durability: Durability,
    state: RwLock<State>,
    writer: Mutex<Open>,
    /// Held while a commit is under way; taken before `writer`, which is taken before `state`.
    commit: Mutex<()>,
    pub(super) checked: Checked,
}

/// The writer, once something was put, and when the oldest pending row came.
#[derive(Debug, Default)]
struct Open {
    writer: Option<Writer>,
    since: Option<Instant>,
}

impl Table {
    /// The table of `manifest` in `dir`; `writable` holds the reason if it is not.
    pub(super) fn new(
        dir: Arc<dyn Dir>,
        manifest: Manifest,
        writable: std::result::Result<(), String>,
        durability: Durability,
    ) -> Table {
        Table {
            manifest,
            pool: Arc::new(Pool::new(dir)),
            writable,
            durability,
            state: RwLock::default(),
            writer: Mutex::default(),
            commit: Mutex::default(),
            checked: Checked::default(),
        }
    }

    /// What its rows look like.
    pub fn shape(&self) -> Shape {
        self.manifest.shape
    }

    fn dir(&self) -> &Arc<dyn Dir> {
        &self.pool.dir
    }

    fn source(&self) -> Source<'_> {
        Source {
            pool: &self.pool,
            table: &self.manifest.id,
            shape: self.shape(),
            writable: self.writable.is_ok(),
        }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what other processes published since the last look.
    pub fn refresh(&self) -> Result<()> {
        self.state_mut().refresh(&self.source())
    }

    /// The state after a look at what other processes published.
    pub(super) fn fresh_state(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.refresh()?;
        Ok(self.state())
    }

    /// The segment of a table that has just one, without reading its log.
    pub(super) fn single_segment(&self) -> Option<Segment> {
        let names = self.dir().list().ok()?;
        let mut ids = names.iter().filter_map(|name| parse(name, LOG));
        let (Some(id), None) = (ids.next(), ids.next()) else { return None };
        let segment = Segment::new(Arc::clone(&self.pool), &self.manifest.id, id, self.shape());
        let header = segment.read_header().ok()?;
        matches!(header, Header::Valid(of) if of.shape == self.shape() && of.segment == id)
            .then_some(segment)
    }

    /// What a row costs to compute on average, in seconds; 0 where nobody said.
    pub fn seconds_per_row(&self) -> Result<f64> {
        let state = self.fresh_state()?;
        let rows: u64 = state.segments.iter().map(|known| known.log.rows).sum();
        let seconds: f64 = state.segments.iter().map(|known| known.log.seconds).sum();
        Ok(seconds / rows.max(1) as f64)
    }

    /// Files that were taken out of service since the table was opened: path and reason.
    pub fn quarantined(&self) -> Vec<(String, String)> {
        self.state().quarantined.clone()
    }

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
        for (chunk, part) in keys.chunks(PUT_ROWS).enumerate() {
            run.check()?;
            if self.is_full() {
                self.close()?;
            }
            let first = chunk * PUT_ROWS;
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
        self.open().writer.as_ref().is_some_and(|writer| writer.next_row() > limit)
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
        let mut open = self.open();
        let stride = self.shape().stride();
        let fresh = self.fresh(&open, keys, bytes, first, &mut put.conflicts);
        for run in runs(&fresh) {
            let writer = match &mut open.writer {
                Some(writer) => writer,
                none => none.insert(self.create()?),
            };
            let from = writer.next_row();
            let keys = &keys[run.clone()];
            let bytes = &bytes[run.start * stride..run.end * stride];
            writer.append(keys, bytes, seconds * run.len() as f64)?;
            self.index(writer, keys, from)?;
            put.new += run.len();
        }
        let Open { writer: Some(writer), since } = &mut *open else { return Ok(false) };
        let waiting = since.get_or_insert_with(Instant::now).elapsed();
        Ok(writer.pending_bytes() >= COMMIT_BYTES || waiting > COMMIT_AFTER)
    }

    fn index(&self, writer: &Writer, keys: &[Key], from: u64) -> Result<()> {
        let mut state = self.state_mut();
        state.index.reserve(keys.len())?;
        for (row, key) in (from..).zip(keys) {
            let entry = writer.pending_entry(row).ok_or(lost("a pending row"))?;
            let place = Place { segment: writer.segment, row: row as u32 };
            state.index.insert(super::checksum::tag(key), entry.check, place);
        }
        Ok(())
    }

    /// The rows of a chunk that must be stored; conflicting ones are noted.
    fn fresh(
        &self,
        open: &Open,
        keys: &[Key],
        bytes: &[u8],
        first: usize,
        conflicts: &mut Vec<usize>,
    ) -> Vec<usize> {
        let state = self.state();
        let stride = self.shape().stride();
        let mut seen: HashMap<&Key, usize> = HashMap::new();
        let mut found = Vec::new();
        let row = |at: usize| &bytes[at * stride..(at + 1) * stride];
        let mut fresh = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            if let Some(before) = seen.get(key) {
                if row(*before) != row(at) {
                    conflicts.push(first + at);
                }
                continue;
            }
            seen.insert(key, at);
            state.find(key, &mut found);
            match found.iter().find_map(|c| self.compare(&state, open, c, key, row(at))) {
                None => fresh.push(at),
                Some(true) => {}
                Some(false) => conflicts.push(first + at),
            }
        }
        fresh
    }

    /// Whether the candidate, if it is this key's row, holds the same bytes. A row whose key
    /// cannot be read any more counts as not there.
    fn compare(
        &self,
        state: &State,
        open: &Open,
        candidate: &Candidate,
        key: &Key,
        bytes: &[u8],
    ) -> Option<bool> {
        let Place { segment, row } = candidate.place;
        if state.segment(segment).binding.row(u64::from(row), key, bytes) == candidate.check {
            return Some(true);
        }
        let pending = open.writer.as_ref().filter(|writer| writer.segment == segment);
        let pending = pending.and_then(|writer| writer.pending_entry(u64::from(row)));
        let stored = pending.map(|entry| entry.key).or_else(|| state.stored_key(candidate.place));
        (stored? == *key).then_some(false)
    }

    fn create(&self) -> Result<Writer> {
        let mut state = self.state_mut();
        let id = self.new_id(state.next_sequence())?;
        let durable = self.durability == Durability::Batch;
        let mut writer = Writer::create(self.dir(), &self.manifest.id, id, self.shape(), durable)?;
        let segment = Segment::new(Arc::clone(&self.pool), &self.manifest.id, id, self.shape());
        writer.segment = state.add(segment, false);
        Ok(writer)
    }

    /// The id of a new segment with this sequence number.
    pub(super) fn new_id(&self, sequence: u64) -> Result<[u8; 16]> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&sequence.to_be_bytes());
        rustix::rand::getrandom(&mut id[8..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| problem::io(&**self.dir(), "name a segment in", "", &error.into()))?;
        Ok(id)
    }

    /// Publishes all rows put so far by this handle. When it returns they survive the death of
    /// the process and, with [`Durability::Batch`], a power cut.
    pub fn flush(&self) -> Result<()> {
        let _turn = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        self.commit_pending()
    }

    /// One commit; the caller holds the commit lock.
    fn commit_pending(&self) -> Result<()> {
        let (batch, committer) = {
            let mut open = self.open();
            open.since = None;
            match &mut open.writer {
                Some(writer) if writer.pending_bytes() > 0 => (writer.take(), writer.committer()),
                _ => return Ok(()),
            }
        };
        let outcome = committer.commit(&batch);
        let mut open = self.open();
        let Some(writer) = &mut open.writer else { return Err(lost("the open segment")) };
        match outcome {
            Ok((spans, end)) => {
                writer.committed(end);
                let log = &mut self.state_mut().segments[writer.segment as usize].log;
                log.rows = spans.last().map_or(log.rows, |span| span.first + span.rows);
                log.seconds += batch.seconds();
                log.spans.extend(spans);
                Ok(())
            }
            Err(Failure::Retry(error)) => {
                writer.restore(batch);
                Err(error)
            }
            Err(Failure::Abandon(error)) => {
                self.abandon(&mut open);
                Err(error)
            }
        }
    }

    /// Gives a segment up: its unpublished rows are forgotten, the published ones stay.
    fn abandon(&self, open: &mut Open) {
        let Some(writer) = open.writer.take() else { return };
        let mut state = self.state_mut();
        let published = state.segments[writer.segment as usize].log.rows;
        let lost: Vec<u32> = (0..state.index.len() as u32)
            .rev()
            .map(|entry| state.index.entry(entry))
            .filter(|c| c.place.segment == writer.segment && u64::from(c.place.row) >= published)
            .map(|c| c.entry)
            .collect();
        state.dead.extend(lost);
    }

    /// Copies the rows of `keys` to `out` (`keys.len()` × dim) and says in `hit` which were
    /// there; the others are zeros. Every byte is checked after it was copied. A damaged row is
    /// not there: it is reported, and its key may be put again.
    pub fn get(
        &self,
        run: Run<'_>,
        keys: &[Key],
        out: &mut [f32],
        hit: &mut [bool],
    ) -> Result<Got> {
        let dim = self.shape().dim;
        if out.len() != keys.len() * dim || hit.len() != keys.len() {
            return Err(Error::Shape(format!("{} keys need as many rows of {dim}", keys.len())));
        }
        let (mut segments, mut hits) = self.look_up(keys);
        if hits.iter().any(Option::is_none) {
            self.refresh()?;
            (segments, hits) = self.look_up(keys);
        }
        let failed = gather(run, self.shape(), &segments, keys, &hits, out)?;
        for (hit, found) in hit.iter_mut().zip(&hits) {
            *hit = found.is_some();
        }
        let mut got = Got::default();
        for row in failed {
            let out = &mut out[row * dim..(row + 1) * dim];
            hit[row] = self.second_look(run, &keys[row], out, &mut got)?;
        }
        got.hits = hit.iter().filter(|hit| **hit).count();
        Ok(got)
    }

    fn look_up(&self, keys: &[Key]) -> (Segments, Vec<Option<Hit>>) {
        let state = self.state();
        let segments = state.segments.iter().map(|known| Arc::clone(&known.segment)).collect();
        let mut found = Vec::new();
        let mut look = |key: &Key| {
            state.find(key, &mut found);
            let candidate = *found.first()?;
            Some(Hit { candidate, segment: candidate.place.segment })
        };
        (segments, keys.iter().map(&mut look).collect())
    }

    /// Tries every place that a key may have, after the first did not match, and notes the
    /// damaged ones.
    fn second_look(&self, run: Run<'_>, key: &Key, out: &mut [f32], got: &mut Got) -> Result<bool> {
        self.refresh()?;
        let mut found = Vec::new();
        self.state().find(key, &mut found);
        for candidate in found {
            let Place { segment, row } = candidate.place;
            let (holder, stored) = {
                let state = self.state();
                (Arc::clone(state.segment(segment)), state.stored_key(candidate.place))
            };
            let hit = Hit { candidate, segment: 0 };
            let path = holder.path();
            let failed = gather(run, self.shape(), &vec![holder], &[*key], &[Some(hit)], out)?;
            if failed.is_empty() {
                return Ok(true);
            }
            // Another key with the same tag is no damage.
            if stored.is_none_or(|stored| stored == *key) {
                self.state_mut().dead.insert(candidate.entry);
                got.damaged.push((path, u64::from(row)));
            }
        }
        Ok(false)
    }

    /// Ends this handle's segment after a last commit.
    pub fn close(&self) -> Result<()> {
        if self.writable.is_err() {
            return Ok(());
        }
        let _turn = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        self.commit_pending()?;
        let Some(writer) = self.open().writer.take() else { return Ok(()) };
        let number = writer.segment as usize;
        writer.seal()?;
        self.state_mut().segments[number].follow = true;
        Ok(())
    }

    fn check_writable(&self) -> Result<()> {
        self.writable.clone().map_err(|why| Error::CacheReadOnly {
            path: self.dir().path().display().to_string(),
            why,
        })
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

fn lost(what: &str) -> Error {
    Error::Internal(format!("{what} is lost"))
}
