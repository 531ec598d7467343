//! Eight rows of predictions at a time, as the kernels take them.

use super::Goal;
use super::apart::Apart;
use super::bracket::At;
use super::series::Record;
use crate::simd::Kernels;
use crate::simd::moments::{Lanes, TILE};
use crate::simd::rivals::unless_level;

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
    /// row `row` of all and the `place`-th of `from`.
    pub fn sum(
        &mut self,
        from: Columns<'_>,
        (place, row, count): (usize, usize, usize),
        scale: f64,
        share: &[f64],
    ) -> At {
        self.take(from, place, count);
        let mut sum = At::default();
        match self.goal {
            Goal::Classes(labels) => {
                let labels = &labels[row..row + count];
                self.subtract_own(labels);
                let (moves, powers) = (&self.moves, &mut self.powers);
                let found = self.kernels.softmax_spread(moves, self.centre, scale, powers);
                for (i, (label, share)) in labels.iter().zip(share).enumerate() {
                    let below = found.top[i] - self.centre[*label as usize];
                    let loss = found.total[i].ln() + below;
                    let (slope, curvature) = (found.mean[i], found.variance[i]);
                    sum.add(*share, At { loss, slope, curvature });
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
        sum
    }

    /// Moves become those beyond the own class's, so that a mean of them is as exact as they are, however
    /// little probability the rivals have.
    fn subtract_own(&mut self, labels: &[u32]) {
        let mut own = [0.0; TILE];
        own.iter_mut()
            .zip(labels)
            .enumerate()
            .for_each(|(i, (own, label))| *own = self.moves[*label as usize][i]);
        for moves in &mut self.moves {
            moves.iter_mut().zip(&own).for_each(|(m, own)| *m -= own);
        }
    }

    /// Adds how `count` rows stand with their nearest rivals, see [`super::apart`]; with several columns of signs
    /// each is a row by itself.
    pub fn apart(
        &mut self,
        from: Columns<'_>,
        (place, row, count): (usize, usize, usize),
        share: &[f64],
        apart: &mut Apart,
    ) {
        self.take(from, place, count);
        let (moves, columns) = (&self.moves, self.centre.len());
        let size = |k: usize, i: usize| moves[k][i].abs() + self.centre[k].abs();
        for (i, share) in share.iter().enumerate() {
            match self.goal {
                Goal::Classes(labels) => {
                    let own = labels[row + i] as usize;
                    let rivals = (0..columns).filter(|&k| k != own);
                    let ahead = rivals.map(|k| moves[k][i] - moves[own][i]).fold(f64::MIN, larger);
                    let size = (0..columns).map(|k| size(k, i)).fold(0.0, larger);
                    apart.add(*share, unless_level(ahead, size));
                }
                Goal::Signs(signs) => {
                    for k in 0..columns {
                        let sign = signs[k * (signs.len() / columns) + row + i];
                        let ahead = unless_level(-2.0 * sign * moves[k][i], size(k, i));
                        apart.add(share / columns as f64, ahead);
                    }
                }
            }
        }
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

/// The larger one, or what is not a number.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}
