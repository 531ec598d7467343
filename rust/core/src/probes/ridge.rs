//! Ridge regression for all alphas and exact leave-one-out from one factorisation.
//!
//! With weights s, centred rows and `X' S X = V diag(e) V'`, the coefficients for alpha are
//! `V (e + alpha)^-1 V' X' S y`. The row i has leverage `h_i = s_i (1 / sum s + sum_j z_ij^2 / (e_j + alpha))`
//! with `z = X V`, and leaving it out changes its residual to `r_i / (1 - h_i)` (Allen 1974). With
//! fewer rows than columns V comes from the n x n matrix `X X'` instead. The intercept is not
//! penalised; directions without variance are dropped, which gives the solution of least norm.

use std::sync::Mutex;

use super::data::{Design, Matrix, Source, block_rows, lock};
use super::eigen::symmetric_eigen;
use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::pass::{Element, padded};

/// Chunks of rows for sums, and the bytes that their Gram matrices may take together.
const CHUNKS: usize = 16;
const GRAM_BYTES: usize = 256 << 20;
/// Rows of a panel of the Gram matrix.
const PANEL: usize = 48;
/// Single precision is enough for the Gram matrix while no penalised eigenvalue is below this part of
/// the largest.
const SINGLE: f64 = 1e-3;
/// A leverage this close to one leaves nothing to predict the row from.
const MIN_REST: f64 = 1e-9;

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
    /// Whether leave-one-out is wanted.
    pub leave_one_out: bool,
    /// Whether the leave-one-out predictions themselves are wanted.
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

/// The directions of X and what varies along them.
struct Factors {
    /// Eigenvalues of `X' S X`, ascending, those of the null space left out.
    values: Vec<f64>,
    /// One eigenvector per row, padded, in centred original coordinates.
    vectors: Vec<f64>,
    /// columns x stride: `Y' S X`.
    products: Vec<f64>,
    /// Elements per vector.
    stride: usize,
}

/// Solves for all alphas.
pub fn ridge_path<T: Element>(
    x: Matrix<'_, T>,
    task: &RidgeTask<'_>,
    run: Run<'_>,
) -> Result<RidgePath<T>> {
    check(x, task)?;
    let design = Design::new(x, task.weight, task.intercept, run)?;
    let total: f64 = task.weight.iter().sum();
    let centres = centres(task, total);
    let factors = factorise(&design, task, &centres, run)?;
    let betas = betas(&factors, task.alphas);
    let mut path = RidgePath { rank: factors.values.len(), ..RidgePath::default() };
    coefficients(&design, &factors, &betas, &centres, &mut path)?;
    // With nearly as many directions as rows, what is left of a row is a difference of almost
    // equal numbers: single precision would lose it.
    if task.leave_one_out && 2 * path.rank > x.rows() {
        let rotation = Rotation::new(&[], &factors, &betas, task.alphas);
        leave_one_out(&design.exact(), task, &centres, &rotation, run, &mut path)?;
    } else if task.leave_one_out {
        let rotation = Rotation::<T>::new(design.scale(), &factors, &betas, task.alphas);
        leave_one_out(&design, task, &centres, &rotation, run, &mut path)?;
    }
    Ok(path)
}

/// The weighted mean of each target, zero without an intercept.
fn centres(task: &RidgeTask<'_>, total: f64) -> Vec<f64> {
    let n = task.weight.len();
    let mean =
        |column: &[f64]| column.iter().zip(task.weight).map(|(y, s)| y * s).sum::<f64>() / total;
    task.targets.chunks(n).map(|column| if task.intercept { mean(column) } else { 0.0 }).collect()
}

