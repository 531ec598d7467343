//! X as the solvers see it: centred, scaled by powers of two, padded, cut into blocks of rows.

use std::ops::Range;
use std::sync::Mutex;

use super::axes::Axes;
use crate::error::{Error, Result};
use crate::memory::{filled, room};
use crate::parallel::Run;
use crate::powers::power_of_two_near;
use crate::simd::pass::{Element, padded};
use crate::simd::vectorised::{sum_of, update};

/// Blocks into which sums over rows are cut, whatever the number of threads.
const CHUNKS: usize = 16;
/// Rows after which a sum looks whether it is to stop.
const CHECKED: usize = 256;
/// Elements that are cleared before looking whether to stop.
const CLEARED: usize = 1 << 24;
/// Bytes of a block of rows: it stays in the second-level cache between the two products of a pass.
const BLOCK_BYTES: usize = 384 << 10;
/// A cache line in bytes.
const LINE: usize = 64;

/// Rows of a borrowed, contiguous, row-major matrix: all of them, or those of a list.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a, T> {
    values: &'a [T],
    columns: usize,
    chosen: Option<&'a [i64]>,
}

impl<'a, T: Element> Selection<'a, T> {
    /// `values` as rows of `columns` numbers.
    pub fn new(values: &'a [T], columns: usize) -> Result<Self> {
        if columns == 0 || values.is_empty() || !values.len().is_multiple_of(columns) {
            return Err(Error::Shape(format!("{} values in rows of {columns}", values.len())));
        }
        Ok(Self { values, columns, chosen: None })
    }

    /// The rows of `values` that `chosen` lists, in its order.
    pub fn of_rows(values: &'a [T], columns: usize, chosen: &'a [i64]) -> Result<Self> {
        let matrix = Self::new(values, columns)?;
        let rows = 0..matrix.rows() as i64;
        if let Some(row) = chosen.iter().find(|&row| !rows.contains(row)) {
            return Err(Error::Shape(format!("row {row} of an X of {} rows", rows.end)));
        }
        if chosen.is_empty() {
            return Err(Error::Shape("an X of no rows".into()));
        }
        Ok(Self { chosen: Some(chosen), ..matrix })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.chosen.map_or(self.values.len() / self.columns, <[i64]>::len)
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &'a [T] {
        let i = self.number(i);
        &self.values[i * self.columns..(i + 1) * self.columns]
    }

    /// The rows of these numbers among all, as [`Selection::number`] tells them.
    pub(super) fn among<'b>(&self, numbers: &'b [i64]) -> Selection<'b, T>
    where
        'a: 'b,
    {
        Selection { values: self.values, columns: self.columns, chosen: Some(numbers) }
    }

    /// The number of row `i` among all.
    pub(super) fn number(&self, i: usize) -> usize {
        self.chosen.map_or(i, |chosen| chosen[i] as usize)
    }
}

/// Whether the columns are near enough in size for the small ones to keep their digits when turned.
fn turns_well<T>(spread: &[f64]) -> bool {
    let digits = if size_of::<T>() == 4 { 1e3 } else { 1e10 };
    let mut varying: Vec<f64> = spread.iter().copied().filter(|&spread| spread > 0.0).collect();
    varying.sort_by(f64::total_cmp);
    varying.last().is_some_and(|largest| largest / varying[varying.len() / 2] < digits)
}

/// Rows that a pass reads block by block; every row is `stride` elements, padded with zeros.
pub trait Source<T>: Sync {
    /// Elements per row.
    fn stride(&self) -> usize;
    /// Number of rows.
    fn rows(&self) -> usize;
    /// The rows of `range`, in place or converted into `scratch`.
    fn block<'s>(&'s self, range: Range<usize>, scratch: &'s mut Vec<T>) -> &'s [T];
}

/// Rows per block for a stride: as many as fit the cache, at least 16, a multiple of 16.
pub fn block_rows<T>(stride: usize) -> usize {
    let fitting = BLOCK_BYTES / (stride * size_of::<T>());
    (fitting / 16 * 16).clamp(16, 512)
}

