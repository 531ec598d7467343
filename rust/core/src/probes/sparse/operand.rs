//! How a pass multiplies a sparse X that is centred and scaled in words alone.
//!
//! `(x - mean) / scale` times w is `x (w / scale) + (b - mean (w / scale))`, and the gradient by w is
//! `(sum r x - mean sum r) / scale`. A scale is a power of two, so dividing by it is exact. The mean of a
//! column with many zeros is small beside its spread, so that the differences cost no digits.

use std::ops::Range;

use super::Csr;
use crate::probes::pass::{Block, Evaluation, Operand, Point};
use crate::simd::Kernels;
use crate::simd::pass::{Element, PassKernels, padded};
use crate::simd::sparse::width;
use crate::simd::vectorised::sum_of;

/// Rows of a block.
const ROWS: usize = 128;
/// Features that change their places at once: they stay in the first-level cache.
const TURNED: usize = 64;
/// Numbers of X per feature below which sums are not kept apart: they would take longer to add.
const WORTH: usize = 4;

/// X less the mean of its columns, times the inverse of their scale.
#[derive(Clone, Copy, Debug)]
pub struct Centred<'a, T> {
    pub x: Csr<'a, T>,
    pub mean: &'a [f64],
    pub inverse: &'a [f64],
}

/// Sums that lie feature by feature as rows of `stride`, one per column of the task.
fn turned(sums: &[f64], columns: usize, stride: usize) -> Vec<f64> {
    let wide = width(columns);
    let mut rows = vec![0.0; columns * stride];
    for (first, sums) in sums.chunks(TURNED * wide).enumerate() {
        for (k, row) in rows.chunks_mut(stride).enumerate() {
            let sums = sums.iter().skip(k).step_by(wide);
            row[first * TURNED..].iter_mut().zip(sums).for_each(|(to, sum)| *to = *sum);
        }
    }
    rows
}

impl<E: Element, V: Element> Operand<E> for Centred<'_, V> {
    fn stride(&self) -> usize {
        padded(self.x.columns())
    }

    fn rows(&self) -> usize {
        self.x.rows()
    }

    fn block_rows(&self, _columns: usize) -> usize {
        ROWS
    }

    fn work(&self) -> usize {
        self.x.stored() + self.x.columns()
    }

    fn chunks(&self) -> usize {
        self.x.stored() / (WORTH * self.x.columns())
    }

    fn width(&self, columns: usize) -> usize {
        self.x.columns() * width(columns)
    }

    fn arrange(&self, points: &[Point<'_>], w: &mut Vec<E>, bias: &mut Vec<E>) {
        let stride = padded(self.x.columns());
        let rows: Vec<&[f64]> = points.iter().flat_map(|point| point.w.chunks(stride)).collect();
        let wide = width(rows.len());
        w.resize(self.x.columns() * wide, E::default());
        for (first, w) in w.chunks_mut(TURNED * wide).enumerate() {
            let inverse = &self.inverse[first * TURNED..];
            for (k, row) in rows.iter().enumerate() {
                let scaled =
                    row[first * TURNED..].iter().zip(inverse).map(|(w, inverse)| w * inverse);
                w.iter_mut().skip(k).step_by(wide).zip(scaled).for_each(|(to, w)| *to = E::of(w));
            }
        }
        let shift: Vec<f64> =
            self.mean.iter().zip(self.inverse).map(|(mean, inverse)| mean * inverse).collect();
        let intercepts = points.iter().flat_map(|point| point.b);
        bias.extend(intercepts.zip(rows).map(|(b, row)| {
            let moved = sum_of(&row[..shift.len()], &shift, |w, shift| w * shift);
            E::of(b - moved)
        }));
    }

    fn read<'s>(&'s self, rows: Range<usize>, _scratch: &'s mut Vec<E>) -> Block<'s, E> {
        Block { rows, values: &[] }
    }

    fn products(
        &self,
        _kernels: &PassKernels<E>,
        block: &Block<'_, E>,
        (w, bias): (&[E], &[E]),
        out: &mut [E],
        ld: usize,
    ) {
        Kernels::in_use().sparse_products(self.x.part(block.rows.clone()), w, bias, out, ld);
    }

    fn outer(
        &self,
        _kernels: &PassKernels<E>,
        block: &Block<'_, E>,
        residuals: &[E],
        ld: usize,
        sums: &mut [f64],
        squared: bool,
    ) {
        let (rows, columns) = (self.x.part(block.rows.clone()), residuals.len() / ld);
        let origin = squared.then_some(self.mean);
        Kernels::in_use().sparse_outer(rows, origin, residuals, ld, columns, sums);
    }

    fn settle(&self, sums: &mut Evaluation) {
        let (columns, stride) = (sums.gradient.1.len(), padded(self.x.columns()));
        sums.gradient.0 = turned(&sums.gradient.0, columns, stride);
        for (row, residuals) in sums.gradient.0.chunks_mut(stride).zip(&sums.gradient.1) {
            for ((g, mean), inverse) in row.iter_mut().zip(self.mean).zip(self.inverse) {
                *g = (*g - residuals * mean) * inverse;
            }
        }
        if sums.curvature.0.is_empty() {
            return;
        }
        sums.curvature.0 = turned(&sums.curvature.0, columns, stride);
        for (row, total) in sums.curvature.0.chunks_mut(stride).zip(&sums.curvature.1) {
            for ((h, mean), inverse) in row.iter_mut().zip(self.mean).zip(self.inverse) {
                // A second derivative is not negative, whatever the rounding of the difference says.
                *h = (*h + total * mean * mean).max(0.0) * inverse * inverse;
            }
        }
    }
}
