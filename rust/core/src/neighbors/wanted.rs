//! Which queries want which rows, in the order of the rows.

/// Rows, each with a query that wants it scored or estimated.
#[derive(Clone, Default)]
pub struct Wanted {
    pub score: Vec<(u32, u32)>,
    pub estimate: Vec<(u32, u32)>,
}

impl Wanted {
    pub fn is_empty(&self) -> bool {
        self.score.is_empty() && self.estimate.is_empty()
    }
}

/// The queries that want each of some neighbouring rows: two lists for each row.
pub struct Lists {
    first: usize,
    /// Where each list ends.
    ends: Vec<u32>,
    pub queries: Vec<u32>,
}

impl Lists {
    /// Sorts what is wanted of `count` rows from `first` on.
    pub fn new(first: usize, count: usize, wanted: &[&Wanted]) -> Self {
        let pairs = || {
            let kinds = wanted.iter().flat_map(|part| [(0, &part.score), (1, &part.estimate)]);
            kinds.flat_map(move |(kind, pairs)| {
                pairs.iter().map(move |&(row, query)| (2 * (row as usize - first) + kind, query))
            })
        };
        let mut ends = vec![0; 2 * count + 1];
        pairs().for_each(|(list, _)| ends[list + 1] += 1);
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total;
        }
        let mut queries = vec![0; total as usize];
        // What starts as the place where a list begins is, once the list is full, where it ends.
        for (list, query) in pairs() {
            let place = &mut ends[list];
            queries[*place as usize] = query;
            *place += 1;
        }
        Self { first, ends, queries }
    }

    /// The wanted rows, each with the queries that want it scored and those that want it estimated.
    pub fn rows(&self) -> impl Iterator<Item = (u32, [&[u32]; 2])> {
        let mut start = 0;
        let rows =
            self.ends.as_chunks::<2>().0.iter().enumerate().map(move |(row, &[middle, end])| {
                let lists = [start..middle, middle..end];
                start = end;
                let lists = lists.map(|list| &self.queries[list.start as usize..list.end as usize]);
                ((self.first + row) as u32, lists)
            });
        rows.filter(|(_, lists)| lists.iter().any(|list| !list.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_lists_the_queries_that_want_it() {
        let score = vec![(12, 0), (10, 0), (12, 1), (12, 2)];
        let wanted = Wanted { score, estimate: vec![(13, 0), (10, 1), (13, 5)] };
        let lists = Lists::new(10, 4, &[&wanted]);
        let none: &[u32] = &[];
        let rows = [(10, [&[0][..], &[1]]), (12, [&[0, 1, 2], none]), (13, [none, &[0, 5]])];
        assert!(lists.rows().eq(rows));
        assert_eq!(lists.queries.len(), 7);
        assert_eq!(Lists::new(10, 4, &[]).rows().count(), 0);
    }
}
