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
    /// Room for the lower bounds while they are ranked.
    lowers: Vec<i32>,
}

/// An integer that sorts as the number does: ranking integers needs no branches.
fn sortable(value: f32) -> i32 {
    let bits = value.to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The number of [`sortable`].
fn from_sortable(key: i32) -> f32 {
    f32::from_bits((key ^ (((key >> 31) as u32) >> 1) as i32) as u32)
}

impl Shortlist {
    pub fn new(k: usize) -> Self {
        let capacity = 4 * k + 64;
        Self {
            k,
            capacity,
            floor: f32::MIN,
            candidates: Vec::with_capacity(capacity),
            lowers: Vec::new(),
        }
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
            self.lowers.clear();
            self.lowers.extend(self.candidates.iter().map(|c| sortable(c.lower)));
            let place = self.lowers.len() - self.k;
            let (_, &mut kth, _) = self.lowers.select_nth_unstable(place);
            self.floor = self.floor.max(from_sortable(kth));
            self.keep_above_floor();
        }
        self.capacity = self.capacity.max(2 * self.candidates.len());
    }

    /// Moves what stays to the front; which it is cannot be predicted, so there is no branch on it.
    fn keep_above_floor(&mut self) {
        let mut kept = 0;
        for i in 0..self.candidates.len() {
            let candidate = self.candidates[i];
            self.candidates[kept] = candidate;
            kept += usize::from(candidate.upper >= self.floor);
        }
        self.candidates.truncate(kept);
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn into_candidates(self) -> Vec<Candidate> {
        self.candidates
    }
}
