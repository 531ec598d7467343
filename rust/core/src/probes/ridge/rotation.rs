//! Leave-one-out residuals of blocks of rows whose leverages leave enough.

use std::ops::Range;

use super::RidgeTask;
use super::factors::Factors;
use super::skeleton::skeleton;
use crate::error::Result;
use crate::memory::{filled, room};
use crate::probes::data::Source;
use crate::simd::pass::{Element, LeaveOut, padded};

/// What a leverage has to leave at least: with less, single precision has lost the digits of the difference.
const NEAR: f64 = 1e-3;
/// The same in units of what single precision loses of a direction ([`Factors::loss`]).
const NEAR_LOSS: f64 = 100.0;
/// What the factors are called where memory for them cannot be had.
const DIRECTIONS: &str = "the directions of X for leave-one-out";
/// Columns whose fitted values are held at a time, counted once for each penalty of the skeleton.
const TOGETHER: usize = 96;

/// Buffers of one chunk.
#[derive(Default)]
pub(super) struct Buffers<E> {
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
pub(super) struct Rotation<'a, E> {
    task: &'a RidgeTask<'a>,
    centres: &'a [f64],
    /// What the intercept adds to every leverage.
    share: f64,
    /// What a leverage has to leave.
    near: f64,
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
    pub fn new(
        factors: &Factors,
        along: &[f64],
        centres: &'a [f64],
        task: &'a RidgeTask<'a>,
    ) -> Result<Self> {
        let (stride, rank) = (factors.stride, factors.values.len());
        let ld = padded(rank.max(1));
        let mut shrinkage = filled(0.0, task.alphas.len() * ld, DIRECTIONS)?;
        for (row, alpha) in shrinkage.chunks_mut(ld).zip(task.alphas) {
            row.iter_mut().zip(&factors.values).for_each(|(s, e)| *s = e / (e + alpha));
        }
        let is_single = size_of::<E>() == 4;
        let tolerance = if is_single { 1e-8 } else { 1e-15 };
        let loss = if is_single { NEAR_LOSS * factors.loss(task.alphas) } else { 0.0 };
        let found = skeleton(&shrinkage, ld, tolerance);
        let mut betas = room(centres.len() * found.chosen.len() * ld, DIRECTIONS)?;
        for along in along.chunks(ld) {
            for &part in &found.chosen {
                let end = betas.len() + ld;
                let shrinkage = &shrinkage[part * ld..(part + 1) * ld];
                let terms = along.iter().zip(shrinkage).zip(&factors.values);
                betas.extend(terms.map(|((along, s), e)| E::of(along * s / e.sqrt())));
                betas.resize(end, E::default());
            }
        }
        let mut vectors = room(factors.vectors.len(), DIRECTIONS)?;
        vectors.extend(factors.vectors.chunks(stride).zip(&factors.values).flat_map(|(row, e)| {
            let scale = |j: usize| factors.scale.get(j).copied().unwrap_or(1.0);
            row.iter().enumerate().map(move |(j, v)| E::of(v * scale(j) / e.sqrt()))
        }));
        let mut rounded = room(shrinkage.len(), DIRECTIONS)?;
        rounded.extend(shrinkage.into_iter().map(E::of));
        let total: f64 = task.weight.iter().sum();
        Ok(Self {
            task,
            centres,
            share: if task.intercept { 1.0 / total } else { 0.0 },
            near: NEAR.max(loss),
            rank,
            vectors,
            shrinkage: rounded,
            parts: found.chosen.len(),
            mix: found.mix.into_iter().map(E::of).collect(),
            betas,
        })
    }

