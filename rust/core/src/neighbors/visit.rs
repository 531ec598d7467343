//! Visits of rows, each with all queries that want it scored or estimated.

use super::open::{Choice, Open};
use super::rank::{Query, Ranking};
use super::score::{Gate, Interval};
use super::wanted::{Ordered, Pair, Wanted};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::exact::Real;

/// Rows that a thread visits in one go for many queries.
const RANGE: usize = 2048;
/// With fewer queries than this a thread visits more rows, since so many fewer are wanted.
const MANY_QUERIES: usize = 64;
/// More ranges than these are not worth their lists.
const MOST_RANGES: usize = 256;
/// Parts of the queries for each thread.
const PARTS_PER_THREAD: usize = 4;
/// The fewest queries of a part.
const FEWEST: usize = 8;
/// With fewer pairs of a row and a query than this, one thread is done before others have started.
const WORTH_THREADS: usize = 8192;
/// Pairs that are scored together.
const BATCH: usize = 4;
/// Numbers that are asked for in one go.
const PART: usize = 256;
/// Bytes of rows that are visited while the next of them come from memory.
const WINDOW_BYTES: usize = 24 << 10;
/// The most rows of a window, however short they are, since Ctrl-C is asked for between windows.
const WINDOW_ROWS: usize = 64;

/// What a visit of rows found out for some queries.
struct Visited {
    scored: Vec<(Pair, f64)>,
    estimated: Vec<(Pair, Interval)>,
}

impl Visited {
    fn with_room_for(wanted: &Wanted) -> Self {
        Self {
            scored: Vec::with_capacity(wanted.score.len()),
            estimated: Vec::with_capacity(wanted.estimate.len()),
        }
    }
}

/// The same for many queries, in parts of a size that is a power of two.
struct Findings {
    shift: u32,
    parts: Vec<Visited>,
}

impl Findings {
    fn of(&mut self, query: u32) -> &mut Visited {
        &mut self.parts[(query >> self.shift) as usize]
    }
}

