//! One query on its way from a shortlist to neighbours.

use super::frame::{Frame, Placed};
use super::order::Scored;
use super::scan::Listed;
use super::score::Interval;
use crate::simd::Kernels;
use crate::simd::candidates::Candidates;

/// Rows of which a query wants to know more.
#[derive(Default)]
pub struct Choice {
    pub score: Vec<u32>,
    pub estimate: Vec<u32>,
}

/// A query whose candidates are being scored.
pub struct Open {
    placed: Placed,
    /// Every row whose score in the frame is at least this is, or was, a candidate.
    guess: f32,
    pub candidates: Candidates,
    /// A score that `k` rows are known to reach.
    pub floor: f64,
    /// How many are estimated next; it grows, so that few rounds do.
    batch: usize,
    pub estimated: Vec<(u32, Interval)>,
    pub scored: Vec<Scored>,
}

impl Open {
    pub fn new(found: Listed, k: usize) -> Self {
        Self {
            placed: found.placed,
            guess: found.list.guess(),
            candidates: found.list.into_candidates(),
            floor: f64::NEG_INFINITY,
            batch: 4 * k + 64,
            estimated: Vec::new(),
            scored: Vec::with_capacity(k + k / 8),
        }
    }

    /// The `k` most promising rows to score, and others to estimate.
    pub fn begin(&mut self, kernels: Kernels, frame: &Frame, k: usize) -> Choice {
        let score = self.candidates.take_best(kernels, k);
        Choice { score, ..self.next(kernels, frame, k) }
    }

    /// The rows to estimate next; none once no other can be among the `k` best, or where there are
    /// so few that estimates would spare nothing.
    pub fn next(&mut self, kernels: Kernels, frame: &Frame, k: usize) -> Choice {
        self.raise_floor(k);
        let least = frame.least(&self.placed, self.floor);
        if !least.is_nan() {
            // A float below it, so that rounding drops no row.
            self.candidates.keep_from(kernels, (least as f32).next_down());
        }
        if self.candidates.len() <= k / 8 {
            return Choice::default();
        }
        let batch = self.batch;
        self.batch *= 2;
        Choice { estimate: self.candidates.take_best(kernels, batch), ..Choice::default() }
    }

    /// The rows not yet scored of which it is open whether they are among the `k` best.
    pub fn finish(&mut self) -> Choice {
        let floor = self.floor;
        let estimated = self.estimated.iter().filter(|(_, score)| score.upper >= floor);
        let others = self.candidates.rows().iter();
        let score = estimated.map(|(row, _)| row).chain(others).copied().collect();
        Choice { score, ..Choice::default() }
    }

    /// Rows of a lower score are not among the `k` best.
    pub fn bar(&self, frame: &Frame) -> f64 {
        self.floor.max(frame.score_of(&self.placed, self.guess.into()))
    }

    /// Raises the floor to the `k`-th best of what is known.
    fn raise_floor(&mut self, k: usize) {
        let scored = self.scored.iter().map(|&(_, score)| score);
        let estimated = self.estimated.iter().map(|(_, score)| score.lower);
        let mut known: Vec<_> = scored.chain(estimated).collect();
        if known.len() >= k {
            let (_, &mut kth, _) = known.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            self.floor = self.floor.max(kth);
        }
    }

    /// Whether no row that the scan left out can be among these, the best that were found.
    pub fn is_proven(&self, frame: &Frame, best: &[Scored], k: usize) -> bool {
        let kth = best.get(k - 1).map_or(f64::NAN, |&(_, score)| score);
        self.guess == f32::NEG_INFINITY || frame.least(&self.placed, kth) >= f64::from(self.guess)
    }
}
