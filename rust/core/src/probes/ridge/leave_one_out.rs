//! Leave-one-out residuals of all rows for all penalties.

use std::ops::Range;

use super::factors::Factors;
use super::rows::Rows;
use super::skeleton::skeleton;
use super::{CHUNKS, RidgePath, RidgeTask};
use crate::error::Result;
use crate::parallel::Run;
use crate::probes::data::{Source, block_rows};
use crate::simd::pass::{Element, LeaveOut, padded};

/// A leverage this close to one leaves nothing to predict the row from.
const MIN_REST: f64 = 1e-9;
/// The relative error of a direction up to which single precision will do.
pub(super) const LOSS: f64 = 1e-3;
/// Columns whose fitted values are held at a time, counted once for each penalty of the skeleton.
const TOGETHER: usize = 96;

/// Scores all penalties, with products in `E` and sums over rows in double precision.
pub(super) fn score<T: Element, E: Element>(
    rows: &Rows<'_, T>,
    task: &RidgeTask<'_>,
    (factors, along, centres): (&Factors, &[f64], &[f64]),
    run: Run<'_>,
    path: &mut RidgePath<T>,
) -> Result<()> {
    let n = task.weight.len();
    let rotation = Rotation::<E>::new(factors, along, centres, task);
    let block = block_rows::<E>(rows.stride());
    let blocks = n.div_ceil(block);
    let chunks = CHUNKS.min(blocks);
    let (alphas, columns) = (task.alphas.len(), centres.len());
    let scores = run.collect(chunks, |chunk| {
        let (errors, hits) = (vec![0.0; alphas * columns], vec![0.0; alphas]);
        let mut scores = Scores { errors, hits, predictions: Vec::new() };
        let mut scratch = Scratch::default();
        for at in chunk * blocks / chunks..(chunk + 1) * blocks / chunks {
            run.check()?;
            rotation.score(
                rows,
                at * block..((at + 1) * block).min(n),
                &mut scratch,
                &mut scores,
            )?;
        }
        Ok(scores)
    })?;
    gather(&scores, task, columns, path);
    Ok(())
}

/// Sums over rows of one chunk: squared errors per alpha and column, right answers per alpha.
struct Scores {
    errors: Vec<f64>,
    hits: Vec<f64>,
    /// The first row of a block, and alphas x columns x rows predictions.
    predictions: Vec<(usize, Vec<f64>)>,
}

fn gather<T>(scores: &[Scores], task: &RidgeTask<'_>, columns: usize, path: &mut RidgePath<T>) {
    let (n, alphas) = (task.weight.len(), task.alphas.len());
    let total: f64 = task.weight.iter().sum();
    path.errors = vec![0.0; alphas * columns];
    path.accuracies = vec![0.0; if task.labels.is_empty() { 0 } else { alphas }];
    path.predictions = vec![0.0; if task.predictions { alphas * columns * n } else { 0 }];
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
}

/// Buffers of one chunk.
#[derive(Default)]
struct Scratch<E> {
    x: Vec<E>,
    z: Vec<E>,
    y: Vec<E>,
    weight: Vec<E>,
    inverse: Vec<E>,
    sums: Vec<f64>,
    fitted: Vec<E>,
    left: Vec<E>,
}

/// The factors in the element type of the products, ready for the kernels. Directions are whitened,
/// so that no number leaves the range of single precision whatever the unit of X.
struct Rotation<'a, E> {
    task: &'a RidgeTask<'a>,
    centres: &'a [f64],
    /// What the intercept adds to every leverage.
    share: f64,
    rank: usize,
    /// rank x stride: takes rows, divided by the scale, to their coordinates.
    vectors: Vec<E>,
    /// alphas x rank, padded: `e / (e + alpha)`.
    shrinkage: Vec<E>,
    /// Penalties whose fitted values are computed.
    parts: usize,
    /// alphas x parts: how the others follow.
    mix: Vec<E>,
    /// columns x parts x rank, padded.
    betas: Vec<E>,
}

impl<'a, E: Element> Rotation<'a, E> {
    fn new(factors: &Factors, along: &[f64], centres: &'a [f64], task: &'a RidgeTask<'a>) -> Self {
        let (stride, rank) = (factors.stride, factors.values.len());
        let ld = padded(rank.max(1));
        let mut shrinkage = vec![0.0; task.alphas.len() * ld];
        for (row, alpha) in shrinkage.chunks_mut(ld).zip(task.alphas) {
            row.iter_mut().zip(&factors.values).for_each(|(s, e)| *s = e / (e + alpha));
        }
        let tolerance = if size_of::<E>() == 4 { 1e-8 } else { 1e-15 };
        let found = skeleton(&shrinkage, ld, tolerance);
        let mut betas = Vec::with_capacity(centres.len() * found.chosen.len() * ld);
        for along in along.chunks(ld) {
            for &part in &found.chosen {
                let end = betas.len() + ld;
                let shrinkage = &shrinkage[part * ld..(part + 1) * ld];
                let terms = along.iter().zip(shrinkage).zip(&factors.values);
                betas.extend(terms.map(|((along, s), e)| E::of(along * s / e.sqrt())));
                betas.resize(end, E::default());
            }
        }
        let vectors = factors.vectors.chunks(stride).zip(&factors.values).flat_map(|(row, e)| {
            let scale = |j: usize| factors.scale.get(j).copied().unwrap_or(1.0);
            row.iter().enumerate().map(move |(j, v)| E::of(v * scale(j) / e.sqrt()))
        });
        let total: f64 = task.weight.iter().sum();
        Self {
            task,
            centres,
            share: if task.intercept { 1.0 / total } else { 0.0 },
            rank,
            vectors: vectors.collect(),
            shrinkage: shrinkage.into_iter().map(E::of).collect(),
            parts: found.chosen.len(),
            mix: found.mix.into_iter().map(E::of).collect(),
            betas,
        }
    }

