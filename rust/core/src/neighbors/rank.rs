//! The second pass: exact scores of the rows that are left.

use super::distinct::Distinct;
use super::frame::Frame;
use super::matrix::Matrix;
use super::shortlist::Shortlist;
use crate::simd::Kernels;
use crate::simd::exact::Real;

/// The `k` best rows of a shortlist with their scores, best first, equal scores by the lowest row.
pub fn best<T: Real>(
    kernels: Kernels,
    frame: &Frame,
    rows: Matrix<'_, T>,
    distinct: &Distinct,
    query: &[T],
    list: &Shortlist,
    k: usize,
) -> Vec<(u32, f64)> {
    let query_norm = kernels.exact_dot(query, query);
    let score = |place: u32| {
        let row = rows.row(distinct.firsts[place as usize] as usize);
        frame.score(query, query_norm, row)
    };
    let mut scored: Vec<_> = list.candidates().iter().map(|c| (c.row, score(c.row))).collect();
    keep_best(&mut scored, k);
    let expanded = scored
        .iter()
        .flat_map(|&(place, score)| distinct.rows_at(place).take(k).map(move |row| (row, score)));
    let mut expanded = expanded.collect();
    keep_best(&mut expanded, k);
    expanded
}

/// Sorts by score, then row, and keeps the first `k`.
fn keep_best(scored: &mut Vec<(u32, f64)>, k: usize) {
    // Adding zero turns -0 into 0, which compares equal to it.
    scored.sort_unstable_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
    scored.truncate(k);
}
