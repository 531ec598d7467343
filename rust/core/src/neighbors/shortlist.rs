//! The rows that may still be among the nearest of one query.

use crate::simd::Kernels;
use crate::simd::bounds::{QueryBounds, RowBounds};
use crate::simd::candidates::Candidates;
use crate::simd::tile::PANEL_ROWS;

/// Candidates for the `k` best; those that cannot be are thrown out whenever it is full.
#[derive(Debug, Default)]
pub struct Shortlist {
    k: usize,
    capacity: usize,
    floor: f32,
    guess: f32,
    candidates: Candidates,
}

/// How far a score that is likely reached lies from its upper bound, as a share of the way to the
/// lower one: nearly the middle, since errors of many dimensions cancel out.
const LIKELY: f32 = 35.0 / 64.0;

impl Shortlist {
    /// An empty list in the room of `candidates`, also empty.
    pub fn new(k: usize, candidates: Candidates) -> Self {
        Self { k, capacity: 4 * k + 512, floor: f32::MIN, guess: f32::NEG_INFINITY, candidates }
    }

    /// What a score has to reach: as many rows do as are wanted, known so far or guessed.
    pub fn threshold(&self) -> f32 {
        self.floor.max(self.guess)
    }

    /// A score below which rows may have been left out on a guess; minus infinity where none was.
    pub fn guess(&self) -> f32 {
        if self.guess > self.floor { self.guess } else { f32::NEG_INFINITY }
    }

    /// Guesses what the `k`-th best score will not be below, given a `share` of the rows, picked
    /// evenly: the best of them by four standard deviations more than are expected there.
    pub fn make_guess(&mut self, kernels: Kernels, share: f64) {
        let expected = self.k as f64 * share;
        let place = (expected + 4.0 * expected.sqrt() + 4.0).ceil() as usize;
        if place < self.k && place <= self.candidates.len() {
            let middles: Vec<_> = self.candidates.between(0.5).collect();
            self.guess = kernels.floor_of(&middles, place, f32::NEG_INFINITY).max(self.guess);
            self.candidates.keep_from(kernels, self.threshold());
        }
    }

    /// Guesses again once all rows are scanned: scores do not lie near the ends of their bounds.
    pub fn make_last_guess(&mut self, kernels: Kernels) {
        if self.candidates.len() > self.k {
            let likely: Vec<_> = self.candidates.between(LIKELY).collect();
            self.guess = kernels.floor_of(&likely, self.k, self.threshold());
            self.candidates.keep_from(kernels, self.threshold());
        }
    }

    /// Adds those rows of a panel that are marked, given their upper bounds; `first` is the row of
    /// bit 0. Where the list is full it is pruned, and the floor of the query raised.
    #[inline]
    pub fn add_marked(
        &mut self,
        kernels: Kernels,
        marks: u32,
        uppers: &[f32; PANEL_ROWS],
        rows: &RowBounds,
        first: u32,
        query: &mut QueryBounds,
    ) {
        self.candidates.add_marked(kernels, marks, uppers, rows, query, first);
        if self.candidates.len() >= self.capacity {
            self.prune(kernels);
            query.floor = self.threshold();
        }
    }

    /// Adds the candidates of another part of the rows.
    pub fn absorb(&mut self, other: &Self) {
        self.floor = self.floor.max(other.floor);
        self.candidates.absorb(&other.candidates);
    }

    /// Raises the floor to about the `k`-th best lower bound and drops what lies below it.
    pub fn prune(&mut self, kernels: Kernels) {
        if self.candidates.len() > self.k {
            self.floor = kernels.floor_of(self.candidates.lowers(), self.k, self.floor);
            self.candidates.keep_from(kernels, self.threshold());
        }
        self.capacity = self.capacity.max(self.candidates.len() + self.candidates.len() / 2);
    }

    /// Asks for the places that are filled next.
    pub fn prefetch(&self, kernels: Kernels) {
        self.candidates.prefetch(kernels);
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// A row, and how far its bounds are apart; none where there is no row.
    pub fn example(&self) -> Option<(u32, f64)> {
        let (&row, bounds) = (self.candidates.rows().first()?, &self.candidates);
        Some((row, f64::from(bounds.uppers()[0]) - f64::from(bounds.lowers()[0])))
    }

    /// The rows, with what their scores lie between.
    pub fn into_candidates(self) -> Candidates {
        self.candidates
    }
}
