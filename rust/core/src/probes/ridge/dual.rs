//! The factors where there are no more rows than columns: from the n x n matrix of products of rows.

use super::RidgeTask;
use super::factors::Factors;
use super::rows::CentredRows;
use crate::error::Result;
use crate::memory::filled;
use crate::parallel::Run;
use crate::powers::power_of_two_near;
use crate::probes::dense::symmetric_eigen;
use crate::simd::pass::{Element, padded};

/// Rows of a panel of a matrix.
const PANEL: usize = 48;
/// What these are called where memory for them cannot be had.
const PRODUCTS: &str = "the products of the rows of X";

/// With `X X' = U diag(e) U'`, the eigenvectors of `X' X` are `X' U e^-1/2`.
pub(super) fn factorise<T: Element>(
    rows: &CentredRows<'_, T>,
    task: &RidgeTask<'_>,
    centres: &[f64],
    run: Run<'_>,
) -> Result<Factors> {
    let kernels = f64::kernels()?;
    let (n, d, stride, ld) = (rows.count(), rows.mean().len(), rows.stride(), padded(rows.count()));
    let mut x = filled(0.0, n * stride, PRODUCTS)?;
    for (i, row) in x.chunks_mut(stride).enumerate() {
        rows.part(i, 0, task.weight[i].sqrt(), row);
    }
    let square = products_of_rows(&x, stride, ld, run)?;
    let eigen = symmetric_eigen(&square, ld, n, ld, run)?;
    let floor = f64::EPSILON * stride as f64 * eigen.values[n - 1];
    let kept = eigen.values.iter().position(|&value| value > floor).unwrap_or(n);
    let values = eigen.values[kept..].to_vec();
    let mut vectors = filled(0.0, values.len() * stride, PRODUCTS)?;
    let mut panels: Vec<&mut [f64]> = vectors.chunks_mut(PANEL * stride).collect();
    run.for_each_mut(&mut panels, |panel, vectors| {
        let first = kept + panel * PANEL;
        let count = vectors.len() / stride;
        let found = &eigen.vectors[first * ld..(first + count) * ld];
        kernels.outer(&x, stride, found, ld, vectors, false);
        for (vector, value) in vectors.chunks_mut(stride).zip(&eigen.values[first..]) {
            vector.iter_mut().for_each(|v| *v /= value.sqrt());
        }
        Ok(())
    })?;
    let mut y = filled(0.0, centres.len() * ld, PRODUCTS)?;
    for ((target, column), centre) in y.chunks_mut(ld).zip(task.targets.chunks(n)).zip(centres) {
        for ((target, y), s) in target.iter_mut().zip(column).zip(task.weight) {
            *target = (y - centre) * s.sqrt();
        }
    }
    let mut products = filled(0.0, centres.len() * stride, PRODUCTS)?;
    kernels.outer(&x, stride, &y, ld, &mut products, false);
    let mut squares = vec![0.0; stride];
    kernels.outer(&x, stride, &vec![1.0; ld], ld, &mut squares, true);
    let scale = squares[..d].iter().map(|sum| power_of_two_near((sum / n as f64).sqrt())).collect();
    let mut coordinates = eigen.vectors;
    coordinates.drain(..kept * ld);
    Ok(Factors { values, vectors, products, scale, stride, coordinates })
}

/// All products of two rows, `ld` apart.
fn products_of_rows(x: &[f64], stride: usize, ld: usize, run: Run<'_>) -> Result<Vec<f64>> {
    let kernels = f64::kernels()?;
    let mut square = filled(0.0, x.len() / stride * ld, PRODUCTS)?;
    let mut panels: Vec<&mut [f64]> = square.chunks_mut(PANEL * ld).collect();
    run.for_each_mut(&mut panels, |panel, target| {
        let count = target.len() / ld;
        let rows = &x[panel * PANEL * stride..][..count * stride];
        kernels.products(x, stride, rows, &vec![0.0; count], target, ld);
        Ok(())
    })?;
    Ok(square)
}
