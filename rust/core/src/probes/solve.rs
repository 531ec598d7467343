//! Whole paths for any number of tasks on one X: solve, certify, mend what is not certified.

use std::sync::Mutex;

use super::certificate::{Certificate, ExactPoint, certify};
use super::data::{Design, Matrix, Source, lock};
use super::early_stop::EarlyStop;
use super::pass::{Pass, Point, Target, Task, Wanted};
use super::path::{PathSolver, Scaling, Solved, cold_start};
use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::pass::{Element, Loss};
use crate::simd::vectorised::{sum_of, update};

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
pub fn solve_paths<T: Element>(
    x: Matrix<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    run: Run<'_>,
) -> Result<Vec<Path<T>>> {
    check(x, tasks, options)?;
    let mut weight = vec![0.0; x.rows()];
    for task in tasks {
        weight.iter_mut().zip(task.weight).for_each(|(sum, weight)| *sum += weight);
    }
    let design = Design::new(x, &weight, options.intercept, run)?;
    let order = ascending(&options.cs);
    let cs: Vec<f64> = order.iter().map(|&i| options.cs[i]).collect();
    let mut solvers = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        let shape = (design.penalty(), design.reach());
        let mut scaling = Scaling::new(task, shape, options.intercept);
        // A held-out loss belongs to a solution that a pass has seen; whether anybody watches it, to end
        // the path early, changes no solution.
        scaling.unseen = task.held_out.is_empty();
        let start = cold_start(task, &design, options.intercept);
        let tolerance = target(&design, task, options.tolerance);
        let solver = PathSolver::new(
            task.loss,
            scaling,
            cs.clone(),
            tolerance,
            options.max_iterations,
            start,
        )?;
        solvers.push((index, solver));
    }
    let mut stop = EarlyStop::new(options.patience, options.tolerance, tasks);
    drive(&design, tasks, &mut solvers, run, |solvers| stop.watch(solvers))?;
    let mut found = Vec::new();
    for (task, solver) in solvers {
        for (&c, solved) in cs.iter().zip(solver.into_solved()) {
            let point = unscale(&design, &tasks[task], &solved.x, design.scale());
            found.push(Found { task, c, point, solved });
        }
    }
    finish(&design, tasks, options, found, &order, run)
}

/// What the solver aims at: small problems in double precision are solved as far as double precision
/// goes, which costs next to nothing and makes a weight of two the same as a repeated row.
fn target<T: Element>(design: &Design<'_, T>, task: &Task<'_>, tolerance: f64) -> f64 {
    const SMALL: usize = 1 << 18;
    let work = Source::<T>::rows(design) * Source::<T>::stride(design) * task.columns;
    if size_of::<T>() == 8 && work <= SMALL { tolerance.min(1e-18) } else { tolerance }
}

/// A problem with an X of its own, for [`solve_many`].
pub type Problem<'a, T> = (Matrix<'a, T>, &'a [Task<'a>]);

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

/// A solution on its way to the caller.
struct Found<T> {
    task: usize,
    c: f64,
    point: (Vec<T>, Vec<f64>),
    solved: Solved,
}

/// Certifies, solves again in double precision what failed, and sorts into the caller's order.
fn finish<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    mut found: Vec<Found<T>>,
    order: &[usize],
    run: Run<'_>,
) -> Result<Vec<Path<T>>> {
    let all: Vec<usize> = (0..found.len()).collect();
    let mut certificates = settle(design, tasks, options, &mut found, &all, run)?;
    let failed: Vec<usize> = (0..found.len())
        .filter(|&i| !certificates[i].holds(options.tolerance))
        .filter(|&i| found[i].solved.iterations < options.max_iterations)
        .collect();
    if !failed.is_empty() {
        mend(design, tasks, options, &mut found, &failed, run)?;
        let again = settle(design, tasks, options, &mut found, &failed, run)?;
        failed.into_iter().zip(again).for_each(|(i, again)| certificates[i] = again);
    }
    let mut sorted: Vec<Vec<Option<Solution<T>>>> = Vec::new();
    sorted.resize_with(tasks.len(), || (0..order.len()).map(|_| None).collect());
    let per_task = found.len() / tasks.len();
    for (i, (found, certificate)) in found.into_iter().zip(certificates).enumerate() {
        let converged = certificate.holds(options.tolerance);
        sorted[found.task][order[i % per_task]] = Some(Solution {
            coefficients: found.point.0,
            intercepts: found.point.1,
            certificate,
            converged,
            iterations: found.solved.iterations + 1,
            passes: found.solved.passes + 1,
        });
    }
    Ok(sorted.into_iter().map(|path| path.into_iter().flatten().collect()).collect())
}

