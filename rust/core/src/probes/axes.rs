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
/// A value of C takes some twenty passes of four operations per number and column; turning takes four per
/// number and axis, the decomposition, on one core, as long as some hundred per cubed column. Small work stays as
/// it is.
pub(super) fn pay_off(rows: usize, d: usize, columns: usize, values: usize) -> bool {
    const LITTLE: f64 = (1u64 << 22) as f64;
    let (n, d, columns) = (rows as f64, d as f64, columns as f64);
    let path = 80.0 * n * d * columns * values as f64;
    let turning = 4.0 * n * d * d + 100.0 * d * d * d;
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
        let used: Vec<usize> = (0..x.rows()).filter(|&i| weight[i] > 0.0).collect();
        let count = used.len().min(ROWS * d);
        let places: Vec<usize> = (0..count).map(|i| used[i * used.len() / count]).collect();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::probes::data::{DenseDesign, Source};

    const D: usize = 20;

    /// 300 rows of 20 correlated columns of sizes from 1 to 20, with an offset.
    fn rows() -> Vec<f64> {
        let noise = |i: usize| ((i * 7919 + i * i * 31) % 1009) as f64 / 504.0 - 1.0;
        let row = |i: usize| {
            let own = move |j: usize| noise(i * D + j) * (j + 1) as f64;
            (0..D).map(move |j| 5.0 + own(j) + 0.7 * own((j + 1) % D))
        };
        (0..300).flat_map(row).collect()
    }

    #[test]
    fn turned_rows_vary_as_told_and_are_not_correlated() {
        let (x, stop) = (rows(), AtomicBool::new(false));
        let run = Run::new(2, &stop);
        let design =
            DenseDesign::new(Selection::new(&x, D).unwrap(), &[1.0; 300], (true, true), run)
                .unwrap();
        let (mut scratch, stride) = (Vec::new(), Source::<f64>::stride(&design));
        let rows = design.block(0..300, &mut scratch);
        let product = |i: usize, j: usize| {
            rows.chunks(stride).map(|row| row[i] * row[j]).sum::<f64>() / 300.0
        };
        for i in 0..D {
            assert!((0.4..2.5).contains(&product(i, i)), "axis {i} varies by {}", product(i, i));
            assert!((0..i).all(|j| product(i, j).abs() < 1e-9));
        }
    }

    #[test]
    fn coefficients_come_back_from_the_axes() {
        let (x, stop) = (rows(), AtomicBool::new(false));
        let run = Run::new(2, &stop);
        let design =
            DenseDesign::new(Selection::new(&x, D).unwrap(), &[1.0; 300], (true, true), run)
                .unwrap();
        let w: Vec<f64> = (0..3 * D).map(|i| (i % 7) as f64 - 2.5).collect();
        let placed = design.placed(&w, &[0.5, 1.0, -2.0], run).unwrap();
        let stride = Source::<f64>::stride(&design);
        let back = design.original_coefficients(&placed[..3 * stride], run).unwrap();
        for (row, given) in back.chunks(stride).zip(w.chunks(D)) {
            assert!(row.iter().zip(given).all(|(a, b)| (a - b).abs() < 1e-12));
        }
        let at_mean: f64 = w[..D].iter().zip(design.mean()).map(|(w, mean)| w * mean).sum();
        assert!((placed[3 * stride] - 0.5 - at_mean).abs() < 1e-9);
    }

    #[test]
    fn small_work_and_few_classes_stay_as_they_are() {
        assert!(pay_off(20_000, 1024, 1000, 1) && pay_off(5_485, 384, 8, 45));
        assert!(!pay_off(2_000, 1280, 3, 45) && !pay_off(200, 384, 30, 11));
    }

    #[test]
    fn a_column_of_another_size_keeps_the_others_digits() {
        let mut x: Vec<f32> = rows().into_iter().map(|value| value as f32).collect();
        x.iter_mut().step_by(D).for_each(|value| *value *= 1e6);
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let x = Selection::new(&x, D).unwrap();
        let turned = DenseDesign::new(x, &[1.0; 300], (true, true), run).unwrap();
        let plain = DenseDesign::new(x, &[1.0; 300], (true, false), run).unwrap();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        assert_eq!(turned.block(0..300, &mut a), plain.block(0..300, &mut b));
    }
}
