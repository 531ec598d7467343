//! Whole paths for any number of tasks on one X; what comes out is certified and mended in `mend`.

use std::ops::Range;
use std::sync::Mutex;

use super::axes::pay_off;
use super::certificate::Certificate;
use super::data::lock;
use super::design::{Design, Features};
use super::early_stop::EarlyStop;
use super::mend::{Draft, finish, rounded};
use super::pass::{Evaluation, Operand, Pass, Point, Purpose, Target, Task};
use super::path::{PathSolver, cold_start};
use super::scaling::Scaling;
use super::watch::{Finished, Watch};
use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::pass::Element;

/// How paths are solved.
#[derive(Clone, Debug)]
pub struct Options {
    /// The values of C, in any order.
    pub cs: Vec<f64>,
    /// The certified relative gap to the optimum at which a C is done.
    pub tolerance: f64,
    /// Steps per C after which it is given up, uncertified.
    pub max_iterations: usize,
    /// Whether there is an intercept (always free of penalty).
    pub intercept: bool,
    /// Values of C in a row without a better held-out loss, after which larger ones are left out;
    /// needs tasks that hold rows out.
    pub patience: Option<usize>,
    /// Mean held-out losses of smaller C that were solved before: patience has seen them.
    pub before: Vec<f64>,
}

/// The solution for one C, in the coordinates of the original X and rounded to its type.
#[derive(Clone, Debug)]
pub struct Solution<T> {
    /// columns x d coefficients.
    pub coefficients: Vec<T>,
    /// One intercept per column, in double precision: an offset in X would cost it its digits.
    pub intercepts: Vec<f64>,
    /// What double precision says about exactly these numbers.
    pub certificate: Certificate,
    /// Whether the certified relative gap is within the tolerance.
    pub converged: bool,
    /// L-BFGS steps, counting the start as one.
    pub iterations: usize,
    /// Passes over the data, certificates included.
    pub passes: usize,
}

/// The solutions of one task in the order of [`Options::cs`]; only of the smallest C where
/// [`Options::patience`] ended the path.
pub type Path<T> = Vec<Solution<T>>;

/// Solves every task for every C.
pub fn solve_paths<'a, T: Element>(
    x: impl Into<Features<'a, T>>,
    tasks: &[Task<'_>],
    options: &Options,
    run: Run<'_>,
) -> Result<Vec<Path<T>>> {
    solve(x.into(), tasks, options, None, run)
}

/// As [`solve_paths`], but every solution is handed over as soon as it is certified, small C first.
pub fn solve_watched<'a, T: Element>(
    x: impl Into<Features<'a, T>>,
    tasks: &[Task<'_>],
    options: &Options,
    watch: &Watch<T>,
    run: Run<'_>,
) -> Result<()> {
    solve(x.into(), tasks, options, Some(watch), run).map(drop)
}

/// The solutions in the order of C, or none where a watch took them.
fn solve<T: Element>(
    x: Features<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    watch: Option<&Watch<T>>,
    run: Run<'_>,
) -> Result<Vec<Path<T>>> {
    check(x, tasks, options)?;
    let mut stop = EarlyStop::new(options, tasks);
    let mut weight = vec![0.0; x.rows()];
    for task in tasks {
        weight.iter_mut().zip(task.weight).for_each(|(sum, weight)| *sum += weight);
    }
    let columns = tasks.iter().map(|task| task.columns).sum();
    let turn = pay_off(x.rows(), x.columns(), columns, options.cs.len());
    let design = Design::new(x, &weight, (options.intercept, turn), run)?;
    let order = ascending(&options.cs);
    let cs: Vec<f64> = order.iter().map(|&i| options.cs[i]).collect();
    let operand = design.scaled();
    let mut solvers = solvers(&design, &*operand, tasks, options, &cs, run)?;
    let mut sorted: Vec<Vec<Option<Solution<T>>>> =
        tasks.iter().map(|_| cs.iter().map(|_| None).collect()).collect();
    let mut certified = 0;
    loop {
        let mut rounds = 0;
        drive(&*operand, tasks, &mut solvers, run, |solvers| {
            stop.watch(solvers);
            watch.is_some_and(|watch| {
                watch.tell(solvers);
                rounds += 1;
                let waiting = solved_by_all(solvers) - certified;
                waiting * columns >= TOGETHER || (waiting > 0 && rounds >= ROUNDS)
            })
        })?;
        let values = certified..solved_by_all(&solvers);
        let drafts = drafts(&design, tasks, &cs, &mut solvers, values.clone(), run)?;
        let places: Vec<_> = drafts.iter().map(|draft| (draft.task, draft.index)).collect();
        let solutions = finish(&design, tasks, options, drafts, run)?;
        let mut finished = Vec::with_capacity(solutions.len());
        for ((task, index), solution) in places.into_iter().zip(solutions) {
            match watch {
                Some(_) => finished.push(Finished { task, place: order[index], solution }),
                None => sorted[task][order[index]] = Some(solution),
            }
        }
        watch.into_iter().for_each(|watch| watch.hand_over(std::mem::take(&mut finished)));
        certified = values.end;
        if solvers.iter().all(|(_, solver)| solver.ask().is_none()) {
            break;
        }
    }
    Ok(sorted.into_iter().map(|path| path.into_iter().flatten().collect()).collect())
}

