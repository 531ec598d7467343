//! Eight rows of predictions at a time, as the kernels take them.

use super::Goal;
use super::bracket::At;
use crate::simd::Kernels;
use crate::simd::moments::{Lanes, ORDER, Softmax, TILE};

/// Columns of predictions for some rows: column k starts at `k * ld`.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub values: &'a [f64],
    pub ld: usize,
}

/// What is known of a row whose predictions are scaled by about as much: see [`super::series`].
pub const WIDTH: usize = ORDER + 2;

/// Buffers for one tile after the other.
pub struct Tiles<'a> {
    goal: Goal<'a>,
    centre: &'a [f64],
    kernels: Kernels,
    moves: Vec<Lanes>,
    signs: Vec<Lanes>,
    powers: Vec<Lanes>,
}

impl<'a> Tiles<'a> {
    pub fn new(goal: Goal<'a>, centre: &'a [f64], kernels: Kernels) -> Self {
        let empty = || vec![[0.0; TILE]; centre.len()];
        Self { goal, centre, kernels, moves: empty(), signs: empty(), powers: empty() }
    }

    /// Takes the predictions of `count` rows, the `place`-th on, less their centre.
    fn take(&mut self, from: Columns<'_>, place: usize, count: usize) {
        if count == TILE {
            let values = &from.values[place..];
            return self.kernels.fill_tile(&mut self.moves, values, from.ld, self.centre);
        }
        for (k, (moves, centre)) in self.moves.iter_mut().zip(self.centre).enumerate() {
            *moves = [0.0; TILE];
            let values = &from.values[k * from.ld + place..];
            moves[..count].iter_mut().zip(values).for_each(|(m, value)| *m = value - centre);
        }
    }

    /// Log-loss and derivatives at `scale`, weighted and summed over `count` rows of which the first is
    /// row `row` of all and the `place`-th of `from`; and the weighted size of the moves of their classes.
    pub fn sum(
        &mut self,
        from: Columns<'_>,
        (place, row, count): (usize, usize, usize),
        scale: f64,
        share: &[f64],
    ) -> (At, f64) {
        self.take(from, place, count);
        let (mut sum, mut own_moves) = (At::default(), 0.0);
        match self.goal {
            Goal::Classes(labels) => {
                let (moves, powers) = (&self.moves, &mut self.powers);
                let found = self.kernels.softmax_spread(moves, self.centre, scale, powers);
                for (i, (label, share)) in labels[row..row + count].iter().zip(share).enumerate() {
                    let (loss, slope, own) = self.own(&found, i, *label as usize, scale);
                    sum.add(*share, At { loss, slope, curvature: found.moments[0][i] });
                    own_moves += share * own.abs();
                }
            }
            Goal::Signs(signs) => {
                let rows = signs.len() / self.centre.len();
                for (k, lanes) in self.signs.iter_mut().enumerate() {
                    *lanes = [1.0; TILE];
                    lanes[..count].copy_from_slice(&signs[k * rows + row..][..count]);
                }
                let (moves, signs) = (&self.moves, &self.signs);
                let found = self.kernels.sigmoid_spread(moves, signs, self.centre, scale);
                for (i, share) in share[..count].iter().enumerate() {
                    let [loss, slope, curvature] = found.map(|lanes| lanes[i]);
                    sum.add(share / self.centre.len() as f64, At { loss, slope, curvature });
                }
            }
        }
        (sum, own_moves)
    }

    /// The series of `count` rows about `scale`, [`WIDTH`] numbers a row: loss, slope, reach, and the
    /// moments from the second on over the factorials.
    pub fn series(
        &mut self,
        from: Columns<'_>,
        (place, row, count): (usize, usize, usize),
        (labels, scale): (&[u32], f64),
        found: &mut Vec<f64>,
    ) {
        self.take(from, place, count);
        let (moves, powers) = (&self.moves, &mut self.powers);
        let softmax = self.kernels.softmax_series(moves, self.centre, scale, powers);
        for (i, label) in labels[row..row + count].iter().enumerate() {
            let (loss, slope, _) = self.own(&softmax, i, *label as usize, scale);
            found.extend([loss, slope, softmax.reach[i]]);
            let mut factorial = 1.0;
            for (order, moment) in (2u32..).zip(&softmax.moments) {
                factorial *= f64::from(order);
                found.push(moment[i] / factorial);
            }
        }
    }

    /// Loss and slope of a row of the tile, and the move of its class.
    fn own<const N: usize>(
        &self,
        found: &Softmax<N>,
        i: usize,
        label: usize,
        scale: f64,
    ) -> (f64, f64, f64) {
        let own = self.moves[label][i];
        let below = found.top[i] - (self.centre[label] + scale * own);
        (found.total[i].ln() + below, found.mean[i] - own, own)
    }
}