    /// Leave-one-out residuals of a block for all alphas go to `found`, the sums of their weighted squares to
    /// `errors`. Returns the rows that were left out of both: their leverages are too near one.
    pub fn leave_out(
        &self,
        source: &impl Source<E>,
        rows: Range<usize>,
        scratch: &mut Buffers<E>,
        found: &mut [f64],
        errors: &mut [f64],
    ) -> Result<Vec<usize>> {
        let (columns, alphas) = (self.centres.len(), self.task.alphas.len());
        self.rotate(source, rows.clone(), scratch)?;
        let near = self.invert(rows.clone(), scratch)?;
        let ld = padded(rows.len());
        let group = (TOGETHER / self.parts.max(1)).max(1);
        for first in (0..columns).step_by(group) {
            let last = columns.min(first + group);
            self.fit(first..last, ld, scratch)?;
            for column in first..last {
                self.leave_out_column(column, column - first, rows.clone(), scratch)?;
                for alpha in 0..alphas {
                    let at = alpha * columns + column;
                    errors[at] += scratch.sums[alpha];
                    if !found.is_empty() {
                        let target = &mut found[at * rows.len()..(at + 1) * rows.len()];
                        let left = &scratch.left[alpha * ld..];
                        target.iter_mut().zip(left).for_each(|(t, left)| *t = left.wide());
                    }
                }
            }
        }
        Ok(near)
    }

    /// The coordinates of rows along the directions.
    fn rotate(
        &self,
        source: &impl Source<E>,
        rows: Range<usize>,
        scratch: &mut Buffers<E>,
    ) -> Result<()> {
        let ld = padded(rows.len());
        let x = source.block(rows, &mut scratch.x);
        let bias = vec![E::default(); self.rank];
        scratch.z.clear();
        scratch.z.resize(self.rank * ld, E::default());
        E::kernels()?.products(x, source.stride(), &self.vectors, &bias, &mut scratch.z, ld);
        Ok(())
    }

    /// Weights, and one over what each leverage leaves; both are zero beyond the last row and for rows
    /// whose leverage is near one, which are returned.
    fn invert(&self, rows: Range<usize>, scratch: &mut Buffers<E>) -> Result<Vec<usize>> {
        let (ld, wide) = (padded(rows.len()), padded(self.rank.max(1)));
        let alphas = self.task.alphas.len();
        scratch.sums.clear();
        scratch.sums.resize(alphas * ld, 0.0);
        E::kernels()?.outer(&scratch.z, ld, &self.shrinkage, wide, &mut scratch.sums, true);
        let weight = &self.task.weight[rows.clone()];
        scratch.weight.clear();
        scratch.weight.extend(weight.iter().map(|&weight| E::of(weight)));
        scratch.weight.resize(ld, E::default());
        scratch.inverse.clear();
        for leverage in scratch.sums.chunks(ld) {
            let end = scratch.inverse.len() + ld;
            let rest = leverage.iter().zip(weight).map(|(h, s)| 1.0 - s * (self.share + h));
            scratch.inverse.extend(rest.map(|rest| E::of(1.0 / rest)));
            scratch.inverse.resize(end, E::default());
        }
        // Of what is not a number this says "near", too.
        let is_safe = |at: &usize| {
            let mut inverse = scratch.inverse[*at..].iter().step_by(ld);
            inverse.all(|inverse| (0.0..=1.0 / self.near).contains(&inverse.wide()))
        };
        let near: Vec<usize> = (0..rows.len()).filter(|at| !is_safe(at)).collect();
        for &at in &near {
            scratch.weight[at] = E::default();
            scratch.inverse[at..]
                .iter_mut()
                .step_by(ld)
                .for_each(|inverse| *inverse = E::default());
        }
        Ok(near.into_iter().map(|at| rows.start + at).collect())
    }

    /// The fitted values of some columns for the penalties of the skeleton.
    fn fit(&self, columns: Range<usize>, ld: usize, scratch: &mut Buffers<E>) -> Result<()> {
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
    fn leave_out_column(
        &self,
        column: usize,
        place: usize,
        rows: Range<usize>,
        scratch: &mut Buffers<E>,
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
}
