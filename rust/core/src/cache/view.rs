//! Rows without copying them: a segment mapped into memory.

use std::io;
use std::sync::{Arc, PoisonError};

use super::checksum::Key;
use super::format::{Entry, ROWS_HEADER, Shape};
use super::log::sealed_rows;
use super::mapping::{Map, Window};
use super::memory;
use super::names::hex;
use super::segment::Segment;
use super::table::Table;
use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::checksum::Stores;

/// Bytes that are checked at a time; they stay in the processor's cache between copy and check.
const BLOCK: usize = 256 << 10;

/// The published rows of one segment.
#[derive(Debug)]
pub struct View {
    memory: Map,
    /// Where the rows begin therein.
    begin: usize,
    /// How many rows.
    pub rows: usize,
    /// What they look like.
    pub shape: Shape,
}

impl View {
    /// The first number of the first row, aligned for its type; valid, and free to be written to
    /// (no file changes), while `self` lives.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.memory.as_mut_ptr().wrapping_add(self.begin)
    }

    /// Whether the rows lie in the file itself; where mappings cannot be trusted they are a copy.
    pub fn is_mapped(&self) -> bool {
        self.begin > 0
    }
}

impl Table {
    /// The segments with published rows: number of rows, and whether they are sealed.
    pub fn segments(&self) -> Result<Vec<(String, u64, bool)>> {
        let state = self.fresh_state()?;
        let known = state.segments.iter().filter(|known| known.is_there() && known.log.rows > 0);
        Ok(known.map(|k| (hex(&k.segment.id), k.log.rows, k.log.sealed)).collect())
    }

    /// The published rows of one segment (of the only one, where `which` is None) without a copy.
    /// With `check`, every row is compared with its checksum, once for each open table.
    ///
    /// # Errors
    /// [`Error::CacheCorrupt`] where the check fails; [`Error::Invalid`] where there is no such
    /// segment, or several to choose from.
    pub fn view(&self, run: Run<'_>, which: Option<&str>, check: bool) -> Result<View> {
        self.despite_compaction(|| self.view_once(run, which, check))
    }

    fn view_once(&self, run: Run<'_>, which: Option<&str>, check: bool) -> Result<View> {
        let (segment, rows) = self.choose(which)?;
        if check && !self.was_checked(&segment, rows) {
            self.check_rows(run, &segment, rows)?;
        }
        let fail = |error: io::Error| segment.problem("map", &segment.rows_name, &error);
        let file = segment.rows_file().map_err(fail)?;
        let end = segment.shape.offset(rows);
        let length = usize::try_from(end).ok().filter(|_| file.len().is_ok_and(|l| l >= end));
        let bytes = length.ok_or_else(|| segment.cut(rows))? - ROWS_HEADER;
        let (memory, begin) = match file.map(ROWS_HEADER + bytes).map_err(fail)? {
            Some(map) => (map, ROWS_HEADER),
            None => (Map::filled(bytes, |into| segment.read_rows(0, into)).map_err(fail)?, 0),
        };
        Ok(View { memory, begin, rows: rows as usize, shape: segment.shape })
    }

    /// The keys of the rows of one segment, in order.
    pub fn keys(&self, which: Option<&str>) -> Result<Vec<Key>> {
        self.despite_compaction(|| self.keys_once(which))
    }

    fn keys_once(&self, which: Option<&str>) -> Result<Vec<Key>> {
        let (segment, rows) = self.choose(which)?;
        let log = segment.read_log()?;
        let mut keys = memory::room(rows as usize, "the keys of a segment")?;
        keys.extend(segment.read_entries(&log, 0..rows)?.into_iter().map(|entry| entry.key));
        Ok(keys)
    }

    fn choose(&self, which: Option<&str>) -> Result<(Arc<Segment>, u64)> {
        if let Some(only) = self.sealed_only(which) {
            return Ok(only);
        }
        let state = self.fresh_state()?;
        let mut known = state.segments.iter().filter(|known| {
            known.is_there()
                && known.log.rows > 0
                && which.is_none_or(|n| n == hex(&known.segment.id))
        });
        let (first, more) = (known.next(), known.count());
        match first {
            Some(known) if more == 0 => Ok((Arc::clone(&known.segment), known.log.rows)),
            Some(_) => Err(Error::Invalid(format!(
                "the table has {} segments, a view shows one",
                more + 1
            ))),
            None => Err(Error::Invalid(which.map_or_else(
                || "the table is empty".to_owned(),
                |name| format!("the table has no segment {name}"),
            ))),
        }
    }

    /// The only segment, if it is sealed: known from the last bytes of its log alone.
    fn sealed_only(&self, which: Option<&str>) -> Option<(Arc<Segment>, u64)> {
        if self.state().loaded || which.is_some() {
            return None;
        }
        let segment = Arc::new(self.single_segment()?);
        let file = segment.log_file().ok()?;
        let rows = sealed_rows(&*file, segment.binding).ok()??;
        Some((segment, rows))
    }

    fn was_checked(&self, segment: &Segment, rows: u64) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.iter().any(|(id, known)| *id == segment.id && *known >= rows)
    }

    fn check_rows(&self, run: Run<'_>, segment: &Segment, rows: u64) -> Result<()> {
        let log = segment.read_log()?;
        let window = segment.rows_file().ok().and_then(|file| file.window());
        let step = (BLOCK / segment.shape.stride()).max(1) as u64;
        let blocks = rows.div_ceil(step) as usize;
        run.for_each(blocks, |block| {
            let first = block as u64 * step;
            let entries = segment.read_entries(&log, first..(first + step).min(rows))?;
            let window = window.as_deref().filter(|w| is_intact(segment, w, first, &entries));
            if window.is_some() { Ok(()) } else { check_read(segment, first, &entries) }
        })?;
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.push((segment.id, rows));
        Ok(())
    }
}

/// Whether rows copied out of a mapping are what their entries say.
fn is_intact(segment: &Segment, window: &Window, first: u64, entries: &[Entry]) -> bool {
    let mut copy = vec![0; segment.shape.stride()];
    (first..).zip(entries).all(|(number, entry)| {
        let (offset, next) = (segment.shape.offset(number), segment.shape.offset(number + 1));
        let seed = segment.binding.row_seed(number, &entry.key);
        window.copy(offset, &mut copy, seed, next, Stores::Cached) == Some(entry.check)
    })
}

/// Reads rows from the file and compares them with their entries.
fn check_read(segment: &Segment, first: u64, entries: &[Entry]) -> Result<()> {
    let stride = segment.shape.stride();
    let mut bytes = vec![0; entries.len() * stride];
    segment.read_rows(first, &mut bytes).map_err(|_| segment.cut(first))?;
    for (number, (entry, row)) in (first..).zip(entries.iter().zip(bytes.chunks_exact(stride))) {
        if segment.binding.row(number, &entry.key, row) != entry.check {
            return Err(Error::CacheCorrupt {
                path: segment.path(),
                what: format!("row {number} is not what was written"),
                rows: 1,
            });
        }
    }
    Ok(())
}
