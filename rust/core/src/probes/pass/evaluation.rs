//! What a pass sums up for each point.

use std::ops::Range;

use super::block::Scratch;
use super::{Entry, Purpose, Task};
use crate::simd::pass::{Element, Loss, padded};
use crate::simd::vectorised::update;

/// Classes up to which the whole Hessian by the intercepts is formed.
pub const MAX_INTERCEPT_HESSIAN: usize = 1024;

/// Sums over the weighted rows of a task at a point.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Sum of the losses.
    pub loss: f64,
    /// Its gradient by `w` and by `b`.
    pub gradient: (Vec<f64>, Vec<f64>),
    /// Its second derivatives by each `w` and each `b`, if asked for.
    pub curvature: (Vec<f64>, Vec<f64>),
    /// The Hessian by `b` (softmax only, unless only the gradient is asked for).
    pub intercept_hessian: Vec<f64>,
    /// The smallest distance to the decision boundary, in logits (if certifying).
    pub margin: f64,
    /// Weighted loss and weighted accuracy sums over the held-out rows (if certifying).
    pub held_out: (f64, f64),
}

impl Evaluation {
    /// Adds what only a certificate needs: margins and held-out scores.
    pub(super) fn add_margins<T: Element>(
        &mut self,
        task: &Task<'_>,
        rows: Range<usize>,
        scratch: &Scratch<T>,
    ) {
        let ld = padded(rows.len());
        for (losses, margins) in scratch.loss.chunks(ld).zip(scratch.margin.chunks(ld)) {
            for (i, row) in rows.clone().enumerate() {
                if task.weight[row] > 0.0 {
                    self.margin = self.margin.min(margins[i].wide());
                }
                if let Some(&weight) = task.held_out.get(row) {
                    self.held_out.0 += weight * losses[i].wide();
                    self.held_out.1 += if margins[i].wide() > 0.0 { weight } else { 0.0 };
                }
            }
        }
    }

    pub(super) fn reset(&mut self, entry: &Entry, wide: usize, loss: Loss) {
        let zero = |values: &mut Vec<f64>, length: usize| {
            values.truncate(length);
            values.fill(0.0);
            values.resize(length, 0.0);
        };
        let k = entry.columns;
        self.loss = 0.0;
        zero(&mut self.gradient.0, wide);
        zero(&mut self.gradient.1, k);
        zero(&mut self.curvature.0, if entry.purpose == Purpose::Curvature { wide } else { 0 });
        zero(&mut self.curvature.1, k);
        let full = entry.purpose != Purpose::Gradient
            && loss == Loss::Softmax
            && k <= MAX_INTERCEPT_HESSIAN;
        zero(&mut self.intercept_hessian, if full { k * k } else { 0 });
        self.margin = f64::INFINITY;
        self.held_out = (0.0, 0.0);
    }

    pub(super) fn add(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| update(to, from, from, |to, from, _| *to += from);
        self.loss += other.loss;
        add(&mut self.gradient.0, &other.gradient.0);
        add(&mut self.gradient.1, &other.gradient.1);
        add(&mut self.curvature.0, &other.curvature.0);
        add(&mut self.curvature.1, &other.curvature.1);
        add(&mut self.intercept_hessian, &other.intercept_hessian);
        self.margin = self.margin.min(other.margin);
        self.held_out.0 += other.held_out.0;
        self.held_out.1 += other.held_out.1;
    }
}
