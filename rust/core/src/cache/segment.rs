//! A segment: one writer's rows and the log that publishes them, as two files of one name.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::{Binding, Check, Key};
use super::format::{Entry, Header, Identity, LOG_HEADER, Shape};
use super::log::Log;
use super::mapping::Window;
use super::names::{LOG, ROWS, hex};
use super::problem;
use super::storage::{Dir, File, read_exact_at};
use crate::error::{Error, Result};

/// The files of a segment, opened when needed.
#[derive(Debug)]
pub struct Segment {
    /// Its 16 bytes: sequence number, then random.
    pub id: [u8; 16],
    /// What its checksums are bound to.
    pub binding: Binding,
    /// What its rows look like.
    pub shape: Shape,
    /// The name of its log.
    pub log_name: String,
    /// The name of its rows.
    pub rows_name: String,
    pool: Arc<Pool>,
    /// The rows mapped to be copied from: a mapping needs no open file.
    window: Mutex<Option<Arc<Window>>>,
}

impl Segment {
    /// The segment `id` of the table `table` in the directory of `pool`.
    pub fn new(pool: Arc<Pool>, table: &Key, id: [u8; 16], shape: Shape) -> Segment {
        let name = hex(&id);
        Segment {
            id,
            binding: Binding::new(table, &id),
            shape,
            log_name: format!("{name}{LOG}"),
            rows_name: name + ROWS,
            pool,
            window: Mutex::default(),
        }
    }

    /// Its rows file.
    pub fn rows_file(&self) -> io::Result<Arc<dyn File>> {
        self.pool.open(&self.rows_name)
    }

    /// Its log.
    pub fn log_file(&self) -> io::Result<Arc<dyn File>> {
        self.pool.open(&self.log_name)
    }

    /// Whether its log still has its name.
    pub fn is_there(&self) -> bool {
        self.pool.dir.open(&self.log_name).is_ok()
    }

    /// The length of its log in bytes.
    pub fn log_length(&self) -> io::Result<u64> {
        self.pool.dir.length(&self.log_name)
    }

    /// Where its rows lie, for messages.
    pub fn path(&self) -> String {
        self.pool.dir.path().join(&self.rows_name).display().to_string()
    }

    /// What the header of the log says.
    pub fn read_header(&self) -> io::Result<Header> {
        let file = self.log_file()?;
        let mut bytes = [0; LOG_HEADER];
        let length = (file.len()?.min(LOG_HEADER as u64)) as usize;
        read_exact_at(&*file, &mut bytes[..length], 0)?;
        Ok(Identity::read_log_header(&bytes[..length]))
    }

    /// All of its log.
    pub fn read_log(&self) -> Result<Log> {
        let mut log = Log::default();
        let fail = |error: io::Error| self.problem("read", &self.log_name, &error);
        let file = self.log_file().map_err(fail)?;
        log.advance(&*file, self.binding, |_, _| Ok(()))?.map_err(fail)?;
        Ok(log)
    }

    /// The entries of published rows.
    pub fn read_entries(&self, log: &Log, rows: Range<u64>) -> Result<Vec<Entry>> {
        let fail = |error: io::Error| self.problem("read", &self.log_name, &error);
        let file = self.log_file().map_err(fail)?;
        log.entries(&*file, rows.clone())?.map_err(fail)?.ok_or_else(|| self.cut(rows.start))
    }

    /// Reads rows `first..` into `bytes`, a whole number of rows.
    pub fn read_rows(&self, first: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_exact_at(&*self.rows_file()?, bytes, self.shape.offset(first))
    }

    /// Reads a row into `bytes`; whether it is the one of `key` as it was written. A file that is
    /// gone, or ends before the row, does not hold it.
    pub fn read_row(
        &self,
        number: u64,
        key: &Key,
        check: Check,
        bytes: &mut [u8],
    ) -> io::Result<bool> {
        use io::ErrorKind::{NotFound, UnexpectedEof};
        match self.read_rows(number, bytes) {
            Ok(()) => Ok(self.binding.row(number, key, bytes) == check),
            Err(error) if matches!(error.kind(), NotFound | UnexpectedEof) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The key that the log lists at `offset`.
    pub fn read_key(&self, offset: u64) -> io::Result<Key> {
        let mut key = [0; 32];
        read_exact_at(&*self.log_file()?, &mut key, offset)?;
        Ok(key)
    }

    /// The rows mapped to be copied from, those before the byte `end` if possible; None where
    /// reading is better.
    pub fn window(&self, end: u64) -> Option<Arc<Window>> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let is_enough = |known: &Arc<Window>| known.is_intact() && known.len() as u64 >= end;
        if !window.as_ref().is_some_and(is_enough) {
            let file = self.rows_file().ok()?;
            let length = file.len().ok()?;
            // Mapped anew whenever the file has doubled: the rows between are read.
            let is_half =
                |known: &Arc<Window>| known.is_intact() && known.len() as u64 > length / 2;
            if !window.as_ref().is_some_and(is_half) {
                *window = file.window();
            }
        }
        window.clone().filter(|window| window.is_guarded())
    }

    /// Lets the disk have the space back once the files are removed.
    pub fn let_go(&self) {
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The error for a failed operation on one of its files.
    pub fn problem(&self, action: &'static str, file: &str, error: &io::Error) -> Error {
        problem::io(&*self.pool.dir, action, file, error)
    }

    /// The error of files that end before a row that was published.
    pub fn cut(&self, row: u64) -> Error {
        Error::CacheCorrupt {
            path: self.path(),
            what: format!("the files end before row {row}, or its entry is damaged"),
            rows: 1,
        }
    }

    /// The error of a format that is newer than this code.
    pub fn too_new(&self, found: u32) -> Error {
        Error::CacheFormat { path: self.path(), found, supported: super::format::VERSION }
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

/// Mapped rows need none, and a process may have hundreds of tables open.
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