    /// Leave-one-out residuals of a block for all alphas, and their scores.
    fn score(
        &self,
        source: &impl Source<E>,
        rows: Range<usize>,
        scratch: &mut Scratch<E>,
        scores: &mut Scores,
    ) -> Result<()> {
        let (columns, alphas) = (self.centres.len(), self.task.alphas.len());
        self.rotate(source, rows.clone(), scratch)?;
        self.invert(rows.clone(), scratch)?;
        let keep = self.task.predictions || !self.task.labels.is_empty();
        let mut kept = vec![0.0; if keep { alphas * columns * rows.len() } else { 0 }];
        let ld = padded(rows.len());
        let group = (TOGETHER / self.parts.max(1)).max(1);
        for first in (0..columns).step_by(group) {
            let last = columns.min(first + group);
            self.fit(first..last, ld, scratch)?;
            for column in first..last {
                self.leave_out(column, column - first, rows.clone(), scratch)?;
                for alpha in 0..alphas {
                    let at = alpha * columns + column;
                    scores.errors[at] += scratch.sums[alpha];
                    if keep {
                        let target = &mut kept[at * rows.len()..(at + 1) * rows.len()];
                        let y = &self.task.targets[column * self.task.weight.len() + rows.start..];
                        let left = y.iter().zip(&scratch.left[alpha * ld..]);
                        target.iter_mut().zip(left).for_each(|(t, (y, left))| *t = y - left.wide());
                    }
                }
            }
        }
        if !self.task.labels.is_empty() {
            self.count(rows.clone(), &kept, &mut scores.hits);
        }
        if self.task.predictions {
            scores.predictions.push((rows.start, kept));
        }
        Ok(())
    }

    /// The coordinates of rows along the directions.
    fn rotate(
        &self,
        source: &impl Source<E>,
        rows: Range<usize>,
        scratch: &mut Scratch<E>,
    ) -> Result<()> {
        let ld = padded(rows.len());
        let x = source.block(rows, &mut scratch.x);
        let bias = vec![E::default(); self.rank];
        scratch.z.clear();
        scratch.z.resize(self.rank * ld, E::default());
        E::kernels()?.products(x, source.stride(), &self.vectors, &bias, &mut scratch.z, ld);
        Ok(())
    }

    /// Weights, and one over what each leverage leaves; zero beyond the last row.
    fn invert(&self, rows: Range<usize>, scratch: &mut Scratch<E>) -> Result<()> {
        let (ld, wide) = (padded(rows.len()), padded(self.rank.max(1)));
        let alphas = self.task.alphas.len();
        scratch.sums.clear();
        scratch.sums.resize(alphas * ld, 0.0);
        E::kernels()?.outer(&scratch.z, ld, &self.shrinkage, wide, &mut scratch.sums, true);
        let weight = &self.task.weight[rows];
        scratch.weight.clear();
        scratch.weight.extend(weight.iter().map(|&weight| E::of(weight)));
        scratch.weight.resize(ld, E::default());
        scratch.inverse.clear();
        for leverage in scratch.sums.chunks(ld) {
            let end = scratch.inverse.len() + ld;
            let rest = leverage.iter().zip(weight).map(|(h, s)| 1.0 - s * (self.share + h));
            scratch.inverse.extend(rest.map(|rest| E::of(1.0 / rest.max(MIN_REST))));
            scratch.inverse.resize(end, E::default());
        }
        Ok(())
    }

    /// The fitted values of some columns for the penalties of the skeleton.
    fn fit(&self, columns: Range<usize>, ld: usize, scratch: &mut Scratch<E>) -> Result<()> {
        let wide = padded(self.rank.max(1));
        let betas = &self.betas[columns.start * self.parts * wide..columns.end * self.parts * wide];
        scratch.sums.clear();
        scratch.sums.resize(columns.len() * self.parts * ld, 0.0);
        E::kernels()?.outer(&scratch.z, ld, betas, wide, &mut scratch.sums, false);
        scratch.fitted.clear();
        scratch.fitted.extend(scratch.sums.iter().map(|&value| E::of(value)));
        Ok(())
    }

    /// Residuals of one column, the `place`-th of those that were fitted, and their sums of squares.
    fn leave_out(
        &self,
        column: usize,
        place: usize,
        rows: Range<usize>,
        scratch: &mut Scratch<E>,
    ) -> Result<()> {
        let (ld, alphas) = (padded(rows.len()), self.task.alphas.len());
        let targets = &self.task.targets[column * self.task.weight.len()..][rows];
        scratch.y.clear();
        scratch.y.extend(targets.iter().map(|y| E::of(y - self.centres[column])));
        scratch.y.resize(ld, E::default());
        scratch.left.resize(alphas * ld, E::default());
        scratch.sums.clear();
        scratch.sums.resize(alphas, 0.0);
        let from = LeaveOut {
            y: &scratch.y,
            weight: &scratch.weight,
            fitted: &scratch.fitted[place * self.parts * ld..(place + 1) * self.parts * ld],
            mix: &self.mix,
            inverse: &scratch.inverse,
        };
        E::kernels()?.leave_out(&from, &mut scratch.left, &mut scratch.sums);
        Ok(())
    }

    /// Adds the weights of the rows that are predicted right, alpha by alpha.
    fn count(&self, rows: Range<usize>, kept: &[f64], hits: &mut [f64]) {
        let (columns, count) = (self.centres.len(), rows.len());
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
