//! Few penalties that speak for all: fitted values of the others are mixtures of theirs.
//!
//! The fitted values for alpha are `sum_j z_ij b_j e_j / (e_j + alpha)`, linear in the vector of
//! shrinkage factors `e_j / (e_j + alpha)`. For alphas however many these vectors span few dimensions
//! (the matrix has Cauchy's form), so that some of them give the others by mixing: an interpolative
//! decomposition by pivoted Gram-Schmidt (Cheng, Gimbutas, Martinsson & Rokhlin 2005).

/// The chosen rows, and how every row is mixed from them.
pub(super) struct Skeleton {
    pub chosen: Vec<usize>,
    /// rows x chosen.
    pub mix: Vec<f64>,
}

/// Chooses rows of `matrix`, `width` numbers each, until every element of every row is met within
/// `tolerance`.
pub(super) fn skeleton(matrix: &[f64], width: usize, tolerance: f64) -> Skeleton {
    let rows = matrix.len() / width;
    let mut rest = matrix.to_vec();
    let mut chosen: Vec<usize> = Vec::new();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    // Row by row what has been taken out along each vector of the basis.
    let mut taken = vec![Vec::new(); rows];
    while let Some(pivot) = farthest(&rest, width, tolerance).filter(|p| !chosen.contains(p)) {
        let mut vector = rest[pivot * width..(pivot + 1) * width].to_vec();
        // Once more against the others: a small rest has lost its right angles.
        for other in &basis {
            take_out(&mut vector, other);
        }
        let norm = inner(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|value| *value /= norm);
        for (row, taken) in rest.chunks_mut(width).zip(&mut taken) {
            taken.push(take_out(row, &vector));
        }
        chosen.push(pivot);
        basis.push(vector);
    }
    let mix = (0..rows).flat_map(|row| mixture(row, &chosen, &taken)).collect();
    Skeleton { chosen, mix }
}

/// The longest row among those with an element beyond `tolerance`.
fn farthest(rest: &[f64], width: usize, tolerance: f64) -> Option<usize> {
    let far = |row: &[f64]| row.iter().any(|value| value.abs() > tolerance);
    let rows = rest.chunks(width).enumerate().filter(|(_, row)| far(row));
    rows.map(|(i, row)| (i, inner(row, row))).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

/// Removes what `row` has along `vector`, of unit length, and returns it.
fn take_out(row: &mut [f64], vector: &[f64]) -> f64 {
    let along = inner(row, vector);
    row.iter_mut().zip(vector).for_each(|(row, vector)| *row -= along * vector);
    along
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The mixture of chosen rows that has the same parts along the basis: a triangular system.
fn mixture(row: usize, chosen: &[usize], taken: &[Vec<f64>]) -> Vec<f64> {
    let mut mix = vec![0.0; chosen.len()];
    if let Some(own) = chosen.iter().position(|&pivot| pivot == row) {
        mix[own] = 1.0;
        return mix;
    }
    for at in (0..chosen.len()).rev() {
        let later = (at + 1..chosen.len()).map(|r| mix[r] * taken[chosen[r]][at]);
        mix[at] = (taken[row][at] - later.sum::<f64>()) / taken[chosen[at]][at];
    }
    mix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shrinkage_factors_come_from_few() {
        let values: Vec<f64> = (0..300).map(|j| 10f64.powf(j as f64 / 50.0)).collect();
        let alphas: Vec<f64> = (0..40).map(|a| 10f64.powf(a as f64 / 5.0 - 4.0)).collect();
        let factors = |alpha: f64| values.iter().map(move |e| e / (e + alpha));
        let matrix: Vec<f64> = alphas.iter().flat_map(|&alpha| factors(alpha)).collect();
        for tolerance in [1e-4, 1e-9, 1e-14] {
            let found = skeleton(&matrix, values.len(), tolerance);
            for (row, mix) in matrix.chunks(300).zip(found.mix.chunks(found.chosen.len())) {
                for (j, value) in row.iter().enumerate() {
                    let parts = found.chosen.iter().zip(mix);
                    let mixed: f64 = parts.map(|(&r, mix)| mix * matrix[r * 300 + j]).sum();
                    assert!((mixed - value).abs() <= 10.0 * tolerance.max(1e-15));
                }
                assert!(mix.iter().all(|mix| mix.abs() < 10.0));
            }
        }
        assert!(skeleton(&matrix, 300, 1e-8).chosen.len() < 25);
    }
}