fn factorise<T: Element>(
    design: &Design<'_, T>,
    task: &RidgeTask<'_>,
    centres: &[f64],
    run: Run<'_>,
) -> Result<Factors> {
    let exact = design.exact();
    let (n, d) = (exact.rows(), design.mean().len());
    if n < d {
        return dual(&exact, task, centres, run);
    }
    let (mut gram, mut products) = moments::<T, _>(design, task, centres, run)?;
    let stride = exact.stride();
    let scale = |j: usize| design.scale().get(j).copied().unwrap_or(1.0);
    for i in 0..stride {
        for j in 0..stride {
            gram[i * stride + j] *= scale(i) * scale(j);
        }
    }
    products.iter_mut().enumerate().for_each(|(at, value)| *value *= scale(at % stride));
    let mut eigen = symmetric_eigen(&gram, stride, d)?;
    let least = task.alphas.iter().fold(f64::INFINITY, |a, &b| a.min(b));
    let (low, high) = (eigen.values[0].max(0.0), eigen.values[d - 1]);
    if size_of::<T>() == 4 && low + least < SINGLE * high {
        (gram, products) = moments::<f64, _>(&exact, task, centres, run)?;
        eigen = symmetric_eigen(&gram, stride, d)?;
    }
    let floor = f64::EPSILON * n.max(d) as f64 * eigen.values[d - 1];
    let kept = eigen.values.iter().position(|&value| value > floor).unwrap_or(d);
    let values = eigen.values.split_off(kept);
    Ok(Factors { values, vectors: eigen.vectors.split_off(kept * stride), products, stride })
}

/// Upper triangle of `X' S X` and all of `Y' S X`: blocks in `S`, sums over blocks in double.
fn moments<E: Element, S: Source<E>>(
    source: &S,
    task: &RidgeTask<'_>,
    centres: &[f64],
    run: Run<'_>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let kernels = E::kernels()?;
    let (n, stride, block) = (source.rows(), source.stride(), block_rows::<E>(source.stride()));
    let blocks = n.div_ceil(block);
    let chunks = CHUNKS.min(blocks).min((GRAM_BYTES / (stride * stride * 8)).max(2));
    let zeros = || (vec![0.0; stride * stride], vec![0.0; centres.len() * stride]);
    let sums: Vec<Mutex<_>> = (0..chunks).map(|_| Mutex::new(zeros())).collect();
    run.for_each(chunks, |chunk| {
        let (gram, products) = &mut *lock(&sums[chunk]);
        let (mut scratch, mut weighted, mut y) = (Vec::new(), Vec::new(), Vec::new());
        for at in chunk * blocks / chunks..(chunk + 1) * blocks / chunks {
            run.check()?;
            let rows = at * block..((at + 1) * block).min(n);
            let x = source.block(rows.clone(), &mut scratch);
            let weight = &task.weight[rows.clone()];
            let x = scale_rows(x, stride, weight, &mut weighted);
            for first in (0..stride).step_by(PANEL) {
                kernels.gram(x, stride, first, PANEL.min(stride - first), gram);
            }
            let ld = padded(rows.len());
            y.clear();
            for (column, centre) in task.targets.chunks(n).zip(centres) {
                let values = column[rows.clone()].iter().zip(weight);
                y.extend(values.map(|(y, s)| E::of((y - centre) * s.sqrt())));
                y.resize(y.len().next_multiple_of(ld), E::default());
            }
            kernels.outer(x, stride, &y, ld, products, false);
        }
        Ok(())
    })?;
    let mut total = zeros();
    for sum in sums {
        let (gram, products) = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.0.iter_mut().zip(gram).for_each(|(total, value)| *total += value);
        total.1.iter_mut().zip(products).for_each(|(total, value)| *total += value);
    }
    Ok(total)
}

/// Rows times the square roots of their weights, in place where all weights are one.
fn scale_rows<'s, E: Element>(
    x: &'s [E],
    stride: usize,
    weight: &[f64],
    scratch: &'s mut Vec<E>,
) -> &'s [E] {
    if weight.iter().all(|&weight| weight == 1.0) {
        return x;
    }
    scratch.clear();
    for (row, weight) in x.chunks(stride).zip(weight) {
        let root = E::of(weight.sqrt());
        scratch.extend(row.iter().map(|&value| value * root));
    }
    scratch
}

