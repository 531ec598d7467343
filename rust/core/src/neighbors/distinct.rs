//! Equal rows are scored once: data full of duplicates costs no more than its distinct rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::matrix::Matrix;
use crate::error::{Error, Result};
use crate::memory::room;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::Real;

/// Which rows stand for which.
pub struct Distinct {
    /// The first row of each kind, ascending.
    pub firsts: Vec<u32>,
    /// The later rows equal to a first row, ascending, by the place of that row in `firsts`.
    others: HashMap<u32, Vec<u32>>,
}

/// Rows hashed between two questions whether to stop.
const CHUNK: usize = 1024;
/// What a search for equal rows is called where memory for it cannot be had.
const WHAT: &str = "the distinct rows of an index";

impl Distinct {
    pub fn find<T: Real>(run: &Run<'_>, kernels: Kernels, rows: Matrix<'_, T>) -> Result<Self> {
        let hashes = run.collect(rows.rows().div_ceil(CHUNK), |chunk| {
            let part = chunk * CHUNK..rows.rows().min((chunk + 1) * CHUNK);
            Ok(part.map(|i| kernels.hash_row(rows.row(i))).collect::<Vec<_>>())
        })?;
        let mut places = HashMap::new();
        places.try_reserve(rows.rows()).map_err(|_| Error::OutOfMemory {
            what: WHAT,
            bytes: rows.rows() * size_of::<(u64, u32)>(),
        })?;
        let mut found = Self { firsts: room(rows.rows(), WHAT)?, others: HashMap::new() };
        for (row, hash) in hashes.into_iter().flatten().enumerate() {
            let place = found.firsts.len() as u32;
            match places.entry(hash) {
                Entry::Occupied(entry) if found.stands_for(rows, *entry.get(), row) => {
                    found.others.entry(*entry.get()).or_default().push(row as u32);
                    continue;
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(entry) => _ = entry.insert(place),
            }
            found.firsts.push(row as u32);
        }
        Ok(found)
    }

    /// Place and row of each row that is not the first of its kind, one after the other, in order.
    pub fn others(&self) -> Vec<u32> {
        let pairs =
            self.others.iter().flat_map(|(&place, rows)| rows.iter().map(move |&row| [place, row]));
        let mut pairs: Vec<[u32; 2]> = pairs.collect();
        pairs.sort_unstable();
        pairs.concat()
    }

    /// From `firsts` and [`Self::others`] of so many rows; None where these are not each row once.
    pub fn restore(rows: usize, firsts: Vec<u32>, others: &[u32]) -> Option<Self> {
        let mut seen = vec![false; rows];
        let mut see = |row: u32| {
            let seen = seen.get_mut(row as usize)?;
            (!std::mem::replace(seen, true)).then_some(())
        };
        if firsts.len() + others.len() / 2 != rows || !firsts.is_sorted() {
            return None;
        }
        firsts.iter().try_for_each(|&row| see(row))?;
        let mut found = Self { firsts, others: HashMap::new() };
        for &[place, row] in others.as_chunks::<2>().0 {
            see(row)?;
            if place as usize >= found.firsts.len() {
                return None;
            }
            found.others.entry(place).or_default().push(row);
        }
        Some(found)
    }

    fn stands_for<T: Real>(&self, rows: Matrix<'_, T>, place: u32, row: usize) -> bool {
        rows.row(self.firsts[place as usize] as usize) == rows.row(row)
    }

    /// The rows equal to the one at `place`, that one first.
    pub fn rows_at(&self, place: u32) -> impl Iterator<Item = u32> + '_ {
        let others = self.others.get(&place).into_iter().flatten().copied();
        std::iter::once(self.firsts[place as usize]).chain(others)
    }
}
