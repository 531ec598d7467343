//! What a process knows of a table: its segments, how far their logs were read, and the index.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use super::checksum::{Check, Key};
use super::format::{ENTRY, Entry, Header, Identity, LOG_HEADER, Shape};
use super::index::{Candidate, Index, Place};
use super::lock::unheld;
use super::log::Log;
use super::names::{BAD, LOG, parse};
use super::problem;
use super::segment::{Pool, Segment};
use crate::error::Result;

/// Times that a directory is listed again because segments are being merged.
const ATTEMPTS: usize = 8;

/// Keys that are looked up together.
const TOGETHER: usize = 128;

/// Where a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its log is read as it grows.
    Followed,
    /// This process writes it, or has given it up, and knows what it published.
    Own,
    /// Its log has no name any more; it may get one again.
    Gone,
    /// Left out for good: damaged, foreign, or not ours to read.
    Out,
}

/// A segment and how much of it is known.
#[derive(Debug)]
pub struct Known {
    /// The segment.
    pub segment: Arc<Segment>,
    /// What was read of its log.
    pub log: Log,
    /// Whether its rows count, and its log is read on.
    pub standing: Standing,
}

impl Known {
    /// Whether readers get its rows.
    pub fn is_there(&self) -> bool {
        matches!(self.standing, Standing::Followed | Standing::Own)
    }

    /// Nobody gets its rows from now on, and the disk gets their space back.
    fn end(&mut self, standing: Standing) {
        self.standing = standing;
        self.segment.let_go();
    }
}

/// The state of one open table.
#[derive(Debug, Default)]
pub struct State {
    /// Every segment met, in the order in which they were met.
    pub segments: Vec<Known>,
    /// From keys to rows.
    pub index: Index,
    /// Entries whose rows were found damaged, or were never committed.
    pub dead: HashSet<u32>,
    /// Entries whose rows could not be read when they were asked for. They may be sound, so readers
    /// try again; but nobody relies on them, so what is put under their keys is stored.
    pub unreadable: HashSet<u32>,
    /// Files that were taken out of service: segment name and reason.
    pub quarantined: Vec<(String, String)>,
    numbers: HashMap<[u8; 16], u32>,
    /// Segments that were gone when rows of theirs left the index.
    displaced: HashSet<u32>,
    /// Whether the logs were read at least once.
    pub loaded: bool,
}

/// The place that a refresh reads.
#[derive(Debug)]
pub struct Source<'a> {
    /// The files of the table's directory.
    pub pool: &'a Arc<Pool>,
    /// The table.
    pub table: &'a Key,
    /// What its rows look like.
    pub shape: Shape,
    /// Whether damaged files may be renamed.
    pub writable: bool,
}