/// Factors from the n x n matrix of products of rows, in double precision.
fn dual<S: Source<f64>>(
    exact: &S,
    task: &RidgeTask<'_>,
    centres: &[f64],
    run: Run<'_>,
) -> Result<Factors> {
    let kernels = f64::kernels()?;
    let (n, stride, ld) = (exact.rows(), exact.stride(), padded(exact.rows()));
    let mut scratch = Vec::new();
    let x =
        scale_rows(exact.block(0..n, &mut scratch), stride, task.weight, &mut Vec::new()).to_vec();
    let panels: Vec<Mutex<Vec<f64>>> =
        (0..n.div_ceil(PANEL)).map(|_| Mutex::new(Vec::new())).collect();
    run.for_each(panels.len(), |panel| {
        let rows = &x[panel * PANEL * stride..((panel + 1) * PANEL).min(n) * stride];
        let count = rows.len() / stride;
        let mut target = lock(&panels[panel]);
        target.resize(count * ld, 0.0);
        kernels.products(&x, stride, rows, &vec![0.0; count], &mut target, ld);
        Ok(())
    })?;
    let gram: Vec<f64> = panels.iter().flat_map(|panel| lock(panel).clone()).collect();
    let eigen = symmetric_eigen(&gram, ld, n)?;
    let floor = f64::EPSILON * stride as f64 * eigen.values[n - 1];
    let kept = eigen.values.iter().position(|&value| value > floor).unwrap_or(n);
    let values = eigen.values[kept..].to_vec();
    let mut vectors = vec![0.0; values.len() * stride];
    kernels.outer(&x, stride, &eigen.vectors[kept * ld..], ld, &mut vectors, false);
    for (vector, value) in vectors.chunks_mut(stride).zip(&values) {
        vector.iter_mut().for_each(|v| *v /= value.sqrt());
    }
    let mut y = vec![0.0; centres.len() * ld];
    for ((target, column), centre) in y.chunks_mut(ld).zip(task.targets.chunks(n)).zip(centres) {
        for ((target, y), s) in target.iter_mut().zip(column).zip(task.weight) {
            *target = (y - centre) * s.sqrt();
        }
    }
    let mut products = vec![0.0; centres.len() * stride];
    kernels.outer(&x, stride, &y, ld, &mut products, false);
    Ok(Factors { values, vectors, products, stride })
}

/// For each alpha and column the coefficients along the directions: padded rows of `rank` numbers.
fn betas(factors: &Factors, alphas: &[f64]) -> Vec<f64> {
    let (rank, stride) = (factors.values.len(), factors.stride);
    let columns = factors.products.len() / stride;
    let mut along = vec![0.0; columns * rank];
    for (column, product) in factors.products.chunks(stride).enumerate() {
        for (direction, vector) in factors.vectors.chunks(stride).enumerate() {
            let inner: f64 = vector.iter().zip(product).map(|(v, p)| v * p).sum();
            along[column * rank + direction] = inner;
        }
    }
    let ld = padded(rank.max(1));
    let mut betas = Vec::with_capacity(alphas.len() * columns * ld);
    for alpha in alphas {
        for column in 0..columns {
            let along = &along[column * rank..(column + 1) * rank];
            let end = betas.len() + ld;
            betas.extend(along.iter().zip(&factors.values).map(|(a, value)| a / (value + alpha)));
            betas.resize(end, 0.0);
        }
    }
    betas
}

