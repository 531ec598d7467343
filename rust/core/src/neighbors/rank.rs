//! The second pass: estimates of the rows that are left, and exact scores of the best of them.

use super::distinct::Distinct;
use super::frame::{Frame, Interval, Placed};
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

/// How many candidates ahead a row and its query are asked for: they take less time to score than to come.
const AHEAD: usize = 3;

/// What exact scores are computed from.
pub struct Ranking<'a, T> {
    kernels: Kernels,
    frame: &'a Frame,
    rows: Matrix<'a, T>,
    distinct: &'a Distinct,
    /// Squared norms of the distinct rows; none for distances.
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
    /// Scores are estimated from the most promising candidate on, until no other can be among the
    /// `k` best, and those that may be are then scored exactly. All queries take their next
    /// candidates together, in the order of the rows, so that a row comes from memory once for all
    /// queries that want it.
    pub fn best(
        &self,
        run: &Run<'_>,
        queries: &[&[T]],
        found: Vec<Found>,
        k: usize,
    ) -> Result<Vec<Vec<Scored>>> {
        let mut open: Vec<Open> = found.into_iter().map(|found| Open::new(found, k)).collect();
        let norms: Vec<_> = queries.iter().map(|q| self.kernels.exact_dot(q, q)).collect();
        let most = open.iter().map(|open| open.candidates.len()).sum();
        let mut wanted = Vec::with_capacity(most);
        loop {
            for (q, open) in open.iter_mut().enumerate() {
                wanted.extend(open.next(self.frame, k).map(|row| pair(row, q)));
            }
            if wanted.is_empty() {
                break;
            }
            self.visit(run, queries, &mut wanted, |place, row, q| {
                let found = self.frame.estimate(queries[q], row, [norms[q], self.norm(place)]);
                open[q].estimated.push((place, found));
            })?;
        }
        for (q, open) in open.iter_mut().enumerate() {
            wanted.extend(open.contenders(k).map(|row| pair(row, q)));
        }
        let mut scored: Vec<_> = open.iter().map(|_| Vec::with_capacity(k + k / 8)).collect();
        self.visit(run, queries, &mut wanted, |place, row, q| {
            let score = self.frame.score(queries[q], row, [norms[q], self.norm(place)]);
            scored[q].push((place, score));
        })?;
        Ok(scored.into_iter().map(|scored| self.expand(scored, k)).collect())
    }

    /// Calls `work` with every wanted row and its query, in the order of the rows.
    fn visit(
        &self,
        run: &Run<'_>,
        queries: &[&[T]],
        wanted: &mut Vec<u64>,
        mut work: impl FnMut(u32, &'a [T], usize),
    ) -> Result<()> {
        wanted.sort_unstable();
        let mut asked = u32::MAX;
        for (i, &pair) in wanted.iter().enumerate() {
            if i % CHECK == 0 {
                run.check()?;
            }
            let (place, q) = parts(pair);
            if let Some((ahead, query)) = wanted.get(i + AHEAD).map(|&pair| parts(pair)) {
                self.kernels.prefetch(queries[query]);
                if ahead != asked {
                    self.kernels.prefetch(self.row(ahead));
                    asked = ahead;
                }
            }
            work(place, self.row(place), q);
        }
        wanted.clear();
        Ok(())
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

    fn row(&self, place: u32) -> &'a [T] {
        self.rows.row(self.distinct.firsts[place as usize] as usize)
    }

    fn norm(&self, place: u32) -> Double {
        self.norms.get(place as usize).copied().unwrap_or_default()
    }
}

/// A row and a query as one number that sorts by the row.
fn pair(row: u32, query: usize) -> u64 {
    (u64::from(row) << 32) | query as u64
}

/// The row and the query of a [`pair`].
fn parts(pair: u64) -> (u32, usize) {
    ((pair >> 32) as u32, (pair & u64::from(u32::MAX)) as usize)
}

/// A query whose candidates are being scored.
struct Open {
    placed: Placed,
    candidates: Vec<Candidate>,
    /// How many are estimated next; it doubles, so that few rounds do.
    batch: usize,
    estimated: Vec<(u32, Interval)>,
}

impl Open {
    fn new(found: Found, k: usize) -> Self {
        let candidates = found.list.into_candidates();
        let batch = (k + k / 4).max(16);
        let estimated = Vec::with_capacity(candidates.len());
        Self { placed: found.placed, candidates, batch, estimated }
    }

    /// The rows to estimate next; none once no other can be among the `k` best, or where there are
    /// so few that estimates would spare nothing.
    fn next(&mut self, frame: &Frame, k: usize) -> impl Iterator<Item = u32> + '_ {
        let floor = self.floor(k);
        let floor = frame.least(&self.placed, floor);
        if !floor.is_nan() {
            self.candidates.retain(|candidate| f64::from(candidate.upper) >= floor);
        }
        let few = self.estimated.is_empty() && self.candidates.len() <= self.batch;
        let count = if few { 0 } else { self.batch.min(self.candidates.len()) };
        let rest = self.candidates.len() - count;
        if rest > 0 && count > 0 {
            self.candidates.select_nth_unstable_by(rest, |a, b| a.upper.total_cmp(&b.upper));
        }
        self.batch *= 2;
        self.candidates.drain(rest..).map(|candidate| candidate.row)
    }

    /// A score that `k` rows are known to reach.
    fn floor(&mut self, k: usize) -> f64 {
        if self.estimated.len() < k {
            return f64::NEG_INFINITY;
        }
        let order = |a: &(u32, Interval), b: &(u32, Interval)| b.1.lower.total_cmp(&a.1.lower);
        self.estimated.select_nth_unstable_by(k - 1, order).1.1.lower
    }

    /// The rows of which it is open whether they are among the `k` best, or how they are ranked.
    fn contenders(&mut self, k: usize) -> impl Iterator<Item = u32> + '_ {
        let floor = self.floor(k);
        let estimated = self.estimated.iter().filter(move |(_, score)| score.upper >= floor);
        let others = self.candidates.iter().map(|candidate| candidate.row);
        estimated.map(|(row, _)| *row).chain(others)
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
