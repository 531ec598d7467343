//! The second pass: estimates of the rows that are left, and exact scores of the best of them.

use super::distinct::Distinct;
use super::frame::Frame;
use super::matrix::Matrix;
use super::open::{Open, Scored};
use super::scan::Found;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::{Double, Real};

/// Rows scored between two questions whether to stop.
const CHECK: usize = 1024;

/// How many candidates ahead a row and its query are asked for: they take less time to score than to come.
const AHEAD: usize = 4;

/// What scores are computed from.
pub struct Ranking<'a, T> {
    pub kernels: Kernels,
    pub frame: &'a Frame,
    pub rows: Matrix<'a, T>,
    pub distinct: &'a Distinct,
    /// Squared norms of the distinct rows; none for distances.
    pub norms: &'a [Double],
    pub queries: &'a [&'a [T]],
    /// Squared norms of the queries.
    pub query_norms: Vec<Double>,
}

/// Bytes of rows that a thread visits together, to find them in its share of the third-level cache.
const RANGE_BYTES: usize = 4 << 20;
/// More ranges than these are not worth their lists.
const MOST_RANGES: usize = 256;
/// Queries that visit a range of rows together, to be found in the second-level cache.
const GROUP: usize = 256;
/// Queries whose candidates one thread chooses.
const CHUNK: usize = 64;

