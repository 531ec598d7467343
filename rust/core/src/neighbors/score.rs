//! Exact scores of rows for queries, and intervals that hold them at a part of the price.

use super::frame::{Frame, Metric, ROUNDOFF};
use super::sketch::Sketch;
use crate::powers::power_of_two_above;
use crate::simd::exact::plain;
use crate::simd::exact::{Double, Real};

/// Norms for which the digits of their squares, and of the product of these, are all there.
const SMALLEST: f64 = 1e-70;
const LARGEST: f64 = 1e70;
/// More than products too small for double precision can lose, also under a square root.
const UNDERFLOW: f64 = 1e-150;

impl Frame {
    /// The scores of `N` rows, each for a query: cosines, inner products, or distances with their
    /// sign turned. They do not depend on what is scored together. On the way it asks for the values
    /// of the queries that come next.
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
        let limits = sizes.map(|size| size.map_or(1.0, |size| 2.0 * power_of_two_above(size)));
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
        // A sum that left the numbers behind tells nothing.
        !(short & (dot > f64::NEG_INFINITY) & (SMALLEST..=LARGEST).contains(&norm))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbors::Matrix;
    use crate::simd::Kernels;

    const DEPTH: usize = 70;

    fn numbers(seed: u64, scale: f32) -> Vec<f32> {
        let number = |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32;
        (0..DEPTH as u64)
            .map(|i| scale * (number(seed * 997 + i) / (1 << 23) as f32 - 0.9))
            .collect()
    }

    /// An inner product with a sketch, the interval it stands for, and a gate for any bar.
    fn check_gates(kernels: Kernels, metric: Metric, row: &[f32], query: &[f32]) {
        let frame = Frame::fit(metric, Matrix::new(row, 1, DEPTH).unwrap(), 1.0, kernels);
        let [row, query] =
            [row, query].map(|values| Vector { values, norm: kernels.exact_norm(values) });
        let sketch = Sketch::new(kernels, query.values);
        let codes = [&sketch.codes[..]];
        let [dot] = kernels.sketch_dots([row.values], codes, codes);
        let Interval { lower, upper } = frame.sketched(dot, row, query, &sketch);
        let [score] = frame.scores([row], [query], [query.values]);
        assert!(lower <= score && score <= upper, "{lower} {score} {upper}");
        let passes = |bar: f64| frame.gate(query, &sketch, bar).may_pass(dot, row.norm.hi);
        let width = (upper - lower).min(f64::MAX);
        for bar in [f64::NEG_INFINITY, lower - width, lower, score, upper] {
            assert!(passes(bar), "{metric:?}: {bar} is not above {upper}");
        }
        let told = upper.is_finite() && metric != Metric::Euclidean;
        assert!(passes(upper + 2.0 * width) != told, "{metric:?} {upper} {width}");
    }

    #[test]
    fn a_gate_stops_only_what_stays_below_the_bar() {
        for kernels in Kernels::available() {
            for metric in [Metric::Cosine, Metric::Inner, Metric::Euclidean] {
                for (seed, scale) in (1..).zip([1.0, 1e-30, 1e30, 1e-44, 0.0, 3e38]) {
                    check_gates(kernels, metric, &numbers(seed, scale), &numbers(seed + 50, 1.0));
                    check_gates(kernels, metric, &numbers(seed, 1.0), &numbers(seed + 50, scale));
                }
            }
        }
    }

    #[test]
    fn a_sum_beyond_all_numbers_passes() {
        let gate = Gate { bar: 1.0, unit: 1.0, least: 0.5, slope: 0.5 };
        let passed = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, 1.0, -1e300, 0.9];
        let passed = passed.map(|dot| gate.may_pass(dot, 1.0));
        assert_eq!(passed, [true, true, true, true, false, false]);
        assert!([0.0, 1e-80, 1e80, f64::NAN].iter().all(|&norm| gate.may_pass(0.0, norm)));
    }
}
