//! From keys to rows: an open-addressing table in memory, built from the logs.
//!
//! A slot holds 32 bits of the key's hash and the number of an entry; an entry holds the row's
//! checksum and place. Keys themselves stay on disk: a row is only ever returned after its
//! checksum, which the key enters, has matched. A key that several segments hold has an entry
//! for each of them, up to [`MAX_EQUAL`]. At most 48 bytes per row.
//!
//! Logs are untrusted: a key that is repeated without end must not make each insertion walk past
//! all the others (hence the limit, up to which only rows that are there count), nor may keys that were made to fall into one place (hence a
//! random seed, which no file ever sees).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hint::black_box;

use super::checksum::{Check, Key, tag};
use crate::error::{Error, Result};

/// Where a row lies: the number of its segment within the table, and its number therein.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The segment's number.
    pub segment: u32,
    /// The row's number.
    pub row: u32,
}

/// A row that may be the one of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The number of the entry.
    pub entry: u32,
    /// Where the row lies.
    pub place: Place,
    /// What its checksum must be.
    pub check: Check,
}

/// The index of one table.
#[derive(Debug)]
pub struct Index {
    slots: Vec<u64>,
    entries: Vec<Packed>,
    seed: u64,
}

impl Default for Index {
    fn default() -> Self {
        Index { slots: vec![], entries: vec![], seed: RandomState::new().hash_one(0) }
    }
}

/// An entry in 24 bytes, so that finding one touches one line of memory.
#[derive(Clone, Copy, Debug)]
struct Packed {
    check: [u64; 2],
    place: Place,
}

const EMPTY: u64 = u64::MAX;
const MINIMUM: usize = 64;
/// Rows of one key that are found; more are not looked for, as long as these are there.
pub const MAX_EQUAL: usize = 64;

impl Index {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the slot of a key is marked with.
    pub fn tag(&self, key: &Key) -> u32 {
        tag(key, self.seed)
    }

