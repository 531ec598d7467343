//! Leaving out rows of any leverage, without a difference of almost equal numbers.
//!
//! Along the directions of `X' S X = V diag(e) V'` the row i has the coordinates `z = V' x / sqrt(e)`, and the
//! targets `a = U' sqrt(S) y`, with U the weighted coordinates of all rows. Then its residual and
//! what its leverage leaves are
//!
//! ```text
//!   r   = q + alpha   sum_j z_j a_j / (e_j + alpha)      q = y - sum_j z_j a_j
//! 1 - h = p + alpha s sum_j z_j^2   / (e_j + alpha)      p = 1 - s (1 / sum s + sum_j z_j^2)
//! ```
//!
//! p and q are what lies outside of all directions. A row that has one to itself has none of it: p and q are zero
//! but for rounding, alpha cancels from `r / (1 - h)`, and what is left has a limit at alpha = 0: the residual
//! of the solution of least norm of the other rows. That is every row where there are as many directions
//! as rows (the dual form, Rifkin & Lippert 2007), and in any X a row with a column that no other has.

use super::RidgeTask;
use super::factors::Factors;
use super::rows::CentredRows;
use crate::error::Result;
use crate::memory::{filled, room};
use crate::probes::data::Source;
use crate::simd::pass::{Element, padded};

/// What these are called where memory for them cannot be had.
const DIRECTIONS: &str = "the directions of X for leave-one-out";

/// The directions in double precision.
pub(super) struct Careful<'a> {
    task: &'a RidgeTask<'a>,
    factors: &'a Factors,
    centres: &'a [f64],
    /// What the intercept adds to every leverage.
    share: f64,
    /// rank x stride: takes rows, divided by the scale, to their coordinates.
    vectors: Vec<f64>,
    /// columns x rank, padded: a in the words above.
    targets: Vec<f64>,
    /// Whether the directions and the intercept are as many as the rows.
    full: bool,
}

/// Rows along the directions: rank x padded rows.
struct Coordinates {
    z: Vec<f64>,
    ld: usize,
}

/// What of a row lies outside of all directions.
struct Outside {
    weight: f64,
    /// p in the words above; zero where it cannot be told from that.
    rest: f64,
    alone: bool,
}

impl<'a> Careful<'a> {
    pub fn new(
        task: &'a RidgeTask<'a>,
        factors: &'a Factors,
        along: &[f64],
        centres: &'a [f64],
    ) -> Result<Self> {
        let wide = padded(factors.values.len().max(1));
        let scale = |j: usize| factors.scale.get(j).copied().unwrap_or(1.0);
        let whiten = |(row, e): (&'a [f64], &f64)| {
            let root = e.sqrt();
            row.iter().enumerate().map(move |(j, v)| v * scale(j) / root)
        };
        let rows = factors.vectors.chunks(factors.stride).zip(&factors.values);
        let mut targets = filled(0.0, along.len(), DIRECTIONS)?;
        targets.copy_from_slice(along);
        let mut vectors = room(factors.vectors.len(), DIRECTIONS)?;
        vectors.extend(rows.flat_map(whiten));
        for row in targets.chunks_mut(wide) {
            row.iter_mut().zip(&factors.values).for_each(|(target, e)| *target /= e.sqrt());
        }
        let count = task.weight.iter().filter(|&&weight| weight > 0.0).count();
        let total: f64 = task.weight.iter().sum();
        Ok(Self {
            task,
            factors,
            centres,
            share: if task.intercept { 1.0 / total } else { 0.0 },
            vectors,
            targets,
            full: factors.values.len() + usize::from(task.intercept) >= count,
        })
    }

