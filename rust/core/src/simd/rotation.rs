//! A fixed rotation that spreads what a few numbers of a vector hold over all of them.
//!
//! Two rounds of sign changes and a Walsh-Hadamard transform, one over the first `2^p` numbers and
//! one over the last, with the largest `2^p` that fits; both are orthogonal, so inner products stay.
#![expect(clippy::needless_range_loop, reason = "plain loops, for the reason given in `exact`")]

use super::kernels::multiversion;

/// The rounding error of a rotated vector, relative to its norm: two roundings for each of at most
/// 64 steps and for the scaling, twice over.
pub const RELATIVE_ERROR: f64 = 2.0 * 2.0 * 66.0 * f64::EPSILON;

/// Numbers that are too near each other for vectors.
const NEAR: usize = 16;

/// Sign changes that follow no pattern which data could have.
#[inline(always)]
fn change_signs(vector: &mut [f64], seed: u64) {
    for i in 0..vector.len() {
        let mixed = (i as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let sign = (mixed ^ (mixed << 23)) & (1 << 63);
        vector[i] = f64::from_bits(vector[i].to_bits() ^ sign);
    }
}

/// The steps of a transform in which numbers meet others at least `least` places away.
#[inline(always)]
fn butterflies(vector: &mut [f64], least: usize) {
    let length = vector.len();
    let mut half = length / 2;
    while half >= least {
        let mut start = 0;
        while start < length {
            let (low, high) = vector[start..start + 2 * half].split_at_mut(half);
            for i in 0..half {
                let (a, b) = (low[i], high[i]);
                low[i] = a + b;
                high[i] = a - b;
            }
            start += 2 * half;
        }
        half /= 2;
    }
}

/// A Walsh-Hadamard transform, the result in another order. Numbers that meet late are neighbours,
/// which vectors cannot work on side by side, so what is left of the steps follows a transposition.
#[inline(always)]
fn hadamard(vector: &mut [f64], scratch: &mut [f64]) {
    let length = vector.len();
    let near = NEAR.min(length);
    let far = length / near;
    butterflies(vector, near);
    for i in 0..far {
        for j in 0..near {
            scratch[j * far + i] = vector[i * near + j];
        }
    }
    vector.copy_from_slice(&scratch[..length]);
    butterflies(vector, far);
    let scale = 1.0 / (length as f64).sqrt();
    for i in 0..length {
        vector[i] *= scale;
    }
}

#[inline(always)]
fn rotate_body(vector: &mut [f64]) {
    let length = vector.len();
    if length < 2 {
        return;
    }
    let part = 1 << length.ilog2();
    let mut scratch = vec![0.0; part];
    change_signs(vector, 1);
    hadamard(&mut vector[..part], &mut scratch);
    change_signs(vector, 2);
    hadamard(&mut vector[length - part..], &mut scratch);
}

multiversion! {
    /// Rotates a vector in place.
    rotate(vector: &mut [f64]) = rotate_body
}