    /// Makes room for `additional` entries.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        let total = self.len().saturating_add(additional);
        if total >= u32::MAX as usize {
            return Err(Error::Invalid(format!("a table of {total} rows; the limit is 2^32 - 1")));
        }
        let lack = |_| Error::OutOfMemory { what: "the cache index", bytes: total * 48 };
        self.entries.try_reserve(additional).map_err(lack)?;
        let wanted = (total + total / 2).next_power_of_two().max(MINIMUM);
        if wanted > self.slots.len() {
            let mut slots = Vec::new();
            slots.try_reserve_exact(wanted).map_err(lack)?;
            slots.resize(wanted, EMPTY);
            let old = std::mem::replace(&mut self.slots, slots);
            old.into_iter().filter(|slot| *slot != EMPTY).for_each(|slot| {
                self.seat(slot);
            });
        }
        Ok(())
    }

    /// Adds an entry. Where [`MAX_EQUAL`] rows of its key are there already it takes the slot of one
    /// that `is_gone`, whose place is returned, or none. Room must have been reserved.
    pub fn insert(
        &mut self,
        key: &Key,
        check: Check,
        place: Place,
        is_gone: impl Fn(&Candidate) -> bool,
    ) -> Option<Place> {
        self.insert_tag(self.tag(key), check, place, is_gone)
    }

    fn insert_tag(
        &mut self,
        tag: u32,
        check: Check,
        place: Place,
        is_gone: impl Fn(&Candidate) -> bool,
    ) -> Option<Place> {
        debug_assert!(self.len() * 3 / 2 < self.slots.len(), "room was reserved");
        let slot = (u64::from(tag) << 32) | self.len() as u64;
        let mut before = None;
        if !self.seat(slot) {
            before = Some(self.candidates(tag).find(is_gone)?);
        }
        if let Some(gone) = before {
            self.replace((u64::from(tag) << 32) | u64::from(gone.entry), slot);
        }
        self.entries.push(Packed { check: [check as u64, (check >> 64) as u64], place });
        before.map(|gone| gone.place)
    }

    fn seat(&mut self, slot: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = self.home((slot >> 32) as u32);
        let mut equal = 0;
        while self.slots[at] != EMPTY {
            equal += usize::from(self.slots[at] >> 32 == slot >> 32);
            if equal == MAX_EQUAL {
                return false;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
        true
    }

    /// Puts `slot` in the place of `old`, which is there.
    fn replace(&mut self, old: u64, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home((old >> 32) as u32);
        while self.slots[at] != old {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }

    /// Brings what [`Index::candidates`] reads for these tags into the processor's cache: one after
    /// the other, each would wait for memory; so they wait together.
    pub fn warm(&self, tags: &[u32]) {
        for tag in tags {
            black_box(self.slots.get(self.home(*tag)).copied());
        }
        for tag in tags {
            let entry = self.slots.get(self.home(*tag)).map_or(0, |slot| *slot as u32);
            black_box(self.entries.get(entry as usize).map(|entry| entry.check[0]));
        }
    }

    /// The entries that a key with this tag may have, in no particular order.
    pub fn candidates(&self, tag: u32) -> impl Iterator<Item = Candidate> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = if self.slots.is_empty() { 0 } else { self.home(tag) };
        std::iter::from_fn(move || {
            loop {
                let slot = *self.slots.get(at)?;
                if slot == EMPTY {
                    return None;
                }
                at = (at + 1) & mask;
                if (slot >> 32) as u32 == tag {
                    return Some(self.entry(slot as u32));
                }
            }
        })
    }

    /// The entry with this number.
    pub fn entry(&self, entry: u32) -> Candidate {
        let Packed { check: [low, high], place } = self.entries[entry as usize];
        Candidate { entry, place, check: u128::from(high) << 64 | u128::from(low) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_map_of_lists_finds(tags in proptest::collection::vec(0u32..40, 0..300), wide: bool) {
            let spread = |tag: u32| if wide { tag.wrapping_mul(0x9E37_79B9) } else { tag };
            let mut index = Index::default();
            let mut naive: HashMap<u32, Vec<u32>> = HashMap::new();
            for (row, tag) in tags.iter().enumerate() {
                index.reserve(1).unwrap();
                let place = Place { segment: 0, row: row as u32 };
                let entry = index.len() as u32;
                index.insert_tag(spread(*tag), u128::from(*tag), place, |_| false);
                let equal = naive.entry(*tag).or_default();
                if equal.len() < MAX_EQUAL {
                    equal.push(entry);
                }
            }
            for tag in 0..40 {
                let mut found: Vec<_> = index.candidates(spread(tag)).map(|c| c.entry).collect();
                found.sort_unstable();
                prop_assert_eq!(found, naive.remove(&tag).unwrap_or_default());
            }
        }
    }

    /// A hostile log of one key: each insertion looks at no more than `MAX_EQUAL` others, so that this
    /// ends (2 * 10^11 steps otherwise).
    #[test]
    fn one_key_without_end() {
        let mut index = Index::default();
        for row in 0..650_000 {
            index.reserve(1).unwrap();
            index.insert(&[7; 32], 0, Place { segment: 0, row }, |_| false);
        }
        assert_eq!(
            (index.len(), index.candidates(index.tag(&[7; 32])).count()),
            (MAX_EQUAL, MAX_EQUAL)
        );
    }

    /// Rows that are gone make room for new ones, and those that are there stay.
    #[test]
    fn what_is_gone_makes_room() {
        let mut index = Index::default();
        let mut insert = |segment: u32| {
            index.reserve(1).unwrap();
            let is_gone = |c: &Candidate| c.place.segment % 2 == 1;
            let before = index.insert(&[7; 32], 0, Place { segment, row: 0 }, is_gone);
            (before, index.candidates(index.tag(&[7; 32])).count())
        };
        for segment in 0..MAX_EQUAL as u32 {
            assert_eq!(insert(segment), (None, segment as usize + 1));
        }
        let mut made_room = Vec::new();
        for segment in 0..MAX_EQUAL as u32 {
            let (before, count) = insert(1000 + 2 * segment);
            assert_eq!(count, MAX_EQUAL);
            made_room.extend(before.map(|place| place.segment));
        }
        made_room.sort_unstable();
        assert_eq!(made_room, (0..MAX_EQUAL as u32).filter(|s| s % 2 == 1).collect::<Vec<_>>());
    }

    #[test]
    fn no_two_indexes_share_a_seed() {
        let tags: Vec<u32> = (0..8).map(|_| Index::default().tag(&[7; 32])).collect();
        assert!(tags.iter().any(|tag| *tag != tags[0]), "{tags:?}");
    }
}
