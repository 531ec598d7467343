//! What a caller sees of a path while it is being solved: how far it is, and every C once it is certified; and
//! how the caller ends it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::data::lock;
use super::path::PathSolver;
use super::solve::Solution;
use crate::simd::pass::Element;

/// How far a path is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Values of C that every task has solved.
    pub solved: usize,
    /// The C that the slowest task is at; the last one at the end.
    pub c: f64,
    /// Passes over the data so far.
    pub passes: usize,
    /// The largest relative gap, by its gradient alone, among the tasks at that C; infinite before its first
    /// step.
    pub gap: f64,
}

/// A certified solution on its way to whoever watches.
#[derive(Debug)]
pub struct Finished<T> {
    /// Which task it is of.
    pub task: usize,
    /// The place of its C among [`super::Options::cs`].
    pub place: usize,
    /// Whether this is the end of it, certified or given up; else the solve was ended on the way to it.
    pub is_whole: bool,
    /// The solution.
    pub solution: Solution<T>,
}

/// Shared by the thread that solves and the one that shows.
#[derive(Debug)]
pub struct Watch<T> {
    state: Mutex<(Progress, Vec<Finished<T>>)>,
    /// Passes after which the solve ends.
    limit: AtomicUsize,
}

impl<T> Default for Watch<T> {
    fn default() -> Self {
        let nothing = Progress { solved: 0, c: f64::NAN, passes: 0, gap: f64::INFINITY };
        Self { state: Mutex::new((nothing, Vec::new())), limit: AtomicUsize::new(usize::MAX) }
    }
}

impl<T: Element> Watch<T> {
    /// How far it is, and the solutions since the last call.
    pub fn look(&self) -> (Progress, Vec<Finished<T>>) {
        let mut state = lock(&self.state);
        (state.0, std::mem::take(&mut state.1))
    }

    /// Ends the solve at the first pass that is over after so many, 0: the one that is under way.
    pub fn end_after(&self, passes: usize) {
        self.limit.store(passes, Ordering::Relaxed);
    }

    /// Whether the solve is to end.
    pub(super) fn is_enough(&self) -> bool {
        lock(&self.state).0.passes >= self.limit.load(Ordering::Relaxed)
    }

    /// Another round is over.
    pub(super) fn tell(&self, solvers: &[(usize, PathSolver<T>)]) {
        let Some(solved) = solvers.iter().map(|(_, solver)| solver.solved().len()).min() else {
            return;
        };
        let slowest = solvers.iter().filter(|(_, solver)| solver.solved().len() == solved);
        let mut state = lock(&self.state);
        state.0.passes += 1;
        state.0.solved = solved;
        state.0.gap = 0.0;
        for (_, solver) in slowest {
            state.0.c = solver.c();
            state.0.gap = state.0.gap.max(solver.relative_gap());
        }
    }

