//! Reading rows by key, and what happens when a copy does not match.

use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::Key;
use super::convert;
use super::gather::{Holders, gather};
use super::index::{Candidate, Place};
use super::problem;
use super::table::Table;
use crate::error::{Error, Result};
use crate::parallel::Run;

/// Times that a row is looked for while segments are being merged.
const ATTEMPTS: usize = 3;

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
        let shape = self.shape();
        let holders = Holders::of(shape, &hits, |number| Arc::clone(self.state().segment(number)));
        let mut failed = gather(run, shape, &holders, keys, &hits, out)?;
        drop(holders);
        for (hit, found) in hit.iter_mut().zip(&hits) {
            *hit = found.is_some();
        }
        let mut got = Got::default();
        let mut stored = Vec::new();
        for attempt in 1..=ATTEMPTS {
            if failed.is_empty() {
                break;
            }
            self.refresh()?;
            let mut again = Vec::new();
            for row in failed {
                run.check()?;
                let out = &mut out[row * dim..(row + 1) * dim];
                let look = self.second_look(&keys[row], out, &mut stored, &mut got)?;
                hit[row] = matches!(look, Look::Found);
                if matches!(look, Look::Moved) && attempt < ATTEMPTS {
                    again.push(row);
                }
            }
            failed = again;
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
    /// damaged ones. `bytes` is for reading.
    fn second_look(
        &self,
        key: &Key,
        out: &mut [f32],
        bytes: &mut Vec<u8>,
        got: &mut Got,
    ) -> Result<Look> {
        let shape = self.shape();
        bytes.resize(shape.stride(), 0);
        let mut found = Vec::new();
        self.state().find(key, &mut found);
        let mut look = Look::Missing;
        for candidate in found {
            let Place { segment, row } = candidate.place;
            let holder = Arc::clone(self.state().segment(segment));
            let read = holder.read_row(u64::from(row), key, candidate.check, bytes);
            if matches!(read, Ok(true)) {
                self.state_mut().unreadable.remove(&candidate.entry);
                convert::decode(shape.dtype, bytes, out);
                return Ok(Look::Found);
            }
            // Another key with the same tag is no damage, and neither is a segment that is gone.
            let stored = self.state().stored_key(candidate.place);
            if stored.is_some_and(|stored| stored != *key) {
                continue;
            }
            match read {
                // Nothing is wrong with the row, so it must not be computed again.
                Err(error) if problem::is_shortage(&error) => {
                    return Err(holder.problem("read", &holder.rows_name, &error));
                }
                Ok(_) if stored.is_some() => self.state_mut().dead.insert(candidate.entry),
                _ => self.state_mut().unreadable.insert(candidate.entry),
            };
            if holder.is_there() {
                got.damaged.push((holder.path(), u64::from(row)));
            } else {
                look = Look::Moved;
            }
        }
        Ok(look)
    }
}

/// Where a row was found at the second look.
enum Look {
    /// In one of its places.
    Found,
    /// In none of them.
    Missing,
    /// In none of them, but some are gone: another place may have come instead.
    Moved,
}