/// Columns that are certified together where somebody waits for them: as many as one exact pass takes.
const TOGETHER: usize = 96;

/// Passes after which what is solved is certified, however little that is.
const ROUNDS: usize = 40;

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
fn solved_by_all<T: Element>(solvers: &[(usize, PathSolver<T>)]) -> usize {
    solvers.iter().map(|(_, solver)| solver.solved().len()).min().unwrap_or(0)
}

/// The solutions of all tasks for some values of C, in the coordinates of X.
fn drafts<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    cs: &[f64],
    solvers: &mut [(usize, PathSolver<T>)],
    values: Range<usize>,
    run: Run<'_>,
) -> Result<Vec<Draft<T>>> {
    let mut drafts = Vec::with_capacity(values.len() * solvers.len());
    for (task, solver) in solvers {
        let length = tasks[*task].columns * design.stride();
        for index in values.clone() {
            let solved = solver.take(index);
            let (w, b) = solved.x.split_at(length);
            let w = design.original_coefficients(w, run)?;
            let point = rounded(design, &tasks[*task], &w, b);
            drafts.push(Draft { task: *task, index, c: cs[index], point, solved });
        }
    }
    Ok(drafts)
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

/// A problem with an X of its own, for [`solve_many`].
pub type Problem<'a, T> = (Features<'a, T>, &'a [Task<'a>]);

/// Solves many independent problems, as many at a time as there are threads, which they share.
pub fn solve_many<T: Element>(
    problems: &[Problem<'_, T>],
    options: &Options,
    run: Run<'_>,
) -> Result<Vec<Vec<Path<T>>>> {
    let found: Vec<Mutex<Vec<Path<T>>>> = problems.iter().map(|_| Mutex::default()).collect();
    let inner = run.share(problems.len());
    run.for_each(problems.len(), |i| {
        let (x, tasks) = problems[i];
        *lock(&found[i]) = solve_paths(x, tasks, options, inner)?;
        Ok(())
    })?;
    Ok(found.into_iter().map(|paths| paths.into_inner().unwrap_or_default()).collect())
}

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

fn ascending(cs: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cs.len()).collect();
    order.sort_by(|&a, &b| cs[a].total_cmp(&cs[b]));
    order
}

