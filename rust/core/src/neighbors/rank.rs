//! The second pass: estimates of the rows that are left, and exact scores of the best of them.

use super::distinct::Distinct;
use super::frame::{Frame, Gate, Interval, Vector};
use super::matrix::Matrix;
use super::open::{Choice, Open};
use super::order::{Scored, keep_best};
use super::scan::Found;
use super::sketch::Sketch;
use super::wanted::{Ordered, Pair, Wanted};
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

/// Numbers that are asked for in one go.
const PART: usize = 256;
/// Bytes of rows that are visited while the next of them come from memory.
const WINDOW_BYTES: usize = 24 << 10;

/// What a visit of rows found out for some queries.
#[derive(Clone, Default)]
struct Visited {
    scored: Vec<(Pair, f64)>,
    estimated: Vec<(Pair, Interval)>,
}

/// What a visit of rows found out, for so many queries at a time.
struct Parts(u32, Vec<Visited>);

impl Parts {
    fn of(&mut self, query: u32) -> &mut Visited {
        &mut self.1[(query / self.0) as usize]
    }
}

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
    /// Threads share the queries while these choose, and then the rows.
    fn visit(
        &self,
        run: &Run<'_>,
        open: &mut [Open],
        choose: impl Fn(&mut Open) -> Choice + Sync,
    ) -> Result<bool> {
        let size = open.len().div_ceil(run.threads()).max(FEWEST);
        let mut parts: Vec<_> = open.chunks_mut(size).map(|part| (part, Vec::new())).collect();
        run.for_each_mut(&mut parts, |i, (part, wanted)| {
            *wanted = self.wanted(part, i * size, &choose);
            Ok(())
        })?;
        let open = parts.iter().flat_map(|(part, _)| part.iter());
        let gates: Vec<_> = open.zip(&self.queries).map(|(open, query)| {
            self.frame.gate(query.vector, &query.sketch, open.bar(self.frame))
        }).collect();
        let ranges = self.distinct.firsts.len().div_ceil(self.range());
        let ranges = run.collect(ranges, |range| {
            let wanted: Vec<_> = parts.iter().map(|(_, wanted)| &wanted[range]).collect();
            let mut found = Parts(size as u32, vec![Visited::default(); parts.len()]);
            if !wanted.iter().all(|wanted| wanted.is_empty()) {
                let wanted = Ordered::new(range * self.range(), self.range(), &wanted);
                self.visit_in_order(run, &wanted, &gates, &mut found)?;
            }
            Ok(found)
        })?;
        run.for_each_mut(&mut parts, |i, (part, _)| {
            for found in ranges.iter().map(|found| &found.1[i]) {
                for &((place, q), score) in &found.scored {
                    part[q as usize - i * size].scored.push((place, score));
                }
                for &((place, q), score) in &found.estimated {
                    part[q as usize - i * size].estimated.push((place, score));
                }
            }
            Ok(())
        })?;
        Ok(parts.iter().any(|(_, wanted)| wanted.iter().any(|wanted| !wanted.is_empty())))
    }

    /// How many rows are visited in one go.
    fn range(&self) -> usize {
        RANGE.max(self.distinct.firsts.len().div_ceil(MOST_RANGES))
    }

    /// What some queries from `first` on want, by ranges of rows.
    fn wanted(&self, open: &mut [Open], first: usize, choose: impl Fn(&mut Open) -> Choice) -> Vec<Wanted> {
        let range = self.range();
        let mut wanted = vec![Wanted::default(); self.distinct.firsts.len().div_ceil(range)];
        for (q, open) in (first..).zip(open) {
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

    /// Scores and estimates every wanted row for its queries, in the order of the rows. While those
    /// of one window are worked on, the next come from memory.
    fn visit_in_order(
        &self,
        run: &Run<'_>,
        wanted: &Ordered,
        gates: &[Gate],
        found: &mut Parts,
    ) -> Result<()> {
        let row_bytes = self.rows.columns().max(1) * size_of::<T>();
        let mut windows = wanted.rows.chunks((WINDOW_BYTES / row_bytes).max(1)).peekable();
        let (mut score, mut estimate) = (&wanted.score[..], &wanted.estimate[..]);
        while let Some(window) = windows.next() {
            run.check()?;
            let last = window.last().copied().unwrap_or_default();
            let (to_score, to_estimate) = (batches(&mut score, last), batches(&mut estimate, last));
            // Asked for all at once, the next rows would hold up whatever comes after them.
            let next = windows.peek().copied().unwrap_or_default();
            let mut ahead = Ahead::new(next, to_score.len() + to_estimate.len());
            for (pairs, next) in with_next(to_score) {
                ahead.ask(self);
                self.score(pairs, next, found);
            }
            for (pairs, next) in with_next(to_estimate) {
                ahead.ask(self);
                self.estimate(pairs, next, gates, found);
            }
        }
        score.iter().for_each(|&pair| self.score([pair], [pair], found));
        estimate.iter().for_each(|&pair| self.estimate([pair], [pair], gates, found));
        Ok(())
    }

    /// Scores some rows for a query each, and asks for the queries that come next.
    fn score<const N: usize>(&self, pairs: [Pair; N], next: [Pair; N], found: &mut Parts) {
        let [queries, next] = [pairs, next].map(|pairs| pairs.map(|pair| self.query(pair).vector));
        let rows = pairs.map(|(place, _)| self.row(place));
        let scores = self.frame.scores(rows, queries, next.map(|query| query.values));
        for (pair, score) in pairs.into_iter().zip(scores) {
            found.of(pair.1).scored.push((pair, score));
        }
    }

    /// Estimates some rows for a query each, and keeps those that reach its bar; asks for the queries
    /// that come next.
    fn estimate<const N: usize>(
        &self,
        pairs: [Pair; N],
        next: [Pair; N],
        gates: &[Gate],
        found: &mut Parts,
    ) {
        let [queries, next] = [pairs, next].map(|pairs| pairs.map(|pair| self.query(pair)));
        let rows = pairs.map(|(place, _)| self.row(place));
        let mut keep = |n: usize, score: Interval| {
            let query = pairs[n].1;
            if score.upper >= gates[query as usize].bar {
                found.of(query).estimated.push((pairs[n], score));
            }
        };
        if !queries.iter().all(|query| query.sketch.serves()) {
            let queries = queries.map(|query| query.vector);
            let next = next.map(|query| query.vector.values);
            let scores = self.frame.estimates(rows, queries, next);
            return scores.into_iter().enumerate().for_each(|(n, score)| keep(n, score));
        }
        let [codes, next] =
            [queries, next].map(|queries| queries.map(|query| &query.sketch.codes[..]));
        let dots = self.kernels.sketch_dots(rows.map(|row| row.values), codes, next);
        for n in 0..N {
            if gates[pairs[n].1 as usize].may_pass(dots[n], rows[n].norm.hi) {
                let Query { vector, sketch } = queries[n];
                keep(n, self.frame.sketched(dots[n], rows[n], *vector, sketch));
            }
        }
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
        let row = self.row(place);
        let codes = [&sketch.codes[..]];
        let [dot] = self.kernels.sketch_dots([row.values], codes, codes);
        let score = self.frame.sketched(dot, row, query, &sketch);
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

    fn query(&self, pair: Pair) -> &Query<'_, T> {
        &self.queries[pair.1 as usize]
    }

    fn row(&self, place: u32) -> Vector<'_, T> {
        let values = self.rows.row(self.distinct.firsts[place as usize] as usize);
        Vector { values, norm: self.norms.get(place as usize).copied().unwrap_or_default() }
    }
}

