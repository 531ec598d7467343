//! The rows that may still be among the nearest of one query.

/// A row and what its score lies between.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub lower: f32,
    pub upper: f32,
    pub row: u32,
}

/// Candidates for the `k` best; those that cannot be are thrown out whenever it is full.
#[derive(Debug, Default)]
pub struct Shortlist {
    k: usize,
    capacity: usize,
    floor: f32,
    candidates: Vec<Candidate>,
}

impl Shortlist {
    pub fn new(k: usize) -> Self {
        let capacity = 4 * k + 64;
        Self { k, capacity, floor: f32::MIN, candidates: Vec::new() }
    }

    /// A score that at least `k` rows are known to reach.
    pub fn floor(&self) -> f32 {
        self.floor
    }

    /// Adds a candidate; true where the list is full and ought to be pruned.
    #[inline]
    pub fn push(&mut self, candidate: Candidate) -> bool {
        self.candidates.push(candidate);
        self.candidates.len() >= self.capacity
    }

    /// Adds the candidates of another part of the rows.
    pub fn absorb(&mut self, other: Self) {
        self.floor = self.floor.max(other.floor);
        self.candidates.extend(other.candidates);
    }

    /// Raises the floor to the `k`-th best lower bound and drops what lies below it.
    pub fn prune(&mut self) {
        if self.candidates.len() > self.k {
            let mut lowers: Vec<f32> = self.candidates.iter().map(|c| c.lower).collect();
            let (_, &mut kth, _) =
                lowers.select_nth_unstable_by(self.k - 1, |a, b| f32::total_cmp(b, a));
            self.floor = self.floor.max(kth);
            self.candidates.retain(|candidate| candidate.upper >= self.floor);
        }
        self.capacity = self.capacity.max(2 * self.candidates.len());
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn into_candidates(self) -> Vec<Candidate> {
        self.candidates
    }
}
