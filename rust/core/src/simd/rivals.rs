//! The rivals of the classes of some rows: the nearest one by one, and the moments of all others.
//!
//! A row is wrong, or nearly so, because of few classes. Their moves are kept as they are, and what the others
//! add to the partition is known by its moments under the softmax at one scale.
#![expect(clippy::needless_range_loop, reason = "plain loops over fixed arrays become vectors")]

use super::kernels::multiversion;
use super::moments::{Lanes, TILE, exp};

/// Rivals that are listed.
pub const LISTED: usize = 8;
/// The highest power of which the moment is summed.
pub const ORDER: usize = 12;

/// What a move is beyond another: zero if that may be rounding alone, where moves and logits without a move
/// have this size together.
#[inline(always)]
pub fn unless_level(beyond: f64, size: f64) -> f64 {
    if beyond.abs() <= 8.0 * f64::EPSILON * size { 0.0 } else { beyond }
}

/// The rivals of the rows of a tile: all moves and logits are less those of the own class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rivals {
    /// The moves and the logits of the largest moves; those that are level with the own class move by 0.
    pub listed: [[Lanes; 2]; LISTED],
    /// The logarithm of the sum of the powers of e of all other logits.
    pub mass: Lanes,
    /// The mean move of the others under their softmax.
    pub mean: Lanes,
    /// How far a move of the others is above that mean at the most, and how far below.
    pub reach: [Lanes; 2],
    /// The central moments of the others from the second on.
    pub moments: [Lanes; ORDER - 1],
}

multiversion! {
    /// The rivals where logits are `base + scale * move`, of more than [`LISTED`] + 1 classes; `moves` and
    /// `powers` are overwritten.
    softmax_rivals(moves: &mut [Lanes], base: &[f64], own: &[usize; TILE], scale: f64, powers: &mut [Lanes]) -> Rivals = rivals
}

#[inline(always)]
fn rivals(
    moves: &mut [Lanes],
    base: &[f64],
    own: &[usize; TILE],
    scale: f64,
    powers: &mut [Lanes],
) -> Rivals {
    let size = compare(moves, base, own, scale, powers);
    let (least, ties) = least_listed(moves);
    let mut listed = list(moves, own, (&least, ties), powers);
    for [ahead, _] in &mut listed {
        for i in 0..TILE {
            ahead[i] = unless_level(ahead[i], size[i]);
        }
    }
    let (top, total, mean) = weigh(moves, powers);
    let mut mass = [0.0; TILE];
    for i in 0..TILE {
        mass[i] = top[i] + total[i].ln();
    }
    let (below, moments) = spread(moves, powers, &total, &mean);
    let mut above = [0.0; TILE];
    for i in 0..TILE {
        above[i] = least[i] - mean[i];
    }
    Rivals { listed, mass, mean, reach: [above, below], moments }
}

/// Moves become those beyond the own class's, `powers` the logits beyond its. The own class itself moves least.
/// Returns the largest size of what moves were subtracted from.
#[inline(always)]
fn compare(
    moves: &mut [Lanes],
    base: &[f64],
    own: &[usize; TILE],
    scale: f64,
    powers: &mut [Lanes],
) -> Lanes {
    let classes = moves.len();
    let (base, powers) = (&base[..classes], &mut powers[..classes]);
    let mut size = [0.0; TILE];
    let (mut own_move, mut own_base) = ([0.0; TILE], [0.0; TILE]);
    for i in 0..TILE {
        own_move[i] = moves[own[i]][i];
        own_base[i] = base[own[i]];
    }
    for k in 0..classes {
        for i in 0..TILE {
            let of_class = moves[k][i].abs() + base[k].abs();
            size[i] = if of_class > size[i] { of_class } else { size[i] };
            moves[k][i] -= own_move[i];
            powers[k][i] = base[k] - own_base[i] + scale * moves[k][i];
        }
    }
    for i in 0..TILE {
        moves[own[i]][i] = f64::MIN;
    }
    size
}

