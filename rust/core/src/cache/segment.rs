//! A segment: one writer's rows and the log that publishes them, as two files of one name.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::{Binding, Key};
use super::format::{Header, Identity, LOG_HEADER, Shape, array_at};
use super::problem;
use super::storage::{Dir, File, read_exact_at};
use crate::error::{Error, Result};

/// The suffix of a file of rows.
pub const ROWS: &str = ".rows";
/// The suffix of a log.
pub const LOG: &str = ".log";
/// The suffix that takes a file out of service.
pub const BAD: &str = ".bad";

/// The name of a segment in files: its 16 bytes in hex, so names sort by sequence number.
pub fn name(id: &[u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id that a file name spells, if it is the name of a segment's file.
pub fn parse(file: &str, suffix: &str) -> Option<[u8; 16]> {
    let hex = file.strip_suffix(suffix)?;
    let lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (hex.len() == 32 && lower)
        .then(|| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes))
        .flatten()
}

/// The files of a segment, opened when needed.
#[derive(Debug)]
pub struct Segment {
    /// Its 16 bytes: sequence number, then random.
    pub id: [u8; 16],
    /// What its checksums are bound to.
    pub binding: Binding,
    /// What its rows look like.
    pub shape: Shape,
    pool: Arc<Pool>,
}

impl Segment {
    /// The segment `id` of the table `table` in the directory of `pool`.
    pub fn new(pool: Arc<Pool>, table: &Key, id: [u8; 16], shape: Shape) -> Segment {
        Segment { id, binding: Binding::new(table, &id), shape, pool }
    }

    /// Its rows file.
    pub fn rows_file(&self) -> io::Result<Arc<dyn File>> {
        self.pool.open(&(name(&self.id) + ROWS))
    }

    /// Its log.
    pub fn log_file(&self) -> io::Result<Arc<dyn File>> {
        self.pool.open(&(name(&self.id) + LOG))
    }

    /// Whether its log still has its name.
    pub fn is_there(&self) -> bool {
        self.pool.dir.open(&(name(&self.id) + LOG)).is_ok()
    }

    /// The length of its log in bytes.
    pub fn log_length(&self) -> io::Result<u64> {
        self.pool.dir.length(&(name(&self.id) + LOG))
    }

    /// Where its rows lie, for messages.
    pub fn path(&self) -> String {
        self.pool.dir.path().join(name(&self.id) + ROWS).display().to_string()
    }

    /// What the header of the log says.
    pub fn read_header(&self) -> Result<Header> {
        let read = || -> io::Result<Header> {
            let file = self.log_file()?;
            let mut bytes = [0; LOG_HEADER];
            let length = (file.len()?.min(LOG_HEADER as u64)) as usize;
            read_exact_at(&*file, &mut bytes[..length], 0)?;
            Ok(Identity::read_log_header(&bytes[..length]))
        };
        read()
            .map_err(|error| problem::io(&*self.pool.dir, "read", &(name(&self.id) + LOG), &error))
    }

    /// Reads rows `first..` into `bytes`, a whole number of rows.
    pub fn read_rows(&self, first: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_exact_at(&*self.rows_file()?, bytes, self.shape.offset(first))
    }

    /// The key that the log lists at `offset`.
    pub fn read_key(&self, offset: u64) -> io::Result<Key> {
        let mut key = [0; 32];
        read_exact_at(&*self.log_file()?, &mut key, offset)?;
        Ok(array_at(&key, 0))
    }
}

/// A bounded number of open files of one directory, so that ten thousand segments do not need
/// ten thousand descriptors.
#[derive(Debug)]
pub struct Pool {
    /// The directory.
    pub dir: Arc<dyn Dir>,
    open: Mutex<VecDeque<(String, Arc<dyn File>)>>,
}

const LIMIT: usize = 16;

impl Pool {
    /// A pool with no file open.
    pub fn new(dir: Arc<dyn Dir>) -> Pool {
        Pool { dir, open: Mutex::default() }
    }

    /// The file of this name, open for reading.
    pub fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(file));
        }
        let file = match self.dir.open(name) {
            Err(error) if problem::out_of_descriptors(&error) && !open.is_empty() => {
                open.clear();
                self.dir.open(name)?
            }
            outcome => outcome?,
        };
        if open.len() == LIMIT {
            open.pop_front();
        }
        open.push_back((name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }

    /// Forgets every open file: they were replaced or removed.
    pub fn clear(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The error of a segment whose format is newer than this code.
pub fn too_new(segment: &Segment, found: u32) -> Error {
    Error::CacheFormat { path: segment.path(), found, supported: super::format::VERSION }
}
