//! How a metric becomes an inner product of centred vectors, so that one scan serves them all.
//!
//! With a fixed centre `m` the order of the rows `x` for a query `q` is that of
//!
//! ```text
//! cosine      u.v + m.v        u = q/|q| - m     v = x/|x| - m
//! inner       u.v              u = q             v = x - m
//! euclidean   u.v - |v|^2/2    u = q - m         v = x - m
//! ```
//! Centring takes out what all rows share, so that an offset costs no precision. Any `m` is right;
//! the mean of some rows is a good one.

use super::matrix::Matrix;
use crate::powers::power_of_two_above;
use crate::simd::Kernels;
use crate::simd::exact::Real;

/// What makes a row near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Cosine of the angle, largest first; 0 with a row of zeros.
    Cosine,
    /// Inner product, largest first.
    Inner,
    /// Euclidean distance, smallest first.
    Euclidean,
}

/// A metric, and the centre and unit in which the rows of one index are seen.
#[derive(Debug)]
pub struct Frame {
    pub metric: Metric,
    pub kernels: Kernels,
    /// In units of the frame.
    centre: Vec<f64>,
    centre_norm: f64,
    /// A power of two that brings the largest number to about one; 1 for the cosine.
    unit: f64,
}

/// A vector in the frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placed {
    /// The row's own term of the score.
    pub bias: f64,
    /// Largest error of that term.
    pub bias_error: f64,
    /// Norm of the rounding error of the vector itself.
    pub error: f64,
    /// Factor of the bias (queries).
    pub bias_weight: f64,
    /// Scores closer than this may be equal once rounded (queries).
    pub slack: f64,
    /// Score in the frame of a row whose exact score is nothing (queries).
    pub offset: f64,
    /// Largest error of the offset (queries).
    pub offset_error: f64,
}

/// Rows whose mean is the centre.
const SAMPLE: usize = 4096;
/// Unit roundoff of double precision.
pub(super) const ROUNDOFF: f64 = f64::EPSILON / 2.0;

impl Frame {
    /// The frame of an index over `rows`, none of whose numbers is larger than `largest`.
    pub fn fit<T: Real>(
        metric: Metric,
        rows: Matrix<'_, T>,
        largest: f64,
        kernels: Kernels,
    ) -> Self {
        let unit = if metric == Metric::Cosine { 1.0 } else { 1.0 / power_of_two_above(largest) };
        let centre = vec![0.0; rows.columns()];
        let mut frame = Self { metric, kernels, centre, centre_norm: 0.0, unit };
        frame.centre = frame.mean(rows);
        frame.centre_norm = kernels.squared_norm(&frame.centre).sqrt();
        frame
    }

    /// A frame with the [`Self::facts`] of another.
    pub fn restore(metric: Metric, kernels: Kernels, unit: f64, centre: Vec<f64>) -> Self {
        let centre_norm = kernels.squared_norm(&centre).sqrt();
        Self { metric, kernels, centre, centre_norm, unit }
    }

    /// Unit and centre.
    pub fn facts(&self) -> (f64, &[f64]) {
        (self.unit, &self.centre)
    }

    fn mean<T: Real>(&self, rows: Matrix<'_, T>) -> Vec<f64> {
        let stride = rows.rows().div_ceil(SAMPLE).max(1);
        let mut sum = vec![0.0; rows.columns()];
        let mut placed = sum.clone();
        let mut count = 0.0;
        for i in (0..rows.rows()).step_by(stride) {
            self.kernels.centre(rows.row(i), self.factor(rows.row(i)), &self.centre, &mut placed);
            sum.iter_mut().zip(&placed).for_each(|(sum, value)| *sum += value);
            count += 1.0;
        }
        sum.iter().map(|sum| sum / count).collect()
    }

    fn factor<T: Real>(&self, row: &[T]) -> f64 {
        if self.metric != Metric::Cosine {
            return self.unit;
        }
        let norm = self.kernels.squared_norm(row).sqrt();
        if norm > 0.0 { 1.0 / norm } else { 0.0 }
    }