/// The least of the [`LISTED`] largest moves, and how many of these are no larger.
#[inline(always)]
fn least_listed(moves: &[Lanes]) -> (Lanes, [usize; TILE]) {
    let mut largest = [[f64::MIN; TILE]; LISTED];
    for k in 0..moves.len() {
        let mut any = false;
        for i in 0..TILE {
            any |= moves[k][i] > largest[LISTED - 1][i];
        }
        if !any {
            continue;
        }
        let mut less = moves[k];
        for place in 0..LISTED {
            for i in 0..TILE {
                let (here, there) = (largest[place][i], less[i]);
                let above = there > here;
                largest[place][i] = if above { there } else { here };
                less[i] = if above { here } else { there };
            }
        }
    }
    let (least, mut ties) = (largest[LISTED - 1], [0; TILE]);
    for place in 0..LISTED {
        for i in 0..TILE {
            ties[i] += usize::from(largest[place][i] <= least[i]);
        }
    }
    (least, ties)
}

/// Takes the largest moves and the own class out: what stays in their place has no power, and a move that
/// no other exceeds. Of equal moves at the last places the first ones are taken.
#[inline(always)]
fn list(
    moves: &mut [Lanes],
    own: &[usize; TILE],
    (least, mut ties): (&Lanes, [usize; TILE]),
    powers: &mut [Lanes],
) -> [[Lanes; 2]; LISTED] {
    // What is not filled is a row of what is not a number.
    let mut listed = [[[f64::NAN; TILE]; 2]; LISTED];
    let mut count = [0; TILE];
    for k in 0..moves.len() {
        let mut any = false;
        for i in 0..TILE {
            any |= moves[k][i] >= least[i];
        }
        if !any {
            continue;
        }
        for i in 0..TILE {
            let is_tied = moves[k][i] == least[i];
            if moves[k][i] > least[i] || (is_tied && ties[i] > 0) {
                ties[i] -= usize::from(is_tied);
                listed[count[i]][0][i] = moves[k][i];
                listed[count[i]][1][i] = powers[k][i];
                count[i] += 1;
                moves[k][i] = least[i];
                powers[k][i] = f64::MIN;
            }
        }
    }
    for i in 0..TILE {
        moves[own[i]][i] = least[i];
        powers[own[i]][i] = f64::MIN;
    }
    listed
}

/// Logits become powers of e relative to the largest one, which is returned with their sum and the mean move.
#[inline(always)]
fn weigh(moves: &[Lanes], powers: &mut [Lanes]) -> (Lanes, Lanes, Lanes) {
    let classes = moves.len();
    let powers = &mut powers[..classes];
    let (mut top, mut total, mut mean) = ([f64::MIN; TILE], [0.0; TILE], [0.0; TILE]);
    for k in 0..classes {
        for i in 0..TILE {
            top[i] = if powers[k][i] > top[i] { powers[k][i] } else { top[i] };
        }
    }
    for k in 0..classes {
        for i in 0..TILE {
            let power = exp(powers[k][i] - top[i]);
            powers[k][i] = power;
            total[i] += power;
            mean[i] += power * moves[k][i];
        }
    }
    for i in 0..TILE {
        mean[i] /= total[i];
    }
    (top, total, mean)
}