/// Takes whole batches of pairs up to a row.
fn batches<'a>(pairs: &mut &'a [Pair], last: u32) -> &'a [[Pair; BATCH]] {
    let count = pairs.iter().take_while(|&&(row, _)| row <= last).count();
    let (batches, _) = pairs[..count].as_chunks();
    *pairs = &pairs[batches.len() * BATCH..];
    batches
}

/// Batches, each with the one after it; the last with itself.
fn with_next(
    batches: &[[Pair; BATCH]],
) -> impl Iterator<Item = ([Pair; BATCH], [Pair; BATCH])> + '_ {
    let next = batches.iter().skip(1).chain(batches.last());
    batches.iter().zip(next).map(|(pairs, next)| (*pairs, *next))
}

/// Rows that are asked for in so many equal steps.
struct Ahead<'a> {
    rows: &'a [u32],
    steps: usize,
    step: usize,
}

impl<'a> Ahead<'a> {
    fn new(rows: &'a [u32], steps: usize) -> Self {
        Self { rows, steps, step: 0 }
    }

    fn ask<T: Real>(&mut self, ranking: &Ranking<'_, T>) {
        let parts = ranking.rows.columns().div_ceil(PART);
        let place = |step: usize| step * self.rows.len() * parts / self.steps;
        for part in place(self.step)..place(self.step + 1) {
            let place = self.rows[part / parts] as usize;
            let values = ranking.row(place as u32).values;
            let start = part % parts * PART;
            ranking.kernels.prefetch(&values[start..values.len().min(start + PART)]);
            ranking.kernels.prefetch(ranking.norms.get(place..=place).unwrap_or_default());
        }
        self.step += 1;
    }
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
