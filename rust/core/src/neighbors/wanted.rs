//! Which queries want which rows, in the order of the rows.

/// A row and a query that wants it.
pub type Pair = (u32, u32);

/// Rows, each with a query that wants it scored or estimated.
#[derive(Clone, Default)]
pub struct Wanted {
    pub score: Vec<Pair>,
    pub estimate: Vec<Pair>,
}

impl Wanted {
    pub fn len(&self) -> usize {
        self.score.len() + self.estimate.len()
    }
}

/// What is wanted of some neighbouring rows, in the order of these.
#[derive(Default)]
pub struct Ordered {
    pub rows: Vec<u32>,
    pub score: Vec<Pair>,
    pub estimate: Vec<Pair>,
}

/// Where there are fewer pairs than this for each row, they are sorted rather than counted.
const FEW: f64 = 0.25;

impl Ordered {
    /// Sorts what is wanted of `count` rows from `first` on.
    pub fn new(first: usize, count: usize, wanted: &[&Wanted]) -> Self {
        let score = wanted.iter().flat_map(|part| &part.score).copied();
        let estimate = wanted.iter().flat_map(|part| &part.estimate).copied();
        let pairs: usize = wanted.iter().map(|part| part.len()).sum();
        if (pairs as f64) < FEW * count as f64 {
            return Self::sorted(score.collect(), estimate.collect());
        }
        let mut found = vec![false; count];
        let (score, estimate) =
            (counted(first, &mut found, score), counted(first, &mut found, estimate));
        let rows = (0..count).filter(|&row| found[row]).map(|row| (first + row) as u32).collect();
        Self { rows, score, estimate }
    }

    fn sorted(mut score: Vec<Pair>, mut estimate: Vec<Pair>) -> Self {
        score.sort_unstable();
        estimate.sort_unstable();
        let mut rows: Vec<_> = score.iter().chain(&estimate).map(|&(row, _)| row).collect();
        rows.sort_unstable();
        rows.dedup();
        Self { rows, score, estimate }
    }
}

/// Pairs in the order of the rows from `first` on, which are marked as found.
fn counted(
    first: usize,
    found: &mut [bool],
    pairs: impl Iterator<Item = Pair> + Clone,
) -> Vec<Pair> {
    let mut places = vec![0; found.len() + 1];
    for (row, _) in pairs.clone() {
        places[row as usize - first + 1] += 1;
        found[row as usize - first] = true;
    }
    (0..found.len()).for_each(|row| places[row + 1] += places[row]);
    let mut ordered = vec![(0, 0); places[found.len()]];
    for pair in pairs {
        let place = &mut places[pair.0 as usize - first];
        ordered[*place] = pair;
        *place += 1;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_comes_in_the_order_of_the_rows() {
        let first = Wanted { score: vec![(12, 0), (10, 0), (12, 1)], estimate: vec![(13, 0)] };
        let second = Wanted { score: vec![(12, 2)], estimate: vec![(10, 3), (13, 5)] };
        // Many pairs for each row, and few.
        for count in [4, 400] {
            let ordered = Ordered::new(10, count, &[&first, &second]);
            assert_eq!(ordered.rows, [10, 12, 13]);
            assert_eq!(ordered.score, [(10, 0), (12, 0), (12, 1), (12, 2)]);
            assert_eq!(ordered.estimate, [(10, 3), (13, 0), (13, 5)]);
            assert!(Ordered::new(10, count, &[&Wanted::default()]).rows.is_empty());
        }
    }
}
