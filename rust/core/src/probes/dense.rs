//! Symmetric matrices, by the one linear algebra crate that we use for them: eigenvalues, Cholesky.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use faer::linalg::solvers::Solve;
use faer::{Col, Mat, MatRef, Side};

use crate::error::{Error, Result};
use crate::leaving::see_off;
use crate::memory::{filled, room};
use crate::parallel::Run;

/// Matrices up to this size are done before anyone could interrupt them.
const QUICK: usize = 256;
/// The size of a matrix, its decomposition and what that works with.
const COPIES: usize = 4;
/// How often a waiting call looks whether it is to stop.
const CHECK: Duration = Duration::from_millis(10);

/// Eigenvalues, ascending, and one eigenvector per row.
pub(super) struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Vec<f64>,
}

/// The eigenvalues of the leading `size` x `size` part of a matrix given by its upper triangle, with
/// rows `ld` apart; eigenvectors are padded to `stride` with zeros.
///
/// The decomposition cannot be interrupted. It runs on a thread of its own and on one core, and a call
/// that is to stop leaves it there: it holds its matrix and ends by itself.
pub(super) fn symmetric_eigen(
    matrix: &[f64],
    ld: usize,
    size: usize,
    stride: usize,
    run: Run<'_>,
) -> Result<Eigen> {
    // faer asks for memory in a way that cannot fail softly. This catches what is more than the
    // address space, a limit of it (ulimit -v) or a kernel that promises no more than it has allows;
    // one that overcommits grants it, and ends the process when the pages are used.
    drop(room::<f64>(COPIES.saturating_mul(size * size), "an eigendecomposition")?);
    // faer reads the lower triangle: the transpose of our upper one.
    let lower = Arc::new(Mat::from_fn(size, size, |i, j| matrix[j.min(i) * ld + i.max(j)]));
    if size <= QUICK {
        return decompose(&lower, stride);
    }
    let theirs = Arc::clone(&lower);
    let ((done, finished), (leave, left)) = (channel(), channel::<()>());
    let work = move || {
        drop(done.send(decompose(&theirs, stride)));
        let _ = left.recv();
    };
    let Ok(thread) = std::thread::Builder::new().name("eigenvalues".into()).spawn(work) else {
        // No thread can be had: the work is done here, and cannot be interrupted.
        return decompose(&lower, stride);
    };
    loop {
        run.check()?;
        match finished.recv_timeout(CHECK) {
            Ok(found) => {
                see_off(leave, thread);
                return found;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Internal("the eigenvalues panicked".into()));
            }
        }
    }
}

fn decompose(lower: &Mat<f64>, stride: usize) -> Result<Eigen> {
    let size = lower.nrows();
    let found = lower
        .self_adjoint_eigen(Side::Lower)
        .map_err(|error| Error::Internal(format!("eigenvalues were not found: {error:?}")))?;
    let values = (0..size).map(|i| found.S().column_vector()[i]).collect();
    let mut vectors = filled(0.0, size * stride, "eigenvectors")?;
    for (i, vector) in vectors.chunks_mut(stride).enumerate() {
        for (j, value) in vector[..size].iter_mut().enumerate() {
            *value = found.U()[(j, i)];
        }
    }
    Ok(Eigen { values, vectors })
}

/// The x of `A x = b` for a symmetric A; nothing where it is not numerically definite.
pub(super) fn solve_definite(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    let factors = MatRef::from_row_major_slice(a, b.len(), b.len()).llt(Side::Lower).ok()?;
    let x = factors.solve(Col::from_fn(b.len(), |i| b[i]));
    Some(x.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn cholesky_solves_and_refuses() {
        let x = solve_definite(&[4.0, 2.0, 2.0, 3.0], &[8.0, 8.0]).unwrap();
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
        for matrix in [[1.0, 2.0, 2.0, 1.0], [0.0; 4], [f64::NAN; 4]] {
            assert!(solve_definite(&matrix, &[1.0, 1.0]).is_none(), "{matrix:?}");
        }
    }

    #[test]
    fn a_small_matrix() {
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let found = symmetric_eigen(&[2.0, 1.0, 9.0, 2.0], 2, 2, 2, run).unwrap();
        assert!((found.values[0] - 1.0).abs() < 1e-12 && (found.values[1] - 3.0).abs() < 1e-12);
        assert!((found.vectors[2] - found.vectors[3]).abs() < 1e-12);
    }

    #[test]
    fn a_large_matrix_is_left_when_told_to_stop() {
        let size = 1200;
        let matrix: Vec<f64> = (0..size * size).map(|i| (i * 7 % 101) as f64).collect();
        let stop = AtomicBool::new(true);
        let found = symmetric_eigen(&matrix, size, size, size, Run::new(1, &stop));
        assert!(matches!(found, Err(Error::Interrupted)));
        let diagonal: Vec<f64> = (0..300 * 300).map(|i| f64::from(i % 301 == 0)).collect();
        stop.store(false, std::sync::atomic::Ordering::Relaxed);
        let found = symmetric_eigen(&diagonal, 300, 300, 304, Run::new(1, &stop)).unwrap();
        assert!(found.values.iter().all(|value| (value - 1.0).abs() < 1e-12));
        assert_eq!(found.vectors.len(), 300 * 304);
    }
}
