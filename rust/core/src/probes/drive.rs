//! Rounds of passes: each evaluates what all solvers at work ask for, and tells them.

use super::pass::{Evaluation, Operand, Pass, Point, Purpose, Task};
use super::path::PathSolver;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::Element;

/// Feeds solvers until all are finished, or `after`, which sees them at the end of each round, says that it is
/// enough for now; each round is one pass for all that are still at work.
pub(crate) fn drive<T: Element>(
    x: &dyn Operand<T>,
    tasks: &[Task<'_>],
    solvers: &mut [(usize, PathSolver<T>)],
    run: Run<'_>,
    mut after: impl FnMut(&mut [(usize, PathSolver<T>)]) -> bool,
) -> Result<()> {
    let columns = solvers.iter().map(|(task, _)| tasks[*task].columns).sum();
    let pass = Pass::new(x, tasks, columns)?;
    pass.with_threads(run, |evaluate| {
        loop {
            let asked: Vec<(usize, Vec<f64>, Purpose)> = solvers
                .iter()
                .enumerate()
                .filter_map(|(i, (_, solver))| solver.ask().map(|(x, purpose)| (i, x, purpose)))
                .collect();
            if asked.is_empty() {
                return Ok(());
            }
            let points: Vec<Point<'_>> = asked
                .iter()
                .map(|(i, at, purpose)| {
                    let task = solvers[*i].0;
                    let (w, b) = at.split_at(tasks[task].columns * x.stride());
                    Point { task, w, b, purpose: *purpose }
                })
                .collect();
            let evaluations = evaluate(&points)?;
            tell(solvers, asked.into_iter().map(|(i, x, _)| (i, x)), evaluations, run)?;
            if after(solvers) {
                return Ok(());
            }
        }
    })
}

/// Tells solvers what was found at the points that they asked for, side by side where that is long work.
fn tell<T: Element>(
    solvers: &mut [(usize, PathSolver<T>)],
    asked: impl Iterator<Item = (usize, Vec<f64>)>,
    evaluations: Vec<Evaluation>,
    run: Run<'_>,
) -> Result<()> {
    const LONG: usize = 1 << 18;
    let mut rest = solvers.iter_mut().enumerate();
    let told = asked.zip(evaluations).filter_map(|((place, x), at)| {
        let (_, (_, solver)) = rest.find(|(i, _)| *i == place)?;
        Some(Some((solver, x, at)))
    });
    let mut told: Vec<_> = told.collect();
    let length: usize = told.iter().flatten().map(|(_, x, _)| x.len()).sum();
    let inner = run.share(told.len());
    let team = if length >= LONG { run } else { run.alone() };
    team.for_each_mut(&mut told, |_, told| match told.take() {
        Some((solver, x, at)) => solver.tell(x, at, inner),
        None => Ok(()),
    })
}
