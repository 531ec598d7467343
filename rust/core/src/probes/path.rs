//! One problem along its path of C: warm starts, carried curvature, and when to stop.

use super::design::Design;
use super::lbfgs::{Iterate, Minimiser, Progress};
use super::pass::{Evaluation, Purpose, Task};
use super::scaling::{Scaling, intercept_step};
use super::sweep::Sweep;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, Loss};

/// The part of the tolerance that the solver aims at: the rest is for the rounding of the result.
const AIM: f64 = 0.7;
/// The part that it aims at before the intercepts make Newton's step: the gradient in the weights moves with them.
const AIM_BEFORE: f64 = 0.35;
/// Steps after which the Hessian's diagonal is computed anew: on nearly separable data it shrinks by
/// orders of magnitude on the way, and with the old one a descent takes several times the steps.
const RENEWAL: usize = 40;
/// The part of the worst case (in squares) by which a Newton step in the intercepts moves the gradient in
/// the weights, as a rule. Where it is more, the solution fails its certificate and is mended.
const MOVED: f64 = 1e-4;

/// A solution in the coordinates of the design, and what it took.
#[derive(Clone, Debug)]
pub struct Solved {
    /// Coefficients and intercepts.
    pub x: Vec<f64>,
    /// Steps taken.
    pub iterations: usize,
    /// Passes over the data.
    pub passes: usize,
    /// The mean held-out loss next to it; NaN where it was not seen or nothing is held out.
    pub held_out: f64,
}

/// What the solver knows at the start of the current C.
enum Stage {
    /// The warm start is to be evaluated, with the Hessian's diagonal.
    Starting(Vec<f64>),
    /// A line search is under way.
    Descending,
    /// The solution, after a Newton step in the intercepts, is to be checked.
    Polishing(Vec<f64>),
    /// All done.
    Finished,
}

/// The solver of one task along ascending C.
pub struct PathSolver<T: 'static> {
    loss: Loss,
    scaling: Scaling,
    cs: Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
    minimiser: Minimiser<T>,
    stage: Stage,
    /// The Hessian by the intercepts at the start of this C.
    intercepts: Evaluation,
    iterations: usize,
    /// Whether the precision of the values is used up at this C.
    is_stalled: bool,
    passes: usize,
    solved: Vec<Solved>,
}

impl<T: Element> PathSolver<T> {
    /// A solver for `cs`, ascending, started from `start` (in the coordinates of the design).
    pub fn new(
        loss: Loss,
        scaling: Scaling,
        cs: Vec<f64>,
        tolerance: f64,
        max_iterations: usize,
        start: Vec<f64>,
    ) -> Result<Self> {
        let minimiser = Minimiser::new(capacity(loss, scaling.rows, start.len()))?;
        Ok(Self {
            loss,
            scaling,
            cs,
            tolerance,
            max_iterations,
            minimiser,
            stage: Stage::Starting(start),
            intercepts: Evaluation::default(),
            iterations: 0,
            is_stalled: false,
            passes: 0,
            solved: Vec::new(),
        })
    }

    /// The point to evaluate next and what for; nothing when finished.
    pub fn ask(&self) -> Option<(Vec<f64>, Purpose)> {
        match &self.stage {
            Stage::Starting(start) => Some((start.clone(), Purpose::Curvature)),
            Stage::Descending => Some((self.minimiser.trial(), Purpose::Gradient)),
            Stage::Polishing(x) => Some((x.clone(), Purpose::Certificate)),
            Stage::Finished => None,
        }
    }

    /// The C that is being solved; the last one at the end.
    pub fn c(&self) -> f64 {
        self.cs[self.solved.len().min(self.cs.len() - 1)]
    }

    /// The gap of the current iterate by its gradient, over the objective; infinite before the first step.
    pub fn relative_gap(&self) -> f64 {
        match self.stage {
            Stage::Finished => 0.0,
            Stage::Starting(_) if self.iterations == 0 => f64::INFINITY,
            _ => {
                let (gap, decrement) = self.gaps(self.minimiser.current());
                (gap + decrement) / self.minimiser.current().value
            }
        }
    }

    /// Ends the path after its first `count` values of C.
    pub fn end_after(&mut self, count: usize) {
        self.cs.truncate(count);
        self.solved.truncate(count);
        if self.solved.len() == self.cs.len() {
            self.stage = Stage::Finished;
        }
    }

    /// The solutions so far, in the order of C.
    pub fn solved(&self) -> &[Solved] {
        &self.solved
    }