impl<T: Real> Ranking<'_, T> {
    /// Scores and estimates what `choose` takes from each query; false where it takes nothing.
    /// Threads share the queries while these choose, and then the rows.
    pub(super) fn visit(
        &self,
        run: &Run<'_>,
        open: &mut [Open],
        choose: impl Fn(&mut Open) -> Choice + Sync,
    ) -> Result<bool> {
        let shares = PARTS_PER_THREAD * run.threads();
        let size = open.len().div_ceil(shares).max(FEWEST).next_power_of_two();
        let mut parts: Vec<_> = open.chunks_mut(size).map(|part| (part, Vec::new())).collect();
        run.for_each_mut(&mut parts, |i, (part, wanted)| {
            *wanted = self.wanted(part, i * size, &choose);
            Ok(())
        })?;
        let (mut parts, wanted): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let pairs: usize = wanted.iter().flatten().map(Wanted::len).sum();
        if pairs == 0 {
            return Ok(false);
        }
        let run = &if pairs < WORTH_THREADS { run.alone() } else { *run };
        let open = parts.iter().flat_map(|part| part.iter());
        let gate = |(open, query): (&Open, &Query<'_, T>)| {
            self.frame.gate(query.vector, &query.sketch, open.bar(self.frame))
        };
        let gates: Vec<_> = open.zip(&self.queries).map(gate).collect();
        let found = self.visit_ranges(run, &wanted, &gates, size)?;
        run.for_each_mut(&mut parts, |i, part| {
            for visited in found.iter().map(|found| &found.parts[i]) {
                for &((place, q), score) in &visited.scored {
                    part[q as usize - i * size].scored.push((place, score));
                }
                for &((place, q), score) in &visited.estimated {
                    part[q as usize - i * size].estimated.push((place, score));
                }
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Scores and estimates what parts of `size` queries want, range by range of the rows.
    fn visit_ranges(
        &self,
        run: &Run<'_>,
        wanted: &[Vec<Wanted>],
        gates: &[Gate],
        size: usize,
    ) -> Result<Vec<Findings>> {
        run.collect(wanted[0].len(), |range| {
            let wanted: Vec<_> = wanted.iter().map(|part| &part[range]).collect();
            let mut found = Findings {
                shift: size.trailing_zeros(),
                parts: wanted.iter().map(|part| Visited::with_room_for(part)).collect(),
            };
            let wanted = Ordered::new(range * self.range(), self.range(), &wanted);
            self.visit_in_order(run, &wanted, gates, &mut found)?;
            Ok(found)
        })
    }

    /// How many rows are visited in one go: a power of two, since so many numbers are divided by it.
    fn range(&self) -> usize {
        let range = RANGE * (MANY_QUERIES / self.queries.len().max(1)).max(1);
        range.max(self.distinct.firsts.len().div_ceil(MOST_RANGES)).next_power_of_two()
    }

    /// What some queries from `first` on want, by ranges of rows.
    fn wanted(
        &self,
        open: &mut [Open],
        first: usize,
        choose: impl Fn(&mut Open) -> Choice,
    ) -> Vec<Wanted> {
        let range = self.range();
        let shift = range.trailing_zeros();
        let mut wanted = vec![Wanted::default(); self.distinct.firsts.len().div_ceil(range)];
        for (q, open) in (first..).zip(open) {
            let choice = choose(open);
            for row in choice.score {
                wanted[row as usize >> shift].score.push((row, q as u32));
            }
            for row in choice.estimate {
                wanted[row as usize >> shift].estimate.push((row, q as u32));
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
        found: &mut Findings,
    ) -> Result<()> {
        let row_bytes = self.rows.columns().max(1) * size_of::<T>();
        let mut windows =
            wanted.rows.chunks((WINDOW_BYTES / row_bytes).clamp(1, WINDOW_ROWS)).peekable();
        let (mut score, mut estimate) = (&wanted.score[..], &wanted.estimate[..]);
        while let Some(window) = windows.next() {
            run.check()?;
            let last = window.last().copied().unwrap_or_default();
            let (to_score, to_estimate) = (batches(&mut score, last), batches(&mut estimate, last));
            // Asked for all at once, the next rows would hold up whatever comes after them.
            let next = windows.peek().copied().unwrap_or_default();
            let mut ahead =
                Ahead::new(next, self.rows.columns(), to_score.len() + to_estimate.len());
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
    fn score<const N: usize>(&self, pairs: [Pair; N], next: [Pair; N], found: &mut Findings) {
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
        found: &mut Findings,
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

    fn query(&self, pair: Pair) -> &Query<'_, T> {
        &self.queries[pair.1 as usize]
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

/// Rows that are asked for part by part, in so many equal steps.
struct Ahead<'a> {
    rows: &'a [u32],
    /// The part that is next: numbers of the first of these rows, from here on.
    start: usize,
    parts_per_step: usize,
}

impl<'a> Ahead<'a> {
    fn new(rows: &'a [u32], columns: usize, steps: usize) -> Self {
        let parts = rows.len() * columns.div_ceil(PART);
        Self { rows, start: 0, parts_per_step: parts.div_ceil(steps.max(1)) }
    }

    fn ask<T: Real>(&mut self, ranking: &Ranking<'_, T>) {
        for _ in 0..self.parts_per_step {
            let Some((&place, others)) = self.rows.split_first() else { return };
            let values = ranking.row(place).values;
            let end = values.len().min(self.start + PART);
            ranking.kernels.prefetch(&values[self.start..end]);
            self.start = end;
            if end == values.len() {
                let place = place as usize;
                ranking.kernels.prefetch(ranking.norms.get(place..=place).unwrap_or_default());
                (self.rows, self.start) = (others, 0);
            }
        }
    }
}
