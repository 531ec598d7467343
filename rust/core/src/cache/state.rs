//! What a process knows of a table: its segments, how far their logs were read, and the index.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use super::checksum::{Key, tag};
use super::format::{ENTRY, Entry, Header, Identity, Shape};
use super::index::{Candidate, Index, Place};
use super::log::Log;
use super::problem;
use super::segment::{BAD, LOG, Pool, ROWS, Segment, name, parse, too_new};
use crate::error::{Error, Result};

const EACCES: i32 = rustix::io::Errno::ACCESS.raw_os_error();

/// Keys that are looked up together.
const TOGETHER: usize = 128;

/// A segment and how much of it is known.
#[derive(Debug)]
pub struct Known {
    /// The segment.
    pub segment: Arc<Segment>,
    /// What was read of its log.
    pub log: Log,
    /// Whether its files are no longer there.
    pub gone: bool,
    /// Whether its log is still read by [`State::refresh`]; not so for a writer's own segment.
    pub follow: bool,
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
    /// Files that were taken out of service: segment name and reason.
    pub quarantined: Vec<(String, String)>,
    numbers: HashMap<[u8; 16], u32>,
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
        let names = list(source)?;
        let mut present = HashSet::new();
        for id in names.iter().filter_map(|name| parse(name, LOG)) {
            present.insert(id);
            if !self.numbers.contains_key(&id) {
                self.meet(source, id)?;
            }
        }
        for number in 0..self.segments.len() {
            let known = &mut self.segments[number];
            known.gone = !present.contains(&known.segment.id) && known.follow;
            if !known.gone && known.follow && !known.log.sealed {
                self.follow(source, number)?;
            }
        }
        self.loaded = true;
        Ok(())
    }

    fn meet(&mut self, source: &Source<'_>, id: [u8; 16]) -> Result<()> {
        let segment = Segment::new(Arc::clone(source.pool), source.table, id, source.shape);
        let header = match segment.read_header() {
            // Somebody else's: its rows are missing here, those of the others are not.
            Err(Error::CacheIo { errno, reason, .. }) if errno == EACCES => {
                self.quarantined.push((segment.path(), reason));
                let number = self.add(segment, false) as usize;
                self.segments[number].gone = true;
                return Ok(());
            }
            outcome => outcome?,
        };
        match header {
            Header::Unborn => return Ok(()),
            Header::Newer(found) => return Err(too_new(&segment, found)),
            Header::Valid(Identity { table, segment: theirs, shape }) => {
                if (table, theirs, shape) != (*source.table, id, source.shape) {
                    self.quarantine(source, &segment, "it belongs to another segment or table");
                    return Ok(());
                }
                self.add(segment, true);
            }
            // Commits prove themselves, so a damaged header costs nothing if there are any.
            Header::Damaged => {
                let number = self.add(segment, true) as usize;
                self.follow(source, number)?;
                if self.segments[number].log.spans.is_empty() {
                    let segment = Arc::clone(&self.segments[number].segment);
                    self.quarantine(source, &segment, "nothing in it is readable");
                }
            }
        }
        Ok(())
    }

    /// Registers a segment and returns its number.
    pub fn add(&mut self, segment: Segment, follow: bool) -> u32 {
        let number = self.segments.len() as u32;
        self.numbers.insert(segment.id, number);
        let segment = Arc::new(segment);
        self.segments.push(Known { segment, log: Log::default(), gone: false, follow });
        number
    }

    fn follow(&mut self, source: &Source<'_>, number: usize) -> Result<()> {
        let known = &mut self.segments[number];
        let fail = |error: &io::Error| {
            problem::io(&*source.pool.dir, "read", &(name(&known.segment.id) + LOG), error)
        };
        if known.segment.log_length().is_ok_and(|length| length == known.log.end) {
            return Ok(()); // read to its end already
        }
        let file = match known.segment.log_file() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                known.gone = true;
                return Ok(());
            }
            outcome => outcome.map_err(|error| fail(&error))?,
        };
        let index = &mut self.index;
        let publish = |first: u64, entries: &[u8]| -> Result<()> {
            index.reserve(entries.len() / ENTRY)?;
            for (row, bytes) in (first..).zip(entries.chunks_exact(ENTRY)) {
                let entry = Entry::decode(bytes);
                let place = Place { segment: number as u32, row: row as u32 };
                index.insert(tag(&entry.key), entry.check, place);
            }
            Ok(())
        };
        let read = known.log.advance(&*file, known.segment.binding, publish)?;
        read.map_err(|error| fail(&error))
    }

    /// Takes the files of a segment out of service by renaming them.
    pub fn quarantine(&mut self, source: &Source<'_>, segment: &Segment, why: &str) {
        if let Some(number) = self.numbers.get(&segment.id) {
            self.segments[*number as usize].gone = true;
            self.segments[*number as usize].follow = false;
        } else {
            let segment =
                Segment::new(Arc::clone(source.pool), source.table, segment.id, source.shape);
            let number = self.add(segment, false) as usize;
            self.segments[number].gone = true;
        }
        if source.writable {
            for suffix in [LOG, ROWS] {
                let file = name(&segment.id) + suffix;
                let _ = source.pool.dir.rename(&file, &format!("{file}{BAD}"));
            }
            source.pool.clear();
        }
        self.quarantined.push((segment.path(), why.to_owned()));
    }

    /// The rows that may be the one of `key`, the first published first.
    pub fn find(&self, key: &Key, found: &mut Vec<Candidate>) {
        self.find_tag(tag(key), found);
    }

    /// The row that comes first in [`State::find`], for each of `keys`.
    pub fn find_first(&self, keys: &[Key], first: &mut [Option<Candidate>]) {
        let mut found = Vec::new();
        for (keys, first) in keys.chunks(TOGETHER).zip(first.chunks_mut(TOGETHER)) {
            let mut tags = [0; TOGETHER];
            let tags = &mut tags[..keys.len()];
            tags.iter_mut().zip(keys).for_each(|(slot, key)| *slot = tag(key));
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
        !self.segments[candidate.place.segment as usize].gone
            && !self.dead.contains(&candidate.entry)
    }

    /// The segment with this number.
    pub fn segment(&self, number: u32) -> &Arc<Segment> {
        &self.segments[number as usize].segment
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