/// `X` with the weighted mean subtracted, turned into its principal axes where that pays, and each column
/// divided by a power of two.
///
/// All of it leaves the problem as it is: the intercept is free, so `b' = b + W mu` absorbs the mean; turning
/// changes no norm; and the penalty of a scaled column is scaled with it ([`Design::penalty`]).
#[derive(Debug)]
pub struct Design<'a, T> {
    original: Selection<'a, T>,
    mean: Vec<f64>,
    axes: Option<Axes<T>>,
    scale: Vec<f64>,
    penalty: Vec<f64>,
    reach: f64,
    stride: usize,
    storage: Vec<T>,
    start: usize,
}

impl<'a, T: Element> Design<'a, T> {
    /// Centres (only if `centre`: the intercept must be free), turns if `turn`, and copies `x`.
    ///
    /// `weight` has one entry per row. Fails on the first NaN or infinity in `x`.
    pub fn new(
        x: Selection<'a, T>,
        weight: &[f64],
        (centre, turn): (bool, bool),
        run: Run<'_>,
    ) -> Result<Self> {
        let (first, second) = moments(x, weight, run)?;
        let mean = if centre { first } else { vec![0.0; x.columns()] };
        let spread: Vec<f64> = second.iter().map(|variance| variance.sqrt()).collect();
        let axes = match turn && turns_well::<T>(&spread) {
            true => Some(Axes::find(x, weight, centre, run)?),
            false => None,
        };
        let spread = axes.as_ref().map_or(spread.as_slice(), Axes::spread);
        let scale: Vec<f64> = spread.iter().map(|&spread| power_of_two_near(spread)).collect();
        let stride = padded(x.columns());
        let mut penalty: Vec<f64> = scale.iter().map(|scale| 1.0 / (scale * scale)).collect();
        penalty.resize(stride, 1.0);
        let slack = LINE / size_of::<T>();
        let length = x.rows() * stride + slack;
        let mut storage = room(length, "the centred features")?;
        while storage.len() < length {
            run.check()?;
            storage.resize(length.min(storage.len() + CLEARED), T::default());
        }
        let start = storage.as_ptr().align_offset(LINE).min(slack);
        let mut design =
            Self { original: x, mean, axes, scale, penalty, reach: 0.0, stride, storage, start };
        design.fill(run)?;
        Ok(design)
    }

    fn fill(&mut self, run: Run<'_>) -> Result<()> {
        let (x, stride) = (self.original, self.stride);
        let inverse: Vec<f64> = self.scale.iter().map(|scale| 1.0 / scale).collect();
        let (mean, axes) = (&self.mean, self.axes.as_ref());
        let rows = block_rows::<T>(stride);
        let end = self.start + x.rows() * stride;
        let blocks: Vec<Mutex<&mut [T]>> =
            self.storage[self.start..end].chunks_mut(rows * stride).map(Mutex::new).collect();
        let reach = Mutex::new(0.0f64);
        run.for_each(blocks.len(), |block| {
            let mut target = lock(&blocks[block]);
            let mut farthest = 0.0f64;
            for (i, target) in target.chunks_mut(stride).enumerate() {
                let row = x.row(block * rows + i);
                let distance = sum_of(row, mean, |value, mean| (value.wide() - mean).powi(2));
                update(target, row, mean, |target, value, mean| {
                    *target = T::of(value.wide() - mean);
                });
                farthest = farthest.max(distance);
            }
            if let Some(axes) = axes {
                let mut turned = Vec::new();
                axes.turn(&target, &mut turned)?;
                update(&mut target, &turned, &turned, |target, turned, _| *target = T::of(turned));
            }
            for target in target.chunks_mut(stride) {
                update(target, &inverse, &inverse, |target, inverse, _| {
                    *target = T::of(target.wide() * inverse);
                });
            }
            let mut reach = lock(&reach);
            *reach = reach.max(farthest);
            Ok(())
        })?;
        self.reach = reach.into_inner().unwrap_or(f64::INFINITY);
        Ok(())
    }

    /// The largest squared distance of a row from the mean.
    pub fn reach(&self) -> f64 {
        self.reach
    }

