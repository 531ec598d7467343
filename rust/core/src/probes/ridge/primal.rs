//! The factors where there are fewer columns than rows: from the d x d matrix of products of columns.

use std::sync::Mutex;

use super::factors::Factors;
use super::rows::CentredRows;
use super::{CHUNKS, RidgeTask};
use crate::error::Result;
use crate::memory::filled;
use crate::parallel::Run;
use crate::powers::power_of_two_near;
use crate::probes::data::{Selection, lock};
use crate::probes::dense::symmetric_eigen;
use crate::simd::pass::{Element, PassKernels};

/// Bytes of a packed block of rows: it stays in the second-level cache.
const BLOCK_BYTES: usize = 768 << 10;
/// Bytes that the Gram matrices of all chunks may take together.
const GRAM_BYTES: usize = 256 << 20;
/// What they are called where memory for them cannot be had.
const GRAM: &str = "the products of the columns of X";

/// From the eigenvectors of `X' S X`.
pub(super) fn factorise<T: Element>(
    rows: &CentredRows<'_, T>,
    task: &RidgeTask<'_>,
    centres: &[f64],
    run: Run<'_>,
) -> Result<Factors> {
    let (n, d, stride) = (rows.count(), rows.mean().len(), rows.stride());
    let gram = Panels::sum(rows, task.weight, (task.targets, centres), run)?;
    let square = gram.of_columns(d)?;
    let mut products = filled(0.0, centres.len() * stride, GRAM)?;
    for i in 0..d {
        for k in 0..centres.len() {
            products[k * stride + i] = gram.at(i, gram.x_panels * gram.width + k);
        }
    }
    let scale = (0..d).map(|j| power_of_two_near((square[j * d + j] / n as f64).sqrt())).collect();
    let eigen = symmetric_eigen(&square, d, d, stride, run)?;
    let floor = f64::EPSILON * n.max(d) as f64 * eigen.values[d - 1];
    let (mut values, mut vectors) = (eigen.values, eigen.vectors);
    let kept = values.iter().position(|&value| value > floor).unwrap_or(d);
    vectors.drain(..kept * stride);
    values.drain(..kept);
    Ok(Factors { values, vectors, products, scale, stride, coordinates: Vec::new() })
}

/// The weighted products of the columns of X, centred if `centre`, d x d; on and above the diagonal.
pub fn products_of_columns<T: Element>(
    x: Selection<'_, T>,
    weight: &[f64],
    centre: bool,
    run: Run<'_>,
) -> Result<Vec<f64>> {
    let rows = CentredRows::new(x, weight, centre, run)?;
    Panels::sum(&rows, weight, (&[], &[]), run)?.of_columns(x.columns())
}

/// Targets, one column after the other, and what is subtracted from each column.
type Outputs<'a> = (&'a [f64], &'a [f64]);

/// The matrix of products of the columns of X and Y, in squares of `width` by `width`: those on and
/// above the diagonal in the columns of X, row by row.
struct Panels {
    width: usize,
    x_panels: usize,
    panels: usize,
    squares: Vec<f64>,
}

impl Panels {
    fn new(width: usize, d: usize, outputs: usize) -> Result<Self> {
        let x_panels = d.div_ceil(width);
        let panels = x_panels + outputs.div_ceil(width);
        let count: usize = (0..x_panels).map(|row| panels - row).sum();
        Ok(Self { width, x_panels, panels, squares: filled(0.0, count * width * width, GRAM)? })
    }

    /// Where the squares of a row of panels start.
    fn row(&self, row: usize) -> usize {
        (row * self.panels - row * row.saturating_sub(1) / 2) * self.width * self.width
    }

    /// Element (i, j), i a column of X and j one not before it; those of Y come last.
    fn at(&self, i: usize, j: usize) -> f64 {
        let (row, column) = (i / self.width, j / self.width);
        let square = self.row(row) + (column - row) * self.width * self.width;
        self.squares[square + i % self.width * self.width + j % self.width]
    }

    /// Those of the d columns of X, row by row; zeros below the diagonal.
    fn of_columns(&self, d: usize) -> Result<Vec<f64>> {
        let mut square = filled(0.0, d * d, GRAM)?;
        for i in 0..d {
            for j in i..d {
                square[i * d + j] = self.at(i, j);
            }
        }
        Ok(square)
    }

    /// Sums over all rows: blocks in order within each chunk, chunks in order.
    fn sum<T: Element>(
        rows: &CentredRows<'_, T>,
        weight: &[f64],
        outputs: Outputs<'_>,
        run: Run<'_>,
    ) -> Result<Self> {
        let kernels = f64::kernels()?;
        let (n, d) = (rows.count(), rows.mean().len());
        let columns = outputs.1.len();
        let mut total = Self::new(kernels.panel(), d, columns)?;
        let row_bytes = total.panels * total.width * size_of::<f64>();
        let depth = (BLOCK_BYTES / row_bytes / 16 * 16).clamp(16, 256);
        let blocks = n.div_ceil(depth);
        let chunks = CHUNKS.min(blocks).min((GRAM_BYTES / (total.squares.len() * 8)).max(2));
        let empty = || Self::new(total.width, d, columns).map(Mutex::new);
        let sums: Vec<Mutex<Self>> = (0..chunks).map(|_| empty()).collect::<Result<_>>()?;
        run.for_each(chunks, |chunk| {
            let sum = &mut *lock(&sums[chunk]);
            let mut packed = Vec::new();
            for at in chunk * blocks / chunks..(chunk + 1) * blocks / chunks {
                run.check()?;
                let range = at * depth..n.min((at + 1) * depth);
                sum.pack(rows, weight, outputs, range.clone(), &mut packed);
                sum.add(kernels, &packed, range.len());
                run.advance(range.len() * d);
            }
            Ok(())
        })?;
        for sum in sums {
            let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            total.squares.iter_mut().zip(sum.squares).for_each(|(total, value)| *total += value);
        }
        Ok(total)
    }

    /// Rows of X and Y times the square roots of their weights: panels x rows x width.
    fn pack<T: Element>(
        &self,
        rows: &CentredRows<'_, T>,
        weight: &[f64],
        (targets, centres): Outputs<'_>,
        range: std::ops::Range<usize>,
        packed: &mut Vec<f64>,
    ) {
        let (width, depth, n) = (self.width, range.len(), rows.count());
        packed.resize(self.panels * depth * width, 0.0);
        for (at, i) in range.enumerate() {
            let root = weight[i].sqrt();
            for panel in 0..self.panels {
                let target = &mut packed[(panel * depth + at) * width..][..width];
                if panel < self.x_panels {
                    rows.part(i, panel * width, root, target);
                    continue;
                }
                let first = (panel - self.x_panels) * width;
                for (k, target) in target.iter_mut().enumerate().take(centres.len() - first) {
                    *target = (targets[(first + k) * n + i] - centres[first + k]) * root;
                }
            }
        }
    }

    fn add(&mut self, kernels: &PassKernels<f64>, packed: &[f64], depth: usize) {
        let (size, square) = (depth * self.width, self.width * self.width);
        for row in 0..self.x_panels {
            let left = &packed[row * size..(row + 1) * size];
            let start = self.row(row);
            for column in row..self.panels {
                let right = &packed[column * size..(column + 1) * size];
                let target = start + (column - row) * square;
                kernels.gram(left, right, &mut self.squares[target..target + square]);
            }
        }
    }
}
