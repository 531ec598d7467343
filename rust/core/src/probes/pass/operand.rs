//! X as a pass multiplies it: by coefficients, and by residuals.

use std::ops::Range;

use super::{Evaluation, Point};
use crate::probes::data::{Source, block_rows};
use crate::simd::pass::{Element, PassKernels};
use crate::simd::vectorised::update;

/// Bytes of sums from which blocks are long.
const WIDE: usize = 4 << 20;
/// Bytes of the rows and logits of a long block.
const TOGETHER: usize = 1536 << 10;

/// Rows of X between the products of a block.
pub struct Block<'a, T> {
    /// Which rows.
    pub rows: Range<usize>,
    /// Their numbers where X is dense, one padded row after the other; empty where it is not.
    pub values: &'a [T],
}

/// X as a pass multiplies it. Coefficients and sums lie as it likes them best while a pass is under way.
pub trait Operand<T: Element>: Sync {
    /// Coefficients of a column of a task, padded.
    fn stride(&self) -> usize;
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Rows of a block for that many columns of coefficients in a round.
    fn block_rows(&self, columns: usize) -> usize;
    /// Products of X with one column of coefficients.
    fn work(&self) -> usize;
    /// Sums over rows that may be kept apart: more would take longer to add than to make.
    fn chunks(&self) -> usize;
    /// Length of the sums for a task of `columns`, before [`Operand::settle`].
    fn width(&self, columns: usize) -> usize;
    /// Lays the coefficients and intercepts of all points of a round out for [`Operand::products`].
    fn arrange(&self, points: &[Point<'_>], w: &mut Vec<T>, bias: &mut Vec<T>);
    /// A block of rows, in place or converted into `scratch`.
    fn read<'s>(&'s self, rows: Range<usize>, scratch: &'s mut Vec<T>) -> Block<'s, T>;
    /// `out[k * ld + i] = x_i . w_k + bias[k]` for each row of the block and each column of the round;
    /// `coefficients` are w and bias, as [`Operand::arrange`] laid them out.
    fn products(
        &self,
        kernels: &PassKernels<T>,
        block: &Block<'_, T>,
        coefficients: (&[T], &[T]),
        out: &mut [T],
        ld: usize,
    );
    /// Adds `sum over i of residuals[k * ld + i] x_ij` for a task of `columns`, with x squared if `squared`.
    fn outer(
        &self,
        kernels: &PassKernels<T>,
        block: &Block<'_, T>,
        residuals: &[T],
        ld: usize,
        sums: &mut [f64],
        squared: bool,
    );
    /// Brings the sums over all rows into rows of [`Operand::stride`], one per column of the task.
    fn settle(&self, sums: &mut Evaluation);
}

/// A source of dense rows.
#[derive(Debug)]
pub struct Filled<S>(pub S);

impl<T: Element, S: Source<T>> Operand<T> for Filled<S> {
    fn stride(&self) -> usize {
        self.0.stride()
    }

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn block_rows(&self, columns: usize) -> usize {
        let stride = self.0.stride();
        let rows = block_rows::<T>(stride);
        // Each block adds to all sums. Where these fill the cache by themselves, fewer and longer blocks pass
        // them through less often; rows and logits together still fit.
        match self.width(columns) * size_of::<f64>() < WIDE {
            true => rows,
            false => rows.max(TOGETHER / ((stride + columns) * size_of::<T>()) / 16 * 16),
        }
    }

    fn work(&self) -> usize {
        self.0.rows() * self.0.stride()
    }

    fn chunks(&self) -> usize {
        usize::MAX
    }

    fn width(&self, columns: usize) -> usize {
        columns * self.0.stride()
    }

    fn arrange(&self, points: &[Point<'_>], w: &mut Vec<T>, bias: &mut Vec<T>) {
        for point in points {
            let start = w.len();
            w.resize(start + point.w.len(), T::default());
            update(&mut w[start..], point.w, point.w, |w, value, _| *w = T::of(value));
            bias.extend(point.b.iter().map(|&value| T::of(value)));
        }
    }

    fn read<'s>(&'s self, rows: Range<usize>, scratch: &'s mut Vec<T>) -> Block<'s, T> {
        Block { values: self.0.block(rows.clone(), scratch), rows }
    }

    fn products(
        &self,
        kernels: &PassKernels<T>,
        block: &Block<'_, T>,
        (w, bias): (&[T], &[T]),
        out: &mut [T],
        ld: usize,
    ) {
        kernels.products(block.values, self.0.stride(), w, bias, out, ld);
    }

    fn outer(
        &self,
        kernels: &PassKernels<T>,
        block: &Block<'_, T>,
        residuals: &[T],
        ld: usize,
        sums: &mut [f64],
        squared: bool,
    ) {
        kernels.outer(block.values, self.0.stride(), residuals, ld, sums, squared);
    }

    fn settle(&self, _sums: &mut Evaluation) {}
}