/// How far a move is below the mean at the most, and the central moments.
#[inline(always)]
fn spread(
    moves: &[Lanes],
    powers: &[Lanes],
    total: &Lanes,
    mean: &Lanes,
) -> (Lanes, [Lanes; ORDER - 1]) {
    let powers = &powers[..moves.len()];
    let (mut below, mut moments) = ([0.0; TILE], [[0.0; TILE]; ORDER - 1]);
    for k in 0..moves.len() {
        let (mut off, mut term) = ([0.0; TILE], [0.0; TILE]);
        for i in 0..TILE {
            off[i] = moves[k][i] - mean[i];
            below[i] = if -off[i] > below[i] { -off[i] } else { below[i] };
            term[i] = powers[k][i] * off[i];
        }
        for moment in 0..ORDER - 1 {
            for i in 0..TILE {
                term[i] *= off[i];
                moments[moment][i] += term[i];
            }
        }
    }
    for moment in 0..ORDER - 1 {
        for i in 0..TILE {
            moments[moment][i] /= total[i];
        }
    }
    (below, moments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Kernels;

    fn number(i: usize) -> f64 {
        ((i * 7919 + 13) % 1009) as f64 / 300.0 - 1.5
    }

    fn tile(classes: usize) -> (Vec<Lanes>, Vec<f64>, [usize; TILE]) {
        let mut moves: Vec<Lanes> =
            (0..classes).map(|k| std::array::from_fn(|i| number(k * TILE + i))).collect();
        // Two lanes of few different moves: many are as large as the last that is listed.
        for (k, moves) in moves.iter_mut().enumerate() {
            moves[2] = moves[2].round();
            moves[5] = match k {
                20 => 0.3,
                1..5 => -1.0,
                10..16 => -0.5,
                _ => -2.0,
            };
        }
        let base = (0..classes).map(|k| number(k) / 2.0).collect();
        (moves, base, std::array::from_fn(|i| i * 5 % classes))
    }

    #[test]
    fn listed_rivals_and_the_moments_of_the_others_are_those_of_plain_sums() {
        let (moves, base, own) = tile(37);
        let (mut changed, mut powers) = (moves.clone(), vec![[0.0; TILE]; 37]);
        let found =
            Kernels::current().unwrap().softmax_rivals(&mut changed, &base, &own, 1.3, &mut powers);
        for i in 0..TILE {
            let logit = |k: usize| base[k] + 1.3 * moves[k][i];
            let mut rivals: Vec<(f64, f64)> = (0..37)
                .filter(|&k| k != own[i])
                .map(|k| (moves[k][i] - moves[own[i]][i], logit(k) - logit(own[i])))
                .collect();
            rivals.sort_by(|a, b| b.0.total_cmp(&a.0));
            let (near, far) = rivals.split_at(LISTED);
            let mut listed: Vec<_> = found.listed.iter().map(|[m, l]| (m[i], l[i])).collect();
            listed.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (a, b) in listed.iter().zip(near) {
                assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-12, "{a:?} {b:?}");
            }
            let total: f64 = far.iter().map(|(_, logit)| logit.exp()).sum();
            let mean = far.iter().map(|(m, logit)| m * logit.exp()).sum::<f64>() / total;
            assert!((found.mass[i] - total.ln()).abs() < 1e-12);
            assert!((found.mean[i] - mean).abs() < 1e-12);
            assert!(found.reach[0][i] >= far[0].0 - mean - 1e-12);
            assert!((found.reach[1][i] - (mean - far.last().unwrap().0)).abs() < 1e-12);
            for (order, moment) in (2..).zip(&found.moments) {
                let term = |(m, logit): &(f64, f64)| logit.exp() * (m - mean).powi(order);
                let expected = far.iter().map(term).sum::<f64>() / total;
                assert!((moment[i] - expected).abs() < 1e-11 * (1.0 + expected.abs()), "{order}");
            }
        }
    }

    #[test]
    fn a_rival_that_is_level_but_for_rounding_is_not_ahead() {
        let kernels = Kernels::current().unwrap();
        let one_up = 0.7f64.next_up();
        for (rival, expected) in [(one_up, 0.0), (0.7, 0.0), (0.7 + 1e-9, 0.7 + 1e-9 - 0.7)] {
            let mut moves = vec![[-3.0; TILE]; 12];
            moves[4] = [0.7; TILE];
            moves[9] = [rival; TILE];
            let mut powers = vec![[0.0; TILE]; 12];
            let found =
                kernels.softmax_rivals(&mut moves, &[0.1; 12], &[4; TILE], 2.0, &mut powers);
            let ahead = found.listed.iter().map(|[moves, _]| moves[3]).fold(f64::MIN, f64::max);
            assert_eq!(ahead, expected);
        }
    }

    #[test]
    fn all_instruction_sets_find_the_same_bits() {
        let (moves, base, own) = tile(37);
        let find = |kernels: Kernels| {
            let (mut moves, mut powers) = (moves.clone(), vec![[0.0; TILE]; 37]);
            kernels.softmax_rivals(&mut moves, &base, &own, 1.3, &mut powers)
        };
        let all = Kernels::available();
        for kernels in &all {
            assert_eq!(find(*kernels), find(all[0]), "{kernels:?}");
        }
    }
}