impl State {
    /// Reads everything that was published since the last call.
    pub fn refresh(&mut self, source: &Source<'_>) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if self.refresh_once(source)? {
                break;
            }
        }
        self.loaded = true;
        Ok(())
    }

    /// Returns whether every segment is still there that was: one that has gone is part of another
    /// one by now, which may have come after this listing was made.
    fn refresh_once(&mut self, source: &Source<'_>) -> Result<bool> {
        let names = list(source)?;
        let mut present = HashSet::new();
        let mut is_complete = true;
        for id in names.iter().filter_map(|name| parse(name, LOG)) {
            present.insert(id);
            if !self.numbers.contains_key(&id) {
                is_complete &= self.meet(source, id)?;
            }
        }
        for number in 0..self.segments.len() {
            let known = &mut self.segments[number];
            match (known.standing, present.contains(&known.segment.id)) {
                // Met anew: the index no longer has all of its rows.
                (Standing::Gone, true) if self.displaced.contains(&(number as u32)) => {
                    self.numbers.remove(&known.segment.id);
                    known.end(Standing::Out);
                    is_complete = false;
                }
                (Standing::Gone, true) => known.standing = Standing::Followed,
                (Standing::Followed, false) => {
                    known.end(Standing::Gone);
                    is_complete = false;
                }
                _ => {}
            }
            if known.standing == Standing::Followed && !known.log.sealed {
                self.follow(source, number)?;
                is_complete &= self.segments[number].standing == Standing::Followed;
            }
        }
        Ok(is_complete)
    }

    /// Takes up a segment; false where it is gone again.
    fn meet(&mut self, source: &Source<'_>, id: [u8; 16]) -> Result<bool> {
        let segment = Segment::new(Arc::clone(source.pool), source.table, id, source.shape);
        let header = match segment.read_header() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // Somebody else's: its rows are missing here, those of the others are not.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.quarantined.push((segment.path(), error.to_string()));
                self.add(segment, Standing::Out);
                return Ok(true);
            }
            outcome => outcome.map_err(|e| segment.problem("read", &segment.log_name, &e))?,
        };
        match header {
            Header::Newer(found) => return Err(segment.too_new(found)),
            Header::Valid(Identity { table, segment: theirs, shape }) => {
                if (table, theirs, shape) != (*source.table, id, source.shape) {
                    self.quarantine(source, &segment, "it belongs to another segment or table");
                    return Ok(true);
                }
                self.add(segment, Standing::Followed);
            }
            // Commits prove themselves, so a header that is damaged, or zeros, costs nothing if
            // there are any.
            Header::Unborn if segment.log_length().is_ok_and(|n| n <= LOG_HEADER as u64) => {}
            Header::Unborn | Header::Damaged => {
                let number = self.add(segment, Standing::Followed) as usize;
                self.follow(source, number)?;
                let known = &self.segments[number];
                // Zeros and nothing else: a power cut before the first commit, which is no damage.
                if header == Header::Damaged && known.is_there() && known.log.spans.is_empty() {
                    let segment = Arc::clone(&known.segment);
                    self.quarantine(source, &segment, "nothing in it is readable");
                }
            }
        }
        Ok(true)
    }

    /// Registers a segment and returns its number.
    pub fn add(&mut self, segment: Segment, standing: Standing) -> u32 {
        let number = self.segments.len() as u32;
        self.numbers.insert(segment.id, number);
        self.segments.push(Known { segment: Arc::new(segment), log: Log::default(), standing });
        number
    }

    fn follow(&mut self, source: &Source<'_>, number: usize) -> Result<()> {
        let (before, rest) = self.segments.split_at_mut(number);
        let Some((known, after)) = rest.split_first_mut() else { return Ok(()) };
        let fail = |error: &io::Error| {
            problem::io(&*source.pool.dir, "read", &known.segment.log_name, error)
        };
        if known.segment.log_length().is_ok_and(|length| length == known.log.end) {
            known.log.seen = known.log.end;
            return Ok(()); // read to its end already
        }
        let file = match known.segment.log_file() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                known.end(Standing::Gone);
                return Ok(());
            }
            outcome => outcome.map_err(|error| fail(&error))?,
        };
        let (index, dead, displaced) = (&mut self.index, &self.dead, &mut self.displaced);
        let is_gone = |row: &Candidate| {
            let other = row.place.segment as usize;
            let known =
                if other < number { before.get(other) } else { after.get(other - number - 1) };
            dead.contains(&row.entry) || known.is_some_and(|known| !known.is_there())
        };
        let publish = |first: u64, entries: &[u8]| -> Result<()> {
            index.reserve(entries.len() / ENTRY)?;
            for (row, bytes) in (first..).zip(entries.chunks_exact(ENTRY)) {
                let entry = Entry::decode(bytes);
                let place = Place { segment: number as u32, row: row as u32 };
                let gone = index.insert(&entry.key, entry.check, place, is_gone);
                displaced.extend(gone.map(|place| place.segment));
            }
            Ok(())
        };
        let read = known.log.advance(&*file, known.segment.binding, publish)?;
        read.map_err(|error| fail(&error))
    }

    /// Adds a row of this process to the index, which has room for it.
    pub fn insert(&mut self, key: &Key, check: Check, place: Place) {
        let (segments, dead) = (&self.segments, &self.dead);
        let is_gone = |row: &Candidate| {
            dead.contains(&row.entry) || !segments[row.place.segment as usize].is_there()
        };
        let gone = self.index.insert(key, check, place, is_gone);
        self.displaced.extend(gone.map(|place| place.segment));
    }

    /// Takes the files of a segment out of service by renaming them, unless a living process has
    /// them: its rows are missing here, and it goes on.
    pub fn quarantine(&mut self, source: &Source<'_>, segment: &Segment, why: &str) {
        let number = self.numbers.get(&segment.id).copied().unwrap_or_else(|| {
            let pool = Arc::clone(source.pool);
            self.add(Segment::new(pool, source.table, segment.id, source.shape), Standing::Out)
        });
        self.segments[number as usize].end(Standing::Out);
        if source.writable
            && let Ok(Some(_held)) = unheld(&*source.pool.dir, &segment.log_name)
        {
            for file in [&segment.log_name, &segment.rows_name] {
                let _ = source.pool.dir.rename(file, &format!("{file}{BAD}"));
            }
            source.pool.clear();
        }
        self.quarantined.push((segment.path(), why.to_owned()));
    }

    /// The rows that may be the one of `key`, the first published first.
    pub fn find(&self, key: &Key, found: &mut Vec<Candidate>) {
        self.find_tag(self.index.tag(key), found);
    }

    /// The row that comes first in [`State::find`], for each of `keys`.
    pub fn find_first(&self, keys: &[Key], first: &mut [Option<Candidate>]) {
        let mut found = Vec::new();
        for (keys, first) in keys.chunks(TOGETHER).zip(first.chunks_mut(TOGETHER)) {
            let mut tags = [0; TOGETHER];
            let tags = &mut tags[..keys.len()];
            tags.iter_mut().zip(keys).for_each(|(slot, key)| *slot = self.index.tag(key));
            self.index.warm(tags);
            for (first, tag) in first.iter_mut().zip(tags) {
                self.find_tag(*tag, &mut found);
                *first = found.first().copied();
            }
        }
    }

    fn find_tag(&self, tag: u32, found: &mut Vec<Candidate>) {
        found.clear();
        found.extend(self.index.candidates(tag).filter(|c| self.is_live(c)));
        if found.len() > 1 {
            found
                .sort_by_key(|c| (self.segments[c.place.segment as usize].segment.id, c.place.row));
        }
    }

    fn is_live(&self, candidate: &Candidate) -> bool {
        self.segments[candidate.place.segment as usize].is_there()
            && !self.dead.contains(&candidate.entry)
    }

    /// The segment with this number.
    pub fn segment(&self, number: u32) -> &Arc<Segment> {
        &self.segments[number as usize].segment
    }

    /// What is known of the segment with this id.
    pub fn known(&self, id: &[u8; 16]) -> Option<(u32, &Known)> {
        let number = *self.numbers.get(id)?;
        Some((number, &self.segments[number as usize]))
    }

    /// The key of an entry, from the log. None where it cannot be read.
    pub fn stored_key(&self, place: Place) -> Option<Key> {
        let known = &self.segments[place.segment as usize];
        let (offset, _) = known.log.entries_from(u64::from(place.row))?;
        known.segment.read_key(offset).ok()
    }

    /// The sequence number that a new segment takes: one more than any in use.
    pub fn next_sequence(&self) -> u64 {
        let sequence = |id: &[u8; 16]| u64::from_be_bytes(super::format::array_at(id, 0));
        self.numbers.keys().map(sequence).max().map_or(1, |last| last.saturating_add(1))
    }
}

fn list(source: &Source<'_>) -> Result<Vec<String>> {
    match source.pool.dir.list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        outcome => outcome.map_err(|error| problem::io(&*source.pool.dir, "list", "", &error)),
    }
}
