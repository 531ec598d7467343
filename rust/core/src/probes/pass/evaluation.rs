//! What a pass sums up for each point.

use std::ops::Range;

use super::block::Scratch;
use super::{Entry, InterceptHessian, Purpose, Task};
use crate::error::Result;
use crate::parallel::Run;
use crate::probes::sweep::Sweep;
use crate::simd::pass::{Element, Loss, padded};

/// Sums over the weighted rows of a task at a point.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Sum of the losses.
    pub loss: f64,
    /// Its gradient by `w` and by `b`.
    pub gradient: (Vec<f64>, Vec<f64>),
    /// Its second derivatives by each `w` and each `b`, if asked for.
    pub curvature: (Vec<f64>, Vec<f64>),
    /// The Hessian by `b`, but for its diagonal (softmax only, unless only the gradient is asked for).
    pub intercept_hessian: InterceptHessian,
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
            && InterceptHessian::has_room_for(k);
        self.intercept_hessian.reset(if full { k } else { 0 });
        self.margin = f64::INFINITY;
        self.held_out = (0.0, 0.0);
    }

    /// Adds what other chunks have summed, in their order.
    pub(super) fn add_all(&mut self, others: &[&Self], run: Run<'_>) -> Result<()> {
        let sweep = Sweep(run);
        let add = |to: &mut Vec<f64>, from: fn(&Self) -> &[f64]| {
            others.iter().try_for_each(|other| {
                let from = from(other);
                sweep.update(to, from, from, |to, from, _| *to += from)
            })
        };
        add(&mut self.gradient.0, |sums| &sums.gradient.0)?;
        add(&mut self.gradient.1, |sums| &sums.gradient.1)?;
        add(&mut self.curvature.0, |sums| &sums.curvature.0)?;
        add(&mut self.curvature.1, |sums| &sums.curvature.1)?;
        add(&mut self.intercept_hessian.sums, |sums| &sums.intercept_hessian.sums)?;
        for other in others {
            self.loss += other.loss;
            self.margin = self.margin.min(other.margin);
            self.held_out.0 += other.held_out.0;
            self.held_out.1 += other.held_out.1;
        }
        Ok(())
    }
}
