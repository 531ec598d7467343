//! From rows to codes: centring, rounding, and the norms that certify what the rounding lost.
#![expect(
    clippy::needless_range_loop,
    clippy::cast_lossless,
    clippy::eq_op,
    reason = "see the comment on loops below"
)]

use super::exact::{LANES, Real, with_zeros};
use super::kernels::multiversion;

/// What became of a vector: `scale * codes` stands for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coded {
    /// Value of one unit of the codes.
    pub scale: f32,
    /// Norm of `scale * codes`.
    pub norm: f64,
    /// Norm of the difference between the vector and `scale * codes`.
    pub error: f64,
}

// Plain loops over fixed arrays, for the reason given in `exact`.

#[inline(always)]
fn total(lanes: &[f64; LANES]) -> f64 {
    let mut sum = 0.0;
    for lane in 0..LANES {
        sum += lanes[lane];
    }
    sum
}

/// `$body` for each block of 16 numbers of `$row`, the last one filled up with zeros.
macro_rules! for_blocks {
    ($row:expr, |$block:ident| $body:expr) => {
        let (blocks, rest) = $row.as_chunks::<LANES>();
        for i in 0..blocks.len() {
            let $block = &blocks[i];
            $body
        }
        let $block = &with_zeros::<_, LANES>(rest);
        $body
    };
}

/// As [`for_blocks`], with the block of `$codes` that belongs to it.
macro_rules! for_coded_blocks {
    ($row:expr, $codes:expr, |$block:ident, $out:ident| $body:expr) => {
        let (blocks, rest) = $row.as_chunks::<LANES>();
        let (outs, out_rest) = $codes[..$row.len()].as_chunks_mut::<LANES>();
        let outs = &mut outs[..blocks.len()];
        for i in 0..blocks.len() {
            let ($block, $out) = (&blocks[i], &mut outs[i]);
            $body
        }
        let ($block, last) = (&with_zeros::<_, LANES>(rest), &mut [Default::default(); LANES]);
        {
            let $out = &mut *last;
            $body
        }
        out_rest[..rest.len()].copy_from_slice(&last[..rest.len()]);
    };
}

#[inline(always)]
fn centre_body<T: Real>(row: &[T], factor: f64, centre: &[f64], out: &mut [f64]) {
    let (centre, out) = (&centre[..row.len()], &mut out[..row.len()]);
    for i in 0..row.len() {
        out[i] = row[i].into() * factor - centre[i];
    }
}

multiversion! {
    /// Writes `factor * row - centre`.
    centre<T: Real>(row: &[T], factor: f64, centre: &[f64], out: &mut [f64]) = centre_body
}

#[inline(always)]
fn squared_norm_body<T: Real>(row: &[T]) -> f64 {
    let mut sums = [0.0; LANES];
    for_blocks!(row, |block| for lane in 0..LANES {
        let value: f64 = block[lane].into();
        sums[lane] += value * value;
    });
    total(&sums)
}

multiversion! {
    /// The sum of squares in double precision.
    squared_norm<T: Real>(row: &[T]) -> f64 = squared_norm_body
}

#[inline(always)]
fn dot_f64_body(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b[..a.len()].as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for i in 0..a.len() {
        for lane in 0..LANES {
            sums[lane] += a[i][lane] * b[i][lane];
        }
    }
    for lane in 0..a_rest.len() {
        sums[lane] += a_rest[lane] * b_rest[lane];
    }
    total(&sums)
}

multiversion! {
    /// The inner product in double precision.
    dot_f64(a: &[f64], b: &[f64]) -> f64 = dot_f64_body
}

#[inline(always)]
fn encode_f32_body(row: &[f64], codes: &mut [f32]) -> Coded {
    let (mut norms, mut errors) = ([0.0; LANES], [0.0; LANES]);
    for_coded_blocks!(row, codes, |block, out| {
        for lane in 0..LANES {
            out[lane] = block[lane] as f32;
        }
        for lane in 0..LANES {
            let value = out[lane] as f64;
            norms[lane] += value * value;
            errors[lane] += (block[lane] - value) * (block[lane] - value);
        }
    });
    Coded { scale: 1.0, norm: total(&norms).sqrt(), error: total(&errors).sqrt() }
}

multiversion! {
    /// Rounds to single precision.
    encode_f32(row: &[f64], codes: &mut [f32]) -> Coded = encode_f32_body
}

