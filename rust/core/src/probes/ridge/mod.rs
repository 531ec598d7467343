//! Ridge regression for all alphas and exact leave-one-out from one factorisation.
//!
//! With weights s, centred rows and `X' S X = V diag(e) V'`, the coefficients for alpha are
//! `V (e + alpha)^-1 V' X' S y`. The row i has leverage `h_i = s_i (1 / sum s + sum_j z_ij^2 / (e_j + alpha))`
//! with `z = X V`, and leaving it out changes its residual to `r_i / (1 - h_i)` (Allen 1974); where
//! `h_i` is near one, the ratio is formed without that difference ([`careful`]). With no more rows than
//! columns V comes from the n x n matrix `X X'` instead ([`dual`]). The intercept is not
//! penalised; directions without variance are dropped, which gives the solution of least norm.
//!
//! X is read three times, block by block, and never copied: for its mean, for `X' S X` in double
//! precision ([`primal`]) and for the residuals ([`leave_one_out`]).

mod careful;
mod dual;
mod factors;
mod leave_one_out;
mod prevalidated;
mod primal;
mod rotation;
mod rows;
mod skeleton;

pub use prevalidated::{Prevalidated, prevalidated_path};

use factors::Factors;
pub(super) use primal::products_of_columns;
use rows::CentredRows;

use super::data::Selection;
use crate::error::{Error, Result};
use crate::memory::{filled, room};
use crate::parallel::Run;
use crate::simd::pass::{Element, padded};

/// Parts into which sums over rows are cut, whatever the number of threads.
const CHUNKS: usize = 16;
/// Coefficient vectors that are computed together.
const TOGETHER: usize = 60;

/// A ridge problem: `targets` holds the columns of Y one after the other, n numbers each.
#[derive(Clone, Debug)]
pub struct RidgeTask<'a> {
    /// columns * n targets.
    pub targets: &'a [f64],
    /// A weight per row.
    pub weight: &'a [f64],
    /// The class of each row to count right answers by; empty: none.
    pub labels: &'a [u32],
    /// The penalties, in any order, 0 or more.
    pub alphas: &'a [f64],
    /// Whether there is an intercept.
    pub intercept: bool,
    /// Whether leave-one-out is asked for.
    pub leave_one_out: bool,
    /// Whether the leave-one-out predictions themselves are asked for.
    pub predictions: bool,
}

/// The ridge solutions of all alphas, in their order.
#[derive(Clone, Debug, Default)]
pub struct RidgePath<T> {
    /// alphas x columns x d.
    pub coefficients: Vec<T>,
    /// alphas x columns, in double precision: an offset in X would cost them their digits.
    pub intercepts: Vec<f64>,
    /// alphas x columns: the weighted mean squared leave-one-out error.
    pub errors: Vec<f64>,
    /// One per alpha: the weighted share of rows whose largest leave-one-out prediction is their class.
    pub accuracies: Vec<f64>,
    /// alphas x columns x n leave-one-out predictions, if asked for.
    pub predictions: Vec<f64>,
    /// The number of directions in which X varies.
    pub rank: usize,
}

/// Solves for all alphas.
pub fn ridge_path<T: Element>(
    x: Selection<'_, T>,
    task: &RidgeTask<'_>,
    run: Run<'_>,
) -> Result<RidgePath<T>> {
    let (rows, factors, along, centres, mut path) = factorise(x, task, run)?;
    if task.leave_one_out {
        let parts = (&factors, along.as_slice(), centres.as_slice());
        leave_one_out::score(&rows, task, parts, run, &mut path)?;
    }
    Ok(path)
}

type Factorised<'a, T> = (CentredRows<'a, T>, Factors, Vec<f64>, Vec<f64>, RidgePath<T>);

/// The rows as leave-one-out reads them, the factors, the targets along them and their centres, and the
/// solutions.
fn factorise<'a, T: Element>(
    x: Selection<'a, T>,
    task: &RidgeTask<'_>,
    run: Run<'_>,
) -> Result<Factorised<'a, T>> {
    check(x, task)?;
    let (n, d, columns) = (x.rows(), x.columns(), task.targets.len() / x.rows().max(1));
    run.expect(n * (d + usize::from(task.leave_one_out) * cost_of_leaving_out(d, columns)));
    let mut rows = CentredRows::new(x, task.weight, task.intercept, run)?;
    let centres = centres(task);
    let factors = if x.rows() <= x.columns() + usize::from(task.intercept) {
        dual::factorise(&rows, task, &centres, run)?
    } else {
        primal::factorise(&rows, task, &centres, run)?
    };
    let along = along(&factors, centres.len(), run)?;
    let mut path = RidgePath { rank: factors.values.len(), ..RidgePath::default() };
    coefficients(&rows, &factors, &along, task.alphas, &centres, run, &mut path)?;
    rows.divide_by(&factors.scale);
    Ok((rows, factors, along, centres, path))
}

/// What leaving a row out costs, where its part in the products of columns costs `d`.
fn cost_of_leaving_out(d: usize, columns: usize) -> usize {
    2 * d + columns
}

