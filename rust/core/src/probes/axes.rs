//! Principal axes of the rows: in their coordinates features are uncorrelated, and the diagonal of the
//! Hessian, which preconditions the solver, is most of it. On features of real networks that saves a
//! third to two thirds of the passes.

use super::data::Selection;
use super::dense::symmetric_eigen;
use super::ridge::products_of_columns;
use crate::error::Result;
use crate::memory::{filled, room};
use crate::parallel::Run;
use crate::simd::pass::{Element, padded};

/// Rows for each column from which the axes are found; more would not turn them by much.
const ROWS: usize = 16;
/// Directions that vary less than the most varying one by this factor are rounding in single precision.
const NOISE: (f64, f64) = (1e-6, 1e-14);
/// Vectors that are turned back together.
const TOGETHER: usize = 60;

/// Whether turning `rows` x `d` numbers costs less than a fifth of solving `columns` columns for `values` of C.
///
/// A value of C takes some ten passes of four operations per number and column; turning takes four per
/// number and axis, the decomposition some thirty per cubed column. Small work stays as it is.
pub(super) fn pay_off(rows: usize, d: usize, columns: usize, values: usize) -> bool {
    const LITTLE: f64 = (1u64 << 22) as f64;
    let (n, d, columns) = (rows as f64, d as f64, columns as f64);
    let path = 40.0 * n * d * columns * values as f64;
    let turning = 4.0 * n * d * d + 30.0 * d * d * d;
    n * d * columns > LITTLE && turning < 0.2 * path
}

/// Orthonormal axes of centred rows.
#[derive(Debug)]
pub(super) struct Axes<T> {
    /// d x stride: one axis per row.
    axes: Vec<f64>,
    /// d x stride: one axis per column.
    across: Vec<T>,
    /// The standard deviation of the rows along each axis, at least what rounding makes of it.
    spread: Vec<f64>,
    stride: usize,
}

impl<T: Element> Axes<T> {
    /// From the rows, or a part of them that is spread evenly; centred if `centre`.
    pub fn find(x: Selection<'_, T>, weight: &[f64], centre: bool, run: Run<'_>) -> Result<Self> {
        let (d, stride) = (x.columns(), padded(x.columns()));
        let count = x.rows().min(ROWS * d);
        let places: Vec<usize> = (0..count).map(|i| i * x.rows() / count).collect();
        let numbers: Vec<i64> = places.iter().map(|&i| x.number(i) as i64).collect();
        let weight: Vec<f64> = places.iter().map(|&i| weight[i]).collect();
        let products = products_of_columns(x.among(&numbers), &weight, centre, run)?;
        let found = symmetric_eigen(&products, d, d, stride, run)?;
        let noise = if size_of::<T>() == 4 { NOISE.0 } else { NOISE.1 };
        let total: f64 = weight.iter().sum();
        let deviation = |value: &f64| (value.max(0.0) / total).sqrt();
        let least = noise * deviation(&found.values[d - 1]);
        let spread = found.values.iter().map(|value| deviation(value).max(least)).collect();
        let mut across = room(d * stride, "the principal axes of X")?;
        for column in 0..d {
            across.extend(found.vectors.iter().skip(column).step_by(stride).map(|&v| T::of(v)));
            across.resize((column + 1) * stride, T::default());
        }
        Ok(Self { axes: found.vectors, across, spread, stride })
    }

    /// How much the rows vary along each axis.
    pub fn spread(&self) -> &[f64] {
        &self.spread
    }

    /// Padded centred rows in the coordinates of the axes.
    pub fn turn(&self, rows: &[T], turned: &mut Vec<f64>) -> Result<()> {
        turned.clear();
        turned.resize(rows.len(), 0.0);
        T::kernels()?.outer(&self.across, self.stride, rows, self.stride, turned, false);
        Ok(())
    }

    /// Padded vectors in the coordinates of the axes, in those of X.
    pub fn turn_back(&self, vectors: &[f64], run: Run<'_>) -> Result<Vec<f64>> {
        let mut found = filled(0.0, vectors.len(), "coefficients")?;
        let (kernels, group) = (f64::kernels()?, TOGETHER * self.stride);
        let mut parts: Vec<&mut [f64]> = found.chunks_mut(group).collect();
        run.for_each_mut(&mut parts, |at, part| {
            let vectors = &vectors[at * group..][..part.len()];
            kernels.outer(&self.axes, self.stride, vectors, self.stride, part, false);
            Ok(())
        })?;
        Ok(found)
    }

    /// Padded vectors in the coordinates of X, in those of the axes.
    pub fn turn_coefficients(&self, vectors: &[f64], run: Run<'_>) -> Result<Vec<f64>> {
        let mut found = filled(0.0, vectors.len(), "coefficients")?;
        let kernels = f64::kernels()?;
        let mut rows: Vec<&mut [f64]> = found.chunks_mut(self.stride).collect();
        run.for_each_mut(&mut rows, |at, row| {
            let vector = &vectors[at * self.stride..][..self.stride];
            for (value, axis) in row.iter_mut().zip(self.axes.chunks(self.stride)) {
                *value = kernels.inner(axis, vector);
            }
            Ok(())
        })?;
        Ok(found)
    }
}
