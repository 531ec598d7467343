//! The embedding cache for Python: arrays in, arrays out.

use std::path::PathBuf;
use std::time::Duration;

use numpy::PyArrayMethods;
use numpy::{PyArray1, PyArray2, PyReadonlyArray2, PyReadwriteArray1, PyReadwriteArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tlengine_core::cache::{self, Cache, Dtype, Durability, Key, Shape, Table};
use tlengine_core::{Error, Result, Run};

use crate::call::{brief, interruptible};
use crate::views::Rows;

/// Fewer numbers than this are copied in a millisecond, on the calling thread: starting others would
/// make the call wait for a processor several times where many processes share a few.
const SMALL: usize = 1 << 20;

/// A table as listed: directory name, and (dim, dtype, recipe, info) if its manifest is intact.
type Listed<'py> =
    (String, Option<(usize, &'static str, Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);

/// An open cache directory.
#[pyclass(frozen, module = "tlengine._core")]
pub struct CacheHandle {
    cache: Cache,
}

#[pymethods]
impl CacheHandle {
    #[new]
    #[pyo3(signature = (path, *, read_only, durable, patience))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        read_only: bool,
        durable: bool,
        patience: f64,
    ) -> PyResult<CacheHandle> {
        let durability = if durable { Durability::Batch } else { Durability::Process };
        let mut cache = brief(py, |_| Cache::open(&path, read_only, durability))?;
        cache.patience = Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX);
        Ok(CacheHandle { cache })
    }

    /// Why the cache cannot be written; None if it can.
    #[getter]
    fn read_only_reason(&self) -> Option<String> {
        self.cache.writable().clone().err()
    }

    /// Whether the file system makes names of files durable when asked to.
    fn syncs_folders(&self, py: Python<'_>) -> PyResult<bool> {
        brief(py, |_| Ok(self.cache.syncs_folders()))
    }

    /// The table of a recipe (canonical JSON), made if it is missing.
    fn table(
        &self,
        py: Python<'_>,
        recipe: &[u8],
        dim: usize,
        dtype: &str,
        info: &[u8],
    ) -> PyResult<TableHandle> {
        let open = || -> Result<Table> {
            self.cache.table(recipe, Shape::new(dim, Dtype::parse(dtype)?)?, info)
        };
        Ok(TableHandle { table: brief(py, |_| open())? })
    }

    /// The table in the directory of this name, if there is one with an intact manifest.
    fn open_table(&self, py: Python<'_>, name: &str) -> PyResult<Option<TableHandle>> {
        let table = brief(py, |_| self.cache.open_table(name))?;
        Ok(table.map(|table| TableHandle { table }))
    }

    /// Every table.
    fn tables<'py>(&self, py: Python<'py>) -> PyResult<Vec<Listed<'py>>> {
        let found = interruptible(py, 1, |_| self.cache.tables())?;
        let list = |found: cache::Listed| {
            let manifest = found.manifest.map(|manifest| {
                let recipe = PyBytes::new(py, &manifest.recipe);
                let info = PyBytes::new(py, &manifest.info);
                (manifest.shape.dim, manifest.shape.dtype.name(), recipe, info)
            });
            (found.name, manifest)
        };
        Ok(found.into_iter().map(list).collect())
    }

    /// Removes leftovers that no reader looks at; returns files and bytes.
    fn sweep(&self, py: Python<'_>, dry_run: bool) -> PyResult<(usize, u64)> {
        interruptible(py, 1, |run| self.cache.sweep(run, dry_run))
    }

    /// Removes a table with all its files.
    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        interruptible(py, 1, |run| self.cache.remove(run, name))
    }

    /// Rewrites segments of `table` into one, under the maintenance lock.
    fn rewrite(
        &self,
        py: Python<'_>,
        table: &TableHandle,
        segments: Vec<String>,
        keep: bool,
    ) -> PyResult<Rewritten> {
        let done = interruptible(py, 1, |run| {
            let _lock = self.cache.lock(run)?;
            table.table.rewrite(run, &segments, keep)
        })?;
        Ok((done.segments, done.rows, done.lost))
    }
}

/// What [`TableHandle::verify`] found: rows, sealed, bad rows, other damage, unfinished bytes.
type Verified = (u64, bool, Vec<u64>, Vec<String>, u64);

/// What [`TableHandle::rewrite`] did: segments replaced, rows copied, rows lost.
type Rewritten = (Vec<String>, u64, u64);

/// Rows, segments, bytes, seconds, files out of service, seconds since the last use.
type Summary = (u64, usize, u64, f64, usize, u64);

/// An open table.
#[pyclass(frozen, module = "tlengine._core")]
pub struct TableHandle {
    table: Table,
}

