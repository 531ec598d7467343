//! A sparse X as the solvers see it: where its columns lie, how far they spread.

use super::{Centred, Csr};
use crate::error::Result;
use crate::memory::filled;
use crate::parallel::Run;
use crate::powers::power_of_two_near;
use crate::simd::pass::{Element, padded};
use crate::simd::vectorised::{sum_of, update};

/// Rows after which a sum looks whether it is to stop.
const CHECKED: usize = 1024;

/// A sparse `X` with the weighted mean subtracted and each column divided by a power of two, in words
/// alone: the coefficients take the scale and the intercepts the mean, X stays as it is.
#[derive(Debug)]
pub struct SparseDesign<'a, T> {
    pub original: Csr<'a, T>,
    pub mean: Vec<f64>,
    pub scale: Vec<f64>,
    pub penalty: Vec<f64>,
    pub reach: f64,
    inverse: Vec<f64>,
    ones: Vec<f64>,
}

impl<'a, T: Element> SparseDesign<'a, T> {
    /// Centres only if `centre`: the intercept must be free. `weight` has one entry per row.
    ///
    /// Fails on the first NaN or infinity in `x`.
    pub fn new(x: Csr<'a, T>, weight: &[f64], centre: bool, run: Run<'_>) -> Result<Self> {
        let (first, second) = moments(x, weight, run)?;
        let mean = if centre { first } else { vec![0.0; x.columns()] };
        let scale: Vec<f64> =
            second.iter().map(|&spread| power_of_two_near(spread.sqrt())).collect();
        let mut penalty: Vec<f64> = scale.iter().map(|scale| 1.0 / (scale * scale)).collect();
        penalty.resize(padded(x.columns()), 1.0);
        let inverse = scale.iter().map(|scale| 1.0 / scale).collect();
        let reach = reach(x, &mean, run)?;
        let ones = vec![1.0; x.columns()];
        Ok(Self { original: x, mean, scale, penalty, reach, inverse, ones })
    }

    /// Coefficients and intercepts for the original rows, as the solvers see them: one vector, padded.
    pub fn placed(&self, w: &[f64], b: &[f64]) -> Result<Vec<f64>> {
        let (d, stride) = (self.mean.len(), self.penalty.len());
        let mut found = filled(0.0, b.len() * stride, "the starting coefficients")?;
        for (row, w) in found.chunks_mut(stride).zip(w.chunks(d)) {
            update(row, w, &self.scale, |to, w, scale| *to = w * scale);
        }
        let at_mean = w.chunks(d).map(|row| sum_of(row, &self.mean, |w, mean| w * mean));
        found.extend(at_mean.zip(b).map(|(moved, b)| b + moved));
        Ok(found)
    }

    /// Padded coefficients of this design, for the centred rows as they were.
    pub fn original_coefficients(&self, w: &[f64]) -> Vec<f64> {
        let mut found = w.to_vec();
        for row in found.chunks_mut(self.penalty.len()) {
            update(row, &self.inverse, &self.inverse, |w, inverse, _| *w *= inverse);
        }
        found
    }

    /// What is multiplied in the type of X.
    pub fn scaled(&self) -> Centred<'_, T> {
        Centred { x: self.original, mean: &self.mean, inverse: &self.inverse }
    }

    /// The original rows, centred, not scaled.
    pub fn exact(&self) -> Centred<'_, T> {
        Centred { x: self.original, mean: &self.mean, inverse: &self.ones }
    }
}

/// Weighted mean and variance of every column, in two passes so that an offset costs no digits.
fn moments<T: Element>(
    x: Csr<'_, T>,
    weight: &[f64],
    run: Run<'_>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let total: f64 = weight.iter().sum();
    let (mut mean, mut filled) = (vec![0.0; x.columns()], vec![0.0; x.columns()]);
    each(x, run, |row, column, value| {
        mean[column] += weight[row] * value;
        filled[column] += weight[row];
    })?;
    if mean.iter().any(|sum| !sum.is_finite()) {
        return Err(x.first_non_finite());
    }
    mean.iter_mut().for_each(|sum| *sum /= total);
    let empty =
        mean.iter().zip(&filled).map(|(mean, filled)| (total - filled).max(0.0) * mean * mean);
    let mut spread: Vec<f64> = empty.collect();
    each(x, run, |row, column, value| {
        spread[column] += weight[row] * (value - mean[column]).powi(2)
    })?;
    spread.iter_mut().for_each(|sum| *sum /= total);
    Ok((mean, spread))
}

/// The largest squared distance of a row from the mean.
fn reach<T: Element>(x: Csr<'_, T>, mean: &[f64], run: Run<'_>) -> Result<f64> {
    let whole: f64 = mean.iter().map(|mean| mean * mean).sum();
    let mut distance = vec![(0.0f64, 0.0f64); x.rows()];
    each(x, run, |row, column, value| {
        distance[row].0 += (value - mean[column]).powi(2);
        distance[row].1 += mean[column].powi(2);
    })?;
    let found = distance.iter().map(|(filled, instead)| filled + (whole - instead).max(0.0));
    Ok(found.fold(0.0, f64::max))
}

/// Calls `visit(row, column, value)` for every number.
fn each<T: Element>(
    x: Csr<'_, T>,
    run: Run<'_>,
    mut visit: impl FnMut(usize, usize, f64),
) -> Result<()> {
    for row in 0..x.rows() {
        if row.is_multiple_of(CHECKED) {
            run.check()?;
        }
        let (columns, values) = x.row(row);
        columns.iter().zip(values).for_each(|(&j, value)| visit(row, j as usize, value.wide()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::error::Error;

    #[test]
    fn moments_are_those_of_the_filled_rows() {
        let stop = AtomicBool::new(false);
        // Rows (8, 0, 0), (0, 0, 0), (4, 3, 0) with weights 1, 1, 2.
        let (values, indices, starts) = ([8.0f32, 4.0, 3.0], [0, 0, 1], [0, 1, 1, 3]);
        let x = Csr::new(&values, &indices, &starts, 3).unwrap();
        let run = Run::new(1, &stop);
        let (mean, spread) = moments(x, &[1.0, 1.0, 2.0], run).unwrap();
        assert_eq!(
            (mean.as_slice(), spread.as_slice()),
            (&[4.0, 1.5, 0.0][..], &[8.0, 2.25, 0.0][..])
        );
        let design = SparseDesign::new(x, &[1.0, 1.0, 2.0], true, run).unwrap();
        assert_eq!(design.reach, 18.25);
        // A column without a number keeps its scale, and so a penalty that is finite.
        assert_eq!((design.scale[2], design.penalty[2], design.penalty.len()), (1.0, 1.0, 16));
        let plain = SparseDesign::new(x, &[1.0, 1.0, 2.0], false, run).unwrap();
        assert_eq!((plain.reach, plain.mean.as_slice()), (64.0, &[0.0; 3][..]));
    }

    #[test]
    fn the_first_nan_is_named() {
        let stop = AtomicBool::new(false);
        let (values, indices, starts) = ([1.0, f64::NAN, f64::INFINITY], [3, 2, 0], [0, 1, 2, 3]);
        let x = Csr::new(&values, &indices, &starts, 4).unwrap();
        let found = SparseDesign::new(x, &[1.0; 3], true, Run::new(1, &stop));
        assert!(matches!(found, Err(Error::NonFinite { row: 1, column: 2, .. })));
    }
}