    /// Coefficients and intercepts for the original rows, as the solvers see them: one vector, padded.
    pub fn placed(&self, w: &[f64], b: &[f64], run: Run<'_>) -> Result<Vec<f64>> {
        let d = self.original.columns();
        let mut found = filled(0.0, b.len() * self.stride, "the starting coefficients")?;
        for (row, w) in found.chunks_mut(self.stride).zip(w.chunks(d)) {
            row[..d].copy_from_slice(w);
        }
        if let Some(axes) = &self.axes {
            found = axes.turn_coefficients(&found, run)?;
        }
        for row in found.chunks_mut(self.stride) {
            update(row, &self.scale, &self.scale, |w, scale, _| *w *= scale);
        }
        let at_mean = w.chunks(d).map(|row| sum_of(row, &self.mean, |w, mean| w * mean));
        found.extend(at_mean.zip(b).map(|(moved, b)| b + moved));
        Ok(found)
    }

    /// What was subtracted from each column.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// What each column was divided by, after the turn.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Padded coefficients of this design, for the centred rows as they were.
    pub fn original_coefficients(&self, w: &[f64], run: Run<'_>) -> Result<Vec<f64>> {
        let mut found = w.to_vec();
        // Exact: a scale is a power of two.
        let inverse: Vec<f64> = self.scale.iter().map(|scale| 1.0 / scale).collect();
        for row in found.chunks_mut(self.stride) {
            update(row, &inverse, &inverse, |w, inverse, _| *w *= inverse);
        }
        match &self.axes {
            Some(axes) => axes.turn_back(&found, run),
            None => Ok(found),
        }
    }

    /// The penalty of each column, relative to that of the original one.
    pub fn penalty(&self) -> &[f64] {
        &self.penalty
    }

    /// The original rows, centred in double precision, neither scaled nor rounded.
    pub fn exact(&self) -> Exact<'_, T> {
        Exact { original: self.original, mean: &self.mean, stride: self.stride }
    }
}

impl<T: Element> Source<T> for Design<'_, T> {
    fn stride(&self) -> usize {
        self.stride
    }

    fn rows(&self) -> usize {
        self.original.rows()
    }

    fn block<'s>(&'s self, range: Range<usize>, _scratch: &'s mut Vec<T>) -> &'s [T] {
        &self.storage[self.start + range.start * self.stride..self.start + range.end * self.stride]
    }
}

/// The original rows as doubles, centred: what certificates are computed from.
#[derive(Debug)]
pub struct Exact<'a, T> {
    original: Selection<'a, T>,
    mean: &'a [f64],
    stride: usize,
}

impl<T: Element> Source<f64> for Exact<'_, T> {
    fn stride(&self) -> usize {
        self.stride
    }

    fn rows(&self) -> usize {
        self.original.rows()
    }

    fn block<'s>(&'s self, range: Range<usize>, scratch: &'s mut Vec<f64>) -> &'s [f64] {
        scratch.resize(range.len() * self.stride, 0.0);
        for (target, i) in scratch.chunks_mut(self.stride).zip(range) {
            update(target, self.original.row(i), self.mean, |target, value, mean| {
                *target = value.wide() - mean;
            });
        }
        scratch
    }
}

/// The lock of data that no panic can leave half-written: every user overwrites or adds whole numbers.
pub(crate) fn lock<V>(mutex: &Mutex<V>) -> std::sync::MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The weighted mean of every column. Fails on the first NaN or infinity in `x`.
pub(super) fn mean<T: Element>(
    x: Selection<'_, T>,
    weight: &[f64],
    run: Run<'_>,
) -> Result<Vec<f64>> {
    let total: f64 = weight.iter().sum();
    let mut mean = column_sums(x, weight, &vec![0.0; x.columns()], run, |value| value)?;
    if mean.iter().any(|sum| !sum.is_finite()) {
        return Err(first_non_finite(x));
    }
    mean.iter_mut().for_each(|sum| *sum /= total);
    Ok(mean)
}

