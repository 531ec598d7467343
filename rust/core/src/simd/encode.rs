//! From rows to codes: centring, rounding, and the norms that certify what the rounding lost.

use super::exact::Real;
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

const LANES: usize = 16;

/// Sums `term(i)` over `0..length` in a fixed order of 16 lanes.
#[inline(always)]
fn lane_sums<const N: usize>(length: usize, mut term: impl FnMut(usize) -> [f64; N]) -> [f64; N] {
    let mut lanes = [[0.0; LANES]; N];
    let whole = length - length % LANES;
    for start in (0..whole).step_by(LANES) {
        for lane in 0..LANES {
            let terms = term(start + lane);
            for (lanes, term) in lanes.iter_mut().zip(terms) {
                lanes[lane] += term;
            }
        }
    }
    for i in whole..length {
        for (lanes, term) in lanes.iter_mut().zip(term(i)) {
            lanes[i - whole] += term;
        }
    }
    lanes.map(|lanes| lanes.into_iter().sum())
}

#[inline(always)]
fn centre_body<T: Real>(row: &[T], factor: f64, centre: &[f64], out: &mut [f64]) {
    for ((out, &value), centre) in out.iter_mut().zip(row).zip(centre) {
        *out = value.into() * factor - centre;
    }
}

multiversion! {
    /// Writes `factor * row - centre`.
    centre<T: Real>(row: &[T], factor: f64, centre: &[f64], out: &mut [f64]) = centre_body
}

#[inline(always)]
fn squared_norm_body<T: Real>(row: &[T]) -> f64 {
    let [sum] = lane_sums(row.len(), |i| {
        let value: f64 = row[i].into();
        [value * value]
    });
    sum
}

multiversion! {
    /// The sum of squares in double precision.
    squared_norm<T: Real>(row: &[T]) -> f64 = squared_norm_body
}

#[inline(always)]
fn dot_f64_body(a: &[f64], b: &[f64]) -> f64 {
    let b = &b[..a.len()];
    let [sum] = lane_sums(a.len(), |i| [a[i] * b[i]]);
    sum
}

multiversion! {
    /// The inner product in double precision.
    dot_f64(a: &[f64], b: &[f64]) -> f64 = dot_f64_body
}

#[inline(always)]
fn encode_f32_body(row: &[f64], codes: &mut [f32]) -> Coded {
    let codes = &mut codes[..row.len()];
    let [norm, error] = lane_sums(row.len(), |i| {
        codes[i] = row[i] as f32;
        let code = f64::from(codes[i]);
        [code * code, (row[i] - code) * (row[i] - code)]
    });
    Coded { scale: 1.0, norm: norm.sqrt(), error: error.sqrt() }
}

multiversion! {
    /// Rounds to single precision.
    encode_f32(row: &[f64], codes: &mut [f32]) -> Coded = encode_f32_body
}

#[inline(always)]
fn encode_i8_body(row: &[f64], codes: &mut [i8]) -> Coded {
    let codes = &mut codes[..row.len()];
    let scale = (largest_body(row) / 127.0) as f32;
    let unit = f64::from(scale);
    let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / unit } else { 0.0 };
    let [norm, error] = lane_sums(row.len(), |i| {
        let code = (row[i] * inverse).round_ties_even().clamp(-127.0, 127.0);
        codes[i] = code as i8;
        let value = code * unit;
        [value * value, (row[i] - value) * (row[i] - value)]
    });
    Coded { scale, norm: norm.sqrt(), error: error.sqrt() }
}

multiversion! {
    /// Rounds to multiples of `scale`, the largest absolute value divided by 127.
    encode_i8(row: &[f64], codes: &mut [i8]) -> Coded = encode_i8_body
}

#[inline(always)]
fn hash_body<T: Real>(row: &[T]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut lanes = [FACTOR; LANES];
    for part in row.chunks(LANES) {
        for (hash, &value) in lanes.iter_mut().zip(part) {
            let value: f64 = value.into();
            *hash = (hash.rotate_left(27) ^ (value + 0.0).to_bits()).wrapping_mul(FACTOR);
        }
    }
    lanes.into_iter().fold(row.len() as u64, |hash, lane| {
        (hash.rotate_left(27) ^ lane ^ (lane >> 32)).wrapping_mul(FACTOR)
    })
}

multiversion! {
    /// A hash of the values of a row: equal rows have equal hashes (and -0 equals 0).
    hash_row<T: Real>(row: &[T]) -> u64 = hash_body
}

#[inline(always)]
fn largest_body<T: Real>(row: &[T]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let mut numbers = true;
    for part in row.chunks(LANES) {
        for (largest, &value) in lanes.iter_mut().zip(part) {
            let size = value.into().abs();
            numbers &= size >= 0.0;
            *largest = if size > *largest { size } else { *largest };
        }
    }
    if numbers { lanes.into_iter().fold(0.0, f64::max) } else { f64::NAN }
}

multiversion! {
    /// The largest absolute value of a row, or NaN where it holds one.
    largest<T: Real>(row: &[T]) -> f64 = largest_body
}
