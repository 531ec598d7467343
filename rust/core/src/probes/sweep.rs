//! Long vectors, walked piece by piece by all threads of a run.

use crate::error::Result;
use crate::parallel::Run;
use crate::simd::vectorised::{Change, Term, sum_of, update};

/// Elements that a thread takes at a time.
pub const PIECE: usize = 1 << 16;
/// Pieces from which threads are worth starting.
const MANY: usize = 8;

/// Walks vectors on the threads of a run; what comes out does not depend on how many there are.
#[derive(Clone, Copy)]
pub struct Sweep<'a>(pub Run<'a>);

impl<'a> Sweep<'a> {
    /// The run for so many pieces.
    pub fn over(self, pieces: usize) -> Run<'a> {
        if pieces < MANY { self.0.alone() } else { self.0 }
    }

    /// Calls `change(&mut target_i, a_i, b_i)` up to the end of the shortest.
    pub fn update<T: Send, A: Copy + Sync, B: Copy + Sync>(
        self,
        target: &mut [T],
        a: &[A],
        b: &[B],
        change: impl Change<T, A, B> + Sync,
    ) -> Result<()> {
        let length = target.len().min(a.len()).min(b.len());
        let mut pieces: Vec<&mut [T]> = target[..length].chunks_mut(PIECE).collect();
        self.over(pieces.len()).for_each_mut(&mut pieces, |at, piece| {
            let range = at * PIECE..at * PIECE + piece.len();
            update(piece, &a[range.clone()], &b[range], &change);
            Ok(())
        })
    }

    /// The sum of `term(a_i, b_i)`.
    pub fn sum_of<A: Copy + Sync, B: Copy + Sync>(
        self,
        a: &[A],
        b: &[B],
        term: impl Term<A, B> + Sync,
    ) -> Result<f64> {
        assert_eq!(a.len(), b.len());
        let mut sums = vec![0.0; a.len().div_ceil(PIECE)];
        self.over(sums.len()).for_each_mut(&mut sums, |at, sum| {
            let range = at * PIECE..((at + 1) * PIECE).min(a.len());
            *sum = sum_of(&a[range.clone()], &b[range], &term);
            Ok(())
        })?;
        Ok(sums.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let stop = AtomicBool::new(false);
        for length in [0, 1, PIECE, MANY * PIECE + 48] {
            let a: Vec<f64> = (0..length).map(|i| (i % 101) as f64 / 50.0 - 1.0).collect();
            let walked = |threads: usize| {
                let (sweep, mut target) = (Sweep(Run::new(threads, &stop)), vec![1.0; length]);
                sweep.update(&mut target, &a, &a, |t, a, b| *t += a * b).unwrap();
                (sweep.sum_of(&a, &target, |a, t| a * t).unwrap(), target)
            };
            let (sum, target) = walked(1);
            assert!(target.iter().zip(&a).all(|(target, a)| *target == 1.0 + a * a));
            let expected: f64 = target.iter().zip(&a).map(|(target, a)| target * a).sum();
            assert!((sum - expected).abs() <= 1e-9 * length as f64);
            assert_eq!(walked(3), (sum, target));
        }
    }
}
