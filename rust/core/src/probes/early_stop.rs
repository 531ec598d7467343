//! Ends a path once the held-out loss has stopped falling.

use super::pass::Task;
use super::path::PathSolver;
use super::solve::Options;
use crate::simd::pass::Element;

/// Watches the solvers of tasks that share X, and ends all of them after the same C.
pub(super) struct EarlyStop {
    scored: Vec<bool>,
    seen: usize,
    patience: Patience,
}

impl EarlyStop {
    /// Never ends anything where patience is none; improvements within the tolerance do not count.
    pub fn new(options: &Options, tasks: &[Task<'_>]) -> Self {
        let scored = tasks.iter().map(|task| !task.held_out.is_empty()).collect();
        let limit = options.patience.unwrap_or(usize::MAX);
        let mut patience = Patience::new(limit, options.tolerance);
        for &loss in &options.before {
            patience.is_over(loss);
        }
        Self { scored, seen: 0, patience }
    }

    /// Looks at every C that all scored tasks have solved by now.
    pub fn watch<T: Element>(&mut self, solvers: &mut [(usize, PathSolver<T>)]) {
        loop {
            let scored = solvers.iter().filter(|(task, _)| self.scored[*task]);
            let losses: Option<Vec<f64>> =
                scored.map(|(_, s)| s.solved().get(self.seen).map(|s| s.held_out)).collect();
            let Some(losses) = losses.filter(|losses| !losses.is_empty()) else { return };
            self.seen += 1;
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            if self.patience.is_over(mean) {
                solvers.iter_mut().for_each(|(_, solver)| solver.end_after(self.seen));
                return;
            }
        }
    }
}

/// After how many of these losses, of ascending C, a path ends; none where it goes on.
pub fn patient_count(losses: &[f64], limit: usize, tolerance: f64) -> Option<usize> {
    let mut patience = Patience::new(limit, tolerance);
    losses.iter().position(|&loss| patience.is_over(loss)).map(|last| last + 1)
}

/// The part of the first loss that must be gained before a loss that stays the same counts.
const UNDERWAY: f64 = 0.01;

/// Counts losses in a row that are no improvement.
struct Patience {
    limit: usize,
    tolerance: f64,
    first: f64,
    best: f64,
    since: usize,
}

impl Patience {
    fn new(limit: usize, tolerance: f64) -> Self {
        Self { limit, tolerance, first: f64::NAN, best: f64::INFINITY, since: 0 }
    }

    /// Takes the next loss; one that is not known (NaN) counts neither way.
    ///
    /// What the tolerance of the solutions could have made is no improvement. But a loss that stays the
    /// same counts only once something has been gained: at tiny C no solution has learnt anything yet.
    fn is_over(&mut self, loss: f64) -> bool {
        if self.first.is_nan() {
            self.first = loss;
        }
        let underway = self.best < self.first * (1.0 - UNDERWAY);
        if loss < self.best * (1.0 - self.tolerance) {
            (self.best, self.since) = (loss, 0);
        } else if loss > self.best * (1.0 + self.tolerance) || (underway && !loss.is_nan()) {
            self.since += 1;
        }
        self.since >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_after_losses_in_a_row_that_are_no_better() {
        let mut patience = Patience::new(2, 1e-4);
        let losses = [3.0, 2.0, 2.5, 1.0, f64::NAN, 0.99999, f64::NAN, 1.1];
        let over: Vec<bool> = losses.iter().map(|&loss| patience.is_over(loss)).collect();
        assert_eq!(over, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn the_losses_of_a_path_that_was_solved_before_say_where_it_ends() {
        assert_eq!(patient_count(&[3.0, 2.0, 2.5, 2.6, 1.0], 2, 1e-4), Some(4));
        assert_eq!(patient_count(&[3.0, 2.0, 2.5, 1.0], 2, 1e-4), None);
    }

    #[test]
    fn a_flat_start_does_not_end_a_path_but_a_rise_does() {
        let mut patience = Patience::new(1, 1e-4);
        assert!(
            [3.0, 3.0, 2.99999, 2.9995, 2.99945, 2.5, 1.0].iter().all(|&l| !patience.is_over(l))
        );
        assert!(patience.is_over(1.0));
        let mut patience = Patience::new(2, 1e-4);
        assert!([3.0, 3.0, 3.1].iter().all(|&loss| !patience.is_over(loss)));
        assert!(patience.is_over(3.2));
    }

    #[test]
    fn no_limit_never_ends() {
        let mut patience = Patience::new(usize::MAX, 1e-4);
        assert!((0..1000).all(|i| !patience.is_over(f64::from(i))));
    }
}
