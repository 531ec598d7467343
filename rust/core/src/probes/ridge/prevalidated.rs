//! Ridge regression whose leave-one-out predictions are scaled to their least log-loss.
//!
//! Dempster, Webb & Schmidt, arXiv 2401.15610. Predictions of many classes are never stored: a few rows
//! tell about which scale is best for a penalty, then one walk over all rows keeps of each row its
//! moments about that scale ([`settle`]), which give the log-loss at all scales nearby.

use std::ops::Range;
use std::sync::Mutex;

use super::leave_one_out::{Parts, show};
use super::rows::CentredRows;
use super::{RidgePath, RidgeTask, factorise};
use crate::error::{Error, Result};
use crate::memory::{filled, room};
use crate::parallel::Run;
use crate::probes::data::{Selection, lock};
use crate::probes::temperature::{
    Bracket, Columns, Fit, Goal, LIMITS, Outcome, Part, Stored, Tiles, WIDTH, fit_scales, guess,
    settle,
};
use crate::simd::Kernels;
use crate::simd::moments::TILE;
use crate::simd::pass::Element;

/// Bytes of predictions that are stored, where moments would take as much.
const STORED: usize = 256 << 20;
/// Bytes of predictions up to which storing them is the quicker way.
const SMALL: usize = 16 << 20;
/// Bytes of moments that are held at a time.
const MOMENTS: usize = 64 << 20;
/// Rows, and bytes of their predictions, from which a scale is guessed.
const GUESSED: (usize, usize) = (1024, 24 << 20);
/// Walks over all rows after which the predictions of what is still open are stored.
const ROUNDS: usize = 4;

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
            if problem.bytes(task.alphas.len()) > SMALL && centres.len() > WIDTH =>
        {
            problem.fit_by_moments(labels, run)?
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

/// What was kept of blocks of rows: the rows, and numbers for each penalty, one penalty after the other.
type Kept = Vec<(Range<usize>, Vec<f64>)>;

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
        every: usize,
        watch: impl Fn(Range<usize>, &[f64]) -> Result<()> + Sync,
    ) -> Result<()> {
        let task = RidgeTask { alphas, ..self.task.clone() };
        show(self.rows, &task, self.parts, run, (every, &watch))
    }

    /// The fits from the predictions themselves, as many penalties at a time as memory is granted for.
    fn fit_stored(&self, alphas: &[f64], run: Run<'_>) -> Result<Vec<Fit>> {
        let rows = self.share.len();
        let mut fits = Vec::new();
        for alphas in alphas.chunks((STORED / self.bytes(1)).max(1)) {
            let length = alphas.len() * self.columns() * rows;
            let values = Mutex::new(filled(0.0, length, "leave-one-out predictions")?);
            self.show(alphas, run, 1, |block, found| {
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

    fn fit_by_moments(&self, labels: &[u32], run: Run<'_>) -> Result<Vec<Fit>> {
        let alphas = self.task.alphas;
        let mut about = self.guesses(labels, run)?;
        let mut brackets = vec![Bracket::default(); alphas.len()];
        let mut fits = vec![None; alphas.len()];
        let group = (MOMENTS / (self.share.len() * WIDTH * size_of::<f64>())).max(1);
        for _ in 0..ROUNDS {
            let open: Vec<usize> = (0..alphas.len()).filter(|&at| fits[at].is_none()).collect();
            for group in open.chunks(group) {
                let tried: Vec<_> = group.iter().map(|&at| (alphas[at], about[at])).collect();
                let kept = self.moments(labels, &tried, run)?;
                for (place, &at) in group.iter().enumerate() {
                    let parts = self.series(&kept, place);
                    match settle(&parts, about[at], &mut brackets[at], run)? {
                        Outcome::Settled(scale, loss) => fits[at] = Some(Fit { scale, loss }),
                        Outcome::Open(scale) => about[at] = scale,
                    }
                }
            }
        }
        let mut all = Vec::new();
        for (fit, alpha) in fits.into_iter().zip(alphas) {
            all.extend(fit.map_or_else(|| self.fit_stored(&[*alpha], run), |fit| Ok(vec![fit]))?);
        }
        Ok(all)
    }

    /// About the best scale of each penalty.
    fn guesses(&self, labels: &[u32], run: Run<'_>) -> Result<Vec<f64>> {
        let (alphas, columns) = (self.task.alphas, self.columns());
        let fitting = GUESSED.1 / (alphas.len() * columns * size_of::<f64>());
        let every = self.share.len().div_ceil(GUESSED.0.min(fitting).max(1));
        let kept = Mutex::new(Kept::new());
        self.show(alphas, run, every, |block, found| {
            lock(&kept).push((block, found.to_vec()));
            Ok(())
        })?;
        let kept = in_order(kept);
        let of_rows = |kept: &Kept| kept.iter().flat_map(|(block, _)| block.clone()).collect();
        let rows: Vec<usize> = of_rows(&kept);
        let labels: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
        let total: f64 = rows.iter().map(|&row| self.share[row]).sum();
        let share: Vec<f64> = rows.iter().map(|&row| self.share[row] / total).collect();
        let mut values = room(columns * rows.len(), "leave-one-out predictions")?;
        let (mut guesses, mut start) = (Vec::new(), 1.0);
        for alpha in 0..alphas.len() {
            values.clear();
            for column in alpha * columns..(alpha + 1) * columns {
                let parts =
                    kept.iter().map(|(block, found)| &found[column * block.len()..][..block.len()]);
                parts.for_each(|part| values.extend_from_slice(part));
            }
            let (centre, goal) = (self.parts.2, Goal::Classes(&labels));
            let stored = Stored { values: &values, centre, goal, share: &share };
            let scale = guess(&stored, start, run)?;
            start = if scale.is_finite() { scale } else { LIMITS[0] };
            guesses.push(start);
        }
        Ok(guesses)
    }

    /// The moments of all rows for penalties, each about a scale.
    fn moments(&self, labels: &[u32], tried: &[(f64, f64)], run: Run<'_>) -> Result<Kept> {
        let (kernels, columns) = (Kernels::current()?, self.columns());
        let alphas: Vec<f64> = tried.iter().map(|&(alpha, _)| alpha).collect();
        let kept = Mutex::new(Kept::new());
        self.show(&alphas, run, 1, |block, found| {
            let count = block.len();
            let mut tiles = Tiles::new(self.goal, self.parts.2, kernels);
            let mut moments = room(tried.len() * count * WIDTH, "moments of predictions")?;
            for (values, &(_, scale)) in found.chunks(columns * count).zip(tried) {
                run.check()?;
                let from = Columns { values, ld: count };
                for place in (0..count).step_by(TILE) {
                    let rows = (place, block.start + place, TILE.min(count - place));
                    tiles.series(from, rows, (labels, scale), &mut moments);
                }
            }
            lock(&kept).push((block, moments));
            Ok(())
        })?;
        let kept = in_order(kept);
        if kept.iter().map(|(block, _)| block.len()).sum::<usize>() != self.share.len() {
            return Err(Error::Internal("not every row was left out once".into()));
        }
        Ok(kept)
    }

    /// The moments of the `place`-th penalty.
    fn series<'k>(&'k self, kept: &'k Kept, place: usize) -> Vec<Part<'k>> {
        let part = |(block, values): &'k (Range<usize>, Vec<f64>)| {
            let length = block.len() * WIDTH;
            let values = &values[place * length..(place + 1) * length];
            Part { values, share: &self.share[block.clone()] }
        };
        kept.iter().map(part).collect()
    }
}

/// Blocks by their rows, whoever was first.
fn in_order(kept: Mutex<Kept>) -> Kept {
    let mut kept = kept.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    kept.sort_unstable_by_key(|(block, _)| block.start);
    kept
}
