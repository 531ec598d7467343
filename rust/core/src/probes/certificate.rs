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
//! A class whose curvature is below a part of 1e-7 of all has no best intercept and no part in q: rows of it, if
//! there are any, add less than that part to the loss.

use super::design::Design;
use super::lbfgs::Iterate;
use super::pass::{Evaluation, Pass, Point, Purpose, Task};
use super::scaling::{Scaling, intercept_step};
use super::sweep::Sweep;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, Loss};

/// Columns certified in one pass.
const COLUMNS: usize = 96;

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
    let pass = Pass::new(&*exact, tasks, COLUMNS.max(widest))?;
    let group = (COLUMNS / widest).max(1);
    let penalty = vec![1.0; exact.stride()];
    let mut certificates = Vec::with_capacity(points.len());
    pass.with_threads(run, |evaluate| {
        for points in points.chunks(group) {
            let asked: Vec<Point<'_>> = points
                .iter()
                .map(|p| Point { task: p.task, w: &p.w, b: &p.b, purpose: Purpose::Certificate })
                .collect();
            for (point, mut at) in points.iter().zip(evaluate(&asked)?) {
                let task = &tasks[point.task];
                let scaling = Scaling::new(task, (&penalty, design.reach()), intercept);
                let x = [point.w.as_slice(), &point.b].concat();
                let lambda = scaling.lambda(point.c);
                let iterate = scaling.iterate(x, &mut at, lambda, Sweep(run))?;
                certificates.push(conclude(
                    design.mean(),
                    task.loss,
                    (&scaling, lambda),
                    &iterate,
                    &at,
                ));
            }
        }
        Ok(())
    })?;
    Ok(certificates)
}

fn conclude(
    mean: &[f64],
    loss: Loss,
    (scaling, lambda): (&Scaling, f64),
    iterate: &Iterate,
    at: &Evaluation,
) -> Certificate {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::probes::data::Selection;
    use crate::probes::pass::Target;

    /// Nothing is fitted yet, and nine rows of ten are of one class: on the way to the best intercepts their
    /// Hessian shrinks, and half of Newton's decrement is less than there is to gain.
    #[test]
    fn far_from_the_best_intercepts_the_bound_holds_too() {
        let (x, classes): (Vec<f64>, Vec<u32>) =
            (0..100).map(|i| (f64::from(i % 2) - 0.5, u32::from(i % 10 == 0))).unzip();
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let weight = [1.0; 100];
        let design =
            Design::new(Selection::new(&x, 1).unwrap(), &weight, (true, false), run).unwrap();
        let target = Target::Classes(&classes);
        let task = Task {
            loss: Loss::Softmax,
            columns: 2,
            target,
            weight: &weight,
            held_out: &[],
            start: None,
        };
        let (c, width) = (1e-9, design.penalty().len());
        let point = ExactPoint { task: 0, c, w: vec![0.0; 2 * width], b: vec![0.0; 2] };
        let found = certify(&design, &[task], &[point], true, run).unwrap().remove(0);
        let best = -(0.9 * 0.9f64.ln() + 0.1 * 0.1f64.ln());
        let gain = 100.0 * c * (2f64.ln() - best);
        assert!(found.gap >= gain, "{} < {gain}", found.gap);
    }
}
