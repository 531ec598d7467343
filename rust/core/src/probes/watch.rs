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
