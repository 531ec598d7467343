//! The second pass: estimates of the rows that are left, and exact scores of the best of them.

use super::distinct::Distinct;
use super::frame::{Frame, Interval, Vector};
use super::matrix::Matrix;
use super::open::{Choice, Open};
use super::order::{Scored, keep_best};
use super::scan::Found;
use super::sketch::Sketch;
use super::wanted::{Lists, Wanted};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::{Double, Real};

/// A query, and a sketch of it where that tells candidates apart.
pub struct Query<'a, T> {
    vector: Vector<'a, T>,
    sketch: Sketch,
}

impl<'a, T> Query<'a, T> {
    pub fn new(values: &'a [T]) -> Self {
        Self { vector: Vector { values, norm: Double::default() }, sketch: Sketch::NONE }
    }
}

/// What scores are computed from.
pub struct Ranking<'a, T> {
    pub kernels: Kernels,
    pub frame: &'a Frame,
    pub rows: Matrix<'a, T>,
    pub distinct: &'a Distinct,
    /// Norms of the distinct rows; none for distances.
    pub norms: &'a [Double],
    pub queries: Vec<Query<'a, T>>,
}

/// A sketch serves where its intervals are so much narrower than those of the scan.
const NARROWER: f64 = 16.0;
/// Rows that a thread visits in one go.
const RANGE: usize = 2048;
/// More ranges than these are not worth their lists.
const MOST_RANGES: usize = 256;
/// Queries that a thread prepares in one go.
const CHUNK: usize = 64;
/// The fewest queries for which a thread visits rows.
const FEWEST: usize = 8;
/// Pairs of a row and a query that are scored together.
const BATCH: usize = 4;

/// A place of a row, a query that wants it, and what its score lies between.
type Visited = (u32, u32, Interval);

