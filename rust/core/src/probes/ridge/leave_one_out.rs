//! Leave-one-out residuals of all rows for all penalties, and their scores.

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::careful::Careful;
use super::factors::Factors;
use super::rotation::{Buffers, Rotation};
use super::rows::CentredRows;
use super::{CHUNKS, RidgePath, RidgeTask, cost_of_leaving_out};
use crate::error::Result;
use crate::memory::filled;
use crate::parallel::Run;
use crate::probes::data::{block_rows, lock};
use crate::simd::pass::Element;

/// The relative error of a direction up to which single precision will do.
const LOSS: f64 = 1e-3;
/// What predictions are called where memory for them cannot be had.
const PREDICTIONS: &str = "leave-one-out predictions";

/// What is shown the leave-one-out predictions of a block of rows, penalties x columns x rows.
pub(super) type Show<'a> = &'a (dyn Fn(Range<usize>, &[f64]) -> Result<()> + Sync);
/// Which blocks of rows are read.
#[derive(Clone, Copy)]
pub(super) enum Blocks {
    All,
    /// Every so manieth, the first among them.
    Every(usize),
    /// All but these.
    AllBut(usize),
}

impl Blocks {
    fn has(self, block: usize) -> bool {
        match self {
            Self::All => true,
            Self::Every(step) => block.is_multiple_of(step),
            Self::AllBut(step) => !block.is_multiple_of(step),
        }
    }
}

/// The factors, the targets along them, and the centres of the targets.
pub(super) type Parts<'a> = (&'a Factors, &'a [f64], &'a [f64]);

/// Scores all penalties.
pub(super) fn score<T: Element>(
    rows: &CentredRows<'_, T>,
    task: &RidgeTask<'_>,
    parts: Parts<'_>,
    run: Run<'_>,
    path: &mut RidgePath<T>,
) -> Result<()> {
    let scores = walk(rows, task, parts, run, (Blocks::All, None))?;
    gather(&scores, task, parts.2.len(), path)
}