    /// Solutions are certified.
    pub(super) fn hand_over(&self, finished: Vec<Finished<T>>) {
        lock(&self.state).1.extend(finished);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::parallel::Run;
    use crate::probes::{Loss, Options, Selection, Target, Task, solve_paths, solve_watched};

    /// 600 rows of eight columns in 40 classes.
    fn data() -> (Vec<f64>, Vec<u32>) {
        let classes: Vec<u32> = (0..600).map(|i| i % 40).collect();
        let noise = |i: usize| (i * 7919 % 101) as f64 / 50.0 - 1.0;
        let x = (0..600 * 8)
            .map(|at| noise(at) + f64::from((classes[at / 8] as usize + at).is_multiple_of(5)));
        (x.collect(), classes)
    }

    fn options(cs: &[f64], tolerance: f64) -> Options {
        Options {
            cs: cs.to_vec(),
            tolerance,
            max_iterations: 500,
            intercept: true,
            patience: None,
            before: Vec::new(),
        }
    }

    fn task<'a>(classes: &'a [u32], weight: &'a [f64], held_out: &'a [f64]) -> Task<'a> {
        let target = Target::Classes(classes);
        Task { loss: Loss::Softmax, columns: 40, target, weight, held_out, start: None }
    }

    #[test]
    fn what_is_handed_over_is_what_a_path_returns() {
        let (x, classes) = data();
        let held: Vec<f64> = (0..600).map(|i| f64::from(i % 3 == 0)).collect();
        let fitted: Vec<f64> = held.iter().map(|held| 1.0 - held).collect();
        let tasks = [task(&classes, &[1.0; 600], &[]), task(&classes, &fitted, &held)];
        let options = options(&[1.0, 0.01, 0.1], 1e-6);
        let stop = AtomicBool::new(false);
        let (x, run) = (Selection::new(&x, 8).unwrap(), Run::new(2, &stop));
        let paths = solve_paths(x, &tasks, &options, run).unwrap();
        let watch = Watch::default();
        assert!(solve_watched(x, &tasks, &options, &watch, run).unwrap());
        let (progress, finished) = watch.look();
        assert_eq!((progress.solved, progress.c, finished.len()), (3, 1.0, 6));
        for found in finished {
            let expected = &paths[found.task][found.place];
            assert!(found.is_whole);
            assert_eq!(found.solution.coefficients, expected.coefficients);
            assert_eq!(found.solution.certificate.objective, expected.certificate.objective);
        }
        assert!(watch.look().1.is_empty());
    }

    /// What is handed over of two tasks when the solve is ended after some passes.
    fn ended(start: &[Option<Solution<f64>>; 2], cs: &[f64], passes: usize) -> Ended {
        let (x, classes) = data();
        let ten: Vec<f64> = (0..600).map(|i| f64::from(u8::from(i < 60) * 9 + 1)).collect();
        let mut tasks = [task(&classes, &[1.0; 600], &[]), task(&classes, &ten, &[])];
        for (task, start) in tasks.iter_mut().zip(start) {
            task.start = start.as_ref().map(|s| (s.coefficients.as_slice(), &s.intercepts[..]));
        }
        let stop = AtomicBool::new(false);
        let x = Selection::new(&x, 8).unwrap();
        let watch = Watch::default();
        watch.end_after(passes);
        let run = Run::new(2, &stop);
        let is_whole = solve_watched(x, &tasks, &options(cs, 1e-8), &watch, run).unwrap();
        let (progress, finished) = watch.look();
        Ended { is_whole, passes: progress.passes, finished }
    }

    struct Ended {
        is_whole: bool,
        passes: usize,
        finished: Vec<Finished<f64>>,
    }

    #[test]
    fn a_c_that_is_ended_on_the_way_is_handed_over_and_the_next_solve_goes_on_from_it() {
        let whole = ended(&[None, None], &[10.0], usize::MAX);
        let part = ended(&[None, None], &[10.0], 12);
        assert!(whole.is_whole && !part.is_whole);
        assert_eq!((part.passes, part.finished.len()), (12, 2));
        let start = part.finished.into_iter().zip(&whole.finished).map(|(found, whole)| {
            assert!(!found.is_whole && !found.solution.converged);
            let (best, certificate) = (&whole.solution.certificate, &found.solution.certificate);
            assert!(best.objective < certificate.objective);
            assert!(certificate.objective - certificate.gap < best.objective);
            Some(found.solution)
        });
        let start: Vec<_> = start.collect();
        let rest = ended(&start.try_into().unwrap(), &[10.0], usize::MAX);
        assert!(rest.is_whole && rest.passes < whole.passes, "{} {}", rest.passes, whole.passes);
        for (found, whole) in rest.finished.iter().zip(&whole.finished) {
            let (found, whole) = (&found.solution, &whole.solution);
            assert!(found.converged);
            let apart = found.certificate.objective / whole.certificate.objective - 1.0;
            assert!(apart.abs() < 1e-7);
        }
    }

    #[test]
    fn a_task_that_is_ahead_hands_over_its_solution_of_the_c_that_the_others_are_at() {
        let whole = ended(&[None, None], &[10.0], usize::MAX);
        let first = whole.finished.into_iter().next().map(|found| found.solution);
        // The first task is at the next C after a pass or two.
        let part = ended(&[first, None], &[20.0, 10.0], 8);
        assert!(!part.is_whole && part.finished.len() == 2);
        assert!(part.finished.iter().all(|found| found.place == 1));
        for found in &part.finished {
            assert_eq!(found.is_whole, found.task == 0);
            assert_eq!(found.solution.converged, found.task == 0);
        }
    }

    #[test]
    fn nothing_is_handed_over_before_the_first_step() {
        let part = ended(&[None, None], &[0.1], 0);
        assert!(!part.is_whole && part.finished.is_empty() && part.passes == 1);
    }
}
