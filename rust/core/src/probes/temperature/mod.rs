//! The scale of predictions that makes their log-loss least.
//!
//! Logits are `centre + scale * (prediction - centre)`. The log-loss is convex in the scale, so Newton's
//! method inside a [`bracket`] finds its minimum. Predictions are read block by block, and sums are those
//! of fixed chunks in their order, so the result has the same bits for any number of threads.

mod apart;
mod bracket;
mod series;
mod settle;
mod tile;

pub(super) use bracket::LIMITS;
pub(super) use series::Record;
pub(super) use settle::{Outcome, Part, error, nearby, settle};
pub(super) use tile::{Columns, Tiles};

use apart::Apart;
use bracket::{At, STEP, search};

use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::moments::TILE;

/// Chunks of rows at most.
const CHUNKS: usize = 16;
/// Tiles between two questions whether to stop.
const CHECKED: usize = 16;

/// What predictions are to come out as.
#[derive(Clone, Copy, Debug)]
pub enum Goal<'a> {
    /// A class for each row: the softmax over columns.
    Classes(&'a [u32]),
    /// +1 or -1 for each column and row, one column after the other: a column is the logit of one class, its
    /// negative that of the other, and the log-loss is the mean over columns.
    Signs(&'a [f64]),
}

/// The best scale of predictions, and their log-loss at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// From 1e-6 to 1e6.
    pub scale: f64,
    /// The weighted mean.
    pub loss: f64,
}

/// Predictions of rows for some penalties: penalties x columns x rows.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The predictions.
    pub values: &'a [f64],
    /// What each column is without a move.
    pub centre: &'a [f64],
    /// What they are to come out as.
    pub goal: Goal<'a>,
    /// A weight for each row; they sum to 1.
    pub share: &'a [f64],
}

/// The best scale for each penalty, each search begun where the one before ended.
pub fn fit_scales(stored: &Stored<'_>, run: Run<'_>) -> Result<Vec<Fit>> {
    let size = stored.centre.len() * stored.share.len();
    check(stored, size)?;
    let mut start = 1.0;
    let mut fits = Vec::new();
    for values in stored.values.chunks(size) {
        let stored = Stored { values, ..*stored };
        let extra = apart(&stored, run)?.slope();
        let (scale, at) = search(start, STEP, |scale| sum(&stored, scale, extra, run))?;
        fits.push(Fit { scale, loss: at.loss - extra * scale });
        start = scale;
    }
    Ok(fits)
}

/// About the best scale of so many rows, from few of them, whose shares sum to 1: as if the nearest of these was
/// wrong, see [`apart`]. The search begins at `start`.
pub(super) fn guess(stored: &Stored<'_>, rows: usize, start: f64, run: Run<'_>) -> Result<f64> {
    const ROUGH: f64 = 1e-3;
    let part = stored.share.len() as f64 / rows as f64;
    let extra = part * apart(stored, run)?.slope_if_right();
    Ok(search(start, ROUGH, |scale| sum(stored, scale, extra, run))?.0)
}

/// Log-loss and derivatives at a scale, with `extra` a unit of scale.
fn sum(stored: &Stored<'_>, scale: f64, extra: f64, run: Run<'_>) -> Result<At> {
    let mut total = At::default();
    let sums = tiles(stored, run, |buffers, (from, at), share, sum: &mut At| {
        sum.add(1.0, buffers.sum(from, at, scale, share));
    })?;
    sums.into_iter().for_each(|sum| total.add(1.0, sum));
    total.loss += extra * scale;
    total.slope += extra;
    Ok(total)
}

/// How the rows stand with their nearest rivals, see [`apart`].
fn apart(stored: &Stored<'_>, run: Run<'_>) -> Result<Apart> {
    let found = tiles(stored, run, |buffers, (from, at), share, apart: &mut Apart| {
        buffers.apart(from, at, share, apart);
    })?;
    Ok(found.into_iter().fold(Apart::default(), Apart::and))
}

/// Where a tile is: columns, place and row of its first row, and how many it has.
type Place<'a> = (Columns<'a>, (usize, usize, usize));

/// Visits tile by tile, in chunks that are the same for any number of threads; what each chunk comes to.
fn tiles<S: Default + Send>(
    stored: &Stored<'_>,
    run: Run<'_>,
    visit: impl Fn(&mut Tiles<'_>, Place<'_>, &[f64], &mut S) + Sync,
) -> Result<Vec<S>> {
    let rows = stored.share.len();
    let tiles = rows.div_ceil(TILE);
    let chunks = CHUNKS.min(tiles);
    let kernels = Kernels::current()?;
    let from = Columns { values: stored.values, ld: rows };
    run.collect(chunks, |chunk| {
        let mut sum = S::default();
        let mut buffers = Tiles::new(stored.goal, stored.centre, kernels);
        for tile in chunk * tiles / chunks..(chunk + 1) * tiles / chunks {
            if tile % CHECKED == 0 {
                run.check()?;
            }
            let first = tile * TILE;
            let count = TILE.min(rows - first);
            let share = &stored.share[first..first + count];
            visit(&mut buffers, (from, (first, first, count)), share, &mut sum);
        }
        Ok(sum)
    })
}

fn check(stored: &Stored<'_>, size: usize) -> Result<()> {
    let (rows, columns) = (stored.share.len(), stored.centre.len());
    let length = stored.values.len();
    let targets = match stored.goal {
        Goal::Classes(labels) if columns > 1 => {
            if let Some(row) = labels.iter().position(|&label| label as usize >= columns) {
                let label = labels[row];
                return Err(Error::Invalid(format!(
                    "class {label} at row {row} of {columns} classes"
                )));
            }
            labels.len() * columns
        }
        Goal::Classes(_) => return Err(Error::Shape("classes need two columns at least".into())),
        Goal::Signs(signs) => signs.len(),
    };
    if size == 0 || !length.is_multiple_of(size) || targets != size {
        let what = format!("{length} predictions and {targets} targets");
        return Err(Error::Shape(format!("{what} for {rows} rows of {columns} columns")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
