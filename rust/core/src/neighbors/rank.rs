//! The second pass: exact scores of the rows that are left.

use super::distinct::Distinct;
use super::frame::{Frame, Placed};
use super::matrix::Matrix;
use super::scan::Found;
use super::shortlist::Candidate;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::{Double, Real};

/// Rows scored between two questions whether to stop.
const CHECK: usize = 1024;

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

    /// The `k` best rows of each shortlist, best first, equal scores by the lowest row.
    ///
    /// Candidates are scored from the most promising on, until no other can be among the `k` best.
    /// All queries take their next candidates together, in the order of the rows, so that a row
    /// comes from memory once for all queries that want it.
    pub fn best(
        &self,
        run: &Run<'_>,
        queries: &[&[T]],
        found: Vec<Found>,
        k: usize,
    ) -> Result<Vec<Vec<Scored>>> {
        let mut open: Vec<Open> = found.into_iter().map(Open::new).collect();
        let norms: Vec<_> = queries.iter().map(|q| self.kernels.exact_dot(q, q)).collect();
        let mut wanted = Vec::new();
        loop {
            for (q, open) in open.iter_mut().enumerate() {
                let next = open.next(self.frame, k);
                wanted.extend(next.map(|row| (u64::from(row) << 32) | q as u64));
            }
            if wanted.is_empty() {
                break;
            }
            wanted.sort_unstable();
            for (i, &pair) in wanted.iter().enumerate() {
                if i % CHECK == 0 {
                    run.check()?;
                }
                if let Some(&ahead) = wanted.get(i + AHEAD) {
                    self.kernels.prefetch(self.row(ahead >> 32));
                }
                let (place, q) = (pair >> 32, (pair & u64::from(u32::MAX)) as usize);
                let norm = self.norms.get(place as usize).copied().unwrap_or_default();
                let score = self.frame.score(queries[q], self.row(place), [norms[q], norm]);
                open[q].scored.push((place as u32, score));
            }
            wanted.clear();
        }
        Ok(open.into_iter().map(|open| self.expand(open.scored, k)).collect())
    }

    /// Puts all equal rows in the place of their first.
    fn expand(&self, mut scored: Vec<Scored>, k: usize) -> Vec<Scored> {
        keep_best(&mut scored, k);
        let mut rows: Vec<Scored> = Vec::with_capacity(k);
        for (place, score) in scored {
            rows.extend(self.distinct.rows_at(place).take(k).map(|row| (row, score)));
        }
        keep_best(&mut rows, k);
        rows
    }

    fn row(&self, place: u64) -> &'a [T] {
        self.rows.row(self.distinct.firsts[place as usize] as usize)
    }
}

/// A query whose candidates are being scored.
struct Open {
    placed: Placed,
    /// The most promising last.
    candidates: Vec<Candidate>,
    scored: Vec<Scored>,
}

impl Open {
    fn new(found: Found) -> Self {
        let mut candidates = found.list.into_candidates();
        candidates.sort_unstable_by(|a, b| a.upper.total_cmp(&b.upper).then(b.row.cmp(&a.row)));
        Self { placed: found.placed, candidates, scored: Vec::new() }
    }

    /// The rows to score next; none once no other can be among the `k` best.
    fn next(&mut self, frame: &Frame, k: usize) -> impl Iterator<Item = u32> + '_ {
        let floor = self.floor(frame, k);
        let batch = if self.scored.is_empty() { k + k / 4 } else { k / 2 }.max(16);
        let first = self.candidates.len().saturating_sub(batch);
        let tail = self.candidates.drain(first..);
        tail.filter(move |c| f64::from(c.upper) >= floor).map(|c| c.row)
    }

    /// What a row has to reach to be among the `k` best of those that are scored.
    fn floor(&mut self, frame: &Frame, k: usize) -> f64 {
        if self.scored.len() < k {
            return f64::NEG_INFINITY;
        }
        keep_best(&mut self.scored, k);
        let floor = frame.least(&self.placed, self.scored[k - 1].1);
        if floor.is_nan() { f64::NEG_INFINITY } else { floor }
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