impl<T: Real> Ranking<'_, T> {
    /// The `k` best rows of each shortlist, best first, equal scores by the lowest row.
    ///
    /// The `k` most promising candidates are scored exactly; most of them are the neighbours. The
    /// others are estimated, and scored exactly only where they may be better than the `k`-th of
    /// these. A thread takes what all its queries want in the order of the rows, so that a row comes
    /// from memory once for all of them.
    ///
    /// None where a guess of the scan was too high: then its shortlist may lack a neighbour.
    pub fn best(
        mut self,
        run: &Run<'_>,
        found: Vec<Found>,
        k: usize,
    ) -> Result<Vec<Option<Vec<Scored>>>> {
        self.prepare(run, &found)?;
        let mut open: Vec<Open> = found.into_iter().map(|found| Open::new(found, k)).collect();
        let (kernels, frame) = (self.kernels, self.frame);
        self.visit(run, &mut open, |open| open.begin(kernels, frame, k))?;
        while self.visit(run, &mut open, |open| open.next(kernels, frame, k))? {}
        self.visit(run, &mut open, Open::finish)?;

        let parts: Vec<_> = open.chunks(CHUNK).collect();
        let ranked = run.collect(parts.len(), |i| {
            let ranked = |open: &Open| {
                let best = self.expand(&open.scored, k);
                open.is_proven(frame, &best, k).then_some(best)
            };
            Ok(parts[i].iter().map(ranked).collect::<Vec<_>>())
        })?;
        Ok(ranked.into_iter().flatten().collect())
    }

    /// Scores and estimates what `choose` takes from each query; false where it takes nothing.
    /// Threads share the queries.
    fn visit(
        &self,
        run: &Run<'_>,
        open: &mut [Open],
        choose: impl Fn(&mut Open) -> Choice + Sync,
    ) -> Result<bool> {
        let size = open.len().div_ceil(run.threads()).max(FEWEST);
        let mut parts: Vec<_> = open.chunks_mut(size).map(|part| (part, false)).collect();
        run.for_each_mut(&mut parts, |i, (part, any)| {
            let queries = &self.queries[i * size..][..part.len()];
            let wanted = self.wanted(part, &choose);
            let bars: Vec<_> = part.iter().map(|open| open.bar(self.frame)).collect();
            for (range, wanted) in
                wanted.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty())
            {
                *any = true;
                let lists = Lists::new(range * self.range(), self.range(), wanted);
                for (place, q, score) in self.visit_in_order(run, queries, &lists, &bars)? {
                    part[q as usize].keep(place, score);
                }
            }
            Ok(())
        })?;
        Ok(parts.iter().any(|&(_, any)| any))
    }

    /// How many rows are visited in one go.
    fn range(&self) -> usize {
        RANGE.max(self.distinct.firsts.len().div_ceil(MOST_RANGES))
    }

    /// What some queries want, by ranges of rows.
    fn wanted(&self, open: &mut [Open], choose: impl Fn(&mut Open) -> Choice) -> Vec<Wanted> {
        let range = self.range();
        let mut wanted = vec![Wanted::default(); self.distinct.firsts.len().div_ceil(range)];
        for (q, open) in open.iter_mut().enumerate() {
            let choice = choose(open);
            for row in choice.score {
                wanted[row as usize / range].score.push((row, q as u32));
            }
            for row in choice.estimate {
                wanted[row as usize / range].estimate.push((row, q as u32));
            }
        }
        wanted
    }

    /// Scores and estimates every wanted row for its queries, in the order of the rows.
    fn visit_in_order(
        &self,
        run: &Run<'_>,
        all: &[Query<'_, T>],
        lists: &Lists,
        bars: &[f64],
    ) -> Result<Vec<Visited>> {
        let mut found = Vec::with_capacity(lists.queries.len());
        let [mut to_score, mut to_estimate] = [const { Vec::new() }; 2];
        for (place, [score, estimate]) in lists.rows() {
            run.check()?;
            if (place as usize) + 1 < self.distinct.firsts.len() {
                self.kernels.prefetch(self.row(place + 1).values);
            }
            to_score.extend(score.iter().map(|&query| (place, query)));
            to_estimate.extend(estimate.iter().map(|&query| (place, query)));
            take_batches(&mut to_score, |pairs| self.score(all, pairs, &mut found));
            take_batches(&mut to_estimate, |pairs| self.estimate(all, pairs, bars, &mut found));
        }
        to_score.into_iter().for_each(|pair| self.score(all, [pair], &mut found));
        to_estimate.into_iter().for_each(|pair| self.estimate(all, [pair], bars, &mut found));
        Ok(found)
    }

    /// Scores some rows for a query each.
    fn score<const N: usize>(
        &self,
        all: &[Query<'_, T>],
        pairs: [(u32, u32); N],
        found: &mut Vec<Visited>,
    ) {
        let queries = pairs.map(|(_, query)| all[query as usize].vector);
        let scores = self.frame.scores(pairs.map(|(place, _)| self.row(place)), queries);
        let scores = pairs.into_iter().zip(scores);
        found.extend(scores.map(|((row, query), score)| (row, query, Interval::exactly(score))));
    }

    /// Estimates some rows for a query each, and keeps those that reach its bar.
    fn estimate<const N: usize>(
        &self,
        all: &[Query<'_, T>],
        pairs: [(u32, u32); N],
        bars: &[f64],
        found: &mut Vec<Visited>,
    ) {
        let rows = pairs.map(|(place, _)| self.row(place));
        let queries = pairs.map(|(_, query)| all[query as usize].vector);
        let sketches = pairs.map(|(_, query)| &all[query as usize].sketch);
        let scores = if sketches.iter().all(|sketch| sketch.serves()) {
            self.frame.sketched(rows, queries, sketches)
        } else {
            self.frame.estimates(rows, queries)
        };
        let scores = pairs.into_iter().zip(scores).map(|((row, query), score)| (row, query, score));
        found.extend(scores.filter(|&(_, query, score)| score.upper >= bars[query as usize]));
    }

    /// Computes the norms of the queries, and sketches where they serve.
    fn prepare(&mut self, run: &Run<'_>, found: &[Found]) -> Result<()> {
        let mut queries = std::mem::take(&mut self.queries);
        let mut parts: Vec<_> = queries.chunks_mut(CHUNK).zip(found.chunks(CHUNK)).collect();
        run.for_each_mut(&mut parts, |_, (queries, found)| {
            for (query, found) in queries.iter_mut().zip(*found) {
                query.vector.norm = self.kernels.exact_norm(query.vector.values);
                query.sketch = self.sketch(query.vector, found);
            }
            Ok(())
        })?;
        self.queries = queries;
        Ok(())
    }

    /// A sketch, if it tells the candidates of a query apart; judged by one of them.
    fn sketch(&self, query: Vector<'_, T>, found: &Found) -> Sketch {
        let Some((place, width)) = found.list.example() else { return Sketch::NONE };
        let sketch = Sketch::new(self.kernels, query.values);
        let [score] = self.frame.sketched([self.row(place)], [query], [&sketch]);
        let ends = [score.lower, score.upper].map(|end| self.frame.least(&found.placed, end));
        if NARROWER * (ends[1] - ends[0]) <= width { sketch } else { Sketch::NONE }
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

    fn row(&self, place: u32) -> Vector<'_, T> {
        let values = self.rows.row(self.distinct.firsts[place as usize] as usize);
        Vector { values, norm: self.norms.get(place as usize).copied().unwrap_or_default() }
    }
}

/// Takes as many whole batches as there are.
fn take_batches<P: Copy>(pending: &mut Vec<P>, take: impl FnMut([P; BATCH])) {
    let (batches, rest) = pending.as_chunks();
    batches.iter().copied().for_each(take);
    let done = pending.len() - rest.len();
    pending.drain(..done);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::neighbors::Metric;
    use crate::neighbors::coding::I8;
    use crate::neighbors::scan::Codes;

    /// Whether the sketch of a row of these serves as a query.
    fn sketch_serves(kernels: Kernels, data: &[f32], depth: usize) -> bool {
        let rows = Matrix::new(data, data.len() / depth, depth).unwrap();
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let distinct = Distinct::find(&run, kernels, rows).unwrap();
        let frame = Frame::fit(Metric::Cosine, rows, 1.0, kernels);
        let codes = Codes::<I8>::build(&run, kernels, &frame, rows, &distinct.firsts).unwrap();
        let norms: Vec<_> = (0..rows.rows()).map(|i| kernels.exact_norm(rows.row(i))).collect();
        let query = Vector { values: rows.row(0), norm: norms[0] };
        let blocks = 0..codes.blocks();
        let found = codes.scan(&run, &frame, &[query.values], 5, blocks, false).unwrap().remove(0);
        let (frame, distinct, norms) = (&frame, &distinct, &norms[..]);
        let ranking = Ranking { kernels, frame, rows, distinct, norms, queries: Vec::new() };
        ranking.sketch(query, &found).serves()
    }

    #[test]
    fn a_sketch_serves_unless_an_offset_blurs_it() {
        let number =
            |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 23) as f32;
        let data: Vec<f32> = (0..300 * 64).map(|i| number(i) - 1.0).collect();
        let offset: Vec<f32> = data.iter().map(|value| value + 1000.0).collect();
        for kernels in Kernels::available() {
            assert!(sketch_serves(kernels, &data, 64), "{kernels:?}");
            assert!(!sketch_serves(kernels, &offset, 64), "{kernels:?}");
        }
    }
}