#[inline(always)]
fn encode_bf16_body(row: &[f64], codes: &mut [u16]) -> Coded {
    let (mut norms, mut errors) = ([0.0; LANES], [0.0; LANES]);
    for_coded_blocks!(row, codes, |block, out| for lane in 0..LANES {
        let bits = (block[lane] as f32).to_bits();
        let rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
        let normal = (rounded & 0x7f80_0000) != 0;
        let kept = if normal { rounded } else { 0 };
        out[lane] = (kept >> 16) as u16;
        let value = f32::from_bits(kept) as f64;
        norms[lane] += value * value;
        errors[lane] += (block[lane] - value) * (block[lane] - value);
    });
    Coded { scale: 1.0, norm: total(&norms).sqrt(), error: total(&errors).sqrt() }
}

multiversion! {
    /// Rounds to bfloat16, to nearest even, and to zero where the result would be subnormal. Numbers
    /// are at most 2^126 in size.
    encode_bf16(row: &[f64], codes: &mut [u16]) -> Coded = encode_bf16_body
}

/// Adding and taking away `1.5 * 2^52` rounds a small number to the nearest integer, ties to even.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

#[inline(always)]
fn encode_i8_body(row: &[f64], codes: &mut [i8]) -> Coded {
    let scale = (largest_body(row) / 127.0) as f32;
    let unit = scale as f64;
    let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / unit } else { 0.0 };
    let (mut norms, mut errors) = ([0.0; LANES], [0.0; LANES]);
    for_coded_blocks!(row, codes, |block, out| for lane in 0..LANES {
        // At most 127.00002 in size, so it rounds to 127 at most; the low bits of the sum are its
        // two's complement.
        let shifted = block[lane] * inverse + ROUNDER;
        out[lane] = shifted.to_bits() as i8;
        let value = (shifted - ROUNDER) * unit;
        norms[lane] += value * value;
        errors[lane] += (block[lane] - value) * (block[lane] - value);
    });
    Coded { scale, norm: total(&norms).sqrt(), error: total(&errors).sqrt() }
}

multiversion! {
    /// Rounds to multiples of `scale`, the largest absolute value divided by 127.
    encode_i8(row: &[f64], codes: &mut [i8]) -> Coded = encode_i8_body
}

#[inline(always)]
fn encode_i16_body<T: Real>(row: &[T], unit: f64, codes: &mut [i16]) -> f64 {
    let inverse = if unit >= f64::MIN_POSITIVE { 1.0 / unit } else { 0.0 };
    let mut errors = [0.0; LANES];
    for_coded_blocks!(row, codes, |block, out| for lane in 0..LANES {
        let number: f64 = block[lane].into();
        // The low bits of the sum are the two's complement of the integer.
        let shifted = number * inverse + ROUNDER;
        out[lane] = shifted.to_bits() as i16;
        let left = number - (shifted - ROUNDER) * unit;
        errors[lane] += left * left;
    });
    total(&errors).sqrt()
}

multiversion! {
    /// Rounds to multiples of `unit`, of which no number may have more than 32,767; the norm of what
    /// that leaves out.
    encode_i16<T: Real>(row: &[T], unit: f64, codes: &mut [i16]) -> f64 = encode_i16_body
}

#[inline(always)]
fn hash_body<T: Real>(row: &[T]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut lanes = [FACTOR; LANES];
    for_blocks!(row, |block| for lane in 0..LANES {
        let value: f64 = block[lane].into();
        let mixed = lanes[lane] ^ (value + 0.0).to_bits();
        lanes[lane] = (mixed ^ (mixed >> 29)).wrapping_mul(FACTOR);
    });
    let mut hash = row.len() as u64;
    for lane in 0..LANES {
        hash = (hash ^ lanes[lane] ^ (lanes[lane] >> 32)).wrapping_mul(FACTOR);
    }
    hash
}

multiversion! {
    /// A hash of the values of a row: equal rows have equal hashes (and -0 equals 0).
    hash_row<T: Real>(row: &[T]) -> u64 = hash_body
}

#[inline(always)]
fn largest_body<T: Real>(row: &[T]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let mut strange = [false; LANES];
    for_blocks!(row, |block| for lane in 0..LANES {
        let value: f64 = block[lane].into();
        let size = f64::from_bits(value.to_bits() & (u64::MAX >> 1));
        strange[lane] |= size != size;
        lanes[lane] = if size > lanes[lane] { size } else { lanes[lane] };
    });
    let mut largest = 0.0;
    for lane in 0..LANES {
        if strange[lane] {
            return f64::NAN;
        }
        largest = if lanes[lane] > largest { lanes[lane] } else { largest };
    }
    largest
}

multiversion! {
    /// The largest absolute value of a row, or NaN where it holds one.
    largest<T: Real>(row: &[T]) -> f64 = largest_body
}
