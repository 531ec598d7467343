//! Solutions on their way out: certified as they are handed over, and solved again where that fails.

use super::certificate::{Certificate, ExactPoint, certify};
use super::design::Design;
use super::drive::drive;
use super::pass::Task;
use super::path::{PathSolver, Solved};
use super::scaling::Scaling;
use super::solve::{Options, Solution};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, Loss};
use crate::simd::vectorised::{sum_of, update};

/// A solution on its way to the caller.
pub(super) struct Draft<T> {
    pub task: usize,
    /// The place of its C in the path, smallest first.
    pub index: usize,
    pub c: f64,
    /// Coefficients and intercepts for the original X.
    pub point: (Vec<T>, Vec<f64>),
    pub solved: Solved,
}

/// Certifies, and solves again in double precision what failed, until that is `enough`.
pub(super) fn finish<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    mut found: Vec<Draft<T>>,
    enough: &dyn Fn() -> bool,
    run: Run<'_>,
) -> Result<Vec<Solution<T>>> {
    let all: Vec<usize> = (0..found.len()).collect();
    let mut certificates = certify_best(design, tasks, options, &mut found, &all, run)?;
    let failed: Vec<usize> = (0..found.len())
        .filter(|&i| !certificates[i].holds(options.tolerance))
        .filter(|&i| found[i].solved.iterations < options.max_iterations)
        .collect();
    if !failed.is_empty() && !enough() {
        solve_again(design, tasks, options, &mut found, (&failed, enough), run)?;
        let again = certify_best(design, tasks, options, &mut found, &failed, run)?;
        failed.into_iter().zip(again).for_each(|(i, again)| certificates[i] = again);
    }
    let solution = |(found, certificate): (Draft<T>, Certificate)| Solution {
        coefficients: found.point.0,
        intercepts: found.point.1,
        converged: certificate.holds(options.tolerance),
        certificate,
        iterations: found.solved.iterations + 1,
        passes: found.solved.passes + 1,
    };
    Ok(found.into_iter().zip(certificates).map(solution).collect())
}

/// Certifies some of `found`. Where the intercepts alone are in the way (coefficients that were rounded
/// have other best ones), they make one more step: they are doubles, and their own problem is small.
fn certify_best<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    found: &mut [Draft<T>],
    which: &[usize],
    run: Run<'_>,
) -> Result<Vec<Certificate>> {
    let certify_all = |found: &[Draft<T>], which: &[usize]| {
        let points: Vec<_> = which.iter().map(|&i| exact_point(design, &found[i])).collect();
        certify(design, tasks, &points, options.intercept, run)
    };
    let mut certificates = certify_all(found, which)?;
    let loose: Vec<usize> = (0..which.len())
        .filter(|&at| certificates[at].holds_but_for_intercepts(options.tolerance))
        .collect();
    if loose.is_empty() {
        return Ok(certificates);
    }
    let shifted: Vec<usize> = loose.iter().map(|&at| which[at]).collect();
    let mut before = Vec::with_capacity(loose.len());
    for (&at, &i) in loose.iter().zip(&shifted) {
        let intercepts = &mut found[i].point.1;
        before.push(intercepts.clone());
        intercepts.iter_mut().zip(&certificates[at].step).for_each(|(b, step)| *b -= step);
    }
    let again = certify_all(found, &shifted)?;
    for (((at, i), again), before) in loose.into_iter().zip(shifted).zip(again).zip(before) {
        found[i].solved.passes += 1;
        if again.gap < certificates[at].gap {
            certificates[at] = again;
        } else {
            found[i].point.1 = before;
        }
    }
    Ok(certificates)
}

/// Runs L-BFGS in double precision on the original rows, from the points that failed.
fn solve_again<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    found: &mut [Draft<T>],
    (failed, enough): (&[usize], &dyn Fn() -> bool),
    run: Run<'_>,
) -> Result<()> {
    let penalty = vec![1.0; design.stride()];
    let mut solvers = Vec::with_capacity(failed.len());
    for &i in failed {
        let shape = (penalty.as_slice(), design.reach());
        let scaling = Scaling::new(&tasks[found[i].task], shape, options.intercept);
        let point = exact_point(design, &found[i]);
        let start = [point.w, point.b].concat();
        let left = options.max_iterations - found[i].solved.iterations;
        let solver = PathSolver::<f64>::new(
            tasks[found[i].task].loss,
            scaling,
            vec![found[i].c],
            0.5 * options.tolerance,
            left,
            start,
        )?;
        solvers.push((found[i].task, solver));
    }
    drive(&*design.exact(), tasks, &mut solvers, run, |_| enough())?;
    for ((_, solver), &i) in solvers.iter_mut().zip(failed) {
        let solved = solver.reached(0);
        let task = &tasks[found[i].task];
        let (w, b) = solved.x.split_at(task.columns * design.stride());
        found[i].point = rounded(design, task, w, b);
        found[i].solved.iterations += solved.iterations;
        found[i].solved.passes += solved.passes + 1;
    }
    Ok(())
}

/// Coefficients and intercepts for the original X, rounded to its type, from padded ones for centred rows.
///
/// For the softmax the class means are taken out: the loss does not see them, the penalty shrinks.
/// The intercepts are computed from the rounded coefficients, so that an offset in X costs nothing.
pub(super) fn rounded<T: Element>(
    design: &Design<'_, T>,
    task: &Task<'_>,
    w: &[f64],
    b: &[f64],
) -> (Vec<T>, Vec<f64>) {
    let (stride, columns) = (design.stride(), task.columns);
    let d = design.mean().len();
    let softmax = task.loss == Loss::Softmax;
    let share = if softmax { 1.0 / columns as f64 } else { 0.0 };
    let mut shared = vec![0.0; d];
    let mut coefficients = vec![T::default(); columns * d];
    for row in w.chunks(stride) {
        update(&mut shared, row, row, |shared, w, _| *shared += share * w);
    }
    for (target, row) in coefficients.chunks_mut(d).zip(w.chunks(stride)) {
        update(target, row, &shared, |target, w, shared| *target = T::of(w - shared));
    }
    let offset: Vec<f64> = coefficients
        .chunks(d)
        .zip(b)
        .map(|(row, b)| b - sum_of(row, design.mean(), |w, m| w.wide() * m))
        .collect();
    let shared = share * offset.iter().sum::<f64>();
    (coefficients, offset.iter().map(|b| b - shared).collect())
}

/// The point of a rounded solution in the centred, unscaled coordinates of [`Design::exact`].
fn exact_point<T: Element>(design: &Design<'_, T>, found: &Draft<T>) -> ExactPoint {
    let (stride, d) = (design.stride(), design.mean().len());
    let (coefficients, intercepts) = &found.point;
    let mut w = vec![0.0; intercepts.len() * stride];
    let mut b = intercepts.clone();
    for ((w, row), b) in w.chunks_mut(stride).zip(coefficients.chunks(d)).zip(&mut b) {
        update(w, row, row, |w, value, _| *w = value.wide());
        *b += sum_of(row, design.mean(), |value, mean| value.wide() * mean);
    }
    ExactPoint { task: found.task, c: found.c, w, b }
}
