//! Codes in which the first pass multiplies: single precision, bfloat16 or 8 bits.

use bytemuck::Pod;

use super::frame::{Frame, Placed};
use super::matrix::Matrix;
use crate::simd::Kernels;
use crate::simd::bounds::{QueryBounds, RowBounds};
use crate::simd::encode::Coded;
use crate::simd::exact::Real;
use crate::simd::rotation::RELATIVE_ERROR as ROTATION_ERROR;
use crate::simd::tile::{Products, StepBf16, StepF32, StepI8};

/// Room for the roundings of the bounds themselves, relative to the products they bound.
const ROUNDINGS: f64 = 1.0 / (1 << 19) as f64;

/// How vectors are coded, stored and multiplied.
pub trait Coding: Sized + Send + Sync {
    /// One or more dimensions of a panel.
    type Step: Pod + Send + Sync;
    /// One or more dimensions of one query.
    type Word: Copy + Send + Sync;
    /// Codes of one vector, in order.
    type Codes;

    /// An empty step.
    const ZERO: Self::Step;

    fn steps(depth: usize) -> usize;
    fn codes(depth: usize) -> Self::Codes;
    /// The coding that suits these rows.
    fn fit<T: Real>(kernels: Kernels, frame: &Frame, rows: Matrix<'_, T>) -> Self;
    /// Whether vectors are rotated before they are coded.
    fn is_rotated(&self) -> bool {
        false
    }
    /// The coding that is rotated, or not.
    fn restore(rotated: bool) -> Self;
    /// Codes a vector, whose contents are lost.
    fn encode(&self, kernels: Kernels, vector: &mut [f64], codes: &mut Self::Codes) -> Coded;
    /// Writes the codes as row `r` of a panel.
    fn store(codes: &Self::Codes, panel: &mut [Self::Step], r: usize);
    /// The codes as one column of a tile.
    fn words(codes: &Self::Codes) -> Vec<Self::Word>;
    fn padding() -> Self::Word;
    fn products(
        kernels: Kernels,
        queries: &[Self::Word],
        width: usize,
        panel: &[Self::Step],
        out: &mut Products,
    );
    /// Largest relative error of a sum of products of this depth.
    fn sum_error(depth: usize) -> f64;
    /// What a product loses where it is too small.
    const UNDERFLOW: f64;
}

/// Single-precision codes.
pub struct F32;

impl Coding for F32 {
    type Step = StepF32;
    type Word = f32;
    type Codes = Vec<f32>;
    const ZERO: StepF32 = StepF32::ZERO;

    fn steps(depth: usize) -> usize {
        depth
    }

    fn codes(depth: usize) -> Vec<f32> {
        vec![0.0; depth]
    }

    fn fit<T: Real>(_: Kernels, _: &Frame, _: Matrix<'_, T>) -> Self {
        Self
    }

    fn restore(_: bool) -> Self {
        Self
    }

    fn encode(&self, kernels: Kernels, vector: &mut [f64], codes: &mut Vec<f32>) -> Coded {
        kernels.encode_f32(vector, codes)
    }

    fn store(codes: &Vec<f32>, panel: &mut [StepF32], r: usize) {
        panel.iter_mut().zip(codes).for_each(|(step, &code)| step.0[r] = code);
    }

    fn words(codes: &Vec<f32>) -> Vec<f32> {
        codes.clone()
    }

    fn padding() -> f32 {
        0.0
    }

    fn products(k: Kernels, queries: &[f32], width: usize, panel: &[StepF32], out: &mut Products) {
        k.products_f32(queries, width, panel, out);
    }

    fn sum_error(depth: usize) -> f64 {
        roundings(depth + 2)
    }

    /// Half the smallest subnormal, and the rest for luck.
    const UNDERFLOW: f64 = SUBNORMAL;
}

/// bfloat16 codes.
pub struct Bf16;

impl Coding for Bf16 {
    type Step = StepBf16;
    type Word = i32;
    type Codes = Vec<u16>;
    const ZERO: StepBf16 = StepBf16::ZERO;

