//! Rows of X, centred as they are read.

use std::ops::Range;

use crate::error::Result;
use crate::parallel::Run;
use crate::probes::data::{Selection, Source, mean};
use crate::simd::pass::{Element, padded};
use crate::simd::vectorised::update;

/// `X` less its weighted mean in double precision, each column divided by a power of two.
pub(super) struct CentredRows<'a, T> {
    original: Selection<'a, T>,
    mean: Vec<f64>,
    inverse: Vec<f64>,
    stride: usize,
}

impl<'a, T: Element> CentredRows<'a, T> {
    /// Centred only if `centre`. Fails on the first NaN or infinity in `x`.
    pub fn new(x: Selection<'a, T>, weight: &[f64], centre: bool, run: Run<'_>) -> Result<Self> {
        let found = mean(x, weight, run)?;
        let mean = if centre { found } else { vec![0.0; x.columns()] };
        Ok(Self { original: x, mean, inverse: Vec::new(), stride: padded(x.columns()) })
    }

    /// From now on, columns are divided by `scale`, powers of two.
    pub fn divide_by(&mut self, scale: &[f64]) {
        self.inverse = scale.iter().map(|scale| 1.0 / scale).collect();
    }

    /// What is subtracted from each column.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.original.rows()
    }

    /// Elements per row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Columns `first..first + target.len()` of row `i`, times `factor`; zeros beyond the last column.
    pub fn part<E: Element>(&self, i: usize, first: usize, factor: f64, target: &mut [E]) {
        let row = self.original.row(i);
        let end = row.len().min(first + target.len());
        let (found, beyond) = target.split_at_mut(end.saturating_sub(first));
        let columns = first.min(end)..end;
        let mean = &self.mean[columns.clone()];
        update(found, &row[columns.clone()], mean, |target, value, mean| {
            *target = E::of((value.wide() - mean) * factor);
        });
        if !self.inverse.is_empty() {
            let inverse = &self.inverse[columns];
            update(found, inverse, inverse, |target, by, _| *target = E::of(target.wide() * by));
        }
        beyond.fill(E::default());
    }
}

impl<T: Element, E: Element> Source<E> for CentredRows<'_, T> {
    fn stride(&self) -> usize {
        self.stride
    }

    fn rows(&self) -> usize {
        self.count()
    }

    fn block<'s>(&'s self, range: Range<usize>, scratch: &'s mut Vec<E>) -> &'s [E] {
        scratch.resize(range.len() * self.stride, E::default());
        for (target, i) in scratch.chunks_mut(self.stride).zip(range) {
            self.part(i, 0, 1.0, target);
        }
        scratch
    }
}
