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
use super::sketch::Sketch;
use crate::simd::Kernels;
use crate::simd::exact::{Double, Real};
use crate::simd::plain;

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
    kernels: Kernels,
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
const ROUNDOFF: f64 = f64::EPSILON / 2.0;
/// Norms for which the digits of their squares, and of the product of these, are all there.
const SMALLEST: f64 = 1e-70;
const LARGEST: f64 = 1e70;
/// More than products too small for double precision can lose, also under a square root.
const UNDERFLOW: f64 = 1e-150;

impl Frame {
    /// The frame of an index over `rows`, none of whose numbers is larger than `largest`.
    pub fn fit<T: Real>(
        metric: Metric,
        rows: Matrix<'_, T>,
        largest: f64,
        kernels: Kernels,
    ) -> Self {
        let unit = if metric == Metric::Cosine { 1.0 } else { 1.0 / power_of_two(largest) };
        let centre = vec![0.0; rows.columns()];
        let mut frame = Self { metric, kernels, centre, centre_norm: 0.0, unit };
        frame.centre = frame.mean(rows);
        frame.centre_norm = kernels.squared_norm(&frame.centre).sqrt();
        frame
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
            Metric::Inner => 1.0 / power_of_two(norm),
            Metric::Euclidean => 1.0 / power_of_two(norm.max(1.0)),
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

    /// The scores of `N` rows, each for a query: cosines, inner products, or distances with their
    /// sign turned. They do not depend on what is scored together.
    /// On the way it asks for the values of the queries that come next.
    pub fn scores<T: Real, const N: usize>(
        &self,
        rows: [Vector<'_, T>; N],
        queries: [Vector<'_, T>; N],
        next: [&[T]; N],
    ) -> [f64; N] {
        let (values, others) = (rows.map(|row| row.values), queries.map(|query| query.values));
        if self.metric == Metric::Euclidean {
            let distance = |n: usize| self.kernels.exact_distance(others[n], values[n]).root();
            return std::array::from_fn(|n| -distance(n));
        }
        let sizes: [_; N] = std::array::from_fn(|n| size(rows[n], queries[n]));
        let limits = sizes.map(|size| size.map_or(1.0, |size| 2.0 * power_of_two(size)));
        let mut dots = self.kernels.exact_dots_within(values, others, limits, next);
        for n in (0..N).filter(|&n| sizes[n].is_none()) {
            dots[n] = self.kernels.exact_dot(others[n], values[n]);
        }
        if self.metric == Metric::Cosine {
            let norms: [_; N] = std::array::from_fn(|n| [queries[n].norm, rows[n].norm]);
            self.kernels.cosines(&mut dots, &norms);
        }
        dots.map(|dot| dot.hi)
    }

    /// What the scores of `N` rows, each for a query, lie between, by sums in the precision of the
    /// rows; by the Cauchy-Schwarz inequality the sizes of the products add up to no more than the
    /// product of the norms.
    pub fn estimates<T: Real, const N: usize>(
        &self,
        rows: [Vector<'_, T>; N],
        queries: [Vector<'_, T>; N],
        next: [&[T]; N],
    ) -> [Interval; N] {
        let (values, others) = (rows.map(|row| row.values), queries.map(|query| query.values));
        let (relative, lost) = plain_errors::<T>(values[0].len());
        if self.metric == Metric::Euclidean {
            return std::array::from_fn(|n| {
                let distance = self.kernels.plain_distance(others[n], values[n]).sqrt();
                Interval::around(-distance, relative * distance + lost.sqrt())
            });
        }
        let dots = self.kernels.plain_dots(values, others, next);
        std::array::from_fn(|n| {
            let size = size(rows[n], queries[n]);
            self.interval(dots[n], relative * size.unwrap_or(f64::INFINITY) + lost, size)
        })
    }

    /// What the score of a row lies between, given the inner product of the row and the codes of the
    /// query's sketch; everything for distances.
    pub fn sketched<T: Real>(
        &self,
        dot: f64,
        row: Vector<'_, T>,
        query: Vector<'_, T>,
        sketch: &Sketch,
    ) -> Interval {
        let (relative, lost) = plain_errors::<T>(row.values.len());
        let (Sketch { unit, error, .. }, size) = (sketch, size(row, query));
        // What the codes leave out may make the product of the norms larger, too.
        let left_out = error * row.norm.hi * (1.0 + 2.0 * relative);
        let error = left_out + relative * size.unwrap_or(f64::INFINITY) + lost * unit;
        self.interval(dot * unit, error, size)
    }

    /// What tells most rows that stay below a bar by [`Frame::sketched`], without its divisions.
    pub fn gate<T: Real>(&self, query: Vector<'_, T>, sketch: &Sketch, bar: f64) -> Gate {
        let (relative, lost) = plain_errors::<T>(query.values.len());
        let norm = query.norm.hi;
        // Twice what is added for errors, and a thousand roundings, outweigh those made here.
        let error = 2.0 * (sketch.error + relative * norm) + 1e3 * ROUNDOFF * norm;
        let lost = 2.0 * (lost * sketch.unit + UNDERFLOW);
        let (least, slope) = match self.metric {
            Metric::Cosine => (0.0, bar * norm),
            _ => (bar, 0.0),
        };
        let room = 1e3 * ROUNDOFF;
        let least = least - room * least.abs() - lost;
        let slope = slope - room * slope.abs() - error;
        let sound = (SMALLEST..=LARGEST).contains(&norm) && self.metric != Metric::Euclidean;
        Gate { bar, unit: sketch.unit, least: if sound { least } else { f64::NAN }, slope }
    }

    /// The score for an inner product with an error, given the product of the norms.
    fn interval(&self, dot: f64, error: f64, size: Option<f64>) -> Interval {
        match (self.metric, size) {
            (Metric::Cosine, Some(size)) => Interval::around(dot / size, error / size),
            (Metric::Inner, Some(_)) => Interval::around(dot, error),
            _ => Interval::around(0.0, f64::INFINITY),
        }
    }
}

/// A row or a query, and its norm (which distances do without).
#[derive(Clone, Copy, Debug)]
pub struct Vector<'a, T> {
    pub values: &'a [T],
    pub norm: Double,
}

/// The relative error of plain sums, and what they lose to underflow.
fn plain_errors<T: Real>(depth: usize) -> (f64, f64) {
    (plain::relative_error::<T>(depth), plain::underflow::<T>(depth))
}

/// The product of two norms; none where digits of products may be missing.
fn size<T>(row: Vector<'_, T>, query: Vector<'_, T>) -> Option<f64> {
    let norms = [row.norm.hi, query.norm.hi];
    let sound = norms.iter().all(|norm| (SMALLEST..=LARGEST).contains(norm));
    sound.then(|| norms[0] * norms[1])
}

/// A bar for the scores of a query, in terms of inner products with its sketch.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub bar: f64,
    unit: f64,
    least: f64,
    slope: f64,
}

impl Gate {
    /// Whether a row of this norm and inner product may have a score that reaches the bar; if not, it
    /// has none. No number lets everything pass.
    #[inline]
    pub fn may_pass(&self, dot: f64, norm: f64) -> bool {
        let short = dot * self.unit < self.least + self.slope * norm;
        !(short & (SMALLEST..=LARGEST).contains(&norm))
    }
}

/// Two numbers between which a score lies.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub lower: f64,
    pub upper: f64,
}

impl Interval {
    /// A score with an error, and its own rounding; everything where one of them is no number.
    fn around(score: f64, error: f64) -> Self {
        let error = error + 4.0 * ROUNDOFF * score.abs() + UNDERFLOW;
        let (lower, upper) = (score - error, score + error);
        let finite = lower.is_finite() && upper.is_finite();
        let everything = Self { lower: f64::NEG_INFINITY, upper: f64::INFINITY };
        if finite { Self { lower, upper } } else { everything }
    }
}

/// The power of two next to `value`, or 1 for zero.
fn power_of_two(value: f64) -> f64 {
    const FRACTION: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;
    match value {
        0.0 => 1.0,
        value if value.is_normal() => f64::from_bits((value.to_bits() + FRACTION) & !FRACTION),
        value => value.log2().ceil().exp2(),
    }
}
