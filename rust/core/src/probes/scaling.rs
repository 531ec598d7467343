//! The problem that the solvers see: scaled by the weights, with the penalty of scaled columns.

use super::dense::solve_definite;
use super::lbfgs::Iterate;
use super::pass::{Evaluation, InterceptHessian, Task};
use super::sweep::Sweep;
use crate::error::Result;
use crate::simd::pass::Loss;
use crate::simd::vectorised::{sum_of, update};

/// Part of the curvature below which a class has no say.
const NO_ROWS: f64 = 1e-7;

/// The scaled problem of a task: `f = loss / total + lambda / 2 sum penalty_j w_j^2`.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Sum of the weights.
    pub total: f64,
    /// Columns of the task.
    pub columns: usize,
    /// The penalty of each coefficient.
    pub penalty: Vec<f64>,
    /// One over it: exact, because penalties are powers of two.
    inverse_penalty: Vec<f64>,
    /// Whether the intercept is free; it is zero otherwise.
    pub intercept: bool,
    /// Rows that count.
    pub rows: usize,
    /// The largest squared distance of a row from the mean.
    pub reach: f64,
    /// Sum of the weights of the rows held out.
    pub held_out: f64,
    /// Whether solutions may be handed over before they were seen at their best intercepts.
    pub unseen: bool,
    /// Columns whose targets are all the same: no intercept is best, so theirs stays where it starts.
    constant: Vec<bool>,
}

impl Scaling {
    /// The scaling of a task whose X has these penalties.
    pub fn new(task: &Task<'_>, (penalty, reach): (&[f64], f64), intercept: bool) -> Self {
        let (total, columns) = (task.total(), task.columns);
        let rows = task.weight.iter().filter(|&&weight| weight > 0.0).count();
        let alone = |sum: &f64| task.loss != Loss::Softmax && (*sum <= 0.0 || *sum >= total);
        let constant = task.totals().iter().map(alone).collect();
        let inverse: Vec<f64> = penalty.iter().map(|penalty| 1.0 / penalty).collect();
        let (penalty, inverse_penalty) = (penalty.repeat(columns), inverse.repeat(columns));
        let (held_out, unseen) = (task.held_out.iter().sum(), false);
        Self {
            total,
            columns,
            penalty,
            inverse_penalty,
            intercept,
            rows,
            reach,
            held_out,
            unseen,
            constant,
        }
    }

    /// Sets the intercepts that no step moves as in `cold`.
    pub fn keep_unmoved(&self, cold: &[f64], start: &mut [f64]) {
        let pairs = start[self.split()..].iter_mut().zip(&cold[self.split()..]);
        for ((start, cold), constant) in pairs.zip(&self.constant) {
            if !self.intercept || *constant {
                *start = *cold;
            }
        }
    }

    /// Where the intercepts start in the vector of all coefficients.
    pub fn split(&self) -> usize {
        self.penalty.len()
    }

    /// 1 / (C total)
    pub fn lambda(&self, c: f64) -> f64 {
        1.0 / (c * self.total)
    }

    /// The objective and its gradient at `x`, from the sums of a pass there, whose gradient is taken out.
    pub fn iterate(
        &self,
        x: Vec<f64>,
        at: &mut Evaluation,
        lambda: f64,
        sweep: Sweep<'_>,
    ) -> Result<Iterate> {
        let mut gradient = std::mem::take(&mut at.gradient.0);
        let share = 1.0 / self.total;
        sweep.update(&mut gradient, &x, &self.penalty, |g, w, p| {
            *g = *g * share + lambda * p * w;
        })?;
        let penalty = sweep.sum_of(&x[..self.penalty.len()], &self.penalty, |w, p| p * w * w)?;
        let free = |constant: &bool| self.intercept && !constant;
        let intercepts = at.gradient.1.iter().zip(&self.constant);
        gradient.extend(intercepts.map(|(g, s)| if free(s) { g / self.total } else { 0.0 }));
        Ok(Iterate { x, value: at.loss / self.total + 0.5 * lambda * penalty, gradient })
    }

    /// The inverse of the Hessian's diagonal.
    pub fn inverse_diagonal(&self, at: &Evaluation, lambda: f64) -> Vec<f64> {
        let inverse = |curvature: f64| 1.0 / curvature.max(1e-30);
        let mut diagonal = Vec::with_capacity(at.curvature.0.len() + self.columns);
        diagonal.extend_from_slice(&at.curvature.0);
        let penalty = &self.penalty;
        update(&mut diagonal, penalty, penalty, |h, p, _| {
            *h = inverse(*h / self.total + lambda * p)
        });
        let floor = 1e-6 * at.curvature.1.iter().sum::<f64>() / self.total;
        diagonal.extend(at.curvature.1.iter().map(|h| inverse((h / self.total).max(floor))));
        diagonal
    }

    /// The bound of the certificate ([`super::certificate`]): `gap` is what [`Scaling::weight_gap`] gives, `decrement`
    /// Newton's in the intercepts, `curvature` the diagonal of their Hessian.
    pub fn bound(&self, gap: f64, decrement: f64, curvature: &[f64], lambda: f64) -> f64 {
        let largest = self.reach * curvature.iter().sum::<f64>() / self.total;
        let moved = if decrement > 0.0 { (largest * decrement).sqrt() } else { 0.0 };
        ((2.0 * lambda * gap).sqrt() + moved).powi(2) / (2.0 * lambda) + 0.5 * decrement
    }

    /// `|g_W|^2 / (2 lambda)`, each column by its penalty.
    pub fn weight_gap(&self, gradient: &[f64], lambda: f64) -> f64 {
        sum_of(gradient, &self.inverse_penalty, |g, inverse| g * g * inverse) / (2.0 * lambda)
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
    if loss != Loss::Softmax || !InterceptHessian::has_room_for(n) {
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
    let entry = |i: usize, j: usize| match i == j {
        true => at.curvature.1[i],
        false => -at.intercept_hessian.together(i, j),
    };
    let pairs = live.iter().flat_map(|&i| live.iter().map(move |&j| (i, j)));
    let matrix: Vec<f64> =
        pairs.map(|(i, j)| entry(i, j) / scaling.total + size / m as f64).collect();
    let solution = solve_definite(&matrix, &centred)?;
    let mut step = vec![0.0; n];
    live.iter().zip(solution).for_each(|(&k, value)| step[k] = value);
    Some(step)
}
