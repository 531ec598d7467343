//! What solutions say about rows that they were not fitted on.

use super::data::Selection;
use crate::error::{Error, Result};
use crate::simd::pass::{Element, padded};

/// `x_i . w_k + b_k` for every solution and column k, one after the other, and each row i.
pub fn logits<T: Element>(
    x: Selection<'_, T>,
    coefficients: &[T],
    intercepts: &[f64],
) -> Result<Vec<T>> {
    let (n, d) = (x.rows(), x.columns());
    if coefficients.len() != intercepts.len() * d {
        let got = format!("{} coefficients for {} columns", coefficients.len(), intercepts.len());
        return Err(Error::Shape(format!("{got} and an X of {d} columns")));
    }
    let (stride, ld) = (padded(d), padded(n));
    let mut rows = vec![T::default(); n * stride];
    for (i, row) in rows.chunks_mut(stride).enumerate() {
        row[..d].copy_from_slice(x.row(i));
    }
    let mut weights = vec![T::default(); intercepts.len() * stride];
    for (row, from) in weights.chunks_mut(stride).zip(coefficients.chunks(d)) {
        row[..d].copy_from_slice(from);
    }
    let bias: Vec<T> = intercepts.iter().map(|&b| T::of(b)).collect();
    let mut found = vec![T::default(); bias.len() * ld];
    T::kernels()?.products(&rows, stride, &weights, &bias, &mut found, ld);
    Ok(found.chunks(ld).flat_map(|column| &column[..n]).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_rows_meet_every_column() {
        let x = Selection::of_rows(&[1.0f32, 2.0, 3.0, 4.0], 2, &[1, 0, 1]).unwrap();
        let found = logits(x, &[1.0, 0.0, 1.0, 1.0], &[0.0, 10.0]).unwrap();
        assert_eq!(found, [3.0, 1.0, 3.0, 17.0, 13.0, 17.0]);
        assert!(matches!(logits(x, &[1.0, 0.0], &[0.0, 1.0]), Err(Error::Shape(_))));
    }
}
