//! The log-loss of many rows near a scale at which their moments are known.
//!
//! With the moves f of a row under the softmax p at scale c, mean m and g = f - m, the partition at
//! c + t is that at c times `e^(tm) E e^(tg)`, and `E e^(tg) = 1 + sum over j of E g^j t^j / j!`. What a
//! sum up to the order 11 leaves out is `E g^12 t^12 / 12! e^|tg|` at the most, so the series is as good as
//! the predictions themselves near c, and says how good it is. Predictions are a number for each class.

use super::bracket::{At, Bracket, LIMITS, STEP};
use super::tile::WIDTH;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::moments::ORDER;

/// A step that the error of the slope may cause, relative to the scale.
const ERROR: f64 = 0.1 * STEP;
/// Rows summed between two questions whether to stop.
const CHECKED: usize = 4096;

/// The series of some rows, [`WIDTH`] numbers each, and the weights of these rows.
pub struct Part<'a> {
    pub values: &'a [f64],
    pub share: &'a [f64],
}

/// What a search within a series comes to.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The best scale, and its log-loss.
    Settled(f64, f64),
    /// The series does not reach as far as the best scale: where to begin the next.
    Open(f64),
}

/// Searches from `about`, about which the series is.
pub fn settle(
    parts: &[Part<'_>],
    about: f64,
    bracket: &mut Bracket,
    run: Run<'_>,
) -> Result<Outcome> {
    let mut scale = about;
    loop {
        let (at, error) = sum(parts, scale - about, run)?;
        if scale != about && error.is_nan() | (error > ERROR * scale * at.curvature) {
            return Ok(Outcome::Open(scale));
        }
        // Where the loss is flat every scale is as good; at a limit there is nothing beyond.
        let beyond = if at.slope < 0.0 { scale >= LIMITS[1] } else { scale <= LIMITS[0] };
        if at.slope == 0.0 || beyond {
            return Ok(Outcome::Settled(scale, at.loss));
        }
        let next = bracket.next(scale, at);
        if (next - scale).abs() <= STEP * scale {
            return Ok(Outcome::Settled(scale, at.loss));
        }
        scale = next;
    }
}

/// Log-loss and derivatives `step` beyond, and the largest error of the slope.
fn sum(parts: &[Part<'_>], step: f64, run: Run<'_>) -> Result<(At, f64)> {
    let (mut sum, mut error) = (At::default(), 0.0);
    for part in parts {
        let (rows, _) = part.values.as_chunks::<WIDTH>();
        for (rows, share) in rows.chunks(CHECKED).zip(part.share.chunks(CHECKED)) {
            run.check()?;
            for (row, share) in rows.iter().zip(share) {
                let (at, off) = look(row, step);
                sum.add(*share, at);
                error += share * off;
            }
        }
    }
    Ok((sum, error))
}

fn look(row: &[f64; WIDTH], step: f64) -> (At, f64) {
    let [loss, slope, reach, terms @ .., last] = row;
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
    let total = 1.0 + value;
    let mean = first / total;
    let curvature = 2.0 * second / total - mean * mean;
    let left = last * step.abs().powi(ORDER as i32 - 1) * (reach * step.abs()).exp();
    // Far from its origin the polynomial may fall below zero: there it says nothing.
    let known = left * (ORDER as f64 + mean.abs() * step.abs()) / total;
    let error = if total > 0.0 { known } else { f64::INFINITY };
    (At { loss: loss + slope * step + total.ln(), slope: slope + mean, curvature }, error)
}
