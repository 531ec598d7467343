//! What a caller sees of a path while it is being solved: how far it is, and every C once it is certified.

use std::sync::Mutex;

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
    /// The solution.
    pub solution: Solution<T>,
}

/// Shared by the thread that solves and the one that shows.
#[derive(Debug)]
pub struct Watch<T> {
    state: Mutex<(Progress, Vec<Finished<T>>)>,
}

impl<T> Default for Watch<T> {
    fn default() -> Self {
        let nothing = Progress { solved: 0, c: f64::NAN, passes: 0, gap: f64::INFINITY };
        Self { state: Mutex::new((nothing, Vec::new())) }
    }
}

impl<T: Element> Watch<T> {
    /// How far it is, and the solutions since the last call.
    pub fn look(&self) -> (Progress, Vec<Finished<T>>) {
        let mut state = lock(&self.state);
        (state.0, std::mem::take(&mut state.1))
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

    #[test]
    fn what_is_handed_over_is_what_a_path_returns() {
        let classes: Vec<u32> = (0..600).map(|i| i % 40).collect();
        let noise = |i: usize| (i * 7919 % 101) as f64 / 50.0 - 1.0;
        let x: Vec<f64> = (0..600 * 8)
            .map(|at| noise(at) + f64::from((classes[at / 8] as usize + at).is_multiple_of(5)))
            .collect();
        let held: Vec<f64> = (0..600).map(|i| f64::from(i % 3 == 0)).collect();
        let fitted: Vec<f64> = held.iter().map(|held| 1.0 - held).collect();
        let target = Target::Classes(&classes);
        let task = |weight, held_out| Task {
            loss: Loss::Softmax,
            columns: 40,
            target,
            weight,
            held_out,
            start: None,
        };
        let ones = [1.0; 600];
        let tasks = [task(&ones, &[]), task(&fitted, &held)];
        let options = Options {
            cs: vec![1.0, 0.01, 0.1],
            tolerance: 1e-6,
            max_iterations: 500,
            intercept: true,
            patience: None,
            before: Vec::new(),
        };
        let stop = AtomicBool::new(false);
        let (x, run) = (Selection::new(&x, 8).unwrap(), Run::new(2, &stop));
        let paths = solve_paths(x, &tasks, &options, run).unwrap();
        let watch = Watch::default();
        solve_watched(x, &tasks, &options, &watch, run).unwrap();
        let (progress, finished) = watch.look();
        assert_eq!((progress.solved, progress.c, finished.len()), (3, 1.0, 6));
        for found in finished {
            let expected = &paths[found.task][found.place];
            assert_eq!(found.solution.coefficients, expected.coefficients);
            assert_eq!(found.solution.certificate.objective, expected.certificate.objective);
        }
        assert!(watch.look().1.is_empty());
    }
}