#[pymethods]
impl TableHandle {
    /// The digest of the recipe, in hex.
    #[getter]
    fn name(&self) -> String {
        cache::hex(&self.table.manifest.id)
    }

    /// Numbers per row.
    #[getter]
    fn dim(&self) -> usize {
        self.table.shape().dim
    }

    /// How they are stored.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.table.shape().dtype.name()
    }

    /// Stores rows; returns how many were new and which ones conflict.
    fn put<'py>(
        &self,
        py: Python<'py>,
        keys: PyReadonlyArray2<'py, u8>,
        rows: PyReadonlyArray2<'py, f32>,
        seconds: f64,
    ) -> PyResult<(usize, Bound<'py, PyArray1<i64>>)> {
        let (keys, rows) = (keys.as_slice()?, rows.as_slice()?);
        let work = |run: Run<'_>| self.table.put(run, as_keys(keys)?, rows, seconds);
        let put = if rows.len() < SMALL { brief(py, work) } else { interruptible(py, 1, work) }?;
        let conflicts = put.conflicts.into_iter().map(|row| row as i64);
        Ok((put.new, PyArray1::from_iter(py, conflicts)))
    }

    /// Makes everything that was put durable.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        brief(py, |_| self.table.flush())
    }

    /// Fills `rows` and `hit`; returns the damaged rows as (path, row number).
    fn get(
        &self,
        py: Python<'_>,
        keys: PyReadonlyArray2<'_, u8>,
        mut rows: PyReadwriteArray2<'_, f32>,
        mut hit: PyReadwriteArray1<'_, bool>,
        threads: usize,
    ) -> PyResult<Vec<(String, u64)>> {
        let keys = keys.as_slice()?;
        let (rows, hit) = (rows.as_slice_mut()?, hit.as_slice_mut()?);
        let is_small = rows.len() < SMALL;
        let work = |run: Run<'_>| self.table.get(run, as_keys(keys)?, rows, hit);
        let got = if is_small { brief(py, work) } else { interruptible(py, threads, work) }?;
        Ok(got.damaged)
    }

    /// The segments: name, published rows, whether sealed.
    fn segments(&self, py: Python<'_>) -> PyResult<Vec<(String, u64, bool)>> {
        interruptible(py, 1, |_| self.table.segments())
    }

    /// The rows of a segment without a copy.
    fn view(
        &self,
        py: Python<'_>,
        segment: Option<&str>,
        check: bool,
        threads: usize,
    ) -> PyResult<Rows> {
        Ok(Rows::new(interruptible(py, threads, |run| self.table.view(run, segment, check))?))
    }

    /// The keys of the rows of a segment.
    fn keys<'py>(
        &self,
        py: Python<'py>,
        segment: Option<&str>,
    ) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let keys = interruptible(py, 1, |_| self.table.keys(segment))?;
        let rows = keys.len();
        PyArray1::from_vec(py, keys.into_flattened()).reshape([rows, 32])
    }

    /// What a row costs to compute on average, in seconds.
    fn seconds_per_row(&self, py: Python<'_>) -> PyResult<f64> {
        interruptible(py, 1, |_| self.table.seconds_per_row())
    }

    /// How much there is of the table.
    fn summary(&self, py: Python<'_>) -> PyResult<Summary> {
        let s = interruptible(py, 1, |_| self.table.summary())?;
        Ok((s.rows, s.segments, s.bytes, s.seconds, s.quarantined, s.idle_seconds))
    }

    /// The names of all segments, damaged and empty ones too.
    fn segment_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        interruptible(py, 1, |_| self.table.segment_names())
    }

    /// Compares every byte of a segment with its checksum.
    fn verify(&self, py: Python<'_>, segment: &str, threads: usize) -> PyResult<Verified> {
        let r = interruptible(py, threads, |run| self.table.verify(run, segment))?;
        Ok((r.rows, r.sealed, r.bad_rows, r.damage, r.unfinished))
    }

    /// The key of every row that readers get, each once.
    fn live_keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let live = interruptible(py, 1, |_| self.table.live())?;
        let keys: Vec<Key> = live.into_iter().map(|(key, _)| key).collect();
        let rows = keys.len();
        PyArray1::from_vec(py, keys.into_flattened()).reshape([rows, 32])
    }

    /// Files that were taken out of service: path and reason.
    fn quarantined(&self) -> Vec<(String, String)> {
        self.table.quarantined()
    }

    /// Publishes what is pending and ends this handle's segment.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        brief(py, |_| self.table.close())
    }
}

fn as_keys(bytes: &[u8]) -> Result<&[Key]> {
    let (keys, rest) = bytes.as_chunks();
    if rest.is_empty() { Ok(keys) } else { Err(Error::Shape("a key has 32 bytes".into())) }
}