impl<T: Real> Ranking<'_, T> {
    /// The `k` best rows of each shortlist, best first, equal scores by the lowest row.
    ///
    /// The `k` most promising candidates are scored exactly; most of them are the neighbours.
    /// Estimates tell which of the others may be better than the `k`-th of these, and those are
    /// scored exactly too. All queries take their next candidates together, in the order of the
    /// rows, so that a row comes from memory once for all queries that want it.
    ///
    /// None where a guess of the scan was too high: then its shortlist may lack a neighbour.
    pub fn best(
        &self,
        run: &Run<'_>,
        found: Vec<Found>,
        k: usize,
    ) -> Result<Vec<Option<Vec<Scored>>>> {
        let mut open: Vec<Open> = found.into_iter().map(|found| Open::new(found, k)).collect();
        let score = |_: &Open, place: u32, row: &[T], q: usize| {
            let norms = [self.query_norms[q], self.norm(place)];
            Some(self.frame.score(self.queries[q], row, norms))
        };
        let estimate = |open: &Open, place: u32, row: &[T], q: usize| {
            let norms = [self.query_norms[q], self.norm(place)];
            let found = self.frame.estimate(self.queries[q], row, norms);
            (found.upper >= open.floor).then_some(found)
        };
        let keep_score = |open: &mut Open, place, score| open.scored.push((place, score));
        let keep_estimate = |open: &mut Open, place, found| open.estimated.push((place, found));

        let kernels = self.kernels;
        let take_best = |open: &mut Open| open.candidates.take_best(kernels, k);
        self.visit(run, &mut open, take_best, score, keep_score)?;
        let next = |open: &mut Open| open.next(kernels, self.frame, k);
        while self.visit(run, &mut open, next, estimate, keep_estimate)? {}
        self.visit(run, &mut open, Open::contenders, score, keep_score)?;

        let parts: Vec<_> = open.chunks(CHUNK).collect();
        let ranked = run.collect(parts.len(), |i| {
            let ranked = |open: &Open| {
                let best = self.expand(&open.scored, k);
                open.is_proven(self.frame, &best, k).then_some(best)
            };
            Ok(parts[i].iter().map(ranked).collect::<Vec<_>>())
        })?;
        Ok(ranked.into_iter().flatten().collect())
    }

    /// Hands `keep` what `work` makes of every row that `choose` takes from a query; false where it
    /// takes none. Threads share the rows.
    fn visit<V: Copy + Send + Sync>(
        &self,
        run: &Run<'_>,
        open: &mut [Open],
        choose: impl Fn(&mut Open) -> Vec<u32> + Sync,
        work: impl Fn(&Open, u32, &[T], usize) -> Option<V> + Sync,
        keep: impl Fn(&mut Open, u32, V) + Sync,
    ) -> Result<bool> {
        let size = open.len().div_ceil(run.threads()).max(CHUNK);
        let row_bytes = self.rows.columns() * size_of::<T>();
        let rows_each = (RANGE_BYTES / row_bytes).max(self.distinct.firsts.len() / MOST_RANGES + 1);
        let mut parts: Vec<_> = open.chunks_mut(size).map(|part| (part, Vec::new())).collect();
        run.for_each_mut(&mut parts, |i, (part, wanted)| {
            wanted.resize(self.distinct.firsts.len().div_ceil(rows_each), Vec::new());
            for (q, open) in part.iter_mut().enumerate() {
                for row in choose(open) {
                    wanted[row as usize / rows_each].push(pair(row, i * size + q));
                }
            }
            Ok(())
        })?;
        let ranges = parts.first().map_or(0, |(_, wanted)| wanted.len());
        let found = run.collect(ranges, |range| {
            let wanted: Vec<_> = parts.iter().map(|(_, wanted)| &wanted[range][..]).collect();
            self.visit_in_order(run, wanted.concat(), |place, row, q| {
                work(&parts[q / size].0[q % size], place, row, q)
            })
        })?;
        let any = parts.iter().any(|(_, wanted)| wanted.iter().any(|wanted| !wanted.is_empty()));
        run.for_each_mut(&mut parts, |i, (part, _)| {
            for &(pair, value) in found.iter().flatten() {
                let (place, q) = parts_of(pair);
                if let Some(open) = q.checked_sub(i * size).and_then(|q| part.get_mut(q)) {
                    keep(open, place, value);
                }
            }
            Ok(())
        })?;
        Ok(any)
    }

    /// Calls `work` with every wanted row and its query, in the order of the rows.
    fn visit_in_order<V>(
        &self,
        run: &Run<'_>,
        mut wanted: Vec<u64>,
        work: impl Fn(u32, &[T], usize) -> Option<V>,
    ) -> Result<Vec<(u64, V)>> {
        wanted.sort_unstable();
        let mut found = Vec::new();
        let mut asked = u32::MAX;
        for (i, &pair) in wanted.iter().enumerate() {
            if i % CHECK == 0 {
                run.check()?;
            }
            let (place, q) = parts_of(pair);
            if let Some((ahead, query)) = wanted.get(i + AHEAD).map(|&pair| parts_of(pair)) {
                self.kernels.prefetch(self.queries[query]);
                if ahead != asked {
                    self.kernels.prefetch(self.row(ahead));
                    asked = ahead;
                }
            }
            found.extend(work(place, self.row(place), q).map(|value| (pair, value)));
        }
        Ok(found)
    }

    /// The `k` best, with all equal rows in the place of their first.
    fn expand(&self, scored: &[Scored], k: usize) -> Vec<Scored> {
        let mut places = scored.to_vec();
        keep_best(&mut places, k);
        let mut rows: Vec<Scored> = Vec::with_capacity(k);
        for &(place, score) in &places {
            rows.extend(self.distinct.rows_at(place).take(k).map(|row| (row, score)));
        }
        // The first rows of all kinds are in the order of their places.
        if rows.len() > places.len() {
            keep_best(&mut rows, k);
        }
        rows
    }

    fn row(&self, place: u32) -> &[T] {
        self.rows.row(self.distinct.firsts[place as usize] as usize)
    }

    fn norm(&self, place: u32) -> Double {
        self.norms.get(place as usize).copied().unwrap_or_default()
    }
}

/// A row and a query as one number that sorts by the group of the query, then by the row.
fn pair(row: u32, query: usize) -> u64 {
    ((query / GROUP) as u64) << 48 | u64::from(row) << 16 | (query % GROUP) as u64
}

/// The row and the query of a [`pair`].
fn parts_of(pair: u64) -> (u32, usize) {
    ((pair >> 16) as u32, (pair >> 48) as usize * GROUP + (pair & 0xffff) as usize)
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
