//! L-BFGS with a diagonal preconditioner, as a state machine that asks for evaluations.
//!
//! Nocedal & Wright, *Numerical Optimization* (2006), algorithms 7.4 and 3.5. Asking instead of
//! calling lets many problems share one pass over the data.

use std::collections::VecDeque;

use super::sweep::{PIECE, Sweep};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, PassKernels, padded};
use crate::simd::vectorised;

/// Sufficient decrease and curvature conditions of Wolfe.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Evaluations along one direction before it is given up.
const MAX_TRIALS: usize = 20;

/// A step taken and how the gradient changed along it.
struct Pair<T> {
    step: Vec<T>,
    change: Vec<T>,
    product: f64,
}

/// The curvature pairs: what L-BFGS knows about the Hessian.
struct Memory<T: 'static> {
    pairs: VecDeque<Pair<T>>,
    capacity: usize,
    kernels: &'static PassKernels<T>,
}

impl<T: Element> Memory<T> {
    /// Keeps the pair if it shows positive curvature beyond rounding.
    fn push(&mut self, from: &Iterate, to: &Iterate, sweep: Sweep<'_>) -> Result<()> {
        let mut pair = match self.pairs.len() == self.capacity {
            true => self.pairs.pop_front(),
            false => None,
        }
        .unwrap_or(Pair { step: Vec::new(), change: Vec::new(), product: 0.0 });
        fill(&mut pair.step, &to.x, &from.x, sweep, |to, from| to - from)?;
        fill(&mut pair.change, &to.gradient, &from.gradient, sweep, |to, from| to - from)?;
        let inner = |a: &[T], b: &[T]| sweep.sum_of(a, b, |a, b| a.wide() * b.wide());
        pair.product = inner(&pair.step, &pair.change)?;
        let sizes = inner(&pair.step, &pair.step)? * inner(&pair.change, &pair.change)?;
        if pair.product > 1e-10 * sizes.sqrt() {
            self.pairs.push_back(pair);
        }
        Ok(())
    }

    /// Adds `shift * penalty` to the diagonal of the Hessian that the pairs describe: exact, because
    /// only the penalty of the objective moves. Coefficients beyond the end of `penalty` have none.
    fn shift(&mut self, shift: f64, penalty: &[f64], sweep: Sweep<'_>) -> Result<()> {
        for Pair { step, change, product } in &mut self.pairs {
            sweep.update(change, step, penalty, |change, step, penalty| {
                *change = T::of(change.wide() + shift * penalty * step.wide());
            })?;
            *product = sweep.sum_of(step, change, |step, change| step.wide() * change.wide())?;
        }
        self.pairs.retain(|pair| pair.product > 0.0);
        Ok(())
    }

    /// The part of the diagonal that the last step has shown to be right (Nocedal & Wright, 7.20).
    fn scale(&self, inverse: &[f64], sweep: Sweep<'_>) -> Result<f64> {
        let Some(pair) = self.pairs.back() else { return Ok(1.0) };
        let change = &pair.change[..inverse.len()];
        let size = sweep.sum_of(change, inverse, |c, i| c.wide() * c.wide() * i)?;
        Ok(pair.product / size)
    }

    /// The quasi-Newton direction `-H g`, with `H` started from the inverse of the diagonal.
    fn direction(&self, gradient: &[f64], inverse: &[f64], sweep: Sweep<'_>) -> Result<Vec<T>> {
        let mut q = Vec::new();
        fill(&mut q, gradient, gradient, sweep, |g, _| -g)?;
        let mut factors = Vec::with_capacity(self.pairs.len());
        let mut last = None;
        for pair in self.pairs.iter().rev() {
            let factor = self.add_then_inner(last, &mut q, Some(&pair.step), sweep)? / pair.product;
            last = Some((-factor, pair.change.as_slice()));
            factors.push(factor);
        }
        self.add_then_inner(last, &mut q, None, sweep)?;
        let scale = self.scale(inverse, sweep)?;
        sweep.update(&mut q, inverse, inverse, |q, inverse, _| {
            *q = T::of(q.wide() * inverse * scale);
        })?;
        let mut last = None;
        for (pair, factor) in self.pairs.iter().zip(factors.into_iter().rev()) {
            let along =
                self.add_then_inner(last, &mut q, Some(&pair.change), sweep)? / pair.product;
            last = Some((factor - along, pair.step.as_slice()));
        }
        self.add_then_inner(last, &mut q, None, sweep)?;
        Ok(q)
    }

    /// Adds a multiple of a vector to `q`; then the inner product of `q` with another, or 0.
    fn add_then_inner(
        &self,
        added: Option<(f64, &[T])>,
        q: &mut [T],
        with: Option<&[T]>,
        sweep: Sweep<'_>,
    ) -> Result<f64> {
        let mut pieces: Vec<(&mut [T], f64)> = q.chunks_mut(PIECE).map(|q| (q, 0.0)).collect();
        sweep.over(pieces.len()).for_each_mut(&mut pieces, |at, (q, inner)| {
            let piece = at * PIECE..at * PIECE + q.len();
            if let Some((factor, from)) = added {
                self.kernels.add_scaled(factor, &from[piece.clone()], q);
            }
            *inner = with.map_or(0.0, |with| self.kernels.inner(&with[piece], q));
            Ok(())
        })?;
        Ok(pieces.iter().map(|(_, inner)| inner).sum())
    }
}

