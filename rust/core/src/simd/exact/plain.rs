//! Sums of products in the precision of the rows themselves: several times as fast as exact ones, and
//! near enough to tell which rows need those.

use super::{Real, with_zeros};
use crate::simd::kernels::multiversion;
use crate::simd::prefetch::prefetch_parts;

/// Sums that run side by side: each is short, and so is its error.
const SUMS: usize = 2 * LANES;

/// Numbers that are worked on side by side: so few that the compiler keeps sums of them in registers.
const LANES: usize = 16;

/// One number for each sum.
type Block<T> = [[T; LANES]; 2];

/// The whole blocks of a row, and the numbers that are left.
#[inline(always)]
fn blocks<T>(row: &[T]) -> (&[Block<T>], &[T]) {
    let (lanes, _) = row.as_chunks();
    let (blocks, _) = lanes.as_chunks();
    (blocks, &row[row.len() / SUMS * SUMS..])
}

/// A last, shorter block, and zeros.
#[inline(always)]
fn last_block<T: Copy + Default>(rest: &[T]) -> Block<T> {
    let (first, second) = rest.split_at(rest.len().min(LANES));
    [with_zeros(first), with_zeros(second)]
}

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

/// The error of [`Kernels::plain_dots`](crate::simd::Kernels::plain_dots), relative to the product of the
/// norms, and of [`Kernels::plain_distance`](crate::simd::Kernels::plain_distance), relative to the squared
/// distance: one rounding for each step of a sum, another for the last, shorter one, two for a difference, two where
/// sums are joined, and the total in double.
pub fn relative_error<T: Real>(depth: usize) -> f64 {
    let roundings = (depth.div_ceil(SUMS) + 7) as f64 * T::ROUNDOFF;
    roundings / (1.0 - roundings) + SUMS as f64 * f64::EPSILON
}

/// What both lose where numbers are too small for the precision.
pub fn underflow<T: Real>(depth: usize) -> f64 {
    2.0 * depth as f64 * T::LEAST
}

/// The total of some sums.
#[inline(always)]
fn total<T: Real>(sums: Block<T>) -> f64 {
    let mut wide = [0.0; LANES / 2];
    for i in 0..LANES / 2 {
        let [a, b] = sums;
        wide[i] = a[i].plus(a[i + 8]).plus(b[i].plus(b[i + 8])).into();
    }
    for half in [LANES / 4, LANES / 8] {
        for i in 0..half {
            wide[i] += wide[i + half];
        }
    }
    wide[0] + wide[1]
}

#[inline(always)]
fn add_products<T: Real, F: Factor<T>>(
    mut sums: [T; LANES],
    row: &[T; LANES],
    other: &[F; LANES],
) -> [T; LANES] {
    for i in 0..LANES {
        sums[i] = sums[i].plus_product(row[i], other[i].widen());
    }
    sums
}

#[inline(always)]
fn dots_body<T: Real, F: Factor<T>, const N: usize>(
    rows: [&[T]; N],
    others: [&[F]; N],
    next: [&[F]; N],
) -> [f64; N] {
    let count = rows[0].len() / SUMS;
    let mut left: [&[Block<T>]; N] = [&[]; N];
    let mut right: [&[Block<F>]; N] = [&[]; N];
    for n in 0..N {
        left[n] = &blocks(rows[n]).0[..count];
        right[n] = &blocks(others[n]).0[..count];
    }
    // The last, shorter block has sums of its own, so that the others stay in registers.
    let mut tails = [[[T::default(); LANES]; 2]; N];
    if !rows[0].len().is_multiple_of(SUMS) {
        for n in 0..N {
            let (row, other) = (last_block(blocks(rows[n]).1), last_block(blocks(others[n]).1));
            for half in 0..2 {
                tails[n][half] = add_products(tails[n][half], &row[half], &other[half]);
            }
        }
    }
    let mut sums = [[[T::default(); LANES]; 2]; N];
    for i in 0..count {
        prefetch_parts(&next, i * SUMS, SUMS);
        for n in 0..N {
            for half in 0..2 {
                sums[n][half] = add_products(sums[n][half], &left[n][i][half], &right[n][i][half]);
            }
        }
    }
    let mut totals = [0.0; N];
    for n in 0..N {
        for half in 0..2 {
            for i in 0..LANES {
                sums[n][half][i] = sums[n][half][i].plus(tails[n][half][i]);
            }
        }
        totals[n] = total(sums[n]);
    }
    totals
}

#[inline(always)]
fn plain_dots_body<T: Real, const N: usize>(
    rows: [&[T]; N],
    others: [&[T]; N],
    next: [&[T]; N],
) -> [f64; N] {
    dots_body(rows, others, next)
}

#[inline(always)]
fn sketch_dots_body<T: Real, const N: usize>(
    rows: [&[T]; N],
    others: [&[i16]; N],
    next: [&[i16]; N],
) -> [f64; N] {
    dots_body(rows, others, next)
}

#[inline(always)]
fn distance_body<T: Real>(a: &[T], b: &[T]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (blocks(a), blocks(&b[..a.len()]));
    let mut sums = [[T::default(); LANES]; 2];
    for i in 0..a.len() {
        for half in 0..2 {
            sums[half] = add_squares(sums[half], &a[i][half], &b[i][half]);
        }
    }
    if !a_rest.is_empty() {
        let (a, b) = (last_block(a_rest), last_block(b_rest));
        for half in 0..2 {
            sums[half] = add_squares(sums[half], &a[half], &b[half]);
        }
    }
    total(sums)
}

#[inline(always)]
fn add_squares<T: Real>(mut sums: [T; LANES], a: &[T; LANES], b: &[T; LANES]) -> [T; LANES] {
    for i in 0..LANES {
        let difference = a[i].minus(b[i]);
        sums[i] = sums[i].plus_product(difference, difference);
    }
    sums
}

multiversion! {
    /// The inner products of `N` pairs of rows, all of equal length. On the way it asks for `next`, the
    /// others of the next call.
    plain_dots<T: Real; const N>(rows: [&[T]; N], others: [&[T]; N], next: [&[T]; N]) -> [f64; N]
        = plain_dots_body
}

multiversion! {
    /// [`Kernels::plain_dots`](crate::simd::Kernels::plain_dots) of rows and others that are given in 16 bits.
    sketch_dots<T: Real; const N>(
        rows: [&[T]; N], others: [&[i16]; N], next: [&[i16]; N],
    ) -> [f64; N] = sketch_dots_body
}

multiversion! {
    /// The squared Euclidean distance of two rows of equal length, summed over differences.
    plain_distance<T: Real>(a: &[T], b: &[T]) -> f64 = distance_body
}