fn check<T: Element>(x: Features<'_, T>, tasks: &[Task<'_>], options: &Options) -> Result<()> {
    let bad = |message: String| Err(Error::Invalid(message));
    if let Some(c) = options.cs.iter().find(|c| !(c.is_finite() && **c > 0.0)) {
        return bad(format!("C={c}; it must be positive and finite"));
    }
    if options.cs.is_empty() || tasks.is_empty() {
        return bad("nothing to solve: no C or no task".into());
    }
    for task in tasks {
        let length = match task.target {
            Target::Classes(classes) => classes.len(),
            Target::Signs(signs) => signs.len() / task.columns.max(1),
        };
        if task.columns == 0 || length != x.rows() || task.weight.len() != x.rows() {
            return Err(Error::Shape(format!("a task of {length} rows on an X of {}", x.rows())));
        }
        if let Target::Classes(classes) = task.target
            && let Some(row) = classes.iter().position(|&class| class as usize >= task.columns)
        {
            let (class, columns) = (classes[row], task.columns);
            return bad(format!("class {class} at row {row} of a task of {columns} columns"));
        }
        if !task.held_out.is_empty() && task.held_out.len() != x.rows() {
            return Err(Error::Shape(format!("{} held-out weights", task.held_out.len())));
        }
        if let Some(row) = task.weight.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return bad(format!("weight {} at row {row}; it must be 0 or more", task.weight[row]));
        }
        if let Some((w, b)) = task.start
            && (w.len() != task.columns * x.columns() || b.len() != task.columns)
        {
            return Err(Error::Shape(format!("a start of {} coefficients", w.len())));
        }
        if task.total() <= 0.0 {
            return bad("all weights are zero".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::probes::data::Selection;
    use crate::simd::pass::Loss;

    /// 60 rows of three columns, and their classes 0, 1 and 2.
    fn data() -> (Vec<f64>, Vec<u32>) {
        let classes: Vec<u32> = (0..60).map(|i| i % 3).collect();
        let noise = |i: usize| (i * 7919 % 101) as f64 / 50.0 - 1.0;
        let x = (0..180).map(|at| noise(at) + f64::from(classes[at / 3] as usize == at % 3));
        (x.collect(), classes)
    }

    fn solved(loss: Loss, target: Target<'_>, x: &[f64]) -> Path<f64> {
        let task =
            Task { loss, columns: 3, target, weight: &[1.0; 60], held_out: &[], start: None };
        let options = Options {
            cs: vec![0.1, 1.0],
            tolerance: 1e-8,
            max_iterations: 500,
            intercept: true,
            patience: None,
            before: Vec::new(),
        };
        let stop = AtomicBool::new(false);
        let x = Selection::new(x, 3).unwrap();
        solve_paths(x, &[task], &options, Run::new(1, &stop)).unwrap().remove(0)
    }

    #[test]
    fn one_class_against_the_rest_is_the_same_from_numbers_and_from_signs() {
        let (x, classes) = data();
        let sign = |k: u32| move |&class: &u32| if class == k { 1 } else { -1 };
        let signs: Vec<i8> = (0..3).flat_map(|k| classes.iter().map(sign(k))).collect();
        for loss in [Loss::Logistic, Loss::SquaredHinge] {
            let numbers = solved(loss, Target::Classes(&classes), &x);
            let signs = solved(loss, Target::Signs(&signs), &x);
            for (a, b) in numbers.iter().zip(&signs) {
                assert!(a.converged && a.coefficients == b.coefficients);
                assert_eq!(a.intercepts, b.intercepts);
            }
        }
    }

    #[test]
    fn a_class_without_a_column_is_refused() {
        let (x, mut classes) = data();
        classes[7] = 3;
        let (target, weight) = (Target::Classes(&classes), &[1.0; 60]);
        let task =
            Task { loss: Loss::Softmax, columns: 3, target, weight, held_out: &[], start: None };
        let (tolerance, max_iterations) = (1e-4, 10);
        let (intercept, patience) = (true, None);
        let options = Options {
            cs: vec![1.0],
            tolerance,
            max_iterations,
            intercept,
            patience,
            before: Vec::new(),
        };
        let stop = AtomicBool::new(false);
        let x = Selection::new(&x, 3).unwrap();
        let refused = solve_paths(x, &[task], &options, Run::new(1, &stop));
        assert!(
            matches!(refused, Err(Error::Invalid(message)) if message.contains("class 3 at row 7"))
        );
    }

    #[test]
    fn a_column_of_one_sign_keeps_its_intercept_and_is_certified() {
        let (x, classes) = data();
        let signs: Vec<i8> =
            (0..3).flat_map(|k| classes.iter().map(move |&c| if c < k { 1 } else { -1 })).collect();
        for (loss, start) in [(Loss::Logistic, -20.7), (Loss::SquaredHinge, -1.0)] {
            let path = solved(loss, Target::Signs(&signs), &x);
            assert!(path.iter().all(|solution| solution.converged));
            assert!((path[1].intercepts[0] - start).abs() < 0.1, "{:?}", path[1].intercepts);
        }
    }
}
