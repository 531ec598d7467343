//! The second pass: estimates of the rows that are left, and exact scores of the best of them.

use super::distinct::Distinct;
use super::frame::Frame;
use super::matrix::Matrix;
use super::open::Open;
use super::order::{Scored, keep_best};
use super::scan::Listed;
use super::score::Vector;
use super::sketch::Sketch;
use super::spare::Spare;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::{Double, Real};

/// A query, and a sketch of it where that tells candidates apart.
pub struct Query<'a, T> {
    pub vector: Vector<'a, T>,
    pub sketch: Sketch,
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
    /// Where lists go once they have served.
    pub spare: &'a Spare,
}

/// A sketch serves where its intervals are so much narrower than those of the scan.
const NARROWER: f64 = 16.0;
/// Queries that a thread prepares in one go.
const CHUNK: usize = 64;

impl<T: Real> Ranking<'_, T> {
    /// The `k` best rows of each shortlist, best first, equal scores by the lowest row.
    ///
    /// The `k` most promising candidates are scored exactly; most of them are the neighbours. The
    /// others are estimated, and scored exactly only where they may be better than the `k`-th of
    /// these. What all queries want is visited in the order of the rows, so that a row comes from memory
    /// once for all of them.
    ///
    /// None where a guess of the scan was too high: then its shortlist may lack a neighbour.
    pub fn best(
        mut self,
        run: &Run<'_>,
        found: Vec<Listed>,
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
        self.spare.give(open.into_iter().map(|open| open.candidates));
        Ok(ranked.into_iter().flatten().collect())
    }

    /// Computes the norms of the queries, and sketches where they serve.
    fn prepare(&mut self, run: &Run<'_>, found: &[Listed]) -> Result<()> {
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
    fn sketch(&self, query: Vector<'_, T>, found: &Listed) -> Sketch {
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

    /// The first of some equal rows.
    pub fn row(&self, place: u32) -> Vector<'_, T> {
        let values = self.rows.row(self.distinct.firsts[place as usize] as usize);
        Vector { values, norm: self.norms.get(place as usize).copied().unwrap_or_default() }
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
        let spare = &Spare::default();
        let found = codes.scan(&run, &frame, &[query.values], 5, blocks, (false, spare));
        let found = found.unwrap().remove(0);
        let (frame, distinct, norms) = (&frame, &distinct, &norms[..]);
        let ranking = Ranking { kernels, frame, rows, distinct, norms, queries: Vec::new(), spare };
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
