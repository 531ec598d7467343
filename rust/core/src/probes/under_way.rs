//! The paths of all tasks while they are being solved, and what is handed over of them.

use std::ops::Range;

use super::design::Design;
use super::mend::{Draft, finish, rounded};
use super::pass::{Operand, Task};
use super::path::{PathSolver, cold_start};
use super::scaling::Scaling;
use super::solve::{Options, Solution};
use super::watch::Finished;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::Element;

/// The paths of all tasks while they are being solved.
pub(super) struct UnderWay<'a, 'x, T: Element> {
    design: &'a Design<'x, T>,
    tasks: &'a [Task<'a>],
    options: &'a Options,
    /// Places of the values of C in [`Options::cs`], smallest first.
    order: Vec<usize>,
    pub solvers: Vec<(usize, PathSolver<T>)>,
    /// How many values of C were handed over.
    pub certified: usize,
}

impl<'a, 'x, T: Element> UnderWay<'a, 'x, T> {
    pub fn new(
        design: &'a Design<'x, T>,
        operand: &dyn Operand<T>,
        tasks: &'a [Task<'a>],
        options: &'a Options,
        run: Run<'_>,
    ) -> Result<Self> {
        let order = ascending(&options.cs);
        let cs: Vec<f64> = order.iter().map(|&i| options.cs[i]).collect();
        let solvers = solvers(design, operand, tasks, options, &cs, run)?;
        Ok(Self { design, tasks, options, order, solvers, certified: 0 })
    }

    pub fn is_over(&self) -> bool {
        self.solvers.iter().all(|(_, solver)| solver.ask().is_none())
    }

    /// What all tasks have solved since the last call; not solved again, where it fails, once that is `enough`.
    pub fn certify_solved(
        &mut self,
        enough: &dyn Fn() -> bool,
        run: Run<'_>,
    ) -> Result<Vec<Finished<T>>> {
        let values = self.certified..solved_by_all(&self.solvers);
        self.certified = values.end;
        self.certify(values, enough, run)
    }

    /// The smallest C that not all tasks have solved, as far as they got; nothing where none has made a step.
    pub fn certify_unfinished(&mut self, run: Run<'_>) -> Result<Vec<Finished<T>>> {
        let index = self.certified;
        if !self.solvers.iter().any(|(_, solver)| solver.has_begun(index)) {
            return Ok(Vec::new());
        }
        self.certify(index..index + 1, &|| true, run)
    }

    fn certify(
        &mut self,
        values: Range<usize>,
        enough: &dyn Fn() -> bool,
        run: Run<'_>,
    ) -> Result<Vec<Finished<T>>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let drafts = self.drafts(values, run)?;
        let places: Vec<_> =
            drafts.iter().map(|draft| (draft.task, self.order[draft.index])).collect();
        let solutions = finish(self.design, self.tasks, self.options, drafts, enough, run)?;
        let finished = |((task, place), solution): ((usize, usize), Solution<T>)| {
            let is_whole = solution.converged || !enough();
            Finished { task, place, is_whole, solution }
        };
        Ok(places.into_iter().zip(solutions).map(finished).collect())
    }

    /// Where all tasks are at some values of C, in the coordinates of X.
    fn drafts(&mut self, values: Range<usize>, run: Run<'_>) -> Result<Vec<Draft<T>>> {
        let mut drafts = Vec::with_capacity(values.len() * self.solvers.len());
        for (task, solver) in &mut self.solvers {
            let length = self.tasks[*task].columns * self.design.stride();
            for index in values.clone() {
                let solved = solver.reached(index);
                let (w, b) = solved.x.split_at(length);
                let w = self.design.original_coefficients(w, run)?;
                let point = rounded(self.design, &self.tasks[*task], &w, b);
                let c = self.options.cs[self.order[index]];
                drafts.push(Draft { task: *task, index, c, point, solved });
            }
        }
        Ok(drafts)
    }
}

/// A solver for each task.
fn solvers<T: Element>(
    design: &Design<'_, T>,
    operand: &dyn Operand<T>,
    tasks: &[Task<'_>],
    options: &Options,
    cs: &[f64],
    run: Run<'_>,
) -> Result<Vec<(usize, PathSolver<T>)>> {
    let solver = |task: &Task<'_>| {
        let shape = (design.penalty(), design.reach());
        let mut scaling = Scaling::new(task, shape, options.intercept);
        // A sparse pass is as long as one over so few filled rows.
        scaling.rows = scaling.rows.min(operand.work() / design.mean().len());
        // A held-out loss belongs to a solution that a pass has seen; whether anybody watches it, to end
        // the path early, changes no solution.
        scaling.unseen = task.held_out.is_empty();
        let start = match task.start {
            Some((w, b)) => {
                let mut start = design.placed(w, b, run)?;
                // Intercepts that no step moves are not those of another problem.
                let cold = cold_start(task, design, options.intercept);
                scaling.keep_unmoved(&cold, &mut start);
                start
            }
            None => cold_start(task, design, options.intercept),
        };
        let tolerance = target(operand, task, options.tolerance);
        PathSolver::new(task.loss, scaling, cs.to_vec(), tolerance, options.max_iterations, start)
    };
    tasks.iter().enumerate().map(|(index, task)| Ok((index, solver(task)?))).collect()
}

/// How many values of C every task has solved.
pub(super) fn solved_by_all<T: Element>(solvers: &[(usize, PathSolver<T>)]) -> usize {
    solvers.iter().map(|(_, solver)| solver.solved().len()).min().unwrap_or(0)
}

/// What the solver aims at: small problems in double precision are solved as far as double precision
/// goes, which costs next to nothing and makes a weight of two the same as a repeated row.
fn target<T: Element>(x: &dyn Operand<T>, task: &Task<'_>, tolerance: f64) -> f64 {
    const SMALL: usize = 1 << 18;
    if size_of::<T>() == 8 && x.work() * task.columns <= SMALL {
        tolerance.min(1e-18)
    } else {
        tolerance
    }
}

fn ascending(cs: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cs.len()).collect();
    order.sort_by(|&a, &b| cs[a].total_cmp(&cs[b]));
    order
}
