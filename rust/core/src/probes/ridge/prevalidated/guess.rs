//! About the best scale, by the predictions of a few rows.

use std::ops::Range;

use super::Problem;
use crate::error::Result;
use crate::memory::room;
use crate::parallel::Run;
use crate::probes::ridge::leave_one_out::Blocks;
use crate::probes::temperature::{Goal, LIMITS, Stored, guess};
use crate::simd::pass::Element;

/// Rows, and bytes of their predictions, from which a scale is guessed.
const GUESSED: (usize, usize) = (512, 24 << 20);

impl<T: Element> Problem<'_, T> {
    /// One guess for each penalty.
    pub(super) fn guesses(&self, labels: &[u32], run: Run<'_>) -> Result<Vec<f64>> {
        let (alphas, columns) = (self.task.alphas, self.columns());
        let fitting = GUESSED.1 / (alphas.len() * columns * size_of::<f64>());
        let every = self.share.len().div_ceil(GUESSED.0.min(fitting).max(1));
        let kept =
            self.collect(alphas, run, Blocks::Every(every), |_, found| Ok(found.to_vec()))?;
        let rows: Vec<usize> = kept.iter().flat_map(|(block, _)| block.clone()).collect();
        let labels: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
        let total: f64 = rows.iter().map(|&row| self.share[row]).sum();
        let share: Vec<f64> = rows.iter().map(|&row| self.share[row] / total).collect();
        let (centre, goal) = (self.parts.2, Goal::Classes(&labels));
        let mut values = room(columns * rows.len(), "leave-one-out predictions")?;
        let (mut guesses, mut start) = (Vec::new(), 1.0);
        for alpha in 0..alphas.len() {
            values.clear();
            for column in alpha * columns..(alpha + 1) * columns {
                let part = |(block, found): &(Range<usize>, Vec<f64>)| {
                    values.extend_from_slice(&found[column * block.len()..][..block.len()]);
                };
                kept.iter().for_each(part);
            }
            let stored = Stored { values: &values, centre, goal, share: &share };
            let scale = guess(&stored, self.share.len(), start, run)?;
            start = if scale.is_finite() { scale } else { LIMITS[0] };
            guesses.push(start);
        }
        Ok(guesses)
    }
}
