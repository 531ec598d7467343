//! Copying rows that were found, and checking every copy, in parallel.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::Key;
use super::convert;
use super::format::{Dtype, Shape};
use super::index::Candidate;
use super::mapping::Window;
use super::memory;
use super::segment::Segment;
use super::storage::{File, read_exact_at};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::checksum::{Stores, end_streams};

/// Bytes per unit of work: several huge pages, so that threads rarely meet in one of them. Both would
/// clear it, and one in vain.
const BLOCK: usize = 4 << 20;
/// Units of work per thread, where there is little to do.
const SHARES: usize = 4;
/// Rows between two looks at the stop flag.
const CHECK: usize = 128;
/// Bytes of a result that is written past the caches: it would not stay in them.
const LARGE: usize = 16 << 20;
/// Files that one call keeps open by itself where nothing can be mapped; rows of other segments go
/// through the pool.
const OPEN_FILES: usize = 8;

/// The segments that hits lie in, by number; None for those without a hit.
#[derive(Debug, Default)]
pub struct Holders(Vec<Option<Holder>>);

#[derive(Debug)]
struct Holder {
    segment: Arc<Segment>,
    file: Option<Arc<dyn File>>,
    window: Option<Arc<Window>>,
}

impl Holders {
    /// The segments of `hits`, rows of `shape`, each found once by `segment`.
    pub fn of(
        shape: Shape,
        hits: &[Option<Candidate>],
        segment: impl Fn(u32) -> Arc<Segment>,
    ) -> Holders {
        // For each segment one more than the last row that is wanted; 0 for none.
        let mut ends: Vec<u64> = Vec::new();
        for hit in hits.iter().flatten() {
            let number = hit.place.segment as usize;
            if ends.len() <= number {
                ends.resize(number + 1, 0);
            }
            ends[number] = ends[number].max(u64::from(hit.place.row) + 1);
        }
        let mut open = 0;
        let mut hold = |number: usize, end: u64| {
            let segment = segment(number as u32);
            let window = segment.window(shape.offset(end));
            let is_kept = window.is_none() && open < OPEN_FILES;
            open += usize::from(is_kept);
            let file = if is_kept { segment.rows_file().ok() } else { None };
            Holder { segment, file, window }
        };
        let ends = ends.into_iter().enumerate();
        Holders(ends.map(|(number, end)| (end > 0).then(|| hold(number, end))).collect())
    }
}

impl Holders {
    fn window(&self, hit: Candidate) -> Option<(&Holder, &Window)> {
        let holder = self.0.get(hit.place.segment as usize)?.as_ref()?;
        Some((holder, holder.window.as_deref()?))
    }
}

impl Holder {
    fn read(&self, first: u64, bytes: &mut [u8]) -> bool {
        match &self.file {
            Some(file) => read_exact_at(&**file, bytes, self.segment.shape.offset(first)).is_ok(),
            None => self.segment.read_rows(first, bytes).is_ok(),
        }
    }
}

/// Copies the row of every hit to its place in `out` (n rows of `shape.dim`) and checks the copy.
/// Rows without a hit, and rows whose copy does not match, become zeros; the latter are returned.
pub fn gather(
    run: Run<'_>,
    shape: Shape,
    holders: &Holders,
    keys: &[Key],
    hits: &[Option<Candidate>],
    out: &mut [f32],
) -> Result<Vec<usize>> {
    let failed = Mutex::new(Vec::new());
    let rows = keys.len().div_ceil(SHARES * run.threads()).min(BLOCK / shape.stride()).max(CHECK);
    let stores = if size_of_val(out) < LARGE { Stores::Cached } else { Stores::Streamed };
    let parts: Vec<_> = out.chunks_mut(rows * shape.dim).map(Mutex::new).collect();
    run.for_each(parts.len(), |part| {
        let mut out = parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        let from = part * rows;
        let to = (from + rows).min(keys.len());
        let (keys, hits) = (&keys[from..to], &hits[from..to]);
        let mut stored = Vec::new();
        if shape.dtype != Dtype::F32 {
            memory::more(&mut stored, keys.len() * shape.stride(), "rows that are read")?;
        }
        let mut block = Block { shape, holders, keys, hits, stores, stored, failed: vec![] };
        for from in (0..keys.len()).step_by(CHECK) {
            run.check()?;
            let to = (from + CHECK).min(keys.len());
            block.fill(from..to, &mut out[from * shape.dim..to * shape.dim]);
        }
        end_streams();
        if !block.failed.is_empty() {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.extend(block.failed.into_iter().map(|row| from + row));
        }
        Ok(())
    })?;
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    Ok(failed)
}

