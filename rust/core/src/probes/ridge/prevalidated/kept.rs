//! The best scales by what one walk over all rows keeps of each.
//!
//! A record of a row is good near the scale that it is about. So some rows are walked first, about the guess,
//! and tell about which scale to walk the others: about two scales at once, where too few of them are wrong to
//! tell. Rows whose records do not reach as far as the scale that comes out are walked again, about that.

use std::ops::Range;

use super::Problem;
use crate::error::{Error, Result};
use crate::memory::room;
use crate::parallel::Run;
use crate::probes::ridge::leave_one_out::Blocks;
use crate::probes::temperature::{
    Columns, Fit, Outcome, Part, Record, Tiles, error, nearby, settle,
};
use crate::simd::Kernels;
use crate::simd::moments::TILE;
use crate::simd::pass::Element;

/// Bytes of records that are held at a time.
const RECORDS: usize = 64 << 20;
/// One block of rows in so many is walked first.
const FIRST: usize = 8;
/// The blocks that are walked first, and the others.
const HALVES: [Blocks; 2] = [Blocks::Every(FIRST), Blocks::AllBut(FIRST)];
/// Wrong rows among the first from which the scale is known well enough; where there is none a second is no help.
const ENOUGH: usize = 40;
/// The second scale relative to the first, where they are fewer: the first is as if the nearest was wrong, too.
const BEYOND: f64 = 1.3;
/// Times that rows are walked again, after which the predictions of what is still open are stored.
const ROUNDS: usize = 3;

/// The records of some blocks for one penalty.
struct Half {
    about: f64,
    blocks: Vec<(Range<usize>, Vec<Record>)>,
}

impl Half {
    fn parts<'a>(&'a self, share: &'a [f64]) -> impl Iterator<Item = Part<'a>> {
        self.blocks.iter().map(|(block, records)| Part {
            about: self.about,
            records,
            share: &share[block.clone()],
        })
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.blocks.iter().flat_map(|(_, records)| records)
    }
}

/// A penalty whose best scale is searched for.
struct Search {
    alpha: f64,
    /// About where it is.
    scale: f64,
    /// The first blocks and the others, each about one scale or more.
    halves: [Vec<Half>; 2],
    fit: Option<Fit>,
}

impl Search {
    /// Each half about the scale that is nearest.
    fn nearest(&self) -> impl Iterator<Item = &Half> {
        let far = |half: &&Half| (half.about / self.scale).ln().abs();
        let nearest = move |half: &'_ Vec<Half>| -> Option<usize> {
            let all = half.iter().enumerate();
            all.min_by(|a, b| far(&a.1).total_cmp(&far(&b.1))).map(|(at, _)| at)
        };
        self.halves.iter().filter_map(move |half| nearest(half).map(|at| &half[at]))
    }

    /// Settles if it can; else the error that the slope may have. Records about other scales may be nearer
    /// once the scale is known better.
    fn settle(&mut self, share: &[f64], run: Run<'_>) -> Result<f64> {
        let mut used = Vec::new();
        loop {
            let abouts: Vec<f64> = self.nearest().map(|half| half.about).collect();
            if used.contains(&abouts) {
                return Ok(0.0);
            }
            let parts: Vec<_> = self.nearest().flat_map(|half| half.parts(share)).collect();
            match settle(&parts, self.scale, run)? {
                Outcome::Settled(fit) => {
                    self.fit = Some(fit);
                    return Ok(0.0);
                }
                Outcome::Open { scale, allowed } => {
                    self.scale = scale;
                    if self.nearest().map(|half| half.about).eq(abouts.iter().copied()) {
                        return Ok(allowed);
                    }
                }
            }
            used.push(abouts);
        }
    }
}

