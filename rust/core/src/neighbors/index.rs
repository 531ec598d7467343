//! An index that is built once and searched many times.

use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::coding::{Coding, F32, I8};
use super::distinct::Distinct;
use super::frame::{Frame, Metric};
use super::matrix::Matrix;
use super::rank::{Ranking, Scored};
use super::scan::{Codes, Found};
use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::exact::{Double, Real};
use crate::simd::{Kernels, MAX_DEPTH_I8};

/// What the first pass computes in; the result does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 8 bits where the chip multiplies them faster and they tell the rows apart.
    Auto,
    /// Single precision.
    Float32,
    /// 8 bits.
    Int8,
}

/// Neighbours of each query, best first.
#[derive(Debug, PartialEq)]
pub struct Neighbors {
    /// Neighbours per query.
    pub k: usize,
    /// Rows of the index, `k` for each query.
    pub rows: Vec<i64>,
    /// Cosines, inner products or distances.
    pub scores: Vec<f64>,
}

/// The codes of some rows, in the precisions that were needed so far.
pub struct Index {
    frame: Frame,
    kernels: Kernels,
    precision: Precision,
    shape: (usize, usize),
    distinct: Distinct,
    norms: Vec<Double>,
    float32: OnceLock<Codes<F32>>,
    int8: OnceLock<Codes<I8>>,
}

/// Queries that pass over a block of rows together.
const QUERIES_PER_BLOCK: usize = 1008;
/// With fewer queries a thread than this, threads share the rows instead of the queries.
const FEW_QUERIES: usize = 96;
/// Searches of fewer queries than this are not worth a trial of 8-bit codes.
const TRIAL_QUERIES: usize = 12;

impl Index {
    /// An index over `rows`, which must be passed again, unchanged, to every search.
    pub fn build<T: Real>(
        run: &Run<'_>,
        kernels: Kernels,
        rows: Matrix<'_, T>,
        metric: Metric,
        precision: Precision,
    ) -> Result<Self> {
        check_shape(rows, precision)?;
        let largest = rows.largest(run, kernels, "X")?;
        let distinct = Distinct::find(run, kernels, rows)?;
        let norms = match metric {
            Metric::Euclidean => Vec::new(),
            _ => squared_norms(run, kernels, rows, &distinct)?,
        };
        let index = Self {
            frame: Frame::fit(metric, rows, largest, kernels),
            kernels,
            precision,
            shape: (rows.rows(), rows.columns()),
            distinct,
            norms,
            float32: OnceLock::new(),
            int8: OnceLock::new(),
        };
        match index.first_choice() {
            Precision::Int8 => _ = index.codes(run, &index.int8, rows)?,
            _ => _ = index.codes(run, &index.float32, rows)?,
        }
        Ok(index)
    }

    /// The number of rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// The `k` nearest rows of each query.
    pub fn search<T: Real>(
        &self,
        run: &Run<'_>,
        rows: Matrix<'_, T>,
        queries: Matrix<'_, T>,
        k: usize,
    ) -> Result<Neighbors> {
        queries.largest(run, self.kernels, "Q")?;
        self.check_search(rows, queries.columns(), k, self.shape.0)?;
        let found = self.find(run, rows, queries, k)?;
        Ok(self.gather(found, k))
    }

    /// The `k` nearest other rows of each row.
    pub fn search_others<T: Real>(
        &self,
        run: &Run<'_>,
        rows: Matrix<'_, T>,
        k: usize,
    ) -> Result<Neighbors> {
        self.check_search(rows, rows.columns(), k, self.shape.0 - 1)?;
        let mut found = self.find(run, rows, rows, k + 1)?;
        for (i, list) in found.iter_mut().enumerate() {
            let own = list.iter().position(|&(row, _)| row as usize == i).unwrap_or(k);
            list.remove(own);
        }
        Ok(self.gather(found, k))
    }

