//! Sums of products in the precision of the rows themselves: several times as fast as exact ones, and
//! near enough to tell which rows need those.

use super::exact::{Real, padded};
use super::kernels::multiversion;

/// Sums that run side by side: each is short, and so is its error.
const SUMS: usize = 32;

/// A number that is multiplied in the precision `T`, which holds it.
trait Factor<T>: Copy + Default {
    fn widen(self) -> T;
}

impl<T: Real> Factor<T> for T {
    #[inline(always)]
    fn widen(self) -> T {
        self
    }
}

impl<T: Real> Factor<T> for i16 {
    #[inline(always)]
    fn widen(self) -> T {
        self.into()
    }
}

/// The error of [`Kernels::plain_dots`](super::Kernels::plain_dots), relative to the product of the
/// norms, and of [`Kernels::plain_distance`](super::Kernels::plain_distance), relative to the squared
/// distance: one rounding for each step of a sum, two for a difference, two where sums are joined, and the total in
/// double.
pub fn relative_error<T: Real>(depth: usize) -> f64 {
    let roundings = (depth.div_ceil(SUMS) + 6) as f64 * T::ROUNDOFF;
    roundings / (1.0 - roundings) + SUMS as f64 * f64::EPSILON
}

/// What both lose where numbers are too small for the precision.
pub fn underflow<T: Real>(depth: usize) -> f64 {
    2.0 * depth as f64 * T::LEAST
}

/// The total of some sums.
#[inline(always)]
fn total<T: Real>(sums: [T; SUMS]) -> f64 {
    let mut wide = [0.0; SUMS / 4];
    for i in 0..SUMS / 4 {
        let (a, b) = (sums[i].plus(sums[i + 8]), sums[i + 16].plus(sums[i + 24]));
        wide[i] = a.plus(b).into();
    }
    for half in [SUMS / 8, SUMS / 16] {
        for i in 0..half {
            wide[i] += wide[i + half];
        }
    }
    wide[0] + wide[1]
}

#[inline(always)]
fn add_products<T: Real, F: Factor<T>>(
    mut sums: [T; SUMS],
    row: &[T; SUMS],
    other: &[F; SUMS],
) -> [T; SUMS] {
    for i in 0..SUMS {
        sums[i] = sums[i].plus_product(row[i], other[i].widen());
    }
    sums
}

#[inline(always)]
fn dots_body<T: Real, F: Factor<T>, const N: usize>(
    rows: [&[T]; N],
    others: [&[F]; N],
) -> [f64; N] {
    let count = rows[0].len() / SUMS;
    let mut left: [&[[T; SUMS]]; N] = [&[]; N];
    let mut right: [&[[F; SUMS]]; N] = [&[]; N];
    for n in 0..N {
        left[n] = &rows[n].as_chunks().0[..count];
        right[n] = &others[n].as_chunks().0[..count];
    }
    let mut sums = [[T::default(); SUMS]; N];
    for i in 0..count {
        for n in 0..N {
            sums[n] = add_products(sums[n], &left[n][i], &right[n][i]);
        }
    }
    if !rows[0].len().is_multiple_of(SUMS) {
        for n in 0..N {
            let row = padded(rows[n].as_chunks::<SUMS>().1);
            let other = padded(others[n].as_chunks::<SUMS>().1);
            sums[n] = add_products(sums[n], &row, &other);
        }
    }
    let mut totals = [0.0; N];
    for n in 0..N {
        totals[n] = total(sums[n]);
    }
    totals
}

#[inline(always)]
fn plain_dots_body<T: Real, const N: usize>(rows: [&[T]; N], others: [&[T]; N]) -> [f64; N] {
    dots_body(rows, others)
}

#[inline(always)]
fn sketch_dots_body<T: Real, const N: usize>(rows: [&[T]; N], others: [&[i16]; N]) -> [f64; N] {
    dots_body(rows, others)
}

#[inline(always)]
fn distance_body<T: Real>(a: &[T], b: &[T]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b[..a.len()].as_chunks());
    let mut sums = [T::default(); SUMS];
    for i in 0..a.len() {
        sums = add_squares(sums, &a[i], &b[i]);
    }
    if !a_rest.is_empty() {
        sums = add_squares(sums, &padded(a_rest), &padded(b_rest));
    }
    total(sums)
}

#[inline(always)]
fn add_squares<T: Real>(mut sums: [T; SUMS], a: &[T; SUMS], b: &[T; SUMS]) -> [T; SUMS] {
    for i in 0..SUMS {
        let difference = a[i].minus(b[i]);
        sums[i] = sums[i].plus_product(difference, difference);
    }
    sums
}

multiversion! {
    /// The inner products of `N` pairs of rows, all of equal length.
    plain_dots<T: Real, const N>(rows: [&[T]; N], others: [&[T]; N]) -> [f64; N] = plain_dots_body
}

multiversion! {
    /// The inner products of `N` pairs of rows, all of equal length, one of each given in 16 bits.
    sketch_dots<T: Real, const N>(rows: [&[T]; N], others: [&[i16]; N]) -> [f64; N]
        = sketch_dots_body
}

multiversion! {
    /// The squared Euclidean distance of two rows of equal length, summed over differences.
    plain_distance<T: Real>(a: &[T], b: &[T]) -> f64 = distance_body
}