    /// Writes the vector `v` of a row.
    pub fn place_row<T: Real>(&self, row: &[T], out: &mut [f64]) -> Placed {
        let depth = row.len() as f64;
        self.kernels.centre(row, self.factor(row), &self.centre, out);
        let norm = self.kernels.squared_norm(out).sqrt();
        let (bias, bias_error, error) = match self.metric {
            Metric::Cosine => {
                let error = (depth + 16.0) * ROUNDOFF;
                let terms = self.centre_norm * (error + (depth + 4.0) * ROUNDOFF * norm);
                (self.kernels.dot_f64(out, &self.centre), terms, error)
            }
            Metric::Inner => (0.0, 0.0, 4.0 * ROUNDOFF * norm),
            Metric::Euclidean => {
                let bias = -norm * norm / 2.0;
                (bias, -bias * (depth + 8.0) * 2.0 * ROUNDOFF, 4.0 * ROUNDOFF * norm)
            }
        };
        Placed { bias, bias_error, error, ..Placed::default() }
    }

    /// Writes the vector `u` of a query, scaled by a power of two to a norm of one at the most.
    pub fn place_query<T: Real>(&self, query: &[T], out: &mut [f64]) -> Placed {
        let depth = query.len() as f64;
        if self.metric == Metric::Inner {
            let zero = vec![0.0; out.len()];
            self.kernels.centre(query, self.unit, &zero, out);
        } else {
            self.kernels.centre(query, self.factor(query), &self.centre, out);
        }
        let norm = self.kernels.squared_norm(out).sqrt();
        let shrink = match self.metric {
            Metric::Cosine => 1.0,
            Metric::Inner => 1.0 / power_of_two_above(norm),
            Metric::Euclidean => 1.0 / power_of_two_above(norm.max(1.0)),
        };
        out.iter_mut().for_each(|value| *value *= shrink);
        let norm = norm * shrink;
        let (slack, offset, relative) = match self.metric {
            Metric::Cosine => {
                let shared = self.kernels.dot_f64(out, &self.centre) + self.centre_norm.powi(2);
                (8.0 * ROUNDOFF, -shared, 1.0 + self.centre_norm)
            }
            Metric::Inner => {
                let shared = self.kernels.dot_f64(out, &self.centre);
                (8.0 * ROUNDOFF * norm * depth.sqrt(), -shared, norm * self.centre_norm)
            }
            Metric::Euclidean => {
                let offset = norm * norm / (2.0 * shrink);
                (16.0 * ROUNDOFF * offset, offset, 4.0 * offset)
            }
        };
        let error = match self.metric {
            Metric::Cosine => (depth + 16.0) * ROUNDOFF,
            _ => 4.0 * ROUNDOFF * norm,
        };
        let offset_error = (2.0 * depth + 32.0) * ROUNDOFF * relative;
        Placed { bias_weight: shrink, error, slack, offset, offset_error, ..Placed::default() }
    }

    /// The least score in the frame of a row whose exact score for a query is `score`.
    pub fn least(&self, query: &Placed, score: f64) -> f64 {
        let term = match self.metric {
            Metric::Cosine => score,
            Metric::Inner => score * self.unit * (self.unit * query.bias_weight),
            Metric::Euclidean => {
                let distance = score * self.unit;
                -distance * distance * query.bias_weight / 2.0
            }
        };
        term + query.offset - query.offset_error - 16.0 * ROUNDOFF * term.abs()
    }

    /// A score below which no row reaches `least` in the frame.
    pub fn score_of(&self, query: &Placed, least: f64) -> f64 {
        let term = least - query.offset;
        let score = match self.metric {
            Metric::Cosine => term,
            Metric::Inner => term / self.unit / (self.unit * query.bias_weight),
            Metric::Euclidean => -(-2.0 * term / query.bias_weight).max(0.0).sqrt() / self.unit,
        };
        if self.least(query, score) < least { score } else { f64::NEG_INFINITY }
    }
}
