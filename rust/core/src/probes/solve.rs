//! Whole paths for any number of tasks on one X; what comes out is certified and mended in `mend`.

use std::sync::Mutex;

use super::axes::pay_off;
use super::certificate::Certificate;
use super::data::lock;
use super::design::{Design, Features};
use super::drive::drive;
use super::early_stop::EarlyStop;
use super::pass::{Target, Task};
use super::under_way::{UnderWay, solved_by_all};
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
    let mut found: Vec<Vec<Option<Solution<T>>>> =
        tasks.iter().map(|_| options.cs.iter().map(|_| None).collect()).collect();
    let keep = |finished: Vec<Finished<T>>| {
        for Finished { task, place, solution, .. } in finished {
            found[task][place] = Some(solution);
        }
    };
    solve(x.into(), tasks, options, None, keep, run)?;
    Ok(found.into_iter().map(|path| path.into_iter().flatten().collect()).collect())
}

/// As [`solve_paths`], but every solution is handed over as soon as it is certified, small C first.
///
/// Whether all were solved: a watch may end the solve ([`Watch::end_after`]). Then the C that was under way is
/// handed over too, with its certificate, if a step was made at it.
pub fn solve_watched<'a, T: Element>(
    x: impl Into<Features<'a, T>>,
    tasks: &[Task<'_>],
    options: &Options,
    watch: &Watch<T>,
    run: Run<'_>,
) -> Result<bool> {
    let keep = |finished| watch.hand_over(finished);
    solve(x.into(), tasks, options, Some(watch), keep, run)
}

/// Hands every solution to `keep`; whether all were solved, or the watch ended it.
fn solve<T: Element>(
    x: Features<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    watch: Option<&Watch<T>>,
    mut keep: impl FnMut(Vec<Finished<T>>),
    run: Run<'_>,
) -> Result<bool> {
    check(x, tasks, options)?;
    let design = design(x, tasks, options, run)?;
    let operand = design.scaled();
    let mut paths = UnderWay::new(&design, &*operand, tasks, options, run)?;
    let mut stop = EarlyStop::new(options, tasks);
    let enough = || watch.is_some_and(Watch::is_enough);
    loop {
        let mut rounds = 0;
        let certified = paths.certified;
        drive(&*operand, tasks, &mut paths.solvers, run, |solvers| {
            stop.watch(solvers);
            watch.is_some_and(|watch| {
                watch.tell(solvers);
                rounds += 1;
                watch.is_enough() || are_due(tasks, solved_by_all(solvers) - certified, rounds)
            })
        })?;
        let finished = paths.certify_solved(&enough, run)?;
        let are_whole = finished.iter().all(|finished| finished.is_whole);
        keep(finished);
        if paths.is_over() {
            return Ok(are_whole);
        }
        if enough() {
            keep(paths.certify_unfinished(run)?);
            return Ok(false);
        }
    }
}

/// X centred and scaled, for the weights of all tasks.
fn design<'a, T: Element>(
    x: Features<'a, T>,
    tasks: &[Task<'_>],
    options: &Options,
    run: Run<'_>,
) -> Result<Design<'a, T>> {
    let mut weight = vec![0.0; x.rows()];
    for task in tasks {
        weight.iter_mut().zip(task.weight).for_each(|(sum, weight)| *sum += weight);
    }
    let turn = pay_off(x.rows(), x.columns(), columns(tasks), options.cs.len());
    Design::new(x, &weight, (options.intercept, turn), run)
}

fn columns(tasks: &[Task<'_>]) -> usize {
    tasks.iter().map(|task| task.columns).sum()
}

/// Whether so many values of C that all tasks have solved are to be certified after so many rounds.
fn are_due(tasks: &[Task<'_>], solved: usize, rounds: usize) -> bool {
    solved * columns(tasks) >= TOGETHER || (solved > 0 && rounds >= ROUNDS)
}

/// Columns that are certified together where somebody waits for them: as many as one exact pass takes.
const TOGETHER: usize = 96;

/// Passes after which what is solved is certified, however little that is.
const ROUNDS: usize = 40;

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
