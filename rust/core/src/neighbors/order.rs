//! The order of neighbours: by score, equal scores by the row.

/// A row and its exact score.
pub type Scored = (u32, f64);

/// Sorts by score, then row, and keeps the first `k`.
pub fn keep_best(scored: &mut Vec<Scored>, k: usize) {
    // Adding zero turns -0 into 0, which compares equal to it.
    let mut keys: Vec<_> = scored.iter().map(|&(row, score)| key(row, score + 0.0)).collect();
    keys.sort_unstable();
    scored.clear();
    scored.extend(keys.into_iter().take(k).map(parts_of));
}

/// A number that sorts as a row does, the best first: integers are compared without a branch.
fn key(row: u32, score: f64) -> u128 {
    let bits = score.to_bits() as i64;
    // As an integer it sorts as the score does, and with its sign turned as one without sign.
    let ascending = (bits ^ ((bits >> 63) as u64 >> 1) as i64) as u64 ^ 1 << 63;
    u128::from(!ascending) << 32 | u128::from(row)
}

/// The row and the score of a [`key`].
fn parts_of(key: u128) -> Scored {
    let bits = (!((key >> 32) as u64) ^ 1 << 63) as i64;
    (key as u32, f64::from_bits((bits ^ ((bits >> 63) as u64 >> 1) as i64) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_equal_scores_by_the_lowest_row() {
        let scores = [-0.0, 1.5, f64::MIN, 0.0, -1e-300, 1.5, f64::MAX, f64::NEG_INFINITY, 5e-324];
        let scored: Vec<Scored> = (0..9).rev().map(|i| (i, scores[i as usize])).collect();
        let wanted = [6, 1, 5, 8, 0, 3, 4, 2, 7];
        for k in 0..=scored.len() {
            let mut best = scored.clone();
            keep_best(&mut best, k);
            assert!(best.iter().map(|(row, _)| row).eq(&wanted[..k]), "{k} {best:?}");
            assert!(best.iter().all(|&(row, score)| score == scores[row as usize]));
        }
    }
}
