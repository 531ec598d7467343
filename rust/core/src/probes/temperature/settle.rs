//! The best scale by what is kept of the rows.

use super::apart::Apart;
use super::bracket::{At, STEP, search};
use super::series::Record;
use super::{Fit, LIMITS};
use crate::error::Result;
use crate::parallel::Run;

/// A step that the error of the slope may cause, relative to the scale.
const ERROR: f64 = 0.1 * STEP;
/// The step at which a guess is good enough.
const ROUGH: f64 = 1e-3;
/// Rows summed between two questions whether to stop.
const CHECKED: usize = 4096;

/// What is kept of some rows about a scale, and the weights of these rows.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub about: f64,
    pub records: &'a [Record],
    pub share: &'a [f64],
}

/// What a search comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The best scale, and its log-loss.
    Settled(Fit),
    /// Some records do not reach as far as the best scale: about where it is, and the error of the slope that
    /// all may have there.
    Open { scale: f64, allowed: f64 },
}

/// Searches from `start` for the best scale of rows of so many classes.
pub fn settle(parts: &[Part<'_>], start: f64, classes: usize, run: Run<'_>) -> Result<Outcome> {
    if let Some(scale) = apart(parts).scale(classes) {
        // Behind what they are about, rivals that are not listed may be ahead of those that are.
        let is_beyond = parts.iter().all(|part| part.about <= scale);
        let fit = Fit { scale, loss: look(parts, scale, run)?.loss };
        return Ok(if is_beyond {
            Outcome::Settled(fit)
        } else {
            Outcome::Open { scale, allowed: 0.0 }
        });
    }
    let (scale, at) = search(start, STEP, |scale| look(parts, scale, run))?;
    let error = error(parts, scale, run)?;
    // Where the loss is flat every scale is as good, and at a limit there is nothing beyond.
    let limit = if at.slope < 0.0 { LIMITS[1] } else { LIMITS[0] };
    let at_limit = (scale / limit - 1.0).abs() < 2.0 * STEP && error < at.slope.abs();
    let allowed = ERROR * scale * at.curvature;
    if at_limit || error <= allowed {
        return Ok(Outcome::Settled(Fit {
            scale: if at_limit { limit } else { scale },
            loss: at.loss,
        }));
    }
    Ok(Outcome::Open { scale, allowed })
}

/// About the best scale, by some of the rows: as if one more was wrong, by `usual`.
pub fn nearby(parts: &[Part<'_>], start: f64, usual: f64, run: Run<'_>) -> Result<f64> {
    let rows: usize = parts.iter().map(|part| part.share.len()).sum();
    let total: f64 = parts.iter().flat_map(|part| part.share).sum();
    let look = |scale: f64| {
        let mut at = look(parts, scale, run)?;
        at.slope += usual * total / rows as f64;
        Ok(at)
    };
    Ok(search(start, ROUGH, look)?.0)
}

/// The largest error of the slope at a scale.
pub fn error(parts: &[Part<'_>], scale: f64, run: Run<'_>) -> Result<f64> {
    sum(
        parts,
        run,
        |record, about| record.error(scale - about),
        |sum, share, off| *sum += share * off,
    )
}

/// How far the nearest rival of all rows is behind.
fn apart(parts: &[Part<'_>]) -> Apart {
    let rows = parts.iter().flat_map(|part| part.records.iter().zip(part.share));
    let weighted = rows.filter(|(_, share)| **share > 0.0);
    weighted.fold(Apart::default(), |apart, (record, _)| apart.and(record.apart()))
}

/// Log-loss and derivatives at a scale.
fn look(parts: &[Part<'_>], scale: f64, run: Run<'_>) -> Result<At> {
    sum(parts, run, |record, about| record.look(scale - about), At::add)
}

/// The weighted sum over rows, in their order.
fn sum<V, S: Default>(
    parts: &[Part<'_>],
    run: Run<'_>,
    of: impl Fn(&Record, f64) -> V,
    add: impl Fn(&mut S, f64, V),
) -> Result<S> {
    let mut sum = S::default();
    for part in parts {
        for (records, share) in part.records.chunks(CHECKED).zip(part.share.chunks(CHECKED)) {
            run.check()?;
            for (record, share) in records.iter().zip(share) {
                add(&mut sum, *share, of(record, part.about));
            }
        }
    }
    Ok(sum)
}
