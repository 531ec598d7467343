//! Reading rows by key: look every key up, then copy and verify in parallel.

use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::Key;
use super::convert;
use super::format::{Dtype, Shape};
use super::index::Candidate;
use super::segment::Segment;
use crate::error::Result;
use crate::parallel::Run;

/// Rows per unit of work.
const BLOCK: usize = 128;

/// A row that was found: its place and the files it lies in.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Where it lies and what its checksum must be.
    pub candidate: Candidate,
    /// The position of its segment in the list that goes with the hits.
    pub segment: u32,
}

/// The segments that hits refer to.
pub type Segments = Vec<Arc<Segment>>;

/// Copies the row of every hit to its place in `out` (n rows of `shape.dim`) and checks the copy.
/// Rows without a hit, and rows whose copy does not match, become zeros; the latter are returned.
pub fn gather(
    run: Run<'_>,
    shape: Shape,
    segments: &Segments,
    keys: &[Key],
    hits: &[Option<Hit>],
    out: &mut [f32],
) -> Result<Vec<usize>> {
    let failed = Mutex::new(Vec::new());
    let parts: Vec<_> = out.chunks_mut(BLOCK * shape.dim).map(Mutex::new).collect();
    run.for_each(parts.len(), |part| {
        let mut out = parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        let from = part * BLOCK;
        let to = (from + BLOCK).min(keys.len());
        let mut block = Block {
            shape,
            segments,
            keys: &keys[from..to],
            hits: &hits[from..to],
            stored: vec![],
            failed: vec![],
        };
        block.fill(&mut out);
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.extend(block.failed.into_iter().map(|row| from + row));
        Ok(())
    })?;
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    Ok(failed)
}

struct Block<'a> {
    shape: Shape,
    segments: &'a Segments,
    keys: &'a [Key],
    hits: &'a [Option<Hit>],
    stored: Vec<u8>,
    failed: Vec<usize>,
}

impl Block<'_> {
    fn fill(&mut self, out: &mut [f32]) {
        let mut row = 0;
        while row < self.keys.len() {
            let run = self.run_at(row);
            let place = &mut out[row * self.shape.dim..(row + run.max(1)) * self.shape.dim];
            match &self.hits[row] {
                None => place.fill(0.0),
                Some(hit) => {
                    let hit = hit.clone();
                    self.copy(row, run, &hit, place);
                }
            }
            row += run.max(1);
        }
    }

    /// How many hits from `row` on lie one after the other in one segment.
    fn run_at(&self, row: usize) -> usize {
        let Some(first) = &self.hits[row] else { return 0 };
        let follows = |(step, hit): (usize, &Option<Hit>)| {
            hit.as_ref().is_some_and(|hit| {
                hit.segment == first.segment
                    && u64::from(hit.candidate.place.row)
                        == u64::from(first.candidate.place.row) + step as u64
            })
        };
        self.hits[row..].iter().enumerate().take_while(|at| follows(*at)).count()
    }

    fn copy(&mut self, row: usize, run: usize, hit: &Hit, out: &mut [f32]) {
        let segment = &self.segments[hit.segment as usize];
        let first = u64::from(hit.candidate.place.row);
        let stride = self.shape.stride();
        let direct = self.shape.dtype == Dtype::F32;
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(if direct { 0 } else { run * stride }, 0);
        let bytes =
            if direct { bytemuck::cast_slice_mut(&mut *out) } else { stored.as_mut_slice() };
        let read = segment.read_rows(first, bytes).is_ok();
        if !read && run > 1 {
            for (step, part) in out.chunks_exact_mut(self.shape.dim).enumerate() {
                if let Some(hit) = &self.hits[row + step] {
                    let hit = hit.clone();
                    self.copy(row + step, 1, &hit, part);
                }
            }
            return;
        }
        for step in 0..run {
            let expected = self.hits[row + step].as_ref().map(|hit| hit.candidate.check);
            let slot = &mut out[step * self.shape.dim..(step + 1) * self.shape.dim];
            let copied: &[u8] = if direct {
                bytemuck::cast_slice(&*slot)
            } else {
                &stored[step * stride..(step + 1) * stride]
            };
            let found = segment.binding.row(first + step as u64, &self.keys[row + step], copied);
            if !read || expected != Some(found) {
                slot.fill(0.0);
                self.failed.push(row + step);
            } else if !direct {
                convert::decode(
                    self.shape.dtype,
                    &stored[step * stride..(step + 1) * stride],
                    slot,
                );
            }
        }
        self.stored = stored;
    }
}