/// `value(a_i, b_i)` in the element type, padded with zeros.
fn fill<T: Element>(
    target: &mut Vec<T>,
    a: &[f64],
    b: &[f64],
    sweep: Sweep<'_>,
    value: impl Fn(f64, f64) -> f64 + Sync,
) -> Result<()> {
    target.resize(padded(a.len()), T::default());
    target[a.len()..].fill(T::default());
    sweep.update(target, a, b, |target, a, b| *target = T::of(value(a, b)))
}

/// A point, the value there and its gradient.
#[derive(Clone, Debug, Default)]
pub struct Iterate {
    /// The coefficients.
    pub x: Vec<f64>,
    /// The objective.
    pub value: f64,
    /// Its gradient.
    pub gradient: Vec<f64>,
}

/// What became of a trial point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is the new iterate.
    Accepted,
    /// The search along the direction goes on.
    Searching,
    /// No point along any direction is better: the precision of the values is used up.
    Stalled,
}

/// The minimiser of one smooth convex function.
pub struct Minimiser<T: 'static> {
    memory: Memory<T>,
    inverse: Vec<f64>,
    current: Iterate,
    direction: Vec<T>,
    slope: f64,
    step: f64,
    low: (f64, f64),
    high: Option<(f64, f64)>,
    trials: usize,
}

impl<T: Element> Minimiser<T> {
    /// A minimiser that remembers at most `capacity` steps.
    pub fn new(capacity: usize) -> Result<Self> {
        let memory =
            Memory { pairs: VecDeque::with_capacity(capacity), capacity, kernels: T::kernels()? };
        Ok(Self {
            memory,
            inverse: Vec::new(),
            current: Iterate::default(),
            direction: Vec::new(),
            slope: 0.0,
            step: 0.0,
            low: (0.0, 0.0),
            high: None,
            trials: 0,
        })
    }

    /// Starts from `at`, with the inverse of the Hessian's diagonal there; what was learnt stays.
    pub fn start(&mut self, at: Iterate, inverse: Vec<f64>, run: Run<'_>) -> Result<()> {
        self.current = at;
        self.inverse = inverse;
        self.aim(run)
    }

    /// Goes on from another point of the same objective.
    pub fn restart(&mut self, at: Iterate, run: Run<'_>) -> Result<()> {
        self.current = at;
        self.aim(run)
    }

    /// The objective gains `shift / 2 * sum of penalty_j x_j^2`: pairs and gradient follow exactly.
    /// Coefficients beyond the end of `penalty` have none.
    pub fn shift(&mut self, shift: f64, penalty: &[f64], run: Run<'_>) -> Result<()> {
        let sweep = Sweep(run);
        self.memory.shift(shift, penalty, sweep)?;
        let Iterate { x, gradient, value } = &mut self.current;
        *value += 0.5 * shift * sweep.sum_of(&x[..penalty.len()], penalty, |x, p| p * x * x)?;
        sweep.update(gradient, x, penalty, |gradient, x, penalty| *gradient += shift * penalty * x)
    }

    /// A step from the current point that was made outside, and how the gradient changed, as curvature to learn.
    pub fn learn(&mut self, to: &Iterate, run: Run<'_>) -> Result<()> {
        self.memory.push(&self.current, to, Sweep(run))
    }

    /// The best point so far.
    pub fn current(&self) -> &Iterate {
        &self.current
    }

    /// The point to evaluate next.
    pub fn trial(&self) -> Vec<f64> {
        let mut trial = self.current.x.clone();
        let direction = &self.direction;
        vectorised::update(&mut trial, direction, direction, |x, d, _| *x += self.step * d.wide());
        trial
    }

    /// Takes the evaluation of the last [`Minimiser::trial`].
    pub fn tell(&mut self, at: Iterate, run: Run<'_>) -> Result<Progress> {
        self.trials += 1;
        let slope = self.slope_of(&at.gradient, run)?;
        // Below the rounding of the values only the slopes can be trusted (Hager & Zhang 2005).
        let noise = if size_of::<T>() == 4 { 1e-7 } else { 1e-12 } * self.current.value.abs();
        let decreased = at.value <= self.current.value + DECREASE * self.step * self.slope
            || (at.value <= self.current.value + noise
                && slope <= -(1.0 - 2.0 * DECREASE) * self.slope);
        if decreased && slope.abs() <= -CURVATURE * self.slope {
            self.memory.push(&self.current, &at, Sweep(run))?;
            self.current = at;
            self.aim(run)?;
            return Ok(Progress::Accepted);
        }
        if self.trials >= MAX_TRIALS || !self.slope.is_finite() || self.slope >= 0.0 {
            return self.give_up(run);
        }
        self.narrow(at.value.is_finite() && decreased, slope);
        Ok(Progress::Searching)
    }

