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

impl Ordered {
    /// Sorts what is wanted of `count` rows from `first` on.
    pub fn new(first: usize, count: usize, wanted: &[&Wanted]) -> Self {
        if wanted.iter().all(|part| part.len() == 0) {
            return Self::default();
        }
        let mut found = vec![false; count];
        let mut sort = |kind: fn(&Wanted) -> &[Pair]| {
            let pairs = || wanted.iter().flat_map(|&part| kind(part)).copied();
            let mut places = vec![0; count + 1];
            for (row, _) in pairs() {
                places[row as usize - first + 1] += 1;
                found[row as usize - first] = true;
            }
            (0..count).for_each(|row| places[row + 1] += places[row]);
            let mut sorted = vec![(0, 0); places[count]];
            for pair in pairs() {
                let place = &mut places[pair.0 as usize - first];
                sorted[*place] = pair;
                *place += 1;
            }
            sorted
        };
        let (score, estimate) = (sort(|part| &part.score), sort(|part| &part.estimate));
        let rows = (0..count).filter(|&row| found[row]).map(|row| (first + row) as u32).collect();
        Self { rows, score, estimate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_comes_in_the_order_of_the_rows() {
        let first = Wanted { score: vec![(12, 0), (10, 0), (12, 1)], estimate: vec![(13, 0)] };
        let second = Wanted { score: vec![(12, 2)], estimate: vec![(10, 3), (13, 5)] };
        let ordered = Ordered::new(10, 4, &[&first, &second]);
        assert_eq!(ordered.rows, [10, 12, 13]);
        assert_eq!(ordered.score, [(10, 0), (12, 0), (12, 1), (12, 2)]);
        assert_eq!(ordered.estimate, [(10, 3), (13, 0), (13, 5)]);
        assert!(Ordered::new(10, 4, &[&Wanted::default()]).rows.is_empty());
    }
}