    fn check_search<T: Real>(
        &self,
        rows: Matrix<'_, T>,
        columns: usize,
        k: usize,
        most: usize,
    ) -> Result<()> {
        if (rows.rows(), rows.columns()) != self.shape {
            return Err(Error::Shape("these are not the rows of the index".into()));
        }
        if columns != self.shape.1 {
            return Err(Error::Shape(format!("Q has {columns} columns, X has {}", self.shape.1)));
        }
        if k == 0 || k > most {
            return Err(Error::Invalid(format!(
                "k={k} is not between 1 and {most}, the rows to choose from"
            )));
        }
        Ok(())
    }

    fn first_choice(&self) -> Precision {
        match self.precision {
            Precision::Auto if self.kernels.has_fast_i8() && self.shape.1 <= MAX_DEPTH_I8 => {
                Precision::Int8
            }
            Precision::Auto => Precision::Float32,
            chosen => chosen,
        }
    }

    fn codes<'a, C: Coding, T: Real>(
        &self,
        run: &Run<'_>,
        place: &'a OnceLock<Codes<C>>,
        rows: Matrix<'_, T>,
    ) -> Result<&'a Codes<C>> {
        if let Some(codes) = place.get() {
            return Ok(codes);
        }
        let codes = Codes::build(run, self.kernels, &self.frame, rows, &self.distinct.firsts)?;
        Ok(place.get_or_init(|| codes))
    }

    fn find<T: Real>(
        &self,
        run: &Run<'_>,
        rows: Matrix<'_, T>,
        queries: Matrix<'_, T>,
        k: usize,
    ) -> Result<Vec<Vec<Scored>>> {
        if self.first_choice() == Precision::Int8 {
            let codes = self.codes(run, &self.int8, rows)?;
            if self.precision == Precision::Int8 || self.tells_apart(run, codes, queries, k)? {
                return self.find_with(run, codes, rows, queries, k);
            }
        }
        let codes = self.codes(run, &self.float32, rows)?;
        self.find_with(run, codes, rows, queries, k)
    }

    /// Whether 8-bit codes leave few candidates, judged by some queries of many.
    fn tells_apart<T: Real>(
        &self,
        run: &Run<'_>,
        codes: &Codes<I8>,
        queries: Matrix<'_, T>,
        k: usize,
    ) -> Result<bool> {
        if queries.rows() < 8 * TRIAL_QUERIES {
            return Ok(true);
        }
        let stride = queries.rows() / TRIAL_QUERIES;
        let some: Vec<_> = (0..TRIAL_QUERIES).map(|i| queries.row(i * stride)).collect();
        let found = codes.scan(run, &self.frame, &some, k, 0..codes.blocks())?;
        let left: usize = found.iter().map(|found| found.list.len()).sum();
        Ok(left <= TRIAL_QUERIES * (8 * k + 64 + self.distinct.firsts.len() / 100))
    }

    fn find_with<C: Coding, T: Real>(
        &self,
        run: &Run<'_>,
        codes: &Codes<C>,
        rows: Matrix<'_, T>,
        queries: Matrix<'_, T>,
        k: usize,
    ) -> Result<Vec<Vec<Scored>>>
    where
        Codes<C>: Sync,
    {
        let (kernels, frame) = (self.kernels, &self.frame);
        let ranking = Ranking::new(kernels, frame, rows, &self.distinct, &self.norms);
        let parts = self.parts(run, queries.rows(), codes.blocks());
        let some = |part: &Range<usize>| part.clone().map(|q| queries.row(q)).collect::<Vec<_>>();
        if let [all] = &parts.blocks[..] {
            let ranked = run.collect(parts.queries.len(), |i| {
                let queries = some(&parts.queries[i]);
                let found = codes.scan(run, frame, &queries, k, all.clone())?;
                ranking.best(run, &queries, found, k)
            })?;
            return Ok(ranked.into_iter().flatten().collect());
        }
        let all = some(&(0..queries.rows()));
        let scanned = run.collect(parts.blocks.len(), |i| {
            codes.scan(run, frame, &all, k, parts.blocks[i].clone())
        })?;
        let mut merged = merge(scanned);
        let each = merged.len().div_ceil(run.threads()).max(1);
        let shares: Vec<_> = merged.chunks_mut(each).map(Mutex::new).collect();
        let ranked = run.collect(shares.len(), |i| {
            let mut share = shares[i].lock().unwrap_or_else(PoisonError::into_inner);
            let found = share.iter_mut().map(std::mem::take).collect();
            ranking.best(run, &all[i * each..], found, k)
        })?;
        Ok(ranked.into_iter().flatten().collect())
    }

    /// Cuts a search into parts that each scan some queries against some blocks.
    fn parts(&self, run: &Run<'_>, queries: usize, blocks: usize) -> Parts {
        if run.threads() > 1 && queries <= FEW_QUERIES * run.threads() && blocks > 1 {
            return Parts { queries: cut(queries, 1, 1), blocks: cut(blocks, run.threads(), 1) };
        }
        let rounds = queries.div_ceil(QUERIES_PER_BLOCK * run.threads());
        let queries = cut(queries, rounds * run.threads(), TILE_ALIGNMENT);
        Parts { queries, blocks: cut(blocks, 1, 1) }
    }

    fn gather(&self, found: Vec<Vec<Scored>>, k: usize) -> Neighbors {
        let sign = if self.frame.metric == Metric::Euclidean { -1.0 } else { 1.0 };
        let (rows, scores) = found
            .into_iter()
            .flatten()
            .map(|(row, score)| (i64::from(row), sign * score + 0.0))
            .unzip();
        Neighbors { k, rows, scores }
    }
}

