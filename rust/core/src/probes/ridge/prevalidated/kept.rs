//! The best scales by what one walk over all rows keeps of each.
//!
//! A record of a row is good near the scale that it is about. So some rows are walked first, about the guess,
//! and tell about which scale to walk the others. Rows whose records do not reach as far as the scale
//! that comes out are walked again, about that.

use std::ops::Range;

use super::Problem;
use super::guess::Guess;
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
}

/// A penalty whose best scale is searched for.
struct Search {
    alpha: f64,
    /// About where it is.
    scale: f64,
    halves: [Half; 2],
    fit: Option<Fit>,
}

impl Search {
    fn parts<'a>(&'a self, share: &'a [f64]) -> Vec<Part<'a>> {
        self.halves.iter().flat_map(|half| half.parts(share)).collect()
    }
}

impl<T: Element> Problem<'_, T> {
    /// The fits without a store of predictions.
    pub(super) fn fit_kept(&self, labels: &[u32], run: Run<'_>) -> Result<Vec<Fit>> {
        let guesses: Vec<(f64, Guess)> =
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
    fn begin(&self, labels: &[u32], guesses: &[(f64, Guess)], run: Run<'_>) -> Result<Vec<Search>> {
        let tried: Vec<_> =
            guesses.iter().map(|&(alpha, guess)| (alpha, Some(guess.scale))).collect();
        let some = self.walk(labels, HALVES[0], &tried, run)?;
        let mut better = Vec::new();
        for (half, &(alpha, guess)) in some.iter().zip(guesses) {
            let parts: Vec<_> = half.parts(self.share).collect();
            better.push((alpha, Some(nearby(&parts, guess.scale, guess.usual, run)?)));
        }
        let others = self.walk(labels, HALVES[1], &better, run)?;
        let rows = some.iter().chain(&others).flat_map(|half| &half.blocks);
        if rows.map(|(block, _)| block.len()).sum::<usize>() != guesses.len() * self.share.len() {
            return Err(Error::Internal("not every row was left out once".into()));
        }
        let halves = some.into_iter().zip(others).zip(better);
        let begun = halves.map(|((some, others), (alpha, scale))| Search {
            alpha,
            scale: scale.unwrap_or_default(),
            halves: [some, others],
            fit: None,
        });
        Ok(begun.collect())
    }

    /// Settles what can be; for each of the halves, the searches of which it does not reach far enough.
    fn settle(&self, searches: &mut [Search], run: Run<'_>) -> Result<[Vec<usize>; 2]> {
        let mut far = [vec![], vec![]];
        for (at, search) in searches.iter_mut().enumerate().filter(|(_, s)| s.fit.is_none()) {
            match settle(&search.parts(self.share), search.scale, self.columns(), run)? {
                Outcome::Settled(fit) => search.fit = Some(fit),
                Outcome::Open { scale, allowed } => {
                    search.scale = scale;
                    for (half, far) in search.halves.iter().zip(&mut far) {
                        let parts: Vec<_> = half.parts(self.share).collect();
                        let error = error(&parts, scale, run)?;
                        if error.is_nan() | (error > 0.5 * allowed) {
                            far.push(at);
                        }
                    }
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
        far: [Vec<usize>; 2],
        run: Run<'_>,
    ) -> Result<()> {
        for (half, far) in far.iter().enumerate().filter(|(_, far)| !far.is_empty()) {
            let about = |(at, search): (usize, &Search)| {
                (search.alpha, far.contains(&at).then_some(search.scale))
            };
            let tried: Vec<_> = searches.iter().enumerate().map(about).collect();
            let found = self.walk(labels, HALVES[half], &tried, run)?;
            for (at, found) in found.into_iter().enumerate().filter(|(at, _)| far.contains(at)) {
                searches[at].halves[half] = found;
            }
        }
        Ok(())
    }

    /// The records of blocks for penalties, each about a scale; none where there is no scale.
    ///
    /// The predictions are those of all these penalties, so that they have the same bits in every walk: some
    /// are mixed from those of others.
    fn walk(
        &self,
        labels: &[u32],
        blocks: Blocks,
        tried: &[(f64, Option<f64>)],
        run: Run<'_>,
    ) -> Result<Vec<Half>> {
        let (kernels, columns) = (Kernels::current()?, self.columns());
        let alphas: Vec<f64> = tried.iter().map(|&(alpha, _)| alpha).collect();
        let made = self.collect(&alphas, run, blocks, |block, found| {
            let (count, mut all) = (block.len(), Vec::new());
            let mut tiles = Tiles::new(self.goal, self.parts.2, kernels);
            for (values, &(_, about)) in found.chunks(columns * count).zip(tried) {
                run.check()?;
                let mut records = room(count, "records of predictions")?;
                let places = if about.is_some() { 0..count } else { 0..0 };
                for place in places.step_by(TILE) {
                    let rows = (place, block.start + place, TILE.min(count - place));
                    let from = Columns { values, ld: count };
                    let at = (labels, about.unwrap_or_default());
                    tiles.records(from, rows, at, &mut records);
                }
                all.push(records);
            }
            Ok(all)
        })?;
        let abouts = tried.iter().map(|&(_, about)| about.unwrap_or_default());
        let mut halves: Vec<Half> =
            abouts.map(|about| Half { about, blocks: Vec::new() }).collect();
        for (block, records) in made {
            for (half, records) in halves.iter_mut().zip(records) {
                half.blocks.push((block.clone(), records));
            }
        }
        Ok(halves)
    }
}
