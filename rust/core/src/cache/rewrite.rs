//! Copying the good rows of some segments into a new one: how a table is repaired and compacted.
//!
//! The order that makes it safe to die at any point: the new segment is durable and sealed before
//! the first old file goes. Until the last one went, rows lie in two places with equal bytes,
//! which hurts nobody.

use std::collections::HashSet;
use std::sync::Arc;

use super::checksum::Key;
use super::format::array_at;
use super::index::{Candidate, Place};
use super::problem;
use super::root::Durability;
use super::segment::{BAD, LOG, ROWS, name, parse};
use super::table::Table;
use super::writer::{Failure, Writer};
use crate::error::{Error, Result};
use crate::parallel::Run;

/// Rows that are copied between two looks at the stop flag.
const ROWS_AT_ONCE: usize = 1024;

/// What [`Table::rewrite`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Segments that were replaced.
    pub segments: Vec<String>,
    /// Rows that were copied.
    pub rows: u64,
    /// Rows that were damaged, and are gone.
    pub lost: u64,
}

impl Table {
    /// Replaces the segments `sources` by one that holds their good rows. Segments that a living
    /// process is writing are left alone. With `keep`, the old files stay, out of service.
    ///
    /// The caller holds the maintenance lock.
    pub fn rewrite(&self, run: Run<'_>, sources: &[String], keep: bool) -> Result<Rewritten> {
        self.close()?;
        self.refresh()?;
        let sources: Vec<String> =
            sources.iter().filter(|which| !self.is_being_written(which)).cloned().collect();
        let mut done = Rewritten::default();
        if sources.is_empty() {
            return Ok(done);
        }
        let rows = self.winners(&sources)?;
        self.copy(run, &sources, &rows, &mut done)?;
        self.retire(&sources, keep)?;
        done.segments = sources;
        self.pool.clear();
        self.refresh()?;
        Ok(done)
    }

    /// Whether the process that writes a segment is alive (it may be this one).
    pub fn is_being_written(&self, which: &str) -> bool {
        let file = self.pool.dir.open(&format!("{which}{LOG}"));
        file.is_ok_and(|file| !file.try_lock().unwrap_or(true))
    }

    /// The rows of `sources` that readers see: not those that an earlier segment overrules.
    fn winners(&self, sources: &[String]) -> Result<Vec<(Key, Candidate)>> {
        let chosen: HashSet<_> = sources.iter().map(String::as_str).collect();
        let mut winners = Vec::new();
        for (key, candidate) in self.live()? {
            let segment = Arc::clone(self.state().segment(candidate.place.segment));
            if chosen.contains(name(&segment.id).as_str()) {
                winners.push((key, candidate));
            }
        }
        Ok(winners)
    }

    /// Every key of the table with the row that readers get for it, in the order of the files.
    pub fn live(&self) -> Result<Vec<(Key, Candidate)>> {
        let state = self.fresh_state()?;
        let mut found = Vec::new();
        let mut live = Vec::new();
        let mut order: Vec<usize> = (0..state.segments.len()).collect();
        order.sort_by_key(|number| state.segments[*number].segment.id);
        for number in order {
            let known = &state.segments[number];
            if known.gone {
                continue;
            }
            for span in &known.log.spans {
                let rows = span.first..span.first + span.rows;
                let Ok(entries) = self.entries(&known.segment, &known.log, rows) else { continue };
                for (row, entry) in (span.first..).zip(entries) {
                    state.find(&entry.key, &mut found);
                    let place = Place { segment: number as u32, row: row as u32 };
                    if let Some(first) = found.first().filter(|first| first.place == place) {
                        live.push((entry.key, *first));
                    }
                }
            }
        }
        Ok(live)
    }

    fn copy(
        &self,
        run: Run<'_>,
        sources: &[String],
        rows: &[(Key, Candidate)],
        done: &mut Rewritten,
    ) -> Result<()> {
        let mut writer = self.successor(sources)?;
        let per_row = self.seconds_per_row()?;
        let stride = self.shape().stride();
        for chunk in rows.chunks(ROWS_AT_ONCE) {
            run.check()?;
            let mut keys = Vec::with_capacity(chunk.len());
            let mut bytes = Vec::with_capacity(chunk.len() * stride);
            for (key, candidate) in chunk {
                match self.good_row(key, *candidate) {
                    Some(row) => {
                        keys.push(*key);
                        bytes.extend_from_slice(&row);
                    }
                    None => done.lost += 1,
                }
            }
            done.rows += keys.len() as u64;
            writer.append(&keys, &bytes, per_row * keys.len() as f64)?;
        }
        let batch = writer.take();
        if done.rows > 0 {
            let outcome = writer.committer().commit(&batch);
            let (_, end) = outcome.map_err(Failure::into_error)?;
            writer.committed(end);
        }
        writer.seal()?;
        Ok(())
    }

    /// The stored bytes of a row, or of another row of the same key, if they match.
    fn good_row(&self, key: &Key, candidate: Candidate) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.shape().stride()];
        let mut others = Vec::new();
        self.state().find(key, &mut others);
        std::iter::once(candidate).chain(others).find_map(|candidate| {
            let segment = Arc::clone(self.state().segment(candidate.place.segment));
            let row = u64::from(candidate.place.row);
            segment.read_rows(row, &mut bytes).ok()?;
            (segment.binding.row(row, key, &bytes) == candidate.check).then(|| bytes.clone())
        })
    }

    /// A new segment that comes before everything that the sources came before.
    fn successor(&self, sources: &[String]) -> Result<Writer> {
        let first = sources.iter().filter_map(|which| parse(&format!("{which}{LOG}"), LOG)).min();
        let Some(first) = first else {
            return Err(Error::Invalid("nothing to rewrite".into()));
        };
        let id = self.new_id(u64::from_be_bytes(array_at(&first, 0)))?;
        let durable = self.durability == Durability::Batch;
        Writer::create(self.dir(), &self.home, &self.manifest.id, id, self.shape(), durable)
    }

    /// Removes the files of segments, or takes them out of service: all logs for good, then the
    /// rows, because a log without rows looks like damage.
    fn retire(&self, segments: &[String], keep: bool) -> Result<()> {
        let dir = self.dir();
        for suffix in [LOG, ROWS] {
            for which in segments {
                let file = format!("{which}{suffix}");
                let outcome = if keep {
                    dir.rename(&file, &format!("{file}{BAD}"))
                } else {
                    dir.remove(&file)
                };
                match outcome {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(problem::io(&**dir, "remove", &file, &error));
                    }
                    _ => {}
                }
            }
            dir.sync().map_err(|error| problem::io(&**dir, "sync", "", &error))?;
        }
        Ok(())
    }
}