const TILE_ALIGNMENT: usize = crate::simd::tile::TILE_QUERIES;

struct Parts {
    queries: Vec<Range<usize>>,
    blocks: Vec<Range<usize>>,
}

/// Cuts `0..length` into at most `parts` ranges whose lengths are multiples of `step`.
fn cut(length: usize, parts: usize, step: usize) -> Vec<Range<usize>> {
    let size = length.div_ceil(parts.max(1)).next_multiple_of(step).max(1);
    (0..length).step_by(size).map(|start| start..length.min(start + size)).collect()
}

/// Joins what was found for the same queries in different blocks.
fn merge(parts: Vec<Vec<Found>>) -> Vec<Found> {
    let joined = parts.into_iter().reduce(|mut joined, part| {
        for (mine, theirs) in joined.iter_mut().zip(part) {
            mine.list.absorb(theirs.list);
        }
        joined
    });
    let mut joined = joined.unwrap_or_default();
    for found in &mut joined {
        found.list.prune();
    }
    joined
}

fn squared_norms<T: Real>(
    run: &Run<'_>,
    kernels: Kernels,
    rows: Matrix<'_, T>,
    distinct: &Distinct,
) -> Result<Vec<Double>> {
    let parts: Vec<_> = distinct.firsts.chunks(1024).collect();
    let norms = run.collect(parts.len(), |i| {
        let norm = |&row: &u32| kernels.exact_dot(rows.row(row as usize), rows.row(row as usize));
        Ok(parts[i].iter().map(norm).collect::<Vec<_>>())
    })?;
    Ok(norms.into_iter().flatten().collect())
}

fn check_shape<T: Real>(rows: Matrix<'_, T>, precision: Precision) -> Result<()> {
    let (n, d) = (rows.rows(), rows.columns());
    if n == 0 || d == 0 {
        return Err(Error::Shape(format!("X is {n} x {d}; an index needs a row and a column")));
    }
    if n > u32::MAX as usize {
        return Err(Error::Invalid(format!("X has {n} rows; the limit is {}", u32::MAX)));
    }
    if precision == Precision::Int8 && d > MAX_DEPTH_I8 {
        return Err(Error::Invalid(format!(
            "8-bit codes hold {MAX_DEPTH_I8} columns at the most, X has {d}"
        )));
    }
    Ok(())
}