/// Coefficients and intercepts in the original coordinates.
fn coefficients<T: Element>(
    design: &Design<'_, T>,
    factors: &Factors,
    betas: &[f64],
    centres: &[f64],
    path: &mut RidgePath<T>,
) -> Result<()> {
    let (stride, d, rank) = (factors.stride, design.mean().len(), factors.values.len());
    let ld = padded(rank.max(1));
    // Directions as columns: rows of `basis` are the original columns.
    let mut basis = vec![0.0; stride * ld];
    for (direction, vector) in factors.vectors.chunks(stride).enumerate() {
        for (j, value) in vector.iter().enumerate() {
            basis[j * ld + direction] = *value;
        }
    }
    let count = betas.len() / ld;
    let mut out = vec![0.0; count * stride];
    f64::kernels()?.products(&basis, ld, betas, &vec![0.0; count], &mut out, stride);
    for (at, row) in out.chunks(stride).enumerate() {
        let start = path.coefficients.len();
        path.coefficients.extend(row[..d].iter().map(|&w| T::of(w)));
        let rounded = path.coefficients[start..].iter().zip(design.mean());
        let offset: f64 = rounded.map(|(w, mean)| w.wide() * mean).sum();
        path.intercepts.push(centres[at % centres.len()] - offset);
    }
    Ok(())
}

/// Sums over rows of one chunk: squared errors per alpha and column, right answers per alpha.
struct Scores {
    errors: Vec<f64>,
    hits: Vec<f64>,
    predictions: Vec<(usize, Vec<f64>)>,
}

fn leave_one_out<T: Element, E: Element, S: Source<E>>(
    source: &S,
    task: &RidgeTask<'_>,
    centres: &[f64],
    rotation: &Rotation<E>,
    run: Run<'_>,
    path: &mut RidgePath<T>,
) -> Result<()> {
    let n = task.weight.len();
    let block = block_rows::<E>(source.stride());
    let blocks = n.div_ceil(block);
    let (alphas, columns) = (task.alphas.len(), centres.len());
    let chunks = CHUNKS.min(blocks);
    let scores: Vec<Mutex<Scores>> = (0..chunks)
        .map(|_| {
            let (errors, hits) = (vec![0.0; alphas * columns], vec![0.0; alphas]);
            Mutex::new(Scores { errors, hits, predictions: Vec::new() })
        })
        .collect();
    let total: f64 = task.weight.iter().sum();
    run.for_each(chunks, |chunk| {
        let mut scores = lock(&scores[chunk]);
        for at in chunk * blocks / chunks..(chunk + 1) * blocks / chunks {
            run.check()?;
            let rows = at * block..((at + 1) * block).min(n);
            rotation.score(source, task, centres, total, rows, &mut scores)?;
        }
        Ok(())
    })?;
    path.errors = vec![0.0; alphas * columns];
    path.accuracies = vec![0.0; if task.labels.is_empty() { 0 } else { alphas }];
    path.predictions = vec![0.0; if task.predictions { alphas * columns * n } else { 0 }];
    for scores in &scores {
        let scores = lock(scores);
        path.errors.iter_mut().zip(&scores.errors).for_each(|(sum, e)| *sum += e / total);
        path.accuracies.iter_mut().zip(&scores.hits).for_each(|(sum, hits)| *sum += hits / total);
        for (first, values) in &scores.predictions {
            let rows = values.len() / (alphas * columns);
            for (at, values) in values.chunks(rows).enumerate() {
                path.predictions[at * n + first..at * n + first + rows].copy_from_slice(values);
            }
        }
    }
    Ok(())
}

/// The factors in the element type of the source, ready for the kernels.
struct Rotation<E> {
    rank: usize,
    /// rank x stride: takes scaled rows to their coordinates along the directions.
    vectors: Vec<E>,
    /// alphas x rank: 1 / (e + alpha).
    inverse: Vec<E>,
    /// alphas x columns x rank, padded.
    betas: Vec<E>,
}