/// Weighted mean and variance of every column, in two passes so that an offset costs no digits.
fn moments<T: Element>(
    x: Selection<'_, T>,
    weight: &[f64],
    run: Run<'_>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let total: f64 = weight.iter().sum();
    let mean = mean(x, weight, run)?;
    let mut spread = column_sums(x, weight, &mean, run, |value| value * value)?;
    spread.iter_mut().for_each(|sum| *sum /= total);
    Ok((mean, spread))
}

/// The weighted sum of `term` over every column, less its origin.
fn column_sums<T: Element>(
    x: Selection<'_, T>,
    weight: &[f64],
    origin: &[f64],
    run: Run<'_>,
    term: impl Fn(f64) -> f64 + Sync,
) -> Result<Vec<f64>> {
    let rows = x.rows().div_ceil(CHUNKS);
    let partial: Vec<Mutex<Vec<f64>>> =
        (0..CHUNKS).map(|_| Mutex::new(vec![0.0; x.columns()])).collect();
    run.for_each(CHUNKS, |chunk| {
        let mut sums = lock(&partial[chunk]);
        let mine = weight.iter().enumerate().skip(chunk * rows).take(rows);
        for (i, weight) in mine {
            if i % CHECKED == 0 {
                run.check()?;
            }
            update(&mut sums, x.row(i), origin, |sum, value, origin| {
                *sum += weight * term(value.wide() - origin);
            });
        }
        Ok(())
    })?;
    let mut total = vec![0.0; x.columns()];
    for sums in &partial {
        total.iter_mut().zip(lock(sums).iter()).for_each(|(total, sum)| *total += sum);
    }
    Ok(total)
}

fn first_non_finite<T: Element>(x: Selection<'_, T>) -> Error {
    for row in 0..x.rows() {
        for (column, value) in x.row(row).iter().enumerate() {
            if !value.wide().is_finite() {
                let (row, value) = (x.number(row), value.wide());
                return Error::NonFinite { name: "X", row, column, value };
            }
        }
    }
    Error::Invalid("the columns of X sum to more than a double can hold".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_design_is_centred_scaled_and_aligned() {
        let stop = AtomicBool::new(false);
        let x: Vec<f32> = (0..60).map(|i| 1e4 + (i * 7 % 13) as f32).collect();
        let design = Design::new(
            Selection::new(&x, 3).unwrap(),
            &[1.0; 20],
            (true, false),
            Run::new(2, &stop),
        )
        .unwrap();
        let mut scratch = Vec::new();
        let block = design.block(0..20, &mut scratch);
        assert_eq!((block.len(), block.as_ptr().align_offset(LINE)), (20 * 16, 0));
        for j in 0..3 {
            let sum: f32 = block.iter().skip(j).step_by(16).sum();
            assert!(sum.abs() < 1e-4, "column {j} sums to {sum}");
            let back = f64::from(block[j]) * design.scale()[j] + design.mean()[j];
            assert!((back - f64::from(x[j])).abs() < 1e-3);
        }
    }

    #[test]
    fn rows_can_be_chosen_and_have_to_be_there() {
        let x = [1.0, 2.0, 3.0, f64::NAN];
        let chosen = Selection::of_rows(&x, 1, &[2, 0, 0]).unwrap();
        assert_eq!((chosen.rows(), chosen.row(0), chosen.row(2)), (3, &[3.0][..], &[1.0][..]));
        for rows in [&[4][..], &[-1], &[]] {
            assert!(matches!(Selection::of_rows(&x, 1, rows), Err(Error::Shape(_))));
        }
        let stop = AtomicBool::new(false);
        let last = Selection::of_rows(&x, 1, &[0, 3]).unwrap();
        let error = Design::new(last, &[1.0; 2], (true, false), Run::new(1, &stop));
        assert!(matches!(error, Err(Error::NonFinite { row: 3, column: 0, .. })));
    }

    #[test]
    fn the_first_nan_is_named() {
        let stop = AtomicBool::new(false);
        let x = [1.0, 2.0, f64::INFINITY, f64::NAN];
        let error = Design::new(
            Selection::new(&x, 2).unwrap(),
            &[1.0; 2],
            (true, false),
            Run::new(1, &stop),
        );
        assert!(matches!(error, Err(Error::NonFinite { row: 1, column: 0, .. })));
    }
}
