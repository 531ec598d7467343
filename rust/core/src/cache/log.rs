//! Reading the log of a segment: which rows are published, and what is damaged.
//!
//! The rule that makes commits atomic: commit *k* was durable before the first byte of commit
//! *k + 1* was written. So bytes that make no sense are a commit that never finished if nothing
//! valid follows, and damage if something does. Damage costs only the rows it hits: reading goes
//! on at the next commit, which is found by its magic and proven by its checksum. What was searched
//! in vain is not searched again while nothing is added.

use std::io;
use std::ops::Range;

use super::checksum::Binding;
use super::format::{ALIGNMENT, COMMIT_HEADER, Commit, ENTRY, Entry, LOG_HEADER};
use super::memory;
use super::storage::{File, read_exact_at};

/// A commit that was read: its rows, and where its entries lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first row.
    pub first: u64,
    /// How many rows.
    pub rows: u64,
    /// The offset of the first entry.
    pub entries: u64,
}

/// What is known of a log so far.
#[derive(Clone, Debug)]
pub struct Log {
    /// The commits in order.
    pub spans: Vec<Span>,
    /// One more than the last published row.
    pub rows: u64,
    /// One more than the last row that is known to be durable.
    pub synced: u64,
    /// What the published rows cost to compute, in seconds.
    pub seconds: f64,
    /// Whether the segment is complete: nothing will ever be appended.
    pub sealed: bool,
    /// The end of the last commit.
    pub end: u64,
    /// The length of the file when it was last read.
    pub seen: u64,
    /// Up to where no commit begins after `end`.
    searched: u64,
    /// Byte ranges that are neither commits nor an unfinished tail.
    pub damage: Vec<(u64, u64)>,
}

impl Default for Log {
    fn default() -> Self {
        let end = LOG_HEADER as u64;
        Log {
            spans: vec![],
            rows: 0,
            synced: 0,
            seconds: 0.0,
            sealed: false,
            end,
            seen: 0,
            searched: 0,
            damage: vec![],
        }
    }
}

