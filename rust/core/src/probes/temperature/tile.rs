//! Eight rows of predictions at a time, as the kernels take them.

use super::Goal;
use super::apart::Apart;
use super::bracket::At;
use super::series::Record;
use crate::simd::Kernels;
use crate::simd::moments::{Lanes, TILE};

/// Columns of predictions for some rows: column k starts at `k * ld`.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub values: &'a [f64],
    pub ld: usize,
}

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
                    let (label, own) = (*label as usize, self.moves[*label as usize][i]);
                    let below = found.top[i] - (self.centre[label] + scale * own);
                    let loss = found.total[i].ln() + below;
                    let slope = found.mean[i] - own;
                    sum.add(*share, At { loss, slope, curvature: found.variance[i] });
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

    /// How far the nearest rivals of `count` rows are behind, see [`super::apart`].
    pub fn apart(
        &mut self,
        from: Columns<'_>,
        (place, row, count): (usize, usize, usize),
        share: &[f64],
    ) -> Apart {
        self.take(from, place, count);
        let (mut apart, columns) = (Apart::default(), self.centre.len());
        for (i, _) in share.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            match self.goal {
                Goal::Classes(labels) => {
                    let own = labels[row + i] as usize;
                    let rivals = (0..columns).filter(|&k| k != own);
                    rivals.for_each(|k| apart.add(self.moves[k][i] - self.moves[own][i]));
                }
                Goal::Signs(signs) => {
                    let sign = |k: usize| signs[k * (signs.len() / columns) + row + i];
                    (0..columns).for_each(|k| apart.add(-2.0 * sign(k) * self.moves[k][i]));
                }
            }
        }
        apart
    }

    /// What is to be known of `count` rows about `scale`.
    pub fn records(
        &mut self,
        from: Columns<'_>,
        (place, row, count): (usize, usize, usize),
        (labels, scale): (&[u32], f64),
        found: &mut Vec<Record>,
    ) {
        self.take(from, place, count);
        let mut own = [0; TILE];
        own.iter_mut().zip(&labels[row..row + count]).for_each(|(to, label)| *to = *label as usize);
        let (moves, powers) = (&mut self.moves, &mut self.powers);
        let rivals = self.kernels.softmax_rivals(moves, self.centre, &own, scale, powers);
        found.extend((0..count).map(|i| Record::of(&rivals, i)));
    }
}
