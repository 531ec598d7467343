//! How far a solution is from the optimum, at most: one pass in double precision at the numbers
//! that are handed out.
//!
//! Let `f(W, b) = mean loss + lambda |W|^2 / 2`, `s = H_b^+ g_b` Newton's step in b and `q = g_b' s` its
//! decrement. The minimum over b is strongly convex in W, and its gradient differs from `g_W` by `H_Wb s`, at
//! most `sqrt(L q)` with L the largest eigenvalue of the loss's Hessian in W, itself at most
//! `max |x|^2 trace H_b`. Hence `f - f* <= (|g_W| + sqrt(L q))^2 / (2 lambda) + q / 2`.
//!
//! That would be all if the Hessian were the same along the step. For logistic losses and the softmax it
//! changes at most by the factor `exp(2 |s|_inf)` (they are self-concordant in this sense: Bach 2010), and q
//! is multiplied by that. Newton steps in b make s vanish, and then the terms with q do not count and `f - f* <=
//! |g_W|^2 / (2 lambda)` holds for any of the losses. Where s is not small (a point that is not converged,
//! whose gap is far above any tolerance) the bound is no proof: the best intercepts may be farther away
//! than s says, and for the squared hinge the Hessian jumps.
//!
//! A class whose curvature is below [`NO_ROWS`] of all has no best intercept and no part in q: rows of it, if
//! there are any, add less than that part to the loss.

use super::data::{Design, Source};
use super::pass::{Evaluation, MAX_INTERCEPT_HESSIAN, Pass, Point, Task, Wanted};
use super::path::Scaling;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, Loss};

/// Columns certified in one pass.
const COLUMNS: usize = 96;

/// Part of the curvature below which a class has no say.
const NO_ROWS: f64 = 1e-7;

/// What double precision says about a solution.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// `C * sum s_i loss_i + |W|^2 / 2`
    pub objective: f64,
    /// At most this far above the optimum, in units of the objective.
    pub gap: f64,
    /// The norm of the gradient of `objective / (C * sum s)`.
    pub gradient_norm: f64,
    /// The smallest distance of a row to the decision boundary, in logits; positive: separable.
    pub margin: f64,
    /// Weighted loss and number of right answers over the held-out rows.
    pub held_out: (f64, f64),
    /// What the gap would be if the intercepts were the best ones for these coefficients.
    weight_gap: f64,
    /// Newton's step in the intercepts, to be subtracted.
    pub(super) step: Vec<f64>,
}

impl Certificate {
    /// Whether the relative gap is within `tolerance`.
    pub fn holds(&self, tolerance: f64) -> bool {
        self.gap <= tolerance * self.objective
    }

    /// Whether it would be, were the intercepts the best ones for these coefficients.
    pub(super) fn holds_but_for_intercepts(&self, tolerance: f64) -> bool {
        !self.holds(tolerance)
            && !self.step.is_empty()
            && self.weight_gap <= tolerance * self.objective
    }
}

/// Coefficients in the coordinates of [`Design::exact`].
#[derive(Clone, Debug)]
pub(crate) struct ExactPoint {
    pub task: usize,
    pub c: f64,
    pub w: Vec<f64>,
    pub b: Vec<f64>,
}

/// Certifies every point.
pub(crate) fn certify<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    points: &[ExactPoint],
    intercept: bool,
    run: Run<'_>,
) -> Result<Vec<Certificate>> {
    let exact = design.exact();
    let widest = points.iter().map(|point| tasks[point.task].columns).max().unwrap_or(1);
    let pass = Pass::new(&exact, tasks, COLUMNS.max(widest))?;
    let group = (COLUMNS / widest).max(1);
    let penalty = vec![1.0; exact.stride()];
    let mut certificates = Vec::with_capacity(points.len());
    pass.with_threads(run, |evaluate| {
        for points in points.chunks(group) {
            let asked: Vec<Point<'_>> = points
                .iter()
                .map(|p| Point { task: p.task, w: &p.w, b: &p.b, wanted: Wanted::Certificate })
                .collect();
            for (point, at) in points.iter().zip(evaluate(&asked)?) {
                let task = &tasks[point.task];
                let scaling = Scaling::new(task, (&penalty, design.reach()), intercept);
                certificates.push(conclude(design.mean(), task.loss, &scaling, point, &at));
            }
        }
        Ok(())
    })?;
    Ok(certificates)
}

