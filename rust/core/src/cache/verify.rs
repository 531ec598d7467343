//! Looking at every byte: what a table holds, and what of it is damaged.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::format::{Header, Identity, ROWS_HEADER};
use super::log::Log;
use super::names::{BAD, LOG, MANIFEST, ROWS, hex, parse};
use super::problem;
use super::segment::Segment;
use super::storage::{File, read_exact_at};
use super::table::Table;
use crate::error::Result;
use crate::parallel::Run;

/// Rows that are checked at a time.
const ROWS_AT_ONCE: u64 = 256;

/// The size of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Rows that can be read; a key that two segments hold counts twice.
    pub rows: u64,
    /// Segments with published rows.
    pub segments: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// What the rows cost to compute, in seconds.
    pub seconds: f64,
    /// Files out of service.
    pub quarantined: usize,
    /// Seconds since the table was last opened.
    pub idle_seconds: u64,
}

/// What [`Table::verify`] found in one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The segment's name.
    pub segment: String,
    /// Published rows.
    pub rows: u64,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Rows that are not what was written.
    pub bad_rows: Vec<u64>,
    /// Whatever else is wrong, in words.
    pub damage: Vec<String>,
    /// Bytes after the last commit: one that never finished, or one that is being written.
    pub unfinished: u64,
}

impl Report {
    /// Whether every byte is what was written.
    pub fn is_sound(&self) -> bool {
        self.bad_rows.is_empty() && self.damage.is_empty()
    }
}

impl Table {
    /// How much there is of it.
    pub fn summary(&self) -> Result<Summary> {
        let mut summary = Summary::default();
        for known in self.fresh_state()?.segments.iter().filter(|k| k.is_there() && k.log.rows > 0)
        {
            summary.rows += known.log.spans.iter().map(|span| span.rows).sum::<u64>();
            summary.segments += 1;
            summary.seconds += known.log.seconds;
        }
        let dir = &self.pool.dir;
        for file in self.files()? {
            summary.bytes += dir.open(&file).and_then(|file| file.len()).unwrap_or(0);
            summary.quarantined += usize::from(file.ends_with(BAD));
        }
        summary.idle_seconds = dir.idle_seconds(MANIFEST).unwrap_or(0);
        Ok(summary)
    }

    /// The names of all files; none where the table is not there.
    fn files(&self) -> Result<Vec<String>> {
        match self.pool.dir.list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
            outcome => outcome.map_err(|error| problem::io(&*self.pool.dir, "list", "", &error)),
        }
    }

    /// The names of all segments, damaged and empty ones too.
    ///
    /// # Errors
    /// Where the directory cannot be read: that is not a table without segments.
    pub fn segment_names(&self) -> Result<Vec<String>> {
        let names = self.files()?;
        let mut ids: Vec<_> = names
            .iter()
            .filter_map(|file| parse(file, LOG).or_else(|| parse(file, ROWS)))
            .collect();
        ids.dedup();
        Ok(ids.iter().map(|id| hex(id)).collect())
    }

    /// Reads every byte of the segment `which` from disk again and compares it with its checksum.
    pub fn verify(&self, run: Run<'_>, which: &str) -> Result<Report> {
        let mut report = Report { segment: which.to_owned(), ..Report::default() };
        let Some(id) = parse(&format!("{which}{LOG}"), LOG) else { return Ok(report) };
        let pool = Arc::new(super::segment::Pool::new(Arc::clone(&self.pool.dir)));
        let segment = Segment::new(pool, &self.manifest.id, id, self.shape());
        let identity = Identity { table: self.manifest.id, segment: id, shape: self.shape() };
        let log = match verify_log(&segment, &identity, &mut report) {
            Ok(log) => log,
            Err(error) => {
                report.damage.push(format!("the log cannot be read: {error}"));
                return Ok(report);
            }
        };
        (report.rows, report.sealed) = (log.rows, log.sealed);
        if let Err(error) = verify_rows_header(&segment, &identity, log.rows, &mut report) {
            report.damage.push(format!("the rows cannot be read: {error}"));
        }
        report.bad_rows = self.bad_rows(run, &segment, &log)?;
        Ok(report)
    }

    /// The published rows of a segment that do not match their checksums.
    pub(super) fn bad_rows(&self, run: Run<'_>, segment: &Segment, log: &Log) -> Result<Vec<u64>> {
        let bad = Mutex::new(Vec::new());
        let stride = segment.shape.stride();
        for span in &log.spans {
            let blocks = span.rows.div_ceil(ROWS_AT_ONCE) as usize;
            run.for_each(blocks, |block| {
                let first = span.first + block as u64 * ROWS_AT_ONCE;
                let last = (first + ROWS_AT_ONCE).min(span.first + span.rows);
                let entries = segment.read_entries(log, first..last)?;
                let mut bytes = vec![0; stride];
                for (row, entry) in (first..).zip(entries) {
                    let read = segment.read_rows(row, &mut bytes);
                    let check = segment.binding.row(row, &entry.key, &bytes);
                    if read.is_err() || check != entry.check {
                        bad.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                    }
                }
                Ok(())
            })?;
        }
        let mut bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        bad.sort_unstable();
        Ok(bad)
    }
}

fn verify_log(segment: &Segment, identity: &Identity, report: &mut Report) -> io::Result<Log> {
    let file = segment.log_file()?;
    match segment.read_header() {
        Ok(Header::Valid(found)) if found == *identity => {}
        Ok(Header::Unborn) if file.len()? <= super::format::LOG_HEADER as u64 => {}
        Ok(header) => report.damage.push(describe("log", &header)),
        Err(error) => return Err(error),
    }
    let mut log = Log::default();
    log.advance(&*file, segment.binding, |_, _| Ok(())).map_err(io::Error::other)??;
    let ranges = log.damage.iter();
    report.damage.extend(ranges.map(|(from, to)| format!("bytes {from} to {to} of the log")));
    report.unfinished = file.len()?.saturating_sub(log.end);
    if log.sealed && report.unfinished > 0 {
        report.damage.push(format!("{} bytes after the seal of the log", report.unfinished));
    }
    Ok(log)
}

fn verify_rows_header(
    segment: &Segment,
    identity: &Identity,
    rows: u64,
    report: &mut Report,
) -> io::Result<()> {
    let file: Arc<dyn File> = segment.rows_file()?;
    let length = file.len()?;
    let mut bytes = vec![0; length.min(ROWS_HEADER as u64) as usize];
    read_exact_at(&*file, &mut bytes, 0)?;
    match Identity::read_rows_header(&bytes) {
        Header::Valid(found) if found == *identity => {}
        Header::Unborn if rows == 0 => {}
        header => report.damage.push(describe("rows", &header)),
    }
    let end = identity.shape.offset(rows);
    if length < end && rows > 0 {
        report.damage.push(format!("the rows end at byte {length}, not {end}"));
    }
    if length > end && report.sealed {
        report.damage.push(format!("{} bytes after the last row", length - end));
    }
    Ok(())
}

fn describe(file: &str, header: &Header) -> String {
    match header {
        Header::Valid(_) => format!("the {file} file belongs to another segment or table"),
        Header::Newer(version) => format!("the {file} file has format version {version}"),
        Header::Unborn => format!("the {file} file has no header"),
        Header::Damaged => format!("the header of the {file} file"),
    }
}
