//! Predictions of some rows under the softmax or the sigmoids of their logits: what the search for a
//! temperature sums up.
//!
//! A tile is eight rows, class by class; logits are `base + scale * move`.

use super::kernels::multiversion;

/// Rows of a tile.
pub const TILE: usize = 8;

/// One number for each row of a tile.
pub type Lanes = [f64; TILE];

/// The softmax of the rows of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// The largest logit, and the sum of all powers of e relative to it: the partition is `total * e^top`.
    pub top: Lanes,
    /// See `top`.
    pub total: Lanes,
    /// The mean move.
    pub mean: Lanes,
    /// The variance of the moves.
    pub variance: Lanes,
}

multiversion! {
    /// Fills a tile with eight of the values of each column, less the centre of the column. Columns begin
    /// `ld` values apart.
    fill_tile(moves: &mut [Lanes], values: &[f64], ld: usize, centre: &[f64]) = fill
}

multiversion! {
    /// Mean and variance of the moves; `powers` is overwritten.
    softmax_spread(moves: &[Lanes], base: &[f64], scale: f64, powers: &mut [Lanes]) -> Softmax = softmax
}

multiversion! {
    /// Sums over columns of the logistic loss of `2 * sign * logit` and its two derivatives by the scale.
    sigmoid_spread(moves: &[Lanes], signs: &[Lanes], base: &[f64], scale: f64) -> [Lanes; 3] = sigmoids
}

#[inline(always)]
fn fill(moves: &mut [Lanes], values: &[f64], ld: usize, centre: &[f64]) {
    let columns = moves.len();
    let centre = &centre[..columns];
    for k in 0..columns {
        let column = &values[k * ld..k * ld + TILE];
        for i in 0..TILE {
            moves[k][i] = column[i] - centre[k];
        }
    }
}

#[inline(always)]
fn softmax(moves: &[Lanes], base: &[f64], scale: f64, powers: &mut [Lanes]) -> Softmax {
    let classes = moves.len();
    let (base, powers) = (&base[..classes], &mut powers[..classes]);
    let mut top = [f64::MIN; TILE];
    for k in 0..classes {
        for i in 0..TILE {
            let logit = base[k] + scale * moves[k][i];
            top[i] = if logit > top[i] { logit } else { top[i] };
        }
    }
    let (mut total, mut mean) = ([0.0; TILE], [0.0; TILE]);
    for k in 0..classes {
        for i in 0..TILE {
            let power = exp(base[k] + scale * moves[k][i] - top[i]);
            powers[k][i] = power;
            total[i] += power;
            mean[i] += power * moves[k][i];
        }
    }
    for i in 0..TILE {
        mean[i] /= total[i];
    }
    let mut variance = [0.0; TILE];
    for k in 0..classes {
        for i in 0..TILE {
            let off = moves[k][i] - mean[i];
            variance[i] += powers[k][i] * off * off;
        }
    }
    for i in 0..TILE {
        variance[i] /= total[i];
    }
    Softmax { top, total, mean, variance }
}

#[inline(always)]
fn sigmoids(moves: &[Lanes], signs: &[Lanes], base: &[f64], scale: f64) -> [Lanes; 3] {
    let (columns, mut sums) = (moves.len(), [[0.0; TILE]; 3]);
    let (signs, base) = (&signs[..columns], &base[..columns]);
    for k in 0..columns {
        for i in 0..TILE {
            let slope = 2.0 * signs[k][i] * moves[k][i];
            let margin = 2.0 * signs[k][i] * (base[k] + scale * moves[k][i]);
            let size = if margin < 0.0 { -margin } else { margin };
            let power = exp(-size);
            let less = 1.0 / (1.0 + power);
            let wrong = if margin < 0.0 { less } else { power * less };
            sums[0][i] += ln_1p(power) + if margin < 0.0 { size } else { 0.0 };
            sums[1][i] -= slope * wrong;
            sums[2][i] += slope * slope * (power * less * less);
        }
    }
    sums
}

/// e^x for x <= 0; below -708 it is e^-708.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    /// Added to a small number, it leaves the nearest whole number in the last bits.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    const LN2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    let x = if x < -708.0 { -708.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + SHIFT;
    let power = shifted - SHIFT;
    let rest = x - power * LN2[0] - power * LN2[1];
    let mut series = 1.0 / 6_227_020_800.0;
    series = series * rest + 1.0 / 479_001_600.0;
    series = series * rest + 1.0 / 39_916_800.0;
    series = series * rest + 1.0 / 3_628_800.0;
    series = series * rest + 1.0 / 362_880.0;
    series = series * rest + 1.0 / 40_320.0;
    series = series * rest + 1.0 / 5040.0;
    series = series * rest + 1.0 / 720.0;
    series = series * rest + 1.0 / 120.0;
    series = series * rest + 1.0 / 24.0;
    series = series * rest + 1.0 / 6.0;
    series = series * rest + 0.5;
    series = series * rest + 1.0;
    series = series * rest + 1.0;
    let exponent = (shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits());
    series * f64::from_bits(exponent)
}

/// ln(1 + x) for x from 0 to 1, by the series of the inverse hyperbolic tangent of x / (2 + x).
#[inline(always)]
fn ln_1p(x: f64) -> f64 {
    const TERMS: usize = 16;
    let ratio = x / (2.0 + x);
    let square = ratio * ratio;
    let mut series = 0.0;
    for term in 0..TERMS {
        series = series * square + 1.0 / (2 * (TERMS - term) + 1) as f64;
    }
    2.0 * ratio * (1.0 + square * series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Kernels;

    #[test]
    fn exp_and_ln_1p_are_those_of_the_library() {
        for i in 0..200_000 {
            let x = -708.0 * f64::from(i) / 200_000.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-14, "{x}");
            let y = f64::from(i) / 199_999.0;
            assert!((ln_1p(y) - y.ln_1p()).abs() <= 1e-15 * y.ln_1p(), "{y}");
        }
        assert_eq!(exp(-1e9), exp(-708.0));
    }

    #[test]
    fn all_instruction_sets_sum_the_same_bits() {
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 300.0 - 1.5;
        let moves: Vec<Lanes> =
            (0..37).map(|k| std::array::from_fn(|i| number(k * TILE + i))).collect();
        let signs: Vec<Lanes> = (0..37)
            .map(|k| std::array::from_fn(|i| if (k + i) % 3 == 0 { 1.0 } else { -1.0 }))
            .collect();
        let base: Vec<f64> = (0..37).map(|k| number(k) / 2.0).collect();
        let sum = |kernels: Kernels| {
            let mut powers = vec![[0.0; TILE]; 37];
            let spread = kernels.softmax_spread(&moves, &base, 1.3, &mut powers);
            let sums = kernels.sigmoid_spread(&moves, &signs, &base, 1.3);
            (spread.top, spread.total, spread.mean, spread.variance, sums)
        };
        let all = Kernels::available();
        for kernels in &all {
            assert_eq!(sum(*kernels), sum(all[0]), "{kernels:?}");
        }
    }
}
