//! The second pass: exact scores of the rows that are left.

use super::distinct::Distinct;
use super::frame::{Frame, Placed};
use super::matrix::Matrix;
use super::shortlist::{Candidate, Shortlist};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::{Double, Real};

/// A row and its exact score.
pub type Scored = (u32, f64);

/// How many candidates ahead a row is asked for: one takes less time to score than to come.
const AHEAD: usize = 3;

/// What exact scores are computed from.
pub struct Ranking<'a, T> {
    kernels: Kernels,
    frame: &'a Frame,
    rows: Matrix<'a, T>,
    distinct: &'a Distinct,
    /// For the cosine, squared norms of the distinct rows.
    norms: &'a [Double],
}

impl<'a, T: Real> Ranking<'a, T> {
    pub fn new(
        kernels: Kernels,
        frame: &'a Frame,
        rows: Matrix<'a, T>,
        distinct: &'a Distinct,
        norms: &'a [Double],
    ) -> Self {
        Self { kernels, frame, rows, distinct, norms }
    }

    /// The `k` best rows of a shortlist, best first, equal scores by the lowest row.
    pub fn best(
        &self,
        run: &Run<'_>,
        query: &[T],
        placed: &Placed,
        list: Shortlist,
        k: usize,
    ) -> Result<Vec<Scored>> {
        let places = self.best_places(run, query, placed, list, k)?;
        let mut found: Vec<Scored> = Vec::with_capacity(k);
        for (place, score) in places {
            found.extend(self.distinct.rows_at(place).take(k).map(|row| (row, score)));
        }
        keep_best(&mut found, k);
        Ok(found)
    }

    /// Scores candidates from the most promising on, until no other can be among the `k` best.
    fn best_places(
        &self,
        run: &Run<'_>,
        query: &[T],
        placed: &Placed,
        list: Shortlist,
        k: usize,
    ) -> Result<Vec<Scored>> {
        let mut candidates = list.into_candidates();
        let by_upper =
            |a: &Candidate, b: &Candidate| b.upper.total_cmp(&a.upper).then(a.row.cmp(&b.row));
        let query_norm = self.kernels.exact_dot(query, query);
        let mut scored: Vec<Scored> = Vec::with_capacity(2 * k);
        if candidates.len() > k {
            candidates.select_nth_unstable_by(k, by_upper);
            self.score_all(query, query_norm, &candidates[..k], &mut scored);
            let floor = self.floor(placed, &mut scored, k);
            candidates.drain(..k);
            candidates.retain(|candidate| f64::from(candidate.upper) >= floor);
            candidates.sort_unstable_by(by_upper);
        }
        for batch in candidates.chunks((k / 4).max(16)) {
            run.check()?;
            let floor = self.floor(placed, &mut scored, k);
            if f64::from(batch[0].upper) < floor {
                break;
            }
            self.score_all(query, query_norm, batch, &mut scored);
        }
        keep_best(&mut scored, k);
        Ok(scored)
    }

    /// What a row has to reach to be among the `k` best of those that are scored.
    fn floor(&self, placed: &Placed, scored: &mut Vec<Scored>, k: usize) -> f64 {
        if scored.len() < k {
            return f64::NEG_INFINITY;
        }
        keep_best(scored, k);
        let floor = self.frame.least(placed, scored[k - 1].1);
        if floor.is_nan() { f64::NEG_INFINITY } else { floor }
    }

    fn score_all(
        &self,
        query: &[T],
        query_norm: Double,
        candidates: &[Candidate],
        scored: &mut Vec<Scored>,
    ) {
        for (i, candidate) in candidates.iter().enumerate() {
            if let Some(ahead) = candidates.get(i + AHEAD) {
                self.kernels.prefetch(self.row(ahead));
            }
            scored.push((candidate.row, self.score(query, query_norm, candidate)));
        }
    }

    fn score(&self, query: &[T], query_norm: Double, candidate: &Candidate) -> f64 {
        let row_norm = self.norms.get(candidate.row as usize).copied().unwrap_or_default();
        self.frame.score(query, self.row(candidate), [query_norm, row_norm])
    }

    fn row(&self, candidate: &Candidate) -> &'a [T] {
        self.rows.row(self.distinct.firsts[candidate.row as usize] as usize)
    }
}

/// Sorts by score, then row, and keeps the first `k`.
fn keep_best(scored: &mut Vec<Scored>, k: usize) {
    // Adding zero turns -0 into 0, which compares equal to it.
    let order = |a: &Scored, b: &Scored| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0));
    if scored.len() > k {
        scored.select_nth_unstable_by(k, order);
        scored.truncate(k);
    }
    scored.sort_unstable_by(order);
}
