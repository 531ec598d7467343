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
pub trait Real: Copy + Default + Send + Sync + Into<f64> + PartialEq + 'static {
    /// Whether a product of two elements is exact in double precision.
    const EXACT_PRODUCTS: bool;
    /// Unit roundoff.
    const ROUNDOFF: f64;
    /// The least number above zero.
    const LEAST: f64;

    /// `self + a * b`, rounded once.
    fn plus_product(self, a: Self, b: Self) -> Self;
    /// `self - other`.
    fn minus(self, other: Self) -> Self;
}

/// Implements [`Real`].
macro_rules! real {
    ($type:ty, $exact:expr) => {
        impl Real for $type {
            const EXACT_PRODUCTS: bool = $exact;
            const ROUNDOFF: f64 = <$type>::EPSILON as f64 / 2.0;
            const LEAST: f64 = <$type>::from_bits(1) as f64;

            #[inline(always)]
            fn plus_product(self, a: Self, b: Self) -> Self {
                a.mul_add(b, self)
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }
        }
    };
}
real!(f32, true);
real!(f64, false);

/// Numbers that are worked on side by side, whatever the width of a vector.
pub(super) const LANES: usize = 16;

// The loops below walk fixed arrays by index. Closures and iterator adapters would be functions
// without the vector features that `multiversion` adds, which the compiler does not inline into its
// versions, and indices that need a check keep it from using vectors at all.

/// The numbers of a last, shorter block, and zeros.
#[inline(always)]
pub(super) fn padded<T: Copy + Default, const N: usize>(rest: &[T]) -> [T; N] {
    let mut block = [T::default(); N];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// Running sums, one per lane.
struct Sums {
    hi: [f64; LANES],
    lo: [f64; LANES],
}

impl Sums {
    const ZERO: Self = Self { hi: [0.0; LANES], lo: [0.0; LANES] };

    #[inline(always)]
    fn add_products<T: Real>(&mut self, a: &[T; LANES], b: &[T; LANES]) {
        for lane in 0..LANES {
            let (a, b): (f64, f64) = (a[lane].into(), b[lane].into());
            let value = a * b;
            let error = if T::EXACT_PRODUCTS { 0.0 } else { a.mul_add(b, -value) };
            self.add(lane, value, error);
        }
    }

    /// For sums between `2 * limit` and `4 * limit`, and products whose sizes add up to less than
    /// `limit`, a power of two.
    #[inline(always)]
    fn add_bounded_products<T: Real>(&mut self, a: &[T; LANES], b: &[T; LANES]) {
        for lane in 0..LANES {
            let (a, b): (f64, f64) = (a[lane].into(), b[lane].into());
            let sum = a.mul_add(b, self.hi[lane]);
            let added = sum - self.hi[lane];
            self.lo[lane] += a.mul_add(b, -added);
            self.hi[lane] = sum;
        }
    }

    #[inline(always)]
    fn add_squared_differences<T: Real>(&mut self, a: &[T; LANES], b: &[T; LANES]) {
        for lane in 0..LANES {
            let (difference, lost) = two_sum(a[lane].into(), -b[lane].into());
            let square = difference * difference;
            let error = difference.mul_add(difference, -square) + 2.0 * difference * lost;
            self.add(lane, square, error);
        }
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, term: f64, error: f64) {
        let (sum, lost) = two_sum(self.hi[lane], term);
        self.hi[lane] = sum;
        self.lo[lane] += lost + error;
    }

    #[inline(always)]
    fn total(&self) -> Double {
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
fn dot_body<T: Real>(a: &[T], b: &[T]) -> Double {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b[..a.len()].as_chunks());
    let mut sums = Sums::ZERO;
    for i in 0..a.len() {
        sums.add_products(&a[i], &b[i]);
    }
    sums.add_products(&padded(a_rest), &padded(b_rest));
    sums.total()
}

#[inline(always)]
fn distance_body<T: Real>(a: &[T], b: &[T]) -> Double {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b[..a.len()].as_chunks());
    let mut sums = Sums::ZERO;
    for i in 0..a.len() {
        sums.add_squared_differences(&a[i], &b[i]);
    }
    sums.add_squared_differences(&padded(a_rest), &padded(b_rest));
    sums.total()
}

/// Each sum starts so high that a product never moves it to another power of two: then what a step
/// adds is known exactly, and so is what it loses.
#[inline(always)]
fn dot_within_body<T: Real>(a: &[T], b: &[T], limit: f64) -> Double {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b[..a.len()].as_chunks());
    let start = 3.0 * limit;
    let mut sums = Sums { hi: [start; LANES], lo: [0.0; LANES] };
    for i in 0..a.len() {
        sums.add_bounded_products(&a[i], &b[i]);
    }
    sums.add_bounded_products(&padded(a_rest), &padded(b_rest));
    for lane in 0..LANES {
        sums.hi[lane] -= start;
    }
    sums.total()
}

multiversion! {
    /// The inner product of two rows of equal length.
    exact_dot<T: Real>(a: &[T], b: &[T]) -> Double = dot_body
}

multiversion! {
    /// [`Kernels::exact_dot`](super::Kernels::exact_dot), twice as fast, where the sizes of the
    /// products add up to less than `limit`, a power of two from 2^-900 to 2^900.
    exact_dot_within<T: Real>(a: &[T], b: &[T], limit: f64) -> Double = dot_within_body
}

multiversion! {
    /// The squared Euclidean distance of two rows of equal length, summed over differences, so
    /// that nothing cancels between near duplicates.
    exact_distance<T: Real>(a: &[T], b: &[T]) -> Double = distance_body
}

impl super::Kernels {
    /// Asks for a row that is needed soon, so that its way from memory is over by then.
    pub fn prefetch<T: Real>(self, row: &[T]) {
        #[cfg(target_arch = "x86_64")]
        for line in row.chunks(64 / size_of::<T>()) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that a program could see, from any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = row;
    }
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
