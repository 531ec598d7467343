//! Ridge regression whose leave-one-out predictions are scaled to their least log-loss.
//!
//! Dempster, Webb & Schmidt, arXiv 2401.15610. Predictions of many classes are stored only as a last resort: a few rows
//! tell about which scale is best for a penalty ([`guess`]), then one walk over all rows keeps of each row
//! what gives its log-loss at other scales ([`kept`]).

mod guess;
mod kept;

use std::ops::Range;
use std::sync::Mutex;

use super::leave_one_out::{Blocks, Parts, show};
use super::rows::CentredRows;
use super::{RidgePath, RidgeTask, factorise};
use crate::error::Result;
use crate::memory::filled;
use crate::parallel::Run;
use crate::probes::data::{Selection, lock};
use crate::probes::temperature::{Fit, Goal, Stored, fit_scales};
use crate::simd::pass::Element;
use crate::simd::rivals::LISTED;

/// Bytes of predictions that are stored, where one penalty has fewer.
const STORED: usize = 256 << 20;
/// Bytes of predictions up to which storing them is the quicker way.
const SMALL: usize = 16 << 20;
/// Classes up to which it is, too: there is not much left beside the rivals that are kept one by one.
const FEW: usize = 4 * LISTED;

/// Ridge solutions, and what their predictions are to be scaled by.
#[derive(Clone, Debug)]
pub struct Prevalidated<T> {
    /// The solutions, as they are.
    pub path: RidgePath<T>,
    /// The weighted mean of each target; predictions are scaled about it.
    pub centres: Vec<f64>,
    /// One per alpha.
    pub fits: Vec<Fit>,
}

/// Solves for all alphas. With labels and more than one column the log-loss is that of the softmax of the
/// columns; else each column is the logit of one class against its negative.
pub fn prevalidated_path<T: Element>(
    x: Selection<'_, T>,
    task: &RidgeTask<'_>,
    run: Run<'_>,
) -> Result<Prevalidated<T>> {
    let (rows, factors, along, centres, path) = factorise(x, task, run)?;
    let total: f64 = task.weight.iter().sum();
    let share: Vec<f64> = task.weight.iter().map(|weight| weight / total).collect();
    let goal = match task.labels {
        labels if centres.len() > 1 && !labels.is_empty() => Goal::Classes(labels),
        _ => Goal::Signs(task.targets),
    };
    let problem = Problem {
        rows: &rows,
        task: &RidgeTask { labels: &[], ..task.clone() },
        parts: (&factors, &along, &centres),
        goal,
        share: &share,
    };
    let fits = match goal {
        Goal::Classes(labels)
            if problem.bytes(task.alphas.len()) > SMALL && centres.len() > FEW =>
        {
            problem.fit_kept(labels, run)?
        }
        _ => problem.fit_stored(task.alphas, run)?,
    };
    Ok(Prevalidated { path, centres, fits })
}

struct Problem<'a, T> {
    rows: &'a CentredRows<'a, T>,
    task: &'a RidgeTask<'a>,
    parts: Parts<'a>,
    goal: Goal<'a>,
    share: &'a [f64],
}

/// Blocks of rows, and what was made of each.
type Made<V> = Vec<(Range<usize>, V)>;

impl<T: Element> Problem<'_, T> {
    fn columns(&self) -> usize {
        self.parts.2.len()
    }

    /// Bytes of the predictions for so many penalties.
    fn bytes(&self, alphas: usize) -> usize {
        alphas * self.columns() * self.share.len() * size_of::<f64>()
    }

    fn show(
        &self,
        alphas: &[f64],
        run: Run<'_>,
        blocks: Blocks,
        watch: impl Fn(Range<usize>, &[f64]) -> Result<()> + Sync,
    ) -> Result<()> {
        let task = RidgeTask { alphas, ..self.task.clone() };
        show(self.rows, &task, self.parts, run, (blocks, &watch))
    }

    /// What `make` makes of the predictions of each block, by the order of the blocks.
    fn collect<V: Send>(
        &self,
        alphas: &[f64],
        run: Run<'_>,
        blocks: Blocks,
        make: impl Fn(&Range<usize>, &[f64]) -> Result<V> + Sync,
    ) -> Result<Made<V>> {
        let made = Mutex::new(Made::new());
        self.show(alphas, run, blocks, |block, found| {
            let value = make(&block, found)?;
            lock(&made).push((block, value));
            Ok(())
        })?;
        let mut made = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        made.sort_unstable_by_key(|(block, _)| block.start);
        Ok(made)
    }

    /// The fits from the predictions themselves, as many penalties at a time as memory is granted for.
    fn fit_stored(&self, alphas: &[f64], run: Run<'_>) -> Result<Vec<Fit>> {
        let rows = self.share.len();
        let mut fits = Vec::new();
        for alphas in alphas.chunks((STORED / self.bytes(1)).max(1)) {
            let length = alphas.len() * self.columns() * rows;
            let values = Mutex::new(filled(0.0, length, "leave-one-out predictions")?);
            self.show(alphas, run, Blocks::All, |block, found| {
                let mut values = lock(&values);
                for (column, found) in values.chunks_mut(rows).zip(found.chunks(block.len())) {
                    column[block.clone()].copy_from_slice(found);
                }
                Ok(())
            })?;
            let values = lock(&values);
            let (centre, goal, share) = (self.parts.2, self.goal, self.share);
            fits.extend(fit_scales(&Stored { values: &values, centre, goal, share }, run)?);
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests;
