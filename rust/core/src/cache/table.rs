//! A table: all rows of one recipe, read and written by any number of processes at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::checksum::Checked;
use super::format::{Durability, Header, MAX_COMMIT_ROWS, Shape};
use super::manifest::Manifest;
use super::names::{LOG, parse};
use super::pending::Pending;
use super::problem;
use super::segment::{Pool, Segment};
use super::state::{Source, State};
use super::storage::{Dir, random};
use crate::error::{Error, Result};

const ENOENT: i32 = rustix::io::Errno::NOENT.raw_os_error();
/// Times that a reader looks for segments that are being merged.
const ATTEMPTS: usize = 3;

/// An open table.
#[derive(Debug)]
pub struct Table {
    /// Its manifest.
    pub manifest: Manifest,
    pub(super) pool: Arc<Pool>,
    /// The directory that its own lies in.
    pub(super) home: Arc<dyn Dir>,
    pub(super) writable: std::result::Result<(), String>,
    pub(super) durability: Durability,
    /// Rows of one commit at most.
    pub(super) commit_rows: usize,
    state: RwLock<State>,
    pending: Mutex<Pending>,
    /// Held while a commit is under way; taken before `pending`, which is taken before `state`.
    pub(super) commit: Mutex<()>,
    pub(super) checked: Checked,
}

impl Table {
    /// The table of `manifest` in `dir`; `writable` holds the reason if it is not.
    pub(super) fn new(
        dir: Arc<dyn Dir>,
        home: Arc<dyn Dir>,
        manifest: Manifest,
        writable: std::result::Result<(), String>,
        durability: Durability,
    ) -> Table {
        Table {
            manifest,
            pool: Arc::new(Pool::new(dir)),
            home,
            writable,
            durability,
            commit_rows: MAX_COMMIT_ROWS as usize,
            state: RwLock::default(),
            pending: Mutex::default(),
            commit: Mutex::default(),
            checked: Checked::default(),
        }
    }

    /// What its rows look like.
    pub fn shape(&self) -> Shape {
        self.manifest.shape
    }

    pub(super) fn dir(&self) -> &Arc<dyn Dir> {
        &self.pool.dir
    }

    pub(super) fn source(&self) -> Source<'_> {
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

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Does `work`, again where a segment that it found was merged into another one meanwhile.
    pub(super) fn despite_compaction<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 1..ATTEMPTS {
            match work() {
                Err(Error::CacheIo { errno, .. }) if errno == ENOENT => self.pool.clear(),
                outcome => return outcome,
            }
        }
        work()
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

    /// The id of a new segment with this sequence number.
    pub(super) fn new_id(&self, sequence: u64) -> Result<[u8; 16]> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&sequence.to_be_bytes());
        id[8..].copy_from_slice(
            &random()
                .map_err(|error| problem::io(&**self.dir(), "name a segment in", "", &error))?,
        );
        Ok(id)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        self.writable.clone().map_err(|why| Error::CacheReadOnly {
            path: self.dir().path().display().to_string(),
            why,
        })
    }
}