impl Log {
    /// Reads what was appended since the last call. `publish` gets each commit's first row and
    /// its entries' bytes.
    pub fn advance(
        &mut self,
        file: &dyn File,
        binding: Binding,
        mut publish: impl FnMut(u64, &[u8]) -> crate::Result<()>,
    ) -> crate::Result<io::Result<()>> {
        let length = match file.len() {
            Ok(length) => length,
            Err(error) => return Ok(Err(error)),
        };
        self.seen = length;
        let mut buffer = Vec::new();
        while !self.sealed && self.end < length {
            match read_commit(file, binding, self.end, length, &mut buffer) {
                Ok(Parsed::Whole(commit)) => self.accept(commit, &buffer, &mut publish)?,
                Ok(parsed) => match self.search(file, binding, length) {
                    Ok(None) => return Ok(Ok(())),
                    Ok(Some(next)) => {
                        self.damage.push((self.end, next));
                        match parsed {
                            Parsed::Header(commit) => self.accept(commit, &buffer, &mut publish)?,
                            _ => self.end = next,
                        }
                        self.end = self.end.max(next);
                    }
                    Err(error) => return Ok(Err(error)),
                },
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }

    /// The offset of the next valid commit header after `end`, where it was not sought before.
    fn search(
        &mut self,
        file: &dyn File,
        binding: Binding,
        length: u64,
    ) -> io::Result<Option<u64>> {
        if length < self.searched {
            self.searched = 0; // somebody took a commit back
        }
        // A header that was cut off by the end of the file may be whole by now.
        let from = self.end.max(self.searched.saturating_sub(COMMIT_HEADER as u64 + ALIGNMENT));
        let found =
            if length == self.searched { None } else { find_commit(file, binding, from, length)? };
        self.searched = if found.is_none() { length } else { 0 };
        Ok(found)
    }

    fn accept(
        &mut self,
        commit: Commit,
        entries: &[u8],
        publish: &mut impl FnMut(u64, &[u8]) -> crate::Result<()>,
    ) -> crate::Result<()> {
        let start = self.end + COMMIT_HEADER as u64;
        let end = start + commit.entry_bytes() as u64;
        let last = commit.first.checked_add(commit.rows).filter(|l| *l <= u64::from(u32::MAX));
        let last = last.filter(|_| commit.first >= self.rows);
        if let Some(last) = last {
            publish(commit.first, entries)?;
            if commit.rows > 0 {
                self.spans.push(Span { first: commit.first, rows: commit.rows, entries: start });
            }
            if commit.synced {
                self.synced = self.rows;
            }
            self.rows = last;
            self.seconds += commit.seconds;
            self.sealed = commit.seal;
        } else {
            self.damage.push((self.end, end));
        }
        self.end = end;
        Ok(())
    }

    /// Where the entry of a published row lies, and how many entries follow without a gap.
    pub fn entries_from(&self, row: u64) -> Option<(u64, u64)> {
        let after = self.spans.partition_point(|span| span.first <= row);
        let span = self.spans[..after].last()?;
        let count = (span.first + span.rows).checked_sub(row).filter(|count| *count > 0)?;
        Some((span.entries + (row - span.first) * ENTRY as u64, count))
    }

    /// The entries of published rows; None where one of them is not published.
    pub fn entries(
        &self,
        file: &dyn File,
        rows: Range<u64>,
    ) -> crate::Result<io::Result<Option<Vec<Entry>>>> {
        let count = rows.end.saturating_sub(rows.start) as usize;
        let mut entries = memory::room(count, "the entries of a segment")?;
        let mut bytes = Vec::new();
        let mut next = rows.start;
        while next < rows.end {
            let Some((offset, count)) = self.entries_from(next) else { return Ok(Ok(None)) };
            let count = count.min(rows.end - next);
            let read = memory::resize(&mut bytes, count as usize * ENTRY)
                .and_then(|()| read_exact_at(file, &mut bytes, offset));
            if let Err(error) = read {
                return Ok(Err(error));
            }
            entries.extend(bytes.chunks_exact(ENTRY).map(Entry::decode));
            next += count;
        }
        Ok(Ok(Some(entries)))
    }
}

/// What lies where a commit should begin.
enum Parsed {
    /// Header and entries match their checksums.
    Whole(Commit),
    /// Only the header does; the entries are in the buffer all the same.
    Header(Commit),
    Nothing,
}

fn read_commit(
    file: &dyn File,
    binding: Binding,
    offset: u64,
    length: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<Parsed> {
    let start = offset + COMMIT_HEADER as u64;
    if start > length {
        return Ok(Parsed::Nothing);
    }
    let mut header = [0; COMMIT_HEADER];
    read_exact_at(file, &mut header, offset)?;
    let Some(commit) = Commit::decode(&header, binding, offset) else {
        return Ok(Parsed::Nothing);
    };
    if start + commit.entry_bytes() as u64 > length {
        return Ok(Parsed::Nothing);
    }
    memory::resize(buffer, commit.entry_bytes())?;
    read_exact_at(file, buffer, start)?;
    let whole = binding.block(start, buffer) == commit.entries;
    Ok(if whole { Parsed::Whole(commit) } else { Parsed::Header(commit) })
}

/// The offset of the next valid commit header after `from`.
fn find_commit(
    file: &dyn File,
    binding: Binding,
    from: u64,
    length: u64,
) -> io::Result<Option<u64>> {
    // The next header may be near, and the one after it: a search costs what it passes over.
    const FIRST: usize = 4 << 10;
    const LARGEST: usize = 1 << 20;
    let mut at = from.next_multiple_of(ALIGNMENT);
    if at == from {
        at += ALIGNMENT;
    }
    let (mut window, mut next) = (Vec::new(), FIRST);
    while at + COMMIT_HEADER as u64 <= length {
        let size = next.min((length - at) as usize);
        next = LARGEST.min(2 * next);
        memory::resize(&mut window, size)?;
        read_exact_at(file, &mut window[..size], at)?;
        let last = size - COMMIT_HEADER;
        for start in (0..=last).step_by(ALIGNMENT as usize) {
            let offset = at + start as u64;
            if Commit::decode(&window[start..size], binding, offset).is_some() {
                return Ok(Some(offset));
            }
        }
        at += (last as u64 + 1).next_multiple_of(ALIGNMENT);
    }
    Ok(None)
}

/// The number of rows of a sealed segment, from the last bytes of its log.
pub fn sealed_rows(file: &dyn File, binding: Binding) -> io::Result<Option<u64>> {
    let length = file.len()?;
    if length < (LOG_HEADER + COMMIT_HEADER) as u64 {
        return Ok(None);
    }
    let offset = length - COMMIT_HEADER as u64;
    let mut header = [0; COMMIT_HEADER];
    read_exact_at(file, &mut header, offset)?;
    let seal = Commit::decode(&header, binding, offset).filter(|commit| commit.seal);
    Ok(seal.map(|commit| commit.first).filter(|rows| *rows <= u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::format::{Dtype, Identity, Shape};
    use super::super::storage::{Sim, write_all_at};
    use super::*;

    /// A commit that never finished is searched once, not at every look.
    #[test]
    fn an_unfinished_tail_is_searched_once() {
        let shape = Shape::new(2, Dtype::F32).unwrap();
        let identity = Identity { table: [1; 32], segment: [2; 16], shape };
        let (binding, sim) = (identity.binding(), Sim::new());
        let file = sim.root().create("log").unwrap();
        let mut bytes = identity.log_header();
        bytes.resize(bytes.len() + (5 << 20), 7);
        write_all_at(&*file, &bytes, 0).unwrap();
        let mut log = Log::default();
        let mut look = || {
            let before = sim.operations();
            log.advance(&*file, binding, |_, _| Ok(())).unwrap().unwrap();
            (sim.operations() - before, log.rows, log.damage.len())
        };
        assert!(look().0 >= 6);
        assert_eq!(look(), (2, 0, 0));
        write_all_at(&*file, &[7; 100], bytes.len() as u64).unwrap();
        assert_eq!(look(), (3, 0, 0), "what is new is searched");
        // A commit behind the bytes that make no sense, partly there at first: they are damage then.
        let at = (bytes.len() as u64 + 100).next_multiple_of(ALIGNMENT);
        let body = [7; 48];
        let entries = binding.block(at + COMMIT_HEADER as u64, &body);
        let commit = Commit { first: 0, rows: 1, seconds: 0.0, seal: false, synced: true, entries };
        let commit = [&commit.encode(binding, at)[..], &body].concat();
        write_all_at(&*file, &commit[..40], at).unwrap();
        assert_eq!((look().1, look().1), (0, 0));
        write_all_at(&*file, &commit[40..], at + 40).unwrap();
        let (_, rows, damage) = look();
        assert_eq!((rows, damage), (1, 1));
    }

    /// Headers without end whose entries are damaged: each search ends at the next one.
    #[test]
    fn damage_without_end() {
        let shape = Shape::new(2, Dtype::F32).unwrap();
        let identity = Identity { table: [1; 32], segment: [2; 16], shape };
        let (binding, sim) = (identity.binding(), Sim::new());
        let file = sim.root().create("log").unwrap();
        let mut bytes = identity.log_header();
        for _ in 0..20_000 {
            let commit =
                Commit { first: 0, rows: 0, seconds: 0.0, seal: false, synced: true, entries: 0 };
            bytes.extend_from_slice(&commit.encode(binding, bytes.len() as u64));
        }
        write_all_at(&*file, &bytes, 0).unwrap();
        let mut log = Log::default();
        log.advance(&*file, binding, |_, _| Ok(())).unwrap().unwrap();
        assert!(log.damage.len() > 10_000);
        let ratio = sim.bytes_read() / bytes.len() as u64;
        assert!(ratio < 100, "each byte is read {ratio} times");
    }

    proptest! {
        /// Somebody who computes checksums can lie about everything else, and gets nowhere.
        #[test]
        fn hostile_commits_with_right_checksums(
            lies in proptest::collection::vec((any::<u64>(), 0u64..70_000, any::<bool>(), 0usize..200), 0..6),
            small: bool,
        ) {
            let shape = Shape::new(2, Dtype::F32).unwrap();
            let identity = Identity { table: [1; 32], segment: [2; 16], shape };
            let binding = identity.binding();
            let mut bytes = identity.log_header();
            for (first, rows, seal, entries) in lies {
                let offset = bytes.len() as u64;
                let (first, rows) = if small { (first % 9, rows % 9) } else { (first, rows) };
                let body = vec![7; entries * 16];
                let entries = binding.block(offset + COMMIT_HEADER as u64, &body);
                let commit = Commit { first, rows, seconds: f64::NAN, seal, synced: true, entries };
                bytes.extend_from_slice(&commit.encode(binding, offset));
                bytes.extend_from_slice(&body);
            }
            let file = Sim::new().root().create("log").unwrap();
            write_all_at(&*file, &bytes, 0).unwrap();
            let mut log = Log::default();
            let mut published = 0;
            log.advance(&*file, binding, |_, entries| {
                published += entries.len();
                Ok(())
            }).unwrap().unwrap();
            prop_assert!(published <= bytes.len());
            prop_assert!(log.rows <= u64::from(u32::MAX));
            let total: u64 = log.spans.iter().map(|span| span.rows).sum();
            prop_assert!(total * ENTRY as u64 <= bytes.len() as u64);
            for span in &log.spans {
                prop_assert!(log.entries_from(span.first).is_some());
            }
            let _ = sealed_rows(&*file, binding).unwrap();
        }
    }
}
