//! Eigenvalues of symmetric matrices, by the one linear algebra crate that we use for it.

use faer::{Mat, Side};

use crate::error::{Error, Result};
use crate::parallel::Run;

/// Eigenvalues, ascending, and one eigenvector per row.
pub(super) struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Vec<f64>,
}

/// The eigenvalues of the leading `size` x `size` part of a matrix given by its upper triangle, with
/// rows `stride` apart; eigenvectors are padded to `stride` with zeros.
pub(super) fn symmetric_eigen(
    matrix: &[f64],
    ld: usize,
    size: usize,
    stride: usize,
    _run: Run<'_>,
) -> Result<Eigen> {
    // faer reads the lower triangle: the transpose of our upper one.
    let lower = Mat::from_fn(size, size, |i, j| matrix[j.min(i) * ld + i.max(j)]);
    let found = lower
        .self_adjoint_eigen(Side::Lower)
        .map_err(|error| Error::Internal(format!("eigenvalues were not found: {error:?}")))?;
    let values = (0..size).map(|i| found.S().column_vector()[i]).collect();
    let mut vectors = vec![0.0; size * stride];
    for (i, vector) in vectors.chunks_mut(stride).enumerate() {
        for (j, value) in vector[..size].iter_mut().enumerate() {
            *value = found.U()[(j, i)];
        }
    }
    Ok(Eigen { values, vectors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_matrix() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let found = symmetric_eigen(&[2.0, 1.0, 9.0, 2.0], 2, 2, 2, Run::new(1, &stop)).unwrap();
        assert!((found.values[0] - 1.0).abs() < 1e-12 && (found.values[1] - 3.0).abs() < 1e-12);
        assert!((found.vectors[2] - found.vectors[3]).abs() < 1e-12);
    }
}
