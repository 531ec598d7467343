//! Sums of products in the precision of the rows themselves: several times as fast as exact ones, and
//! near enough to tell which rows need those.

use super::exact::{Real, padded};
use super::kernels::multiversion;

/// Sums that run side by side: each is short, and so is its error.
const SUMS: usize = 64;

/// The error of [`Kernels::plain_dot`](super::Kernels::plain_dot), relative to the product of the
/// norms, and of [`Kernels::plain_distance`](super::Kernels::plain_distance), relative to the squared
/// distance: one rounding for each step of a sum, two for a difference, and the total in double.
pub fn relative_error<T: Real>(depth: usize) -> f64 {
    let roundings = (depth.div_ceil(SUMS) + 4) as f64 * T::ROUNDOFF;
    roundings / (1.0 - roundings) + SUMS as f64 * f64::EPSILON
}

/// What both lose where numbers are too small for the precision.
pub fn underflow<T: Real>(depth: usize) -> f64 {
    2.0 * depth as f64 * T::LEAST
}

#[inline(always)]
fn add_products<T: Real>(sums: &mut [T; SUMS], a: &[T; SUMS], b: &[T; SUMS]) {
    for i in 0..SUMS {
        sums[i] = sums[i].plus_product(a[i], b[i]);
    }
}

#[inline(always)]
fn add_squares<T: Real>(sums: &mut [T; SUMS], a: &[T; SUMS], b: &[T; SUMS]) {
    for i in 0..SUMS {
        let difference = a[i].minus(b[i]);
        sums[i] = sums[i].plus_product(difference, difference);
    }
}

#[inline(always)]
fn total<T: Real>(sums: &[T; SUMS]) -> f64 {
    let mut wide = [0.0; SUMS];
    for i in 0..SUMS {
        wide[i] = sums[i].into();
    }
    let mut half = SUMS / 2;
    while half > 0 {
        for i in 0..half {
            wide[i] += wide[i + half];
        }
        half /= 2;
    }
    wide[0]
}

/// Defines a sum over two rows with `$add`.
macro_rules! sum_body {
    ($name:ident, $add:ident) => {
        #[inline(always)]
        fn $name<T: Real>(a: &[T], b: &[T]) -> f64 {
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b[..a.len()].as_chunks());
            let mut sums = [T::default(); SUMS];
            for i in 0..a.len() {
                $add(&mut sums, &a[i], &b[i]);
            }
            if !a_rest.is_empty() {
                $add(&mut sums, &padded(a_rest), &padded(b_rest));
            }
            total(&sums)
        }
    };
}
sum_body!(dot_body, add_products);
sum_body!(distance_body, add_squares);

multiversion! {
    /// The inner product of two rows of equal length.
    plain_dot<T: Real>(a: &[T], b: &[T]) -> f64 = dot_body
}

multiversion! {
    /// The squared Euclidean distance of two rows of equal length, summed over differences.
    plain_distance<T: Real>(a: &[T], b: &[T]) -> f64 = distance_body
}