    /// The solution at `index`, once: it is kept only while the next C may start from it.
    pub fn take(&mut self, index: usize) -> Solved {
        let is_needed = index + 2 >= self.solved.len();
        let solved = &mut self.solved[index];
        let x = if is_needed { solved.x.clone() } else { std::mem::take(&mut solved.x) };
        Solved { x, ..*solved }
    }

    /// Whether a step was made at the C at `index`.
    pub fn has_begun(&self, index: usize) -> bool {
        index < self.solved.len() || (index == self.solved.len() && self.iterations > 0)
    }

    /// The solution at `index`, as [`PathSolver::take`], or how far it is, if that is the C being solved.
    pub fn reached(&mut self, index: usize) -> Solved {
        if index < self.solved.len() {
            return self.take(index);
        }
        let x = match &self.stage {
            Stage::Starting(start) => start.clone(),
            _ => self.minimiser.current().x.clone(),
        };
        let (iterations, passes) = (self.iterations, self.passes);
        Solved { x, iterations, passes, held_out: f64::NAN }
    }

    /// Takes the evaluation of the point asked for.
    pub fn tell(&mut self, x: Vec<f64>, mut at: Evaluation, run: Run<'_>) -> Result<()> {
        self.passes += 1;
        let lambda = self.lambda();
        let iterate = self.scaling.iterate(x, &mut at, lambda, Sweep(run))?;
        let starting = matches!(self.stage, Stage::Starting(_));
        let stalled = match self.stage {
            Stage::Polishing(_) => return self.check(iterate, &at, run),
            Stage::Starting(_) => {
                self.begin(iterate, at, (lambda, run))?;
                false
            }
            _ => match self.minimiser.tell(iterate, run)? {
                Progress::Searching => return Ok(()),
                Progress::Stalled => true,
                Progress::Accepted => {
                    self.iterations += 1;
                    false
                }
            },
        };
        if stalled {
            let current = self.minimiser.current();
            let x = match self.is_within(AIM, current) {
                true => self.polished(current, &self.intercepts),
                false if self.scaling.unseen => {
                    return self.finish_c(current.x.clone(), f64::NAN, run);
                }
                // Its held-out loss is to be known: patience counts it like any other.
                false => current.x.clone(),
            };
            (self.stage, self.is_stalled) = (Stage::Polishing(x), true);
        } else if self.iterations >= self.max_iterations || self.is_ready(self.minimiser.current())
        {
            let current = self.minimiser.current();
            let x = self.polished(current, &self.intercepts);
            if self.scaling.unseen && self.needs_no_polish(current) {
                return self.finish_c(x, f64::NAN, run);
            }
            self.stage = Stage::Polishing(x);
        } else if !starting && self.iterations.is_multiple_of(RENEWAL) {
            self.stage = Stage::Starting(self.minimiser.current().x.clone());
        }
        Ok(())
    }

    /// The point after Newton's step in the intercepts, with their Hessian as in `at`.
    fn polished(&self, iterate: &Iterate, at: &Evaluation) -> Vec<f64> {
        let split = self.scaling.split();
        let mut x = iterate.x.clone();
        if let Some(step) = intercept_step(self.loss, &self.scaling, &iterate.gradient[split..], at)
        {
            x[split..].iter_mut().zip(step).for_each(|(b, step)| *b -= step);
        }
        x
    }

    /// Ends the current C at a polished point, or goes on from it if it is not good enough after all.
    fn check(&mut self, iterate: Iterate, at: &Evaluation, run: Run<'_>) -> Result<()> {
        let is_done = self.is_within(AIM, &iterate) || self.iterations >= self.max_iterations;
        if self.is_stalled || is_done {
            let x = self.polished(&iterate, at);
            return self.finish_c(x, at.held_out.0 / self.scaling.held_out, run);
        }
        self.iterations += 1;
        self.minimiser.learn(&iterate, run)?;
        self.stage = Stage::Descending;
        self.minimiser.restart(iterate, run)
    }

    fn lambda(&self) -> f64 {
        self.scaling.lambda(self.cs[self.solved.len()])
    }