/// Shows the predictions of blocks of rows, each once, in any order and on any thread.
pub(super) fn show<T: Element>(
    rows: &CentredRows<'_, T>,
    task: &RidgeTask<'_>,
    parts: Parts<'_>,
    run: Run<'_>,
    (blocks, watch): (Blocks, Show<'_>),
) -> Result<()> {
    walk(rows, task, parts, run, (blocks, Some(watch)))?;
    Ok(())
}

/// Products are in double precision where those of `T` would lose too much.
fn walk<T: Element>(
    rows: &CentredRows<'_, T>,
    task: &RidgeTask<'_>,
    parts: Parts<'_>,
    run: Run<'_>,
    blocks: (Blocks, Option<Show<'_>>),
) -> Result<Vec<Scores>> {
    let factors = parts.0;
    // With nearly as many directions as rows most leverages are near one, and single precision would
    // lose a direction of hardly any variance.
    if 2 * factors.values.len() > rows.count() || factors.loss(task.alphas) > LOSS {
        walk_with::<T, f64>(rows, task, parts, run, blocks)
    } else {
        walk_with::<T, T>(rows, task, parts, run, blocks)
    }
}

fn walk_with<T: Element, E: Element>(
    rows: &CentredRows<'_, T>,
    task: &RidgeTask<'_>,
    (factors, along, centres): Parts<'_>,
    run: Run<'_>,
    (which, watch): (Blocks, Option<Show<'_>>),
) -> Result<Vec<Scores>> {
    let n = task.weight.len();
    let rotation = match factors.coordinates.is_empty() {
        true => Some(Rotation::new(factors, along, centres, task)?),
        false => None,
    };
    let careful = Lazy::new(|| Careful::new(task, factors, along, centres));
    let leaver = Leaver::<T, E, _> { rows, task, columns: centres.len(), rotation, careful, watch };
    let block = block_rows::<E>(rows.stride());
    let blocks = n.div_ceil(block);
    let chunks = CHUNKS.min(blocks);
    run.collect(chunks, |chunk| {
        let (alphas, columns) = (task.alphas.len(), centres.len());
        let (errors, hits) = (vec![0.0; alphas * columns], vec![0.0; alphas]);
        let mut scores = Scores { errors, hits, predictions: Vec::new() };
        let mut scratch = Buffers::default();
        let own = chunk * blocks / chunks..(chunk + 1) * blocks / chunks;
        for at in own.filter(|&at| which.has(at)) {
            run.check()?;
            let range = at * block..((at + 1) * block).min(n);
            let rows_done = range.len();
            leaver.score(range, &mut scratch, &mut scores)?;
            run.advance(rows_done * cost_of_leaving_out(rows.mean().len(), columns));
        }
        Ok(scores)
    })
}

/// Sums over rows of one chunk: squared errors per alpha and column, right answers per alpha.
struct Scores {
    errors: Vec<f64>,
    hits: Vec<f64>,
    /// The first row of a block, and alphas x columns x rows predictions.
    predictions: Vec<(usize, Vec<f64>)>,
}

fn gather<T>(
    scores: &[Scores],
    task: &RidgeTask<'_>,
    columns: usize,
    path: &mut RidgePath<T>,
) -> Result<()> {
    let (n, alphas) = (task.weight.len(), task.alphas.len());
    let total: f64 = task.weight.iter().sum();
    path.errors = vec![0.0; alphas * columns];
    path.accuracies = vec![0.0; if task.labels.is_empty() { 0 } else { alphas }];
    let length = if task.predictions { alphas * columns * n } else { 0 };
    path.predictions = filled(0.0, length, PREDICTIONS)?;
    for scores in scores {
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

/// What leaves out rows: fast where their leverages allow it, and with care.
struct Leaver<'a, T, E, F> {
    rows: &'a CentredRows<'a, T>,
    task: &'a RidgeTask<'a>,
    columns: usize,
    /// None where every row needs care.
    rotation: Option<Rotation<'a, E>>,
    /// As much memory as all directions take, for rows that hardly any X has.
    careful: Lazy<Careful<'a>, F>,
    watch: Option<Show<'a>>,
}

/// A value that is made once, by the first who needs it.
struct Lazy<V, F> {
    value: OnceLock<V>,
    making: Mutex<()>,
    make: F,
}

impl<V, F: Fn() -> Result<V>> Lazy<V, F> {
    fn new(make: F) -> Self {
        Self { value: OnceLock::new(), making: Mutex::new(()), make }
    }

    fn get(&self) -> Result<&V> {
        let _alone = lock(&self.making);
        match self.value.get() {
            Some(value) => Ok(value),
            None => {
                let made = (self.make)()?;
                Ok(self.value.get_or_init(|| made))
            }
        }
    }
}

impl<'a, T: Element, E: Element, F: Fn() -> Result<Careful<'a>>> Leaver<'a, T, E, F> {
    /// Leave-one-out residuals of a block for all alphas, and their scores.
    fn score(
        &self,
        rows: Range<usize>,
        scratch: &mut Buffers<E>,
        scores: &mut Scores,
    ) -> Result<()> {
        let asked = self.task.predictions || self.watch.is_some();
        let keep = asked || !self.task.labels.is_empty();
        let length = if keep { self.task.alphas.len() * self.columns * rows.len() } else { 0 };
        let mut left = filled(0.0, length, PREDICTIONS)?;
        let near = match &self.rotation {
            None => rows.clone().collect(),
            Some(rotation) => {
                let errors = &mut scores.errors;
                rotation.leave_out(self.rows, rows.clone(), scratch, &mut left, errors)?
            }
        };
        if !near.is_empty() {
            self.score_near(&near, rows.clone(), &mut left, &mut scores.errors)?;
        }
        for (at, left) in left.chunks_mut(rows.len()).enumerate() {
            let column = at % self.columns * self.task.weight.len();
            let y = &self.task.targets[column..][rows.clone()];
            left.iter_mut().zip(y).for_each(|(left, y)| *left = y - *left);
        }
        let predictions = left;
        if !self.task.labels.is_empty() {
            self.count(rows.clone(), &predictions, &mut scores.hits);
        }
        if let Some(watch) = self.watch {
            watch(rows.clone(), &predictions)?;
        }
        if self.task.predictions {
            scores.predictions.push((rows.start, predictions));
        }
        Ok(())
    }

    /// Adds the rows of a block that need care.
    fn score_near(
        &self,
        near: &[usize],
        block: Range<usize>,
        left: &mut [f64],
        errors: &mut [f64],
    ) -> Result<()> {
        let found = self.careful.get()?.leave_out(self.rows, near)?;
        for (at, (found, error)) in found.chunks(near.len()).zip(errors).enumerate() {
            for (&row, residual) in near.iter().zip(found) {
                *error += self.task.weight[row] * residual * residual;
                if !left.is_empty() {
                    left[at * block.len() + row - block.start] = *residual;
                }
            }
        }
        Ok(())
    }

    /// Adds the weights of the rows that are predicted right, alpha by alpha.
    fn count(&self, rows: Range<usize>, kept: &[f64], hits: &mut [f64]) {
        let (columns, count) = (self.columns, rows.len());
        for (hits, predictions) in hits.iter_mut().zip(kept.chunks(columns * count)) {
            for (i, row) in rows.clone().enumerate() {
                let label = self.task.labels[row] as usize;
                if is_right(|k| predictions[k * count + i], columns, label) {
                    *hits += self.task.weight[row];
                }
            }
        }
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