impl<E: Element> Rotation<E> {
    /// For rows whose columns were divided by `scale`, one beyond its end.
    fn new(scale: &[f64], factors: &Factors, betas: &[f64], alphas: &[f64]) -> Self {
        let (stride, rank) = (factors.stride, factors.values.len());
        let scale = |j: usize| scale.get(j).copied().unwrap_or(1.0);
        let ld = padded(rank.max(1));
        let mut inverse = Vec::with_capacity(alphas.len() * ld);
        for alpha in alphas {
            let end = inverse.len() + ld;
            inverse.extend(factors.values.iter().map(|value| E::of(1.0 / (value + alpha))));
            inverse.resize(end, E::default());
        }
        let vectors = factors.vectors.iter().enumerate();
        Self {
            rank,
            vectors: vectors.map(|(at, &v)| E::of(v * scale(at % stride))).collect(),
            inverse,
            betas: betas.iter().map(|&beta| E::of(beta)).collect(),
        }
    }

    /// Leave-one-out predictions of a block for all alphas, and their scores.
    fn score(
        &self,
        source: &impl Source<E>,
        task: &RidgeTask<'_>,
        centres: &[f64],
        total: f64,
        rows: std::ops::Range<usize>,
        scores: &mut Scores,
    ) -> Result<()> {
        let kernels = E::kernels()?;
        let stride = source.stride();
        let (n, columns, alphas) = (task.weight.len(), centres.len(), task.alphas.len());
        let (ld, wide) = (padded(rows.len()), padded(self.rank.max(1)));
        let mut scratch = Vec::new();
        let x = source.block(rows.clone(), &mut scratch);
        let mut z = vec![E::default(); self.rank * ld];
        kernels.products(x, stride, &self.vectors, &vec![E::default(); self.rank], &mut z, ld);
        let mut leverage = vec![0.0; alphas * ld];
        kernels.outer(&z, ld, &self.inverse, wide, &mut leverage, true);
        let mut kept = Vec::new();
        for alpha in 0..alphas {
            let mut fitted = vec![0.0; columns * ld];
            let betas = &self.betas[alpha * columns * wide..(alpha + 1) * columns * wide];
            kernels.outer(&z, ld, betas, wide, &mut fitted, false);
            for (i, row) in rows.clone().enumerate() {
                let weight = task.weight[row];
                let share = if task.intercept { 1.0 / total } else { 0.0 };
                let rest = 1.0 - weight * (share + leverage[alpha * ld + i]);
                for (k, centre) in centres.iter().enumerate() {
                    let y = task.targets[k * n + row];
                    let residual = (y - centre - fitted[k * ld + i]) / rest.max(MIN_REST);
                    scores.errors[alpha * columns + k] += weight * residual * residual;
                    fitted[k * ld + i] = y - residual;
                }
                if let Some(&label) = task.labels.get(row) {
                    let right = is_right(|k| fitted[k * ld + i], columns, label as usize);
                    scores.hits[alpha] += if right { weight } else { 0.0 };
                }
            }
            if task.predictions {
                fitted.chunks(ld).for_each(|column| kept.extend_from_slice(&column[..rows.len()]));
            }
        }
        if task.predictions {
            scores.predictions.push((rows.start, kept));
        }
        Ok(())
    }
}

/// Whether the largest prediction, the first among equals, is the label's; one column is told by its sign.
fn is_right(prediction: impl Fn(usize) -> f64, columns: usize, label: usize) -> bool {
    if columns == 1 {
        return (prediction(0) > 0.0) == (label == 1);
    }
    let mine = prediction(label);
    (0..columns).all(|k| if k < label { prediction(k) < mine } else { prediction(k) <= mine })
}

fn check<T: Element>(x: Matrix<'_, T>, task: &RidgeTask<'_>) -> Result<()> {
    let n = x.rows();
    if task.weight.len() != n || task.targets.is_empty() || !task.targets.len().is_multiple_of(n) {
        return Err(Error::Shape(format!("{} targets for {n} rows", task.targets.len())));
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
