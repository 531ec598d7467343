//! Reading rows by key, and what happens when a copy does not match.

use std::sync::Arc;

use super::checksum::Key;
use super::gather::{Hit, Segments, gather};
use super::index::Place;
use super::table::Table;
use crate::error::{Error, Result};
use crate::parallel::Run;

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
}
