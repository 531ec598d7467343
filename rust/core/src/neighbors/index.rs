//! An index that is built once and searched many times.

use std::ops::Range;
use std::sync::OnceLock;

use super::coding::{Bf16, Coding, F32, I8};
use super::distinct::Distinct;
use super::frame::{Frame, Metric};
use super::matrix::Matrix;
use super::order::Scored;
use super::precision::{Code, Precision};
use super::rank::{Query, Ranking};
use super::scan::{Codes, Listed};
use super::spare::Spare;
use crate::error::{Error, Result};
use crate::memory::{filled, room};
use crate::parallel::Run;
use crate::simd::exact::{Double, Real};
use crate::simd::tile::TILE_QUERIES;
use crate::simd::{Kernels, MAX_DEPTH_I8};

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
    pub(super) frame: Frame,
    pub(super) kernels: Kernels,
    pub(super) shape: (usize, usize),
    pub(super) distinct: Distinct,
    pub(super) norms: Vec<Double>,
    /// The codes to try in turn; the last serve in any case.
    pub(super) ladder: Vec<Code>,
    pub(super) bfloat16: OnceLock<Codes<Bf16>>,
    pub(super) float32: OnceLock<Codes<F32>>,
    pub(super) int8: OnceLock<Codes<I8>>,
    pub(super) spare: Spare,
}