    /// Leave-one-out residuals of some rows: alphas x columns x rows.
    pub fn leave_out<T: Element>(
        &self,
        rows: &CentredRows<'_, T>,
        which: &[usize],
    ) -> Result<Vec<f64>> {
        let Coordinates { z, ld } = self.coordinates(rows, which)?;
        let (columns, rank) = (self.centres.len(), self.factors.values.len());
        let outside: Vec<_> =
            which.iter().enumerate().map(|(i, &row)| self.outside(row, &z[i..], ld)).collect();
        let fitted = self.along_targets(&z, ld)?;
        let (mut shrunk, mut left) = (vec![0.0; z.len()], Vec::new());
        left.reserve_exact(self.task.alphas.len() * columns * which.len());
        for &alpha in self.task.alphas {
            // Relative to the largest of them, so that no unit of X overflows.
            let least = self.factors.values.first().copied().unwrap_or(1.0) + alpha;
            for (j, e) in self.factors.values.iter().enumerate() {
                let by = least / (e + alpha);
                let (from, to) = (&z[j * ld..(j + 1) * ld], &mut shrunk[j * ld..(j + 1) * ld]);
                to.iter_mut().zip(from).for_each(|(to, z)| *to = z * by);
            }
            let share = alpha / least;
            let inner = self.along_targets(&shrunk, ld)?;
            let own: Vec<f64> = (0..which.len())
                .map(|i| (0..rank).map(|j| z[j * ld + i] * shrunk[j * ld + i]).sum())
                .collect();
            for (column, centre) in self.centres.iter().enumerate() {
                let y = &self.task.targets[column * self.task.weight.len()..];
                for (i, outside) in outside.iter().enumerate() {
                    let (at, y) = (column * ld + i, y[which[i]]);
                    let own = outside.weight * own[i];
                    left.push(if !outside.alone {
                        (y - centre - fitted[at] + share * inner[at]) / (outside.rest + share * own)
                    } else if own > 0.0 {
                        inner[at] / own
                    } else {
                        // No other row has any weight: the solution of least norm is zero.
                        y
                    });
                }
            }
        }
        Ok(left)
    }

    /// `sum_j z_ij a_j` for each column and row.
    fn along_targets(&self, z: &[f64], ld: usize) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.centres.len() * ld];
        let wide = self.targets.len() / self.centres.len();
        f64::kernels()?.outer(z, ld, &self.targets, wide, &mut sums, false);
        Ok(sums)
    }

    fn coordinates<T: Element>(
        &self,
        rows: &CentredRows<'_, T>,
        which: &[usize],
    ) -> Result<Coordinates> {
        let (ld, rank) = (padded(which.len()), self.factors.values.len());
        let mut z = vec![0.0; rank * ld];
        // Rows without weight had no part in the products of rows.
        if self.factors.coordinates.is_empty() || which.iter().any(|&i| self.task.weight[i] <= 0.0)
        {
            let stride = Source::<f64>::stride(rows);
            let mut x = vec![0.0; which.len() * stride];
            for (x, &i) in x.chunks_mut(stride).zip(which) {
                rows.part(i, 0, 1.0, x);
            }
            f64::kernels()?.products(&x, stride, &self.vectors, &vec![0.0; rank], &mut z, ld);
        }
        let known = self.factors.coordinates.chunks(padded(self.task.weight.len()));
        for (z, known) in z.chunks_mut(ld).zip(known) {
            for (z, &i) in z.iter_mut().zip(which) {
                let weight = self.task.weight[i];
                if weight > 0.0 {
                    *z = known[i] / weight.sqrt();
                }
            }
        }
        Ok(Coordinates { z, ld })
    }

    /// What of a row, its coordinates `ld` apart, lies outside. The directions are known within the rounding of
    /// the largest of them, which moves those of little variance: from `X' X` as much as it is, from
    /// `X X'`, where they stay at right angles, in squares.
    fn outside(&self, row: usize, z: &[f64], ld: usize) -> Outside {
        let weight = self.task.weight[row];
        let values = &self.factors.values;
        let rounding = f64::EPSILON * (64.0 + values.len() as f64);
        let largest = values.last().copied().unwrap_or_default();
        let (mut inside, mut moved) = (self.share, 1.0);
        let dual = !self.factors.coordinates.is_empty();
        for (j, e) in values.iter().enumerate() {
            let (square, blur) = (z[j * ld] * z[j * ld], largest / e);
            inside += square;
            moved += weight * square * if dual { rounding * blur * blur } else { blur };
        }
        let rest = 1.0 - weight * inside;
        let alone = weight > 0.0 && (self.full || rest <= rounding * moved);
        Outside { weight, rest, alone }
    }
}
