//! Sums of products as if in twice double precision, then rounded once: the arbiter of ties.
//!
//! Compensated summation after Ogita, Rump and Oishi, "Accurate sum and dot product" (2005). The
//! lanes are the same for every instruction set, and so are the bits of the results.
#![expect(clippy::needless_range_loop, reason = "see the comment on loops below")]

pub mod plain;

use crate::simd::kernels::multiversion;
use crate::simd::prefetch::prefetch_parts;

/// A value `hi + lo` with `lo` no larger than the rounding error of `hi`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Double {
    /// The value, rounded to double precision.
    pub hi: f64,
    /// What the rounding left.
    pub lo: f64,
}

/// An element of a feature row: `f32` or `f64`.
pub trait Real: Copy + Default + Send + Sync + Into<f64> + From<i16> + PartialEq + 'static {
    /// Whether a product of two elements is exact in double precision.
    const EXACT_PRODUCTS: bool;
    /// Unit roundoff.
    const ROUNDOFF: f64;
    /// The least number above zero.
    const LEAST: f64;

    /// `self + a * b`, rounded once.
    fn plus_product(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    fn plus(self, other: Self) -> Self;
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
            fn plus(self, other: Self) -> Self {
                self + other
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
pub(in crate::simd) const LANES: usize = 16;

/// Sums that run side by side where several rows are worked on at once.
const WIDTH: usize = 8;

// The loops below walk fixed arrays by index. Closures and iterator adapters would be functions
// without the vector features that `multiversion` adds, which the compiler does not inline into its
// versions, and indices that need a check keep it from using vectors at all.

/// The numbers of a last, shorter block, and zeros.
#[inline(always)]
pub(in crate::simd) fn with_zeros<T: Copy + Default, const N: usize>(rest: &[T]) -> [T; N] {
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
    sums.add_products(&with_zeros(a_rest), &with_zeros(b_rest));
    sums.total()
}

#[inline(always)]
fn distance_body<T: Real>(a: &[T], b: &[T]) -> Double {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b[..a.len()].as_chunks());
    let mut sums = Sums::ZERO;
    for i in 0..a.len() {
        sums.add_squared_differences(&a[i], &b[i]);
    }
    sums.add_squared_differences(&with_zeros(a_rest), &with_zeros(b_rest));
    sums.total()
}

/// Each sum starts so high that a product never moves it to another power of two: then what a step
/// adds is known exactly, and so is what it loses.
#[inline(always)]
fn dots_within_body<T: Real, const N: usize>(
    rows: [&[T]; N],
    others: [&[T]; N],
    limits: [f64; N],
    next: [&[T]; N],
) -> [Double; N] {
    let blocks = rows[0].len() / WIDTH;
    let mut pairs: [[&[[T; WIDTH]]; 2]; N] = [[&[]; 2]; N];
    let (mut hi, mut lo) = ([[0.0; WIDTH]; N], [[0.0; WIDTH]; N]);
    for n in 0..N {
        pairs[n][0] = &rows[n].as_chunks().0[..blocks];
        pairs[n][1] = &others[n].as_chunks().0[..blocks];
        hi[n] = [3.0 * limits[n]; WIDTH];
    }
    for i in 0..blocks {
        prefetch_parts(&next, i * WIDTH, WIDTH);
        for n in 0..N {
            (hi[n], lo[n]) = add_bounded_products(hi[n], lo[n], &pairs[n][0][i], &pairs[n][1][i]);
        }
    }
    if !rows[0].len().is_multiple_of(WIDTH) {
        for n in 0..N {
            let row = with_zeros(rows[n].as_chunks::<WIDTH>().1);
            let other = with_zeros(others[n].as_chunks::<WIDTH>().1);
            (hi[n], lo[n]) = add_bounded_products(hi[n], lo[n], &row, &other);
        }
    }
    let mut totals = [Double::default(); N];
    for n in 0..N {
        for lane in 0..WIDTH {
            hi[n][lane] -= 3.0 * limits[n];
        }
        totals[n] = folded(hi[n], lo[n]);
    }
    totals
}

/// Adds products, each exact in double precision, to sums.
#[inline(always)]
fn add_bounded_products<T: Real>(
    mut hi: [f64; WIDTH],
    mut lo: [f64; WIDTH],
    a: &[T; WIDTH],
    b: &[T; WIDTH],
) -> ([f64; WIDTH], [f64; WIDTH]) {
    for lane in 0..WIDTH {
        let (a, b): (f64, f64) = (a[lane].into(), b[lane].into());
        let sum = a.mul_add(b, hi[lane]);
        let added = sum - hi[lane];
        lo[lane] += a.mul_add(b, -added);
        hi[lane] = sum;
    }
    (hi, lo)
}

/// The total of some sums, halved again and again.
#[inline(always)]
fn folded(mut hi: [f64; WIDTH], mut lo: [f64; WIDTH]) -> Double {
    let mut half = WIDTH / 2;
    while half > 0 {
        for lane in 0..half {
            let (sum, lost) = two_sum(hi[lane], hi[lane + half]);
            hi[lane] = sum;
            lo[lane] += lost + lo[lane + half];
        }
        half /= 2;
    }
    let (hi, lo) = two_sum(hi[0], lo[0]);
    Double { hi, lo }
}

multiversion! {
    /// The inner product of two rows of equal length.
    exact_dot<T: Real>(a: &[T], b: &[T]) -> Double = dot_body
}

multiversion! {
    /// The inner products of `N` pairs of rows, all of equal length, as exact as
    /// [`Kernels::exact_dot`](super::Kernels::exact_dot) and several times as fast, where the sizes
    /// of the products of each pair add up to less than its limit, a power of two from 2^-900 to
    /// 2^900. They do not depend on what is worked on together. On the way it asks for `next`, the
    /// others of the next call.
    exact_dots_within<T: Real; const N>(
        rows: [&[T]; N], others: [&[T]; N], limits: [f64; N], next: [&[T]; N],
    ) -> [Double; N] = dots_within_body
}

#[inline(always)]
fn cosines_body(dots: &mut [Double], norms: &[[Double; 2]]) {
    for (dot, [a, b]) in dots.iter_mut().zip(norms) {
        *dot = Double { hi: dot.cosine(*a, *b), lo: 0.0 };
    }
}

multiversion! {
    /// Replaces inner products of rows by their cosines, rounded once, given the norms of both; by 0
    /// where a row is zero.
    cosines(dots: &mut [Double], norms: &[[Double; 2]]) = cosines_body
}

multiversion! {
    /// The squared Euclidean distance of two rows of equal length, summed over differences, so
    /// that nothing cancels between near duplicates.
    exact_distance<T: Real>(a: &[T], b: &[T]) -> Double = distance_body
}

impl super::Kernels {
    /// The norm of a row.
    pub fn exact_norm<T: Real>(self, row: &[T]) -> Double {
        self.exact_dot(row, row).square_root()
    }
}

impl Double {
    #[inline(always)]
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

    #[inline(always)]
    fn divided_by(self, other: Self) -> f64 {
        let quotient = self.hi / other.hi;
        let rest = quotient.mul_add(-other.hi, self.hi) + (self.lo - quotient * other.lo);
        quotient + rest / other.hi
    }

    /// The cosine for this inner product of rows with the norms `a` and `b`, rounded once; 0 where a
    /// row is zero.
    #[inline(always)]
    fn cosine(self, a: Self, b: Self) -> f64 {
        let norms = a.times(b);
        if norms.hi == 0.0 { 0.0 } else { self.divided_by(norms) }
    }

    /// The square root, rounded once.
    pub fn root(self) -> f64 {
        self.square_root().hi
    }
}