/// Queries of one thread that pass over a block of rows together.
const QUERIES_PER_PART: usize = 1008;
/// With fewer queries a thread than this, threads share the rows instead of the queries.
const FEW_QUERIES: usize = 96;
/// Queries on which codes are tried.
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
            _ => exact_norms(run, kernels, rows, &distinct)?,
        };
        let frame = Frame::fit(metric, rows, largest, kernels);
        let shape = (rows.rows(), rows.columns());
        let index = Self::uncoded(frame, kernels, shape, distinct, norms, precision);
        match index.ladder[0] {
            Code::Int8 => _ = index.codes(run, &index.int8, rows)?,
            Code::Bfloat16 => _ = index.codes(run, &index.bfloat16, rows)?,
            Code::Float32 => _ = index.codes(run, &index.float32, rows)?,
        }
        Ok(index)
    }

    /// An index that has no codes so far.
    pub(super) fn uncoded(
        frame: Frame,
        kernels: Kernels,
        shape: (usize, usize),
        distinct: Distinct,
        norms: Vec<Double>,
        precision: Precision,
    ) -> Self {
        Self {
            frame,
            kernels,
            shape,
            distinct,
            norms,
            ladder: precision.codes(kernels, shape.1),
            bfloat16: OnceLock::new(),
            float32: OnceLock::new(),
            int8: OnceLock::new(),
            spare: Spare::default(),
        }
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
        self.gather(run, &found, k)
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
        self.gather(run, &found, k)
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
        for (i, code) in self.ladder.iter().enumerate() {
            let certain = i + 1 == self.ladder.len();
            let found = match code {
                Code::Int8 => self.attempt(run, &self.int8, rows, queries, k, certain)?,
                Code::Bfloat16 => self.attempt(run, &self.bfloat16, rows, queries, k, certain)?,
                Code::Float32 => self.attempt(run, &self.float32, rows, queries, k, certain)?,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Err(Error::Internal("an index without codes".into()))
    }

    /// The neighbours by some codes; None where others do better, unless these are `certain`.
    fn attempt<C: Coding, T: Real>(
        &self,
        run: &Run<'_>,
        place: &OnceLock<Codes<C>>,
        rows: Matrix<'_, T>,
        queries: Matrix<'_, T>,
        k: usize,
        certain: bool,
    ) -> Result<Option<Vec<Vec<Scored>>>> {
        let codes = self.codes(run, place, rows)?;
        if certain || self.tells_apart(run, codes, queries, k)? {
            return self.find_with(run, codes, rows, queries, k).map(Some);
        }
        Ok(None)
    }

    /// Whether codes leave few candidates, judged by some queries of many.
    fn tells_apart<C: Coding, T: Real>(
        &self,
        run: &Run<'_>,
        codes: &Codes<C>,
        queries: Matrix<'_, T>,
        k: usize,
    ) -> Result<bool> {
        if queries.rows() < 8 * TRIAL_QUERIES {
            return Ok(true);
        }
        let stride = queries.rows() / TRIAL_QUERIES;
        let some: Vec<_> = (0..TRIAL_QUERIES).map(|i| queries.row(i * stride)).collect();
        let found =
            codes.scan(run, &self.frame, &some, k, 0..codes.blocks(), (false, &self.spare))?;
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
    ) -> Result<Vec<Vec<Scored>>> {
        let rounds = queries.rows().div_ceil(QUERIES_PER_PART * run.threads());
        let mut found = room(queries.rows(), "neighbours")?;
        for round in cut(queries.rows(), rounds, 1) {
            let queries: Vec<_> = round.map(|q| queries.row(q)).collect();
            found.extend(self.find_some(run, codes, rows, &queries, k, true)?);
        }
        Ok(found)
    }

    /// Finds the neighbours of queries that are scanned together; where a guess was too high, again
    /// without guessing.
    fn find_some<C: Coding, T: Real>(
        &self,
        run: &Run<'_>,
        codes: &Codes<C>,
        rows: Matrix<'_, T>,
        queries: &[&[T]],
        k: usize,
        guess: bool,
    ) -> Result<Vec<Vec<Scored>>> {
        let listed = self.scan(run, codes, queries, k, guess)?;
        let ranking = Ranking {
            kernels: self.kernels,
            frame: &self.frame,
            rows,
            distinct: &self.distinct,
            norms: &self.norms,
            queries: queries.iter().copied().map(Query::new).collect(),
            spare: &self.spare,
        };
        let mut found = ranking.best(run, listed, k)?;
        let failed: Vec<_> = (0..found.len()).filter(|&q| found[q].is_none()).collect();
        if !failed.is_empty() {
            let queries: Vec<_> = failed.iter().map(|&q| queries[q]).collect();
            let again = self.find_some(run, codes, rows, &queries, k, false)?;
            failed.into_iter().zip(again).for_each(|(q, best)| found[q] = Some(best));
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The candidates of each query; threads share the queries, or the rows where there are too few.
    fn scan<C: Coding, T: Real>(
        &self,
        run: &Run<'_>,
        codes: &Codes<C>,
        queries: &[&[T]],
        k: usize,
        guess: bool,
    ) -> Result<Vec<Listed>> {
        let (threads, blocks) = (run.threads(), codes.blocks());
        if queries.len() <= FEW_QUERIES * threads {
            let parts = cut(blocks, threads, 1);
            let how = (false, &self.spare);
            let scan = |i: usize| codes.scan(run, &self.frame, queries, k, parts[i].clone(), how);
            return Ok(merge(self.kernels, run.collect(parts.len(), scan)?));
        }
        let parts = cut(queries.len(), threads, TILE_QUERIES);
        let found = run.collect(parts.len(), |i| {
            codes.scan(
                run,
                &self.frame,
                &queries[parts[i].clone()],
                k,
                0..blocks,
                (guess, &self.spare),
            )
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn gather(&self, run: &Run<'_>, found: &[Vec<Scored>], k: usize) -> Result<Neighbors> {
        let sign = if self.frame.metric == Metric::Euclidean { -1.0 } else { 1.0 };
        let length = found.len() * k;
        let mut rows = filled(0, length, "neighbours")?;
        let mut scores = filled(0.0, length, "neighbours")?;
        let mut parts: Vec<_> = rows.chunks_mut(k).zip(scores.chunks_mut(k)).zip(found).collect();
        run.for_each_mut(&mut parts, |_, ((rows, scores), found)| {
            if found.len() != k {
                let count = found.len();
                return Err(Error::Internal(format!("{count} neighbours instead of {k}")));
            }
            for (&(row, score), place) in found.iter().zip(rows.iter_mut().zip(scores.iter_mut())) {
                *place.0 = i64::from(row);
                *place.1 = sign * score + 0.0;
            }
            Ok(())
        })?;
        Ok(Neighbors { k, rows, scores })
    }
}

/// Cuts `0..length` into at most `parts` ranges whose lengths are multiples of `step`.
fn cut(length: usize, parts: usize, step: usize) -> Vec<Range<usize>> {
    let size = length.div_ceil(parts.max(1)).next_multiple_of(step).max(1);
    (0..length).step_by(size).map(|start| start..length.min(start + size)).collect()
}

/// Joins what was found for the same queries in different blocks.
fn merge(kernels: Kernels, parts: Vec<Vec<Listed>>) -> Vec<Listed> {
    let joined = parts.into_iter().reduce(|mut joined, part| {
        for (mine, theirs) in joined.iter_mut().zip(part) {
            mine.list.absorb(&theirs.list);
        }
        joined
    });
    let mut joined = joined.unwrap_or_default();
    for found in &mut joined {
        found.list.prune(kernels);
    }
    joined
}

fn exact_norms<T: Real>(
    run: &Run<'_>,
    kernels: Kernels,
    rows: Matrix<'_, T>,
    distinct: &Distinct,
) -> Result<Vec<Double>> {
    let parts: Vec<_> = distinct.firsts.chunks(1024).collect();
    let norms = run.collect(parts.len(), |i| {
        let norm = |&row: &u32| kernels.exact_norm(rows.row(row as usize));
        Ok(parts[i].iter().map(norm).collect::<Vec<_>>())
    })?;
    let mut all = room(distinct.firsts.len(), "the norms of an index")?;
    norms.into_iter().for_each(|norms| all.extend(norms));
    Ok(all)
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
