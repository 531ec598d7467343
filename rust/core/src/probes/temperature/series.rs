//! The log-loss of many rows at all scales, from what is kept of each about one of them.
//!
//! With the moves b of the rivals of a row beyond that of its own class, and their logits l beyond its logit,
//! at scale c, the log-loss at c + t is `ln(1 + sum of e^(l + tb))`. The rivals of the largest moves are in that sum one
//! by one, at any scale. The others come to `e^(M + tm) Q` with m their mean move, g = b - m, and
//! `Q = E e^(tg) = 1 + sum over j of E g^j t^j / j!`. What that sum up to the order 11 leaves out is
//! `E g^12 t^12 / 12! e^(t g)` at the most. So it says how good it is; and Q is never below 1, nor above
//! the largest `e^(tg)`.

use super::bracket::At;
use crate::simd::rivals::{LISTED, ORDER, Rivals};

/// The logarithm of what is lost in the rounding of a partition.
const NOTHING: f64 = -60.0;

/// What is kept of a row.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Moves and logits of the nearest rivals.
    listed: [[f64; 2]; LISTED],
    /// The logarithm of what the others add to the partition.
    mass: f64,
    /// Their mean move.
    mean: f64,
    /// How far they are above it at the most, and below.
    reach: [f64; 2],
    /// Their central moments from the second on, over the factorials.
    terms: [f64; ORDER - 1],
}

/// What is known of the partition at a scale, relative to `e^top`, by the listed rivals and the own class; and
/// what Q is to be multiplied by, and its logarithm.
struct Near {
    top: f64,
    own: f64,
    level: f64,
    unit: f64,
    power: f64,
    first: f64,
    second: f64,
}

/// The others of a row, relative to the partition where they were summed.
struct Others {
    /// Q, and its derivatives.
    power: f64,
    first: f64,
    second: f64,
    /// The g of the largest `e^(tg)`.
    end: f64,
    /// The error of the first derivative, over [`ORDER`].
    left: f64,
}

impl Record {
    /// Row `i` of a tile.
    pub fn of(rivals: &Rivals, i: usize) -> Self {
        let mut factorial = 1.0;
        let term = |at: usize| {
            factorial *= (at + 2) as f64;
            rivals.moments[at][i] / factorial
        };
        Self {
            terms: std::array::from_fn(term),
            listed: rivals.listed.map(|[moves, logits]| [moves[i], logits[i]]),
            mass: rivals.mass[i],
            mean: rivals.mean[i],
            reach: rivals.reach.map(|lanes| lanes[i]),
        }
    }

    /// How far the nearest rival is ahead: negative if behind, zero if level.
    pub fn ahead(&self) -> f64 {
        let moves = self.listed.iter().map(|rival| rival[0]);
        moves.reduce(|a, b| if a >= b || a.is_nan() { a } else { b }).unwrap_or(f64::NAN)
    }

    /// Log-loss and derivatives `step` beyond.
    pub fn look(&self, step: f64) -> At {
        let (near, others) = (self.near(step), self.others(step));
        let (m, unit) = (self.mean, near.unit);
        let rivals = near.power + unit * others.power;
        let total = near.own + rivals;
        let slope = (near.first + unit * (m * others.power + others.first)) / total;
        let square = m * m * others.power + 2.0 * m * others.first + others.second;
        let curvature = (near.second + unit * square) / total - slope * slope;
        let loss = if near.top == 0.0 { rivals.ln_1p() } else { near.top + total.ln() };
        At { loss, slope, curvature }
    }

    /// The largest error of the slope there: that of the series, or that of knowing the bounds of Q alone.
    pub fn error(&self, step: f64) -> f64 {
        let (near, others, slope) = (self.near(step), self.others(step), self.look(step).slope);
        let known = near.own + near.power;
        let least = near.unit / (known + near.unit);
        let series = least * others.left * (ORDER as f64 + (step * (self.mean - slope)).abs());
        let share = 1.0 / (1.0 + known * (-near.level - step * others.end).exp());
        let from = self.mean - near.first / known;
        series.min(2.0 * share * from.abs().max((from + others.end).abs()))
    }

    fn near(&self, step: f64) -> Near {
        let beyond = |&[ahead, logit]: &[f64; 2]| logit + step * ahead;
        let level = self.mass + step * self.mean;
        let top = self.listed.iter().map(beyond).fold(level.max(0.0), f64::max);
        let (own, level) = ((-top).exp(), level - top);
        let mut near =
            Near { top, own, level, unit: level.exp(), power: 0.0, first: 0.0, second: 0.0 };
        for rival in &self.listed {
            let below = beyond(rival) - top;
            if below < NOTHING {
                continue;
            }
            let power = below.exp();
            near.power += power;
            near.first += power * rival[0];
            near.second += power * rival[0] * rival[0];
        }
        near
    }

    fn others(&self, step: f64) -> Others {
        let [terms @ .., last] = &self.terms;
        let (mut value, mut first, mut second) = (0.0, 0.0, 0.0);
        // Horner's rule for the polynomial and its derivatives, the second one halved.
        for term in terms.iter().rev() {
            second = second * step + first;
            first = first * step + value;
            value = value * step + term;
        }
        // The polynomial starts with t^2.
        for _ in 0..2 {
            second = second * step + first;
            first = first * step + value;
            value *= step;
        }
        let end = if step < 0.0 { -self.reach[1] } else { self.reach[0] };
        let most = (end * step).exp();
        // E g is zero, so the first derivative has the sign of the step.
        let steep = (first * step.signum()).max(0.0).min(end.abs() * most);
        Others {
            power: (1.0 + value).max(1.0).min(most),
            first: steep * step.signum(),
            second: 2.0 * second.max(0.0),
            end,
            left: last * step.abs().powi(ORDER as i32 - 1) * most,
        }
    }
}