    fn begin(
        &mut self,
        at: Iterate,
        evaluation: Evaluation,
        (lambda, run): (f64, Run<'_>),
    ) -> Result<()> {
        let inverse = self.scaling.inverse_diagonal(&evaluation, lambda);
        self.intercepts =
            Evaluation { curvature: (Vec::new(), evaluation.curvature.1), ..evaluation };
        if !self.solved.is_empty() {
            // The move to the warm start is a step like any other: what it shows is not wasted.
            self.minimiser.learn(&at, run)?;
        }
        self.stage = Stage::Descending;
        self.minimiser.start(at, inverse, run)
    }

    /// Whether the gap is within this part of the tolerance.
    fn is_within(&self, part: f64, at: &Iterate) -> bool {
        let (gap, decrement) = self.gaps(at);
        gap + decrement <= part * self.tolerance * at.value
    }

    /// Whether the intercepts may make their last step.
    fn is_ready(&self, at: &Iterate) -> bool {
        self.is_within(AIM_BEFORE, at) || (self.is_within(AIM, at) && self.needs_no_polish(at))
    }

    /// Whether the certificate should hold after a Newton step in the intercepts, unseen.
    fn needs_no_polish(&self, at: &Iterate) -> bool {
        let (gap, decrement) = self.gaps(at);
        let curvature = &self.intercepts.curvature.1;
        let bound = self.scaling.bound(gap, MOVED * decrement, curvature, self.lambda());
        bound <= AIM * self.tolerance * at.value
    }

    /// What the gradient in the weights, and that in the intercepts, say about the gap.
    fn gaps(&self, at: &Iterate) -> (f64, f64) {
        let (weights, intercepts) = at.gradient.split_at(self.scaling.split());
        let intercepts = intercepts.iter().zip(&self.intercepts.curvature.1);
        let decrement = intercepts.map(|(g, h)| g * g * self.scaling.total / h.max(1e-300)).sum();
        (self.scaling.weight_gap(weights, self.lambda()), decrement)
    }

    /// Keeps the solution and moves on to the next C, extrapolating along log C.
    fn finish_c(&mut self, x: Vec<f64>, held_out: f64, run: Run<'_>) -> Result<()> {
        let index = self.solved.len();
        let start = self.next_start(&x, index);
        let (iterations, passes) = (self.iterations, self.passes);
        self.solved.push(Solved { x, iterations, passes, held_out });
        (self.iterations, self.passes, self.is_stalled) = (0, 0, false);
        self.stage = match start {
            None => Stage::Finished,
            Some(start) => {
                let change = self.lambda() - self.scaling.lambda(self.cs[index]);
                self.minimiser.shift(change, &self.scaling.penalty, run)?;
                Stage::Starting(start)
            }
        };
        Ok(())
    }

    fn next_start(&self, x: &[f64], index: usize) -> Option<Vec<f64>> {
        let next = *self.cs.get(index + 1)?;
        let Some(before) = index.checked_sub(1) else { return Some(x.to_vec()) };
        let ahead = (next / self.cs[index]).ln() / (self.cs[index] / self.cs[before]).ln();
        // Between equal values of C there is no direction to go on in.
        let ahead = if ahead.is_finite() { ahead.clamp(0.0, 2.0) } else { 0.0 };
        let along = x.iter().zip(&self.solved[before].x);
        Some(along.map(|(now, before)| now + ahead * (now - before)).collect())
    }
}

/// Pairs to remember: the work on them stays below a twentieth of a pass or is next to nothing, and their
/// memory is bounded. More would not help few rows: old pairs describe the Hessian of another C.
///
/// The squared hinge sees but the rows within the margin, where its diagonal says little: there only
/// the pairs know the Hessian, and with few of them a separable problem takes several times the steps.
fn capacity(loss: Loss, rows: usize, length: usize) -> usize {
    const BYTES: usize = 256 << 20;
    const LITTLE: usize = 1 << 13;
    let affordable = (rows / 40).clamp(6, 100).max((LITTLE / length).min(50));
    let affordable = if loss == Loss::SquaredHinge { 100 } else { affordable };
    affordable.min((BYTES / (length * 16)).max(5))
}

/// A good place to start: no weights, and intercepts that give the class shares.
pub fn cold_start<T: Element>(
    task: &Task<'_>,
    design: &Design<'_, T>,
    intercept: bool,
) -> Vec<f64> {
    let mut start = vec![0.0; task.columns * design.penalty().len()];
    let total = task.total();
    let sums = if intercept { task.totals() } else { Vec::new() };
    let odds = |share: f64| match task.loss {
        Loss::Softmax => share.ln(),
        Loss::Logistic => (share / (1.0 - share)).ln(),
        Loss::SquaredHinge => 2.0 * share - 1.0,
    };
    let logs: Vec<f64> =
        sums.iter().map(|sum| odds((sum / total).clamp(1e-9, 1.0 - 1e-9))).collect();
    let centre = match task.loss {
        Loss::Softmax => logs.iter().sum::<f64>() / logs.len().max(1) as f64,
        _ => 0.0,
    };
    start.extend(logs.iter().map(|log| log - centre));
    start.resize(task.columns * (design.penalty().len() + 1), 0.0);
    start
}