/// Certifies some of `found`. Where the intercepts alone are in the way (coefficients that were rounded
/// have other best ones), they make one more step: they are doubles, and their own problem is small.
fn settle<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    found: &mut [Found<T>],
    which: &[usize],
    run: Run<'_>,
) -> Result<Vec<Certificate>> {
    let certify_all = |found: &[Found<T>], which: &[usize]| {
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
fn mend<T: Element>(
    design: &Design<'_, T>,
    tasks: &[Task<'_>],
    options: &Options,
    found: &mut [Found<T>],
    failed: &[usize],
    run: Run<'_>,
) -> Result<()> {
    let penalty = vec![1.0; Source::<T>::stride(design)];
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
    drive(&design.exact(), tasks, &mut solvers, run, |_| ())?;
    for ((_, solver), &i) in solvers.iter().zip(failed) {
        let Some(solved) = solver.solved().first() else { continue };
        let task = &tasks[found[i].task];
        found[i].point = unscale(design, task, &solved.x, &vec![1.0; design.mean().len()]);
        found[i].solved.iterations += solved.iterations;
        found[i].solved.passes += solved.passes + 1;
    }
    Ok(())
}

/// Feeds solvers until all are finished; each round is one pass for all that are still at work, and
/// `after` sees them at the end of it.
pub(crate) fn drive<T: Element, S: Source<T>>(
    source: &S,
    tasks: &[Task<'_>],
    solvers: &mut [(usize, PathSolver<T>)],
    run: Run<'_>,
    mut after: impl FnMut(&mut [(usize, PathSolver<T>)]),
) -> Result<()> {
    let columns = solvers.iter().map(|(task, _)| tasks[*task].columns).sum();
    let pass = Pass::new(source, tasks, columns)?;
    pass.with_threads(run, |evaluate| {
        loop {
            let asked: Vec<(usize, Vec<f64>, Wanted)> = solvers
                .iter()
                .enumerate()
                .filter_map(|(i, (_, solver))| solver.ask().map(|(x, wanted)| (i, x, wanted)))
                .collect();
            if asked.is_empty() {
                return Ok(());
            }
            let points: Vec<Point<'_>> = asked
                .iter()
                .map(|(i, x, wanted)| {
                    let task = solvers[*i].0;
                    let (w, b) = x.split_at(tasks[task].columns * source.stride());
                    Point { task, w, b, wanted: *wanted }
                })
                .collect();
            let evaluations = evaluate(&points)?;
            for ((i, x, _), at) in asked.into_iter().zip(&evaluations) {
                solvers[i].1.tell(x, at);
            }
            after(solvers);
        }
    })
}

/// Coefficients and intercepts for the original X, rounded to its type.
///
/// For the softmax the class means are taken out: the loss does not see them, the penalty shrinks.
/// The intercepts are computed from the rounded coefficients, so that an offset in X costs nothing.
fn unscale<T: Element>(
    design: &Design<'_, T>,
    task: &Task<'_>,
    x: &[f64],
    scale: &[f64],
) -> (Vec<T>, Vec<f64>) {
    let (stride, columns) = (Source::<T>::stride(design), task.columns);
    let d = design.mean().len();
    let (w, b) = x.split_at(columns * stride);
    let softmax = task.loss == Loss::Softmax;
    let share = if softmax { 1.0 / columns as f64 } else { 0.0 };
    let mut shared = vec![0.0; d];
    let mut coefficients = vec![T::default(); columns * d];
    // Exact: a scale is a power of two.
    let inverse: Vec<f64> = scale.iter().map(|scale| 1.0 / scale).collect();
    for row in w.chunks(stride) {
        update(&mut shared, row, row, |shared, w, _| *shared += share * w);
    }
    for (target, row) in coefficients.chunks_mut(d).zip(w.chunks(stride)) {
        let mut centred = row[..d].to_vec();
        update(&mut centred, &shared, &shared, |w, shared, _| *w -= shared);
        update(target, &centred, &inverse, |target, w, inverse| *target = T::of(w * inverse));
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
fn exact_point<T: Element>(design: &Design<'_, T>, found: &Found<T>) -> ExactPoint {
    let (stride, d) = (Source::<T>::stride(design), design.mean().len());
    let (coefficients, intercepts) = &found.point;
    let mut w = vec![0.0; intercepts.len() * stride];
    let mut b = intercepts.clone();
    for ((w, row), b) in w.chunks_mut(stride).zip(coefficients.chunks(d)).zip(&mut b) {
        update(w, row, row, |w, value, _| *w = value.wide());
        *b += sum_of(row, design.mean(), |value, mean| value.wide() * mean);
    }
    ExactPoint { task: found.task, c: found.c, w, b }
}

fn ascending(cs: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cs.len()).collect();
    order.sort_by(|&a, &b| cs[a].total_cmp(&cs[b]));
    order
}

fn check<T: Element>(x: Matrix<'_, T>, tasks: &[Task<'_>], options: &Options) -> Result<()> {
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

    /// 60 rows of three columns, and their classes 0, 1 and 2.
    fn data() -> (Vec<f64>, Vec<u32>) {
        let classes: Vec<u32> = (0..60).map(|i| i % 3).collect();
        let noise = |i: usize| (i * 7919 % 101) as f64 / 50.0 - 1.0;
        let x = (0..180).map(|at| noise(at) + f64::from(classes[at / 3] as usize == at % 3));
        (x.collect(), classes)
    }

    fn solved(loss: Loss, target: Target<'_>, x: &[f64]) -> Path<f64> {
        let task = Task { loss, columns: 3, target, weight: &[1.0; 60], held_out: &[] };
        let options = Options {
            cs: vec![0.1, 1.0],
            tolerance: 1e-8,
            max_iterations: 500,
            intercept: true,
            patience: None,
        };
        let stop = AtomicBool::new(false);
        let x = Matrix::new(x, 3).unwrap();
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
