//! Sums of products as if in twice double precision, then rounded once: the arbiter of ties.
//!
//! Compensated summation after Ogita, Rump and Oishi, "Accurate sum and dot product" (2005). The
//! lanes are the same for every instruction set, and so are the bits of the results.

use super::kernels::multiversion;

/// A value `hi + lo` with `lo` no larger than the rounding error of `hi`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Double {
    /// The value, rounded to double precision.
    pub hi: f64,
    /// What the rounding left.
    pub lo: f64,
}

/// An element of a feature row: `f32` or `f64`.
pub trait Real: Copy + Send + Sync + Into<f64> + PartialEq + 'static {
    /// Whether a product of two elements is exact in double precision.
    const EXACT_PRODUCTS: bool;
}

impl Real for f32 {
    const EXACT_PRODUCTS: bool = true;
}

impl Real for f64 {
    const EXACT_PRODUCTS: bool = false;
}

const LANES: usize = 16;

/// Running sums, one per lane.
struct Sums {
    hi: [f64; LANES],
    lo: [f64; LANES],
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, lane: usize, term: f64, error: f64) {
        let (sum, lost) = two_sum(self.hi[lane], term);
        self.hi[lane] = sum;
        self.lo[lane] += lost + error;
    }

    #[inline(always)]
    fn total(self) -> Double {
        let (mut hi, mut lo) = (0.0, 0.0);
        for lane in 0..LANES {
            let (sum, lost) = two_sum(hi, self.hi[lane]);
            hi = sum;
            lo += lost + self.lo[lane];
        }
        let (hi, lo) = two_sum(hi, lo);
        Double { hi, lo }
    }
}

#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

#[inline(always)]
fn accumulate<T: Real>(a: &[T], b: &[T], term: impl Fn(f64, f64) -> (f64, f64)) -> Double {
    let mut sums = Sums { hi: [0.0; LANES], lo: [0.0; LANES] };
    let (a_steps, b_steps) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_steps.remainder().iter().zip(b_steps.remainder());
    for (a, b) in a_steps.zip(b_steps) {
        for lane in 0..LANES {
            let (value, error) = term(a[lane].into(), b[lane].into());
            sums.add(lane, value, error);
        }
    }
    for (lane, (&a, &b)) in rest.enumerate() {
        let (value, error) = term(a.into(), b.into());
        sums.add(lane, value, error);
    }
    sums.total()
}

#[inline(always)]
fn product<T: Real>(a: f64, b: f64) -> (f64, f64) {
    let value = a * b;
    (value, if T::EXACT_PRODUCTS { 0.0 } else { a.mul_add(b, -value) })
}

#[inline(always)]
fn dot_body<T: Real>(a: &[T], b: &[T]) -> Double {
    accumulate(a, b, product::<T>)
}

/// `(a - b)^2` and what rounding took from it, to first order.
#[inline(always)]
fn squared_difference(a: f64, b: f64) -> (f64, f64) {
    let (difference, lost) = two_sum(a, -b);
    let square = difference * difference;
    (square, difference.mul_add(difference, -square) + 2.0 * difference * lost)
}

#[inline(always)]
fn distance_body<T: Real>(a: &[T], b: &[T]) -> Double {
    accumulate(a, b, squared_difference)
}

multiversion! {
    /// The inner product of two rows of equal length.
    exact_dot<T: Real>(a: &[T], b: &[T]) -> Double = dot_body
}

multiversion! {
    /// The squared Euclidean distance of two rows of equal length, summed over differences, so
    /// that nothing cancels between near duplicates.
    exact_distance<T: Real>(a: &[T], b: &[T]) -> Double = distance_body
}

impl Double {
    fn times(self, other: Self) -> Self {
        let hi = self.hi * other.hi;
        let error = self.hi.mul_add(other.hi, -hi) + (self.hi * other.lo + self.lo * other.hi);
        let (hi, lo) = two_sum(hi, error);
        Self { hi, lo }
    }

    fn square_root(self) -> Self {
        if self.hi <= 0.0 {
            return Self::default();
        }
        let hi = self.hi.sqrt();
        let (hi, lo) = two_sum(hi, (hi.mul_add(-hi, self.hi) + self.lo) / (2.0 * hi));
        Self { hi, lo }
    }

    fn divided_by(self, other: Self) -> f64 {
        let quotient = self.hi / other.hi;
        let rest = quotient.mul_add(-other.hi, self.hi) + (self.lo - quotient * other.lo);
        quotient + rest / other.hi
    }

    /// The cosine for this inner product of rows with the squared norms `a` and `b`, rounded once;
    /// 0 where a row is zero.
    pub fn cosine(self, a: Self, b: Self) -> f64 {
        let norms = a.square_root().times(b.square_root());
        if norms.hi == 0.0 { 0.0 } else { self.divided_by(norms) }
    }

    /// The square root, rounded once.
    pub fn root(self) -> f64 {
        self.square_root().hi
    }
}