impl<T: Element> Problem<'_, T> {
    /// The fits without a store of predictions.
    pub(super) fn fit_kept(&self, labels: &[u32], run: Run<'_>) -> Result<Vec<Fit>> {
        let guesses: Vec<(f64, f64)> =
            self.task.alphas.iter().copied().zip(self.guesses(labels, run)?).collect();
        let group = (RECORDS / (self.share.len() * size_of::<Record>())).max(1);
        let mut fits = Vec::new();
        for guesses in guesses.chunks(group) {
            let mut searches = self.begin(labels, guesses, run)?;
            for round in 0..=ROUNDS {
                let far = self.settle(&mut searches, run)?;
                if round < ROUNDS {
                    self.walk_again(labels, &mut searches, far, run)?;
                }
            }
            for search in searches {
                let store = || Ok(self.fit_stored(&[search.alpha], run)?[0]);
                fits.push(search.fit.map_or_else(store, Ok)?);
            }
        }
        Ok(fits)
    }

    /// Walks over all rows once.
    fn begin(&self, labels: &[u32], guesses: &[(f64, f64)], run: Run<'_>) -> Result<Vec<Search>> {
        let alphas: Vec<f64> = guesses.iter().map(|&(alpha, _)| alpha).collect();
        let wanted: Vec<_> = guesses.iter().map(|&(_, scale)| scale).enumerate().collect();
        let some = self.walk(labels, HALVES[0], (&alphas, &wanted), run)?;
        let (mut searches, mut wanted) = (Vec::new(), Vec::new());
        for (half, (at, &(alpha, guess))) in some.into_iter().zip(guesses.iter().enumerate()) {
            let parts: Vec<_> = half.parts(self.share).collect();
            let scale = nearby(&parts, guess, run)?;
            wanted.push((at, scale));
            if (1..ENOUGH).contains(&half.records().filter(|record| record.ahead() > 0.0).count()) {
                wanted.push((at, scale * BEYOND));
            }
            searches.push(Search { alpha, scale, halves: [vec![half], vec![]], fit: None });
        }
        let others = self.walk(labels, HALVES[1], (&alphas, &wanted), run)?;
        for (&(at, _), half) in wanted.iter().zip(others) {
            if searches[at].halves[0][0].records().chain(half.records()).count() != self.share.len()
            {
                return Err(Error::Internal("not every row was left out once".into()));
            }
            searches[at].halves[1].push(half);
        }
        Ok(searches)
    }

    /// Settles what can be; for each of the halves, the searches of which it does not reach far enough.
    fn settle(&self, searches: &mut [Search], run: Run<'_>) -> Result<[Vec<(usize, f64)>; 2]> {
        let mut far = [vec![], vec![]];
        for (at, search) in searches.iter_mut().enumerate().filter(|(_, s)| s.fit.is_none()) {
            let allowed = search.settle(self.share, run)?;
            if search.fit.is_some() {
                continue;
            }
            for (half, far) in search.nearest().zip(&mut far) {
                let parts: Vec<_> = half.parts(self.share).collect();
                let error = error(&parts, search.scale, run)?;
                if error.is_nan() | (error > 0.5 * allowed) {
                    far.push((at, search.scale));
                }
            }
        }
        Ok(far)
    }

    /// Walks over halves about the scales that came out.
    fn walk_again(
        &self,
        labels: &[u32],
        searches: &mut [Search],
        far: [Vec<(usize, f64)>; 2],
        run: Run<'_>,
    ) -> Result<()> {
        let alphas: Vec<f64> = searches.iter().map(|search| search.alpha).collect();
        for (half, far) in far.iter().enumerate().filter(|(_, far)| !far.is_empty()) {
            let found = self.walk(labels, HALVES[half], (&alphas, far), run)?;
            for (&(at, _), found) in far.iter().zip(found) {
                searches[at].halves[half] = vec![found];
            }
        }
        Ok(())
    }

    /// The records of blocks, for penalties by their place, each about a scale.
    ///
    /// The predictions are those of all these penalties, so that they have the same bits in every walk: some
    /// are mixed from those of others.
    fn walk(
        &self,
        labels: &[u32],
        blocks: Blocks,
        (alphas, wanted): (&[f64], &[(usize, f64)]),
        run: Run<'_>,
    ) -> Result<Vec<Half>> {
        let (kernels, columns) = (Kernels::current()?, self.columns());
        let made = self.collect(alphas, run, blocks, |block, found| {
            let (count, mut all) = (block.len(), Vec::new());
            let mut tiles = Tiles::new(self.goal, self.parts.2, kernels);
            for &(at, scale) in wanted {
                run.check()?;
                let values = &found[at * columns * count..(at + 1) * columns * count];
                let mut records = room(count, "records of predictions")?;
                for place in (0..count).step_by(TILE) {
                    let rows = (place, block.start + place, TILE.min(count - place));
                    let from = Columns { values, ld: count };
                    tiles.records(from, rows, (labels, scale), &mut records);
                }
                all.push(records);
            }
            Ok(all)
        })?;
        let empty = |&(_, about): &(usize, f64)| Half { about, blocks: Vec::new() };
        let mut halves: Vec<Half> = wanted.iter().map(empty).collect();
        for (block, records) in made {
            for (half, records) in halves.iter_mut().zip(records) {
                half.blocks.push((block.clone(), records));
            }
        }
        Ok(halves)
    }
}