    fn steps(depth: usize) -> usize {
        depth.div_ceil(2)
    }

    fn codes(depth: usize) -> Vec<u16> {
        vec![0; depth.next_multiple_of(2)]
    }

    fn fit<T: Real>(_: Kernels, _: &Frame, _: Matrix<'_, T>) -> Self {
        Self
    }

    fn restore(_: bool) -> Self {
        Self
    }

    fn encode(&self, kernels: Kernels, vector: &mut [f64], codes: &mut Vec<u16>) -> Coded {
        kernels.encode_bf16(vector, codes)
    }

    fn store(codes: &Vec<u16>, panel: &mut [StepBf16], r: usize) {
        for (step, pair) in panel.iter_mut().zip(codes.chunks_exact(2)) {
            step.0[r] = [pair[0], pair[1]];
        }
    }

    fn words(codes: &Vec<u16>) -> Vec<i32> {
        let word = |pair: &[u16]| (u32::from(pair[1]) << 16 | u32::from(pair[0])) as i32;
        codes.chunks_exact(2).map(word).collect()
    }

    fn padding() -> i32 {
        0
    }

    fn products(k: Kernels, queries: &[i32], width: usize, panel: &[StepBf16], out: &mut Products) {
        k.products_bf16(queries, width, panel, out);
    }

    fn sum_error(depth: usize) -> f64 {
        roundings(2 * depth + 4)
    }

    /// Anything below the smallest normal number, both as a product and as a sum.
    const UNDERFLOW: f64 = 2.0 * f32::MIN_POSITIVE as f64;
}

/// The smallest number above zero.
const SUBNORMAL: f64 = f32::from_bits(1) as f64;

/// The relative error of so many roundings in single precision.
fn roundings(count: usize) -> f64 {
    let error = count as f64 * f64::from(f32::EPSILON) / 2.0;
    error / (1.0 - error)
}

/// 8-bit codes, each vector with a scale of its own; after a rotation where that makes the numbers
/// of a vector more alike in size, and so the codes more precise.
pub struct I8 {
    rotate: bool,
}

/// Rows on which rotated and plain codes are compared.
const SAMPLE: usize = 64;
/// A rotation is made if it brings the error of the codes below this part of what it was.
const WORTHWHILE: f64 = 0.85;

impl Coding for I8 {
    type Step = StepI8;
    type Word = i32;
    type Codes = Vec<i8>;
    const ZERO: StepI8 = StepI8::ZERO;

    fn steps(depth: usize) -> usize {
        depth.div_ceil(4)
    }

    fn codes(depth: usize) -> Vec<i8> {
        vec![0; depth.next_multiple_of(4)]
    }

    fn fit<T: Real>(kernels: Kernels, frame: &Frame, rows: Matrix<'_, T>) -> Self {
        let stride = rows.rows().div_ceil(SAMPLE).max(1);
        let (mut vector, mut codes) = (vec![0.0; rows.columns()], Self::codes(rows.columns()));
        let mut errors = [0.0; 2];
        for i in (0..rows.rows()).step_by(stride) {
            for (error, rotate) in errors.iter_mut().zip([false, true]) {
                frame.place_row(rows.row(i), &mut vector);
                *error += Self { rotate }.encode(kernels, &mut vector, &mut codes).error;
            }
        }
        Self { rotate: errors[1] < WORTHWHILE * errors[0] }
    }

    fn is_rotated(&self) -> bool {
        self.rotate
    }

    fn restore(rotate: bool) -> Self {
        Self { rotate }
    }

    fn encode(&self, kernels: Kernels, vector: &mut [f64], codes: &mut Vec<i8>) -> Coded {
        let mut lost = 0.0;
        if self.rotate {
            kernels.rotate(vector);
            lost = ROTATION_ERROR * kernels.squared_norm(vector).sqrt();
        }
        let coded = kernels.encode_i8(vector, codes);
        Coded { error: coded.error + lost, ..coded }
    }