fn conclude(
    mean: &[f64],
    loss: Loss,
    scaling: &Scaling,
    point: &ExactPoint,
    at: &Evaluation,
) -> Certificate {
    let lambda = scaling.lambda(point.c);
    let x = [point.w.as_slice(), &point.b].concat();
    let iterate = scaling.iterate(x, at, lambda);
    let (weights, intercepts) = iterate.gradient.split_at(scaling.split());
    let step = intercept_step(loss, scaling, intercepts, at);
    let decrement = step.as_ref().map_or(f64::INFINITY, |step| {
        step.iter().zip(intercepts).map(|(step, g)| step * g).sum::<f64>().max(0.0)
    });
    let weight_gap = scaling.weight_gap(weights, lambda);
    let farthest = step.iter().flatten().fold(0.0f64, |most, step| most.max(step.abs()));
    let change = if loss == Loss::SquaredHinge { 1.0 } else { (2.0 * farthest).exp() };
    let gap = scaling.bound(weight_gap, change * decrement, &at.curvature.1, lambda);
    // By the original coefficients: moving W moves the centred intercept along with the mean.
    let raw = weights.chunks(scaling.split() / scaling.columns).zip(intercepts).map(|(row, b)| {
        let moved = row.iter().zip(mean).map(|(g, mean)| (g + b * mean).powi(2));
        moved.sum::<f64>() + b * b
    });
    Certificate {
        objective: iterate.value / lambda,
        gap: gap / lambda,
        gradient_norm: raw.sum::<f64>().sqrt(),
        margin: at.margin,
        held_out: at.held_out,
        weight_gap: weight_gap / lambda,
        step: step.unwrap_or_default(),
    }
}

/// `H^+ g` over the intercepts: Newton's step, to be subtracted. Nothing where H is not definite.
pub(crate) fn intercept_step(
    loss: Loss,
    scaling: &Scaling,
    gradient: &[f64],
    at: &Evaluation,
) -> Option<Vec<f64>> {
    let n = gradient.len();
    if !scaling.intercept || gradient.iter().all(|&g| g == 0.0) {
        return Some(vec![0.0; n]);
    }
    if loss != Loss::Softmax || n > MAX_INTERCEPT_HESSIAN {
        // Exact for independent columns; for very many classes p p' is small beside diag p.
        let terms = gradient.iter().zip(&at.curvature.1);
        let newton = |g: f64, h: f64| if g == 0.0 { 0.0 } else { g * scaling.total / h };
        let step: Vec<f64> = terms.map(|(&g, &h)| newton(g, h)).collect();
        return step.iter().all(|value| value.is_finite()).then_some(step);
    }
    // A class without rows (in a fold, say) has no optimum: its intercept only falls. It is left out.
    let floor = NO_ROWS * at.curvature.1.iter().sum::<f64>();
    let live: Vec<usize> = (0..n).filter(|&k| at.curvature.1[k] > floor).collect();
    let m = live.len();
    let mean = live.iter().map(|&k| gradient[k]).sum::<f64>() / m as f64;
    let centred: Vec<f64> = live.iter().map(|&k| gradient[k] - mean).collect();
    // H has the vector of ones as its null space; adding its projector makes it definite.
    let size = at.curvature.1.iter().sum::<f64>() / (scaling.total * m as f64);
    let pairs = live.iter().flat_map(|&i| live.iter().map(move |&j| i * n + j));
    let mut matrix: Vec<f64> =
        pairs.map(|ij| at.intercept_hessian[ij] / scaling.total + size / m as f64).collect();
    let solution = solve_definite(&mut matrix, m, &centred)?;
    let mut step = vec![0.0; n];
    live.iter().zip(solution).for_each(|(&k, value)| step[k] = value);
    Some(step)
}

/// Solves `A x = b` by Cholesky in place; nothing where A is not numerically definite.
fn solve_definite(a: &mut [f64], n: usize, b: &[f64]) -> Option<Vec<f64>> {
    for j in 0..n {
        for k in 0..j {
            let factor = a[j * n + k];
            for i in j..n {
                a[i * n + j] -= a[i * n + k] * factor;
            }
        }
        let pivot = a[j * n + j];
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        let root = pivot.sqrt();
        for i in j..n {
            a[i * n + j] /= root;
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let known: f64 = (0..i).map(|k| a[i * n + k] * x[k]).sum();
        x[i] = (x[i] - known) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| a[k * n + i] * x[k]).sum();
        x[i] = (x[i] - known) / a[i * n + i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_solves_and_refuses() {
        let x = solve_definite(&mut [4.0, 2.0, 2.0, 3.0], 2, &[8.0, 8.0]).unwrap();
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
        assert!(solve_definite(&mut [1.0, 2.0, 2.0, 1.0], 2, &[1.0, 1.0]).is_none());
    }
}