    /// Chooses the next direction from the current iterate.
    fn aim(&mut self, run: Run<'_>) -> Result<()> {
        self.direction =
            self.memory.direction(&self.current.gradient, &self.inverse, Sweep(run))?;
        self.slope = self.slope_of(&self.current.gradient, run)?;
        self.step = 1.0;
        (self.low, self.high, self.trials) = ((0.0, self.slope), None, 0);
        Ok(())
    }

    /// The derivative along the direction.
    fn slope_of(&self, gradient: &[f64], run: Run<'_>) -> Result<f64> {
        let direction = &self.direction[..gradient.len()];
        Sweep(run).sum_of(gradient, direction, |g, d| g * d.wide())
    }

    /// Forgets the pairs and tries the preconditioned gradient; stalls where that was it.
    fn give_up(&mut self, run: Run<'_>) -> Result<Progress> {
        if self.memory.pairs.is_empty() {
            return Ok(Progress::Stalled);
        }
        self.memory.pairs.clear();
        self.aim(run)?;
        Ok(Progress::Searching)
    }

    /// The next step length: the root of the slope by the secant, kept inside the bracket.
    fn narrow(&mut self, decreased: bool, slope: f64) {
        if decreased && slope < 0.0 {
            self.low = (self.step, slope);
        } else {
            self.high = Some((self.step, slope));
        }
        let (low, low_slope) = self.low;
        self.step = match self.high {
            None => {
                let secant = low - low_slope * low / (low_slope - self.slope);
                if secant.is_finite() && secant > low {
                    secant.clamp(1.5 * low, 8.0 * low)
                } else {
                    4.0 * low
                }
            }
            Some((high, high_slope)) => {
                let width = high - low;
                let secant = low - low_slope * width / (high_slope - low_slope);
                let inside = if secant.is_finite() { secant } else { low + 0.5 * width };
                // Where the value rose, a parabola has its minimum in the lower half. The slope alone would
                // creep there: that of a logistic loss hardly grows far out, and its secant ends close by.
                let top = if decreased { high - 0.1 * width } else { low + 0.5 * width };
                inside.clamp(low + 0.1 * width, top)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// `sum of scale_j (x_j - 1)^2 / 2 + shift x_j^2 / 2` and its gradient.
    fn quadratic(x: Vec<f64>, shift: f64) -> Iterate {
        let scale = |j: usize| 1.0 + 10.0 * j as f64;
        let terms = x.iter().enumerate();
        let value = terms
            .clone()
            .map(|(j, x)| 0.5 * scale(j) * (x - 1.0).powi(2) + 0.5 * shift * x * x)
            .sum();
        let gradient = terms.map(|(j, x)| scale(j) * (x - 1.0) + shift * x).collect();
        Iterate { x, value, gradient }
    }

    fn minimise(minimiser: &mut Minimiser<f64>, shift: f64, run: Run<'_>) -> usize {
        for count in 1..200 {
            let at = quadratic(minimiser.trial(), shift);
            assert_ne!(minimiser.tell(at, run).unwrap(), Progress::Stalled);
            if minimiser.current().gradient.iter().all(|g| g.abs() < 1e-8) {
                return count;
            }
        }
        panic!("no convergence");
    }

    #[test]
    fn a_quadratic_is_solved_and_a_shift_needs_few_steps_more() {
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let mut minimiser = Minimiser::new(20).unwrap();
        minimiser.start(quadratic(vec![0.0; 12], 0.0), vec![1.0; 12], run).unwrap();
        let cold = minimise(&mut minimiser, 0.0, run);
        minimiser.shift(0.5, &[1.0; 12], run).unwrap();
        let from = quadratic(minimiser.current().x.clone(), 0.5);
        assert!((from.value - minimiser.current().value).abs() < 1e-12);
        minimiser.start(from, vec![1.0; 12], run).unwrap();
        let warm = minimise(&mut minimiser, 0.5, run);
        assert!(warm < cold, "{warm} steps after a shift, {cold} from nothing");
    }

    #[test]
    fn a_long_direction_is_the_same_from_any_number_of_threads() {
        let stop = AtomicBool::new(false);
        let vector = |salt: usize| -> Vec<f64> {
            (0..8 * PIECE + 5).map(|i| ((i * 31 + salt) % 101) as f64 / 50.0 - 1.0).collect()
        };
        let at = |salt: usize| Iterate { x: vector(salt), value: 0.0, gradient: vector(salt) };
        let direction = |threads: usize| {
            let sweep = Sweep(Run::new(threads, &stop));
            let mut memory = Minimiser::<f32>::new(5).unwrap().memory;
            (0..3).for_each(|i| memory.push(&at(i), &at(3 * i + 7), sweep).unwrap());
            assert_eq!(memory.pairs.len(), 3);
            memory.direction(&vector(50), &vec![0.5; 8 * PIECE + 5], sweep).unwrap()
        };
        assert_eq!(direction(1), direction(3));
    }
}