struct Block<'a> {
    shape: Shape,
    holders: &'a Holders,
    keys: &'a [Key],
    hits: &'a [Option<Candidate>],
    stores: Stores,
    stored: Vec<u8>,
    failed: Vec<usize>,
}

impl Block<'_> {
    /// Fills the places of `rows`, which are all of `out`.
    fn fill(&mut self, rows: Range<usize>, out: &mut [f32]) {
        let dim = self.shape.dim;
        let mut row = rows.start;
        while row < rows.end {
            let place = &mut out[(row - rows.start) * dim..];
            if let Some(hit) = self.hits[row]
                && self.copy_mapped(row, hit, &mut place[..dim])
            {
                row += 1;
                continue;
            }
            let run = self.run_at(row).clamp(1, rows.end - row);
            let place = &mut place[..run * dim];
            match self.hits[row] {
                None => place.fill(0.0),
                Some(hit) => self.copy(row, run, hit, place),
            }
            row += run;
        }
    }

    /// Copies a row out of a mapped file; false where that is not possible or the copy does not
    /// match, so that the file itself is asked.
    fn copy_mapped(&mut self, row: usize, hit: Candidate, out: &mut [f32]) -> bool {
        let holders = self.holders;
        let Some((holder, window)) = holders.window(hit) else { return false };
        let number = u64::from(hit.place.row);
        let offset = self.shape.offset(number);
        let next = self.hits.get(row + 1).copied().flatten().unwrap_or(hit).place;
        let next = self.shape.offset(u64::from(next.row));
        let seed = holder.segment.binding.row_seed(number, &self.keys[row]);
        if self.shape.dtype == Dtype::F32 {
            let out = bytemuck::cast_slice_mut(out);
            return window.copy(offset, out, seed, next, self.stores) == Some(hit.check);
        }
        self.stored.resize(self.shape.stride(), 0);
        let copied = window.copy(offset, &mut self.stored, seed, next, Stores::Cached);
        let found = copied == Some(hit.check);
        if found {
            convert::decode(self.shape.dtype, &self.stored, out);
        }
        found
    }

    /// How many hits from `row` on lie one after the other in one segment.
    fn run_at(&self, row: usize) -> usize {
        let Some(first) = self.hits[row] else { return 0 };
        let follows = |(step, hit): &(usize, &Option<Candidate>)| {
            hit.is_some_and(|hit| {
                hit.place.segment == first.place.segment
                    && u64::from(hit.place.row) == u64::from(first.place.row) + *step as u64
            })
        };
        self.hits[row..].iter().enumerate().take_while(follows).count()
    }

    fn copy(&mut self, row: usize, run: usize, hit: Candidate, out: &mut [f32]) {
        let holders = self.holders;
        let Some(Some(holder)) = holders.0.get(hit.place.segment as usize) else { return };
        let stride = self.shape.stride();
        let direct = self.shape.dtype == Dtype::F32;
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(if direct { 0 } else { run * stride }, 0);
        let bytes =
            if direct { bytemuck::cast_slice_mut(&mut *out) } else { stored.as_mut_slice() };
        let read = holder.read(u64::from(hit.place.row), bytes);
        for step in 0..run {
            let slot = &mut out[step * self.shape.dim..(step + 1) * self.shape.dim];
            let part = step * stride..(step + 1) * stride;
            if !read && run > 1 {
                if let Some(hit) = self.hits[row + step] {
                    self.copy(row + step, 1, hit, slot);
                }
                continue;
            }
            let copied = if direct { bytemuck::cast_slice(&*slot) } else { &stored[part.clone()] };
            let number = u64::from(hit.place.row) + step as u64;
            let found = holder.segment.binding.row(number, &self.keys[row + step], copied);
            if !read || self.hits[row + step].map(|hit| hit.check) != Some(found) {
                slot.fill(0.0);
                self.failed.push(row + step);
            } else if !direct {
                convert::decode(self.shape.dtype, &stored[part], slot);
            }
        }
        self.stored = stored;
    }
}
