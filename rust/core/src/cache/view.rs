//! Rows without copying them: a segment mapped into memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::Key;
use super::format::{ENTRY, Entry, ROWS_HEADER, Shape};
use super::log::{Log, sealed_rows};
use super::mapping::{Map, Window};
use super::memory;
use super::segment::{ROWS, Segment, name};
use super::table::Table;
use super::{problem, storage};
use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::checksum::Stores;

/// Bytes that are checked at a time; they stay in the processor's cache between copy and check.
const BLOCK: usize = 256 << 10;

/// The published rows of one segment.
#[derive(Debug)]
pub struct View {
    memory: Memory,
    /// How many rows.
    pub rows: usize,
    /// What they look like.
    pub shape: Shape,
}

#[derive(Debug)]
enum Memory {
    Mapped(Map),
    /// Where mappings cannot be trusted: a copy.
    Copied(Vec<u32>),
}

impl View {
    /// The first number of the first row, aligned for its type; valid while `self` lives.
    pub fn as_ptr(&self) -> *const u8 {
        match &self.memory {
            Memory::Mapped(map) => map.as_ptr().wrapping_add(ROWS_HEADER),
            Memory::Copied(words) => words.as_ptr().cast(),
        }
    }

    /// Whether the rows lie in the file itself.
    pub fn is_mapped(&self) -> bool {
        matches!(self.memory, Memory::Mapped(_))
    }
}

/// Segments that passed their one check, with the number of rows checked.
pub type Checked = Mutex<Vec<([u8; 16], u64)>>;

impl Table {
    /// The segments with published rows: number of rows, and whether they are sealed.
    pub fn segments(&self) -> Result<Vec<(String, u64, bool)>> {
        let state = self.fresh_state()?;
        let known = state.segments.iter().filter(|known| !known.gone && known.log.rows > 0);
        Ok(known.map(|k| (name(&k.segment.id), k.log.rows, k.log.sealed)).collect())
    }

    /// The published rows of one segment (of the only one, where `which` is None) without a copy.
    /// With `check`, every row is compared with its checksum, once for each open table.
    ///
    /// # Errors
    /// [`Error::CacheCorrupt`] where the check fails; [`Error::Invalid`] where there is no such
    /// segment, or several to choose from.
    pub fn view(&self, run: Run<'_>, which: Option<&str>, check: bool) -> Result<View> {
        let (segment, rows) = self.choose(which)?;
        if check && !self.was_checked(&segment, rows) {
            self.check_rows(run, &segment, rows)?;
        }
        let fail = |error: io::Error| {
            problem::io(&*self.pool.dir, "map", &(name(&segment.id) + ROWS), &error)
        };
        let file = segment.rows_file().map_err(fail)?;
        let end = segment.shape.offset(rows);
        let length = usize::try_from(end).ok().filter(|_| file.len().is_ok_and(|l| l >= end));
        let bytes = length.ok_or_else(|| cut(&segment, rows))? - ROWS_HEADER;
        let memory = match file.map(ROWS_HEADER + bytes).map_err(fail)? {
            Some(map) => Memory::Mapped(map),
            None => {
                let mut words = memory::room(bytes.div_ceil(4), "a copy of the rows")?;
                words.resize(bytes.div_ceil(4), 0u32);
                let into = &mut bytemuck::cast_slice_mut(&mut words)[..bytes];
                segment.read_rows(0, into).map_err(fail)?;
                Memory::Copied(words)
            }
        };
        Ok(View { memory, rows: rows as usize, shape: segment.shape })
    }

    /// The keys of the rows of one segment, in order.
    pub fn keys(&self, which: Option<&str>) -> Result<Vec<Key>> {
        let (segment, rows) = self.choose(which)?;
        let log = self.read_log(&segment)?;
        Ok(self.entries(&segment, &log, 0..rows)?.into_iter().map(|entry| entry.key).collect())
    }

    fn choose(&self, which: Option<&str>) -> Result<(Arc<Segment>, u64)> {
        if let Some(only) = self.sealed_only(which) {
            return Ok(only);
        }
        let state = self.fresh_state()?;
        let mut known = state.segments.iter().filter(|known| {
            !known.gone && known.log.rows > 0 && which.is_none_or(|n| n == name(&known.segment.id))
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

    pub(super) fn read_log(&self, segment: &Segment) -> Result<Log> {
        let mut log = Log::default();
        let fail =
            |error: io::Error| problem::io(&*self.pool.dir, "read", &name(&segment.id), &error);
        let file = segment.log_file().map_err(fail)?;
        log.advance(&*file, segment.binding, |_, _| Ok(()))?.map_err(fail)?;
        Ok(log)
    }

    pub(super) fn entries(
        &self,
        segment: &Segment,
        log: &Log,
        rows: std::ops::Range<u64>,
    ) -> Result<Vec<Entry>> {
        let fail =
            |error: io::Error| problem::io(&*self.pool.dir, "read", &name(&segment.id), &error);
        let file = segment.log_file().map_err(fail)?;
        let count = (rows.end - rows.start) as usize;
        let mut entries = memory::room(count, "the entries of a segment")?;
        let mut next = rows.start;
        while next < rows.end {
            let Some((offset, count)) = log.entries_from(next) else {
                return Err(cut(segment, next));
            };
            let count = count.min(rows.end - next);
            let mut bytes = Vec::new();
            memory::resize(&mut bytes, count as usize * ENTRY).map_err(fail)?;
            storage::read_exact_at(&*file, &mut bytes, offset).map_err(fail)?;
            entries.extend(bytes.chunks_exact(ENTRY).map(Entry::decode));
            next += count;
        }
        Ok(entries)
    }

    fn check_rows(&self, run: Run<'_>, segment: &Segment, rows: u64) -> Result<()> {
        let log = self.read_log(segment)?;
        let window = segment.rows_file().ok().and_then(|file| file.window());
        let step = (BLOCK / segment.shape.stride()).max(1) as u64;
        let blocks = rows.div_ceil(step) as usize;
        run.for_each(blocks, |block| {
            let first = block as u64 * step;
            let entries = self.entries(segment, &log, first..(first + step).min(rows))?;
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
    segment.read_rows(first, &mut bytes).map_err(|_| cut(segment, first))?;
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

fn cut(segment: &Segment, rows: u64) -> Error {
    Error::CacheCorrupt {
        path: segment.path(),
        what: format!("the files end before row {rows}, or its entry is damaged"),
        rows: 1,
    }
}