    fn store(codes: &Vec<i8>, panel: &mut [StepI8], r: usize) {
        for (step, codes) in panel.iter_mut().zip(codes.chunks_exact(4)) {
            step.0[r] = [0, 1, 2, 3].map(|i| codes[i].wrapping_add(-128) as u8);
        }
    }

    fn words(codes: &Vec<i8>) -> Vec<i32> {
        let start = -128 * codes.iter().map(|&code| i32::from(code)).sum::<i32>();
        let steps = codes.chunks_exact(4);
        let words = steps.map(|c| i32::from_le_bytes([0, 1, 2, 3].map(|i| c[i] as u8)));
        std::iter::once(start).chain(words).collect()
    }

    fn padding() -> i32 {
        0
    }

    fn products(k: Kernels, queries: &[i32], width: usize, panel: &[StepI8], out: &mut Products) {
        k.products_i8(queries, width, panel, out);
    }

    fn sum_error(_: usize) -> f64 {
        0.0
    }

    /// Rescaling an exact sum by two scales, of at most 127^2 for each dimension, may lose a subnormal
    /// for each of its units.
    const UNDERFLOW: f64 = 127.0 * 127.0 * SUBNORMAL;
}

/// Rounds up to single precision, never to zero; of what is not a number nothing is known.
fn up(value: f64) -> f32 {
    if value.is_nan() {
        return f32::INFINITY;
    }
    ((value * (1.0 + 2.0 * ROUNDINGS)) as f32).max(f32::MIN_POSITIVE)
}

/// Fills in row `r` of a panel's bounds.
pub fn bound_row<C: Coding>(
    bounds: &mut RowBounds,
    r: usize,
    depth: usize,
    placed: Placed,
    coded: Coded,
) {
    let relative = C::sum_error(depth) + ROUNDINGS;
    let bias_error = up(placed.bias_error + placed.bias.abs() * ROUNDINGS);
    bounds.scale[r] = coded.scale;
    bounds.norm[r] = up(coded.norm);
    bounds.error[r] = up(coded.error + placed.error + relative * coded.norm);
    bounds.bias[r] = placed.bias as f32 + bias_error;
    bounds.bias_error[r] = bias_error;
}

/// The bounds of a query that has no floor yet.
pub fn bound_query<C: Coding>(depth: usize, placed: Placed, coded: Coded) -> QueryBounds {
    let underflow = (depth + 16) as f64 * C::UNDERFLOW;
    QueryBounds {
        scale: coded.scale,
        norm: up(coded.norm + coded.error + placed.error),
        error: up(coded.error + placed.error),
        bias_weight: placed.bias_weight as f32,
        slack: up(placed.slack + underflow),
        floor: f32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_up_and_unknown_ones_are_infinite() {
        for value in [0.0, 1e-60, 0.1, 1.0, 3e38] {
            assert!(f64::from(up(value)) > value, "{value}");
        }
        assert!(up(f64::NAN) == f32::INFINITY && up(f64::INFINITY) == f32::INFINITY);
    }

    /// Codes of numbers near the end of single precision: their scales multiply to a subnormal.
    #[test]
    fn rescaling_small_codes_stays_within_the_slack() {
        const DEPTH: usize = 2000;
        let number = |i: usize| 1e-21 * (0.5 + (i * 7 % 13) as f64 / 26.0);
        for kernels in Kernels::available() {
            let mut vector: Vec<f64> = (0..DEPTH).map(number).collect();
            let mut codes = I8::codes(DEPTH);
            let coded = I8 { rotate: false }.encode(kernels, &mut vector, &mut codes);
            let sum: i64 = codes.iter().map(|&code| i64::from(code) * i64::from(code)).sum();
            let scale = f64::from(coded.scale);
            let rescaled = f64::from(coded.scale * coded.scale * sum as f32);
            let lost = (rescaled - scale * scale * sum as f64).abs();
            assert!(lost > DEPTH as f64 * SUBNORMAL, "{kernels:?}: nothing was lost");
            assert!(lost <= DEPTH as f64 * I8::UNDERFLOW, "{kernels:?} {lost:e}");
        }
    }
}
