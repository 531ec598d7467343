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

/// Searches from `start` for the best scale of all rows.
pub fn settle(parts: &[Part<'_>], start: f64, run: Run<'_>) -> Result<Outcome> {
    let extra = apart(parts).slope();
    let (scale, at) = search(start, STEP, |scale| look(parts, scale, extra, run))?;
    let error = error(parts, scale, run)?;
    // Where the loss is flat every scale is as good, and at a limit there is nothing beyond.
    let limit = if at.slope < 0.0 { LIMITS[1] } else { LIMITS[0] };
    let at_limit = (scale / limit - 1.0).abs() < 2.0 * STEP && error < at.slope.abs();
    let allowed = ERROR * scale * at.curvature;
    if at_limit || error <= allowed {
        return Ok(Outcome::Settled(Fit {
            scale: if at_limit { limit } else { scale },
            loss: at.loss - extra * scale,
        }));
    }
    Ok(Outcome::Open { scale, allowed })
}

/// About the best scale of all rows, by some of them: as if the nearest of these was wrong, see [`super::apart`].
pub fn nearby(parts: &[Part<'_>], start: f64, run: Run<'_>) -> Result<f64> {
    let extra = apart(parts).slope_if_right();
    Ok(search(start, ROUGH, |scale| look(parts, scale, extra, run))?.0)
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

/// How the rows stand with their nearest rivals.
fn apart(parts: &[Part<'_>]) -> Apart {
    let mut apart = Apart::default();
    for (record, share) in parts.iter().flat_map(|part| part.records.iter().zip(part.share)) {
        apart.add(*share, record.ahead());
    }
    apart
}

/// Log-loss and derivatives at a scale, with `extra` a unit of scale.
fn look(parts: &[Part<'_>], scale: f64, extra: f64, run: Run<'_>) -> Result<At> {
    let mut at = sum(parts, run, |record, about| record.look(scale - about), At::add)?;
    at.loss += extra * scale;
    at.slope += extra;
    Ok(at)
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