/// The weighted mean of each target, zero without an intercept.
fn centres(task: &RidgeTask<'_>) -> Vec<f64> {
    let n = task.weight.len();
    let total: f64 = task.weight.iter().sum();
    let mean =
        |column: &[f64]| column.iter().zip(task.weight).map(|(y, s)| y * s).sum::<f64>() / total;
    task.targets.chunks(n).map(|column| if task.intercept { mean(column) } else { 0.0 }).collect()
}

/// `V' X' S y` for each column: padded rows of `rank` numbers.
fn along(factors: &Factors, columns: usize, run: Run<'_>) -> Result<Vec<f64>> {
    let ld = padded(factors.values.len().max(1));
    let mut along = filled(0.0, columns * ld, "ridge coefficients")?;
    let kernels = f64::kernels()?;
    let mut groups: Vec<&mut [f64]> = along.chunks_mut(TOGETHER * ld).collect();
    run.for_each_mut(&mut groups, |at, along| {
        let count = along.len() / ld;
        let products =
            &factors.products[at * TOGETHER * factors.stride..][..count * factors.stride];
        let bias = vec![0.0; count];
        kernels.products(&factors.vectors, factors.stride, products, &bias, along, ld);
        for row in along.chunks_mut(ld) {
            row[factors.values.len()..].fill(0.0);
        }
        Ok(())
    })?;
    Ok(along)
}

/// Coefficients and intercepts in the original coordinates.
fn coefficients<T: Element>(
    rows: &CentredRows<'_, T>,
    factors: &Factors,
    along: &[f64],
    alphas: &[f64],
    centres: &[f64],
    run: Run<'_>,
    path: &mut RidgePath<T>,
) -> Result<()> {
    let (stride, d) = (factors.stride, rows.mean().len());
    let ld = along.len() / centres.len();
    let kernels = f64::kernels()?;
    let group = (TOGETHER / centres.len()).max(1);
    let solutions = run.collect(alphas.len().div_ceil(group), |at| {
        let alphas = &alphas[at * group..alphas.len().min((at + 1) * group)];
        let mut betas = room(alphas.len() * along.len(), "ridge coefficients")?;
        for (alpha, along) in alphas.iter().flat_map(|a| along.chunks(ld).map(move |row| (a, row)))
        {
            let end = betas.len() + ld;
            betas.extend(along.iter().zip(&factors.values).map(|(a, value)| a / (value + alpha)));
            betas.resize(end, 0.0);
        }
        let mut solutions = filled(0.0, betas.len() / ld * stride, "ridge coefficients")?;
        kernels.outer(&factors.vectors, stride, &betas, ld, &mut solutions, false);
        Ok(solutions)
    })?;
    path.coefficients = room(alphas.len() * centres.len() * d, "ridge coefficients")?;
    for (at, row) in solutions.iter().flat_map(|solutions| solutions.chunks(stride)).enumerate() {
        let start = path.coefficients.len();
        path.coefficients.extend(row[..d].iter().map(|&w| T::of(w)));
        let rounded = path.coefficients[start..].iter().zip(rows.mean());
        let offset: f64 = rounded.map(|(w, mean)| w.wide() * mean).sum();
        path.intercepts.push(centres[at % centres.len()] - offset);
    }
    Ok(())
}

fn check<T: Element>(x: Selection<'_, T>, task: &RidgeTask<'_>) -> Result<()> {
    let n = x.rows();
    if task.weight.len() != n || task.targets.is_empty() || !task.targets.len().is_multiple_of(n) {
        return Err(Error::Shape(format!("{} targets for {n} rows", task.targets.len())));
    }
    let columns = (task.targets.len() / n).max(2);
    if !task.labels.is_empty() && task.labels.len() != n {
        return Err(Error::Shape(format!("{} labels for {n} rows", task.labels.len())));
    }
    if let Some(row) = task.labels.iter().position(|&label| label as usize >= columns) {
        let label = task.labels[row];
        return Err(Error::Invalid(format!("class {label} at row {row} of {columns} classes")));
    }
    if let Some(alpha) = task.alphas.iter().find(|alpha| !(alpha.is_finite() && **alpha >= 0.0)) {
        return Err(Error::Invalid(format!("alpha={alpha}; it must be 0 or more and finite")));
    }
    if task.weight.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(Error::Invalid("weights must be 0 or more and finite".into()));
    }
    if let Some(at) = task.targets.iter().position(|value| !value.is_finite()) {
        let (row, column) = (at % n, at / n);
        return Err(Error::NonFinite { name: "Y", row, column, value: task.targets[at] });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::parallel::Meter;

    #[test]
    fn all_of_the_work_is_counted_and_no_more() {
        let x: Vec<f64> = (0..700 * 5).map(|i| (i * 7919 % 101) as f64).collect();
        let targets: Vec<f64> = (0..700 * 3).map(|i| (i % 7) as f64).collect();
        let stop = AtomicBool::new(false);
        for leave_one_out in [true, false] {
            let task = RidgeTask {
                targets: &targets,
                weight: &[1.0; 700],
                labels: &[],
                alphas: &[1.0, 10.0],
                intercept: true,
                leave_one_out,
                predictions: false,
            };
            let meter = Meter::default();
            let run = Run::new(2, &stop).metered(&meter);
            ridge_path(Selection::new(&x, 5).unwrap(), &task, run).unwrap();
            assert_eq!(meter.part(), 1.0);
        }
    }
}
