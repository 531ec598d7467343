//! Reading rows by key, and what happens when a copy does not match.

use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::Key;
use super::gather::{Holders, gather};
use super::index::{Candidate, Place};
use super::table::Table;
use crate::error::{Error, Result};
use crate::parallel::Run;

/// Keys per unit of work.
const BLOCK: usize = 2048;

/// What a [`Table::get`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// How many rows were there.
    pub hits: usize,
    /// Rows that were there but damaged: the path of their segment and their number in it.
    pub damaged: Vec<(String, u64)>,
}

impl Table {
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
        let mut hits = self.look_up(run, keys)?;
        if hits.iter().any(Option::is_none) {
            self.refresh()?;
            hits = self.look_up(run, keys)?;
        }
        let holders = Holders::of(&hits, |number| Arc::clone(self.state().segment(number)));
        let failed = gather(run, self.shape(), &holders, keys, &hits, out)?;
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

    fn look_up(&self, run: Run<'_>, keys: &[Key]) -> Result<Vec<Option<Candidate>>> {
        let mut hits = Vec::new();
        hits.try_reserve_exact(keys.len()).map_err(|_| Error::OutOfMemory {
            what: "the rows of a lookup",
            bytes: keys.len() * size_of::<Option<Candidate>>(),
        })?;
        hits.resize(keys.len(), None);
        let state = self.state();
        let parts: Vec<_> = hits.chunks_mut(BLOCK).map(Mutex::new).collect();
        run.for_each(parts.len(), |part| {
            let mut hits = parts[part].lock().unwrap_or_else(PoisonError::into_inner);
            let from = part * BLOCK;
            state.find_first(&keys[from..from + hits.len()], &mut hits);
            Ok(())
        })?;
        drop(parts);
        Ok(hits)
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
            let hits = [Some(candidate)];
            let holders = Holders::of(&hits, |_| Arc::clone(&holder));
            if gather(run, self.shape(), &holders, &[*key], &hits, out)?.is_empty() {
                return Ok(true);
            }
            // Another key with the same tag is no damage, and neither is a segment that is gone.
            if stored.is_none_or(|stored| stored == *key) {
                self.state_mut().dead.insert(candidate.entry);
                if holder.is_there() {
                    got.damaged.push((holder.path(), u64::from(row)));
                }
            }
        }
        Ok(false)
    }
}
