//! One block of rows: logits, losses and residuals, gradients, while the rows are in the cache.

use std::ops::Range;

use super::{Block, Entry, Evaluation, Pass, Purpose, Round, Target, Task};
use crate::simd::pass::{Element, Loss, LossBlock, padded};
use crate::simd::vectorised::sum_of;

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch<T> {
    x: Vec<T>,
    logits: Vec<T>,
    curvature: Vec<T>,
    pub(super) target: Vec<T>,
    pub(super) weight: Vec<T>,
    pub(super) loss: Vec<T>,
    pub(super) margin: Vec<T>,
    pub(super) roots: Vec<T>,
    pub(super) across: Vec<T>,
    pub(super) root_weights: Vec<f64>,
    pub(super) inverse: Vec<f64>,
}

impl<T: Element> Pass<'_, T> {
    pub(super) fn add_block(
        &self,
        block: usize,
        round: &Round<T>,
        scratch: &mut Scratch<T>,
        sums: &mut [Evaluation],
    ) {
        let rows = block * self.block..((block + 1) * self.block).min(self.operand.rows());
        let ld = padded(rows.len());
        let mut buffer = std::mem::take(&mut scratch.x);
        let x = self.operand.read(rows, &mut buffer);
        let mut logits = std::mem::take(&mut scratch.logits);
        logits.resize(round.bias.len() * ld, T::default());
        self.operand.products(self.kernels, &x, (&round.w, &round.bias), &mut logits, ld);
        for (entry, sum) in round.entries.iter().zip(sums) {
            let logits = &mut logits[entry.first * ld..(entry.first + entry.columns) * ld];
            self.add_entry(entry, &x, logits, scratch, sum);
        }
        scratch.logits = logits;
        scratch.x = buffer;
    }

    fn add_entry(
        &self,
        entry: &Entry,
        x: &Block<'_, T>,
        logits: &mut [T],
        scratch: &mut Scratch<T>,
        sum: &mut Evaluation,
    ) {
        let (task, rows) = (&self.tasks[entry.task], x.rows.clone());
        let ld = padded(rows.len());
        scratch.describe(task, rows.clone(), ld, entry.purpose != Purpose::Gradient);
        let mut block = LossBlock {
            logits,
            ld,
            target: &scratch.target,
            weight: &scratch.weight,
            loss: &mut scratch.loss,
            margin: &mut scratch.margin,
            curvature: &mut scratch.curvature,
        };
        self.kernels.loss(task.loss, &mut block);
        let logits = &*logits;
        sum.loss += weighted_sum(&scratch.loss, &task.weight[rows.clone()], ld);
        for (sum, residuals) in sum.gradient.1.iter_mut().zip(logits.chunks(ld)) {
            *sum += sum_all(&residuals[..rows.len()]);
        }
        self.operand.outer(self.kernels, x, logits, ld, &mut sum.gradient.0, false);
        if entry.purpose == Purpose::Curvature {
            let curvature = &mut sum.curvature.0;
            self.operand.outer(self.kernels, x, &scratch.curvature, ld, curvature, true);
        }
        if entry.purpose != Purpose::Gradient {
            for (sum, spread) in sum.curvature.1.iter_mut().zip(scratch.curvature.chunks(ld)) {
                *sum += sum_all(&spread[..rows.len()]);
            }
            sum.intercept_hessian.add_block(self.kernels, logits, rows.len(), scratch);
        }
        if entry.purpose == Purpose::Certificate {
            sum.add_margins(task, rows, scratch);
        }
    }
}

impl<T: Element> Scratch<T> {
    /// Targets and weights of a block in the element type, padded with weight zero.
    fn describe(&mut self, task: &Task<'_>, rows: Range<usize>, ld: usize, spread: bool) {
        self.weight.clear();
        self.weight.extend(task.weight[rows.clone()].iter().map(|&value| T::of(value)));
        self.weight.resize(ld, T::default());
        self.target.clear();
        match task.target {
            Target::Classes(classes) if task.loss == Loss::Softmax => {
                self.target.extend(classes[rows].iter().map(|&class| T::of(f64::from(class))));
                self.target.resize(ld, T::default());
            }
            Target::Classes(classes) => {
                let sign = |own: bool| T::of(if own { 1.0 } else { -1.0 });
                for column in 0..task.columns as u32 {
                    self.target.extend(classes[rows.clone()].iter().map(|&c| sign(c == column)));
                    self.target.resize(self.target.len().next_multiple_of(ld), T::of(1.0));
                }
            }
            Target::Signs(signs) => {
                for column in signs.chunks(signs.len() / task.columns) {
                    self.target.extend(column[rows.clone()].iter().map(|&s| T::of(f64::from(s))));
                    self.target.resize(self.target.len().next_multiple_of(ld), T::of(1.0));
                }
            }
        }
        self.loss.resize(self.target.len(), T::default());
        self.margin.resize(self.target.len(), T::default());
        self.curvature.resize(if spread { task.columns * ld } else { 0 }, T::default());
    }
}

/// `sum of weight[i] * values[c * ld + i]` over all columns c.
fn weighted_sum<T: Element>(values: &[T], weight: &[f64], ld: usize) -> f64 {
    let sum = |column: &[T]| sum_of(&column[..weight.len()], weight, |v, s| v.wide() * s);
    values.chunks(ld).map(sum).sum()
}

fn sum_all<T: Element>(values: &[T]) -> f64 {
    sum_of(values, values, |value, _| value.wide())
}
