//! The factors where there are fewer rows than columns: from the n x n matrix of products of rows.

use super::RidgeTask;
use super::factors::Factors;
use super::rows::Rows;
use crate::error::Result;
use crate::parallel::Run;
use crate::probes::data::power_of_two;
use crate::probes::eigen::symmetric_eigen;
use crate::simd::pass::{Element, padded};

/// Rows of a panel of a matrix.
const PANEL: usize = 48;

/// With `X X' = U diag(e) U'`, the eigenvectors of `X' X` are `X' U e^-1/2`.
pub(super) fn factorise<T: Element>(
    rows: &Rows<'_, T>,
    task: &RidgeTask<'_>,
    centres: &[f64],
    run: Run<'_>,
) -> Result<Factors> {
    let kernels = f64::kernels()?;
    let (n, d, stride, ld) = (rows.count(), rows.mean().len(), rows.stride(), padded(rows.count()));
    let mut x = vec![0.0; n * stride];
    for (i, row) in x.chunks_mut(stride).enumerate() {
        rows.part(i, 0, task.weight[i].sqrt(), row);
    }
    let square = products_of_rows(&x, stride, ld, run)?;
    let eigen = symmetric_eigen(&square, ld, n, ld, run)?;
    let floor = f64::EPSILON * stride as f64 * eigen.values[n - 1];
    let kept = eigen.values.iter().position(|&value| value > floor).unwrap_or(n);
    let values = eigen.values[kept..].to_vec();
    let mut vectors = vec![0.0; values.len() * stride];
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
    let mut y = vec![0.0; centres.len() * ld];
    for ((target, column), centre) in y.chunks_mut(ld).zip(task.targets.chunks(n)).zip(centres) {
        for ((target, y), s) in target.iter_mut().zip(column).zip(task.weight) {
            *target = (y - centre) * s.sqrt();
        }
    }
    let mut products = vec![0.0; centres.len() * stride];
    kernels.outer(&x, stride, &y, ld, &mut products, false);
    let mut squares = vec![0.0; stride];
    kernels.outer(&x, stride, &vec![1.0; ld], ld, &mut squares, true);
    let scale = squares[..d].iter().map(|sum| power_of_two((sum / n as f64).sqrt())).collect();
    Ok(Factors { values, vectors, products, scale, stride })
}

/// All products of two rows, `ld` apart.
fn products_of_rows(x: &[f64], stride: usize, ld: usize, run: Run<'_>) -> Result<Vec<f64>> {
    let kernels = f64::kernels()?;
    let mut square = vec![0.0; x.len() / stride * ld];
    let mut panels: Vec<&mut [f64]> = square.chunks_mut(PANEL * ld).collect();
    run.for_each_mut(&mut panels, |panel, target| {
        let count = target.len() / ld;
        let rows = &x[panel * PANEL * stride..][..count * stride];
        kernels.products(x, stride, rows, &vec![0.0; count], target, ld);
        Ok(())
    })?;
    Ok(square)
}
