//! One fused pass over X: for each block of rows, logits, loss and residuals, gradients.
//!
//! X is read once for any number of problems, and nothing of size n x K is stored. Blocks are cut by
//! row count and go into a fixed number of chunks; each chunk sums its blocks in order and chunks are
//! added in order, so the result has the same bits for any number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use super::data::{Source, block_rows, lock};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, Kernels, Loss, LossBlock, padded};

/// Chunks of blocks at most: enough for the threads of a large machine.
const MAX_CHUNKS: usize = 16;
/// Bytes that the sums of all chunks may take; large problems use fewer chunks.
const CHUNK_BYTES: usize = 256 << 20;

/// What each row should come out as.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A class number per row, for [`Loss::Softmax`].
    Classes(&'a [u32]),
    /// +1 or -1 for each column and row, one column after the other.
    Signs(&'a [i8]),
}

/// A problem on the shared X: what to fit and how much each row counts.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The loss to minimise.
    pub loss: Loss,
    /// Rows of the coefficient matrix: classes, or 1 for two classes.
    pub columns: usize,
    /// What the rows should come out as.
    pub target: Target<'a>,
    /// A weight per row; zero leaves the row out.
    pub weight: &'a [f64],
    /// A weight per row for scoring, empty for none: rows held out from `weight`.
    pub held_out: &'a [f64],
}

impl Task<'_> {
    /// The sum of the weights.
    pub fn total(&self) -> f64 {
        self.weight.iter().sum()
    }
}

/// What a point is evaluated for, besides the loss and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing else.
    Gradient,
    /// The diagonal of the Hessian, and the Hessian by the intercepts.
    Curvature,
    /// Margins, held-out scores, and the Hessian by the intercepts.
    Certificate,
}

/// Coefficients at which a task is evaluated: `w` has `columns * stride` elements, `b` `columns`.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Index of the task.
    pub task: usize,
    /// Coefficients, one padded row per column of the task.
    pub w: &'a [f64],
    /// Intercepts.
    pub b: &'a [f64],
    /// What else is wanted.
    pub wanted: Wanted,
}

/// Sums over the weighted rows of a task at a point.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Sum of the losses.
    pub loss: f64,
    /// Its gradient by `w` and by `b`.
    pub gradient: (Vec<f64>, Vec<f64>),
    /// Its second derivatives by each `w` and each `b`, if asked for.
    pub curvature: (Vec<f64>, Vec<f64>),
    /// The Hessian by `b` (softmax only, unless only the gradient is wanted).
    pub intercept_hessian: Vec<f64>,
    /// The smallest distance to the decision boundary, in logits (if certifying).
    pub margin: f64,
    /// Weighted loss and weighted accuracy sums over the held-out rows (if certifying).
    pub held_out: (f64, f64),
}

/// What all threads of a round read.
#[derive(Default)]
struct Round<T> {
    w: Vec<T>,
    bias: Vec<T>,
    entries: Vec<Entry>,
}

/// A point of the round: its task and where its columns start in the stacked coefficients.
#[derive(Clone, Copy)]
struct Entry {
    task: usize,
    first: usize,
    columns: usize,
    wanted: Wanted,
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch<T> {
    x: Vec<T>,
    logits: Vec<T>,
    curvature: Vec<T>,
    target: Vec<T>,
    weight: Vec<T>,
    loss: Vec<T>,
    margin: Vec<T>,
    powers: Vec<T>,
}

/// Evaluates tasks on a source of rows.
pub struct Pass<'a, T: 'static, S> {
    source: &'a S,
    tasks: &'a [Task<'a>],
    kernels: &'static Kernels<T>,
    block: usize,
    round: RwLock<Round<T>>,
    chunks: Vec<Mutex<Vec<Evaluation>>>,
    next: AtomicUsize,
    scratch: Mutex<Vec<Scratch<T>>>,
}

impl<'a, T: Element, S: Source<T>> Pass<'a, T, S> {
    /// A pass over `source`, whose rows the tasks describe; at most `columns` are stacked in a round.
    pub fn new(source: &'a S, tasks: &'a [Task<'a>], columns: usize) -> Result<Self> {
        let block = block_rows::<T>(source.stride());
        let blocks = source.rows().div_ceil(block);
        let bytes = columns * source.stride() * size_of::<f64>();
        let chunks = blocks.div_ceil(2).clamp(1, MAX_CHUNKS).min((CHUNK_BYTES / bytes).max(4));
        Ok(Self {
            source,
            tasks,
            kernels: T::kernels()?,
            block,
            round: RwLock::default(),
            chunks: (0..chunks).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            scratch: Mutex::default(),
        })
    }

    /// Calls `lead` with a function that evaluates points, each at the cost of one shared pass.
    pub fn with_threads<R>(
        &self,
        run: Run<'_>,
        lead: impl FnOnce(&dyn Fn(&[Point<'_>]) -> Result<Vec<Evaluation>>) -> R,
    ) -> R {
        // Below this many products per thread, waking it costs more than it does.
        const WORTH: usize = 1 << 19;
        let columns: usize = self.tasks.iter().map(|task| task.columns).sum();
        let work = self.source.rows() * self.source.stride() * columns;
        let threads = run.threads().min(self.chunks.len()).min(work / WORTH + 1);
        run.team(
            threads,
            || self.drain(run),
            |round| {
                lead(&|points: &[Point<'_>]| {
                    self.prepare(points);
                    round()?;
                    Ok(self.collect())
                })
            },
        )
    }

    fn prepare(&self, points: &[Point<'_>]) {
        let mut round = self.round.write().unwrap_or_else(PoisonError::into_inner);
        round.w.clear();
        round.bias.clear();
        round.entries.clear();
        for point in points {
            let columns = self.tasks[point.task].columns;
            let first = round.bias.len();
            round.w.extend(point.w.iter().map(|&value| T::of(value)));
            round.bias.extend(point.b.iter().map(|&value| T::of(value)));
            let (task, wanted) = (point.task, point.wanted);
            round.entries.push(Entry { task, first, columns, wanted });
        }
        self.next.store(0, Ordering::Relaxed);
    }

    /// Takes chunks until none is left; runs on every thread of a round.
    fn drain(&self, run: Run<'_>) {
        let round = self.round.read().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = lock(&self.scratch).pop().unwrap_or_default();
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= self.chunks.len() || run.check().is_err() {
                break;
            }
            self.sum_chunk(chunk, &round, &mut scratch, run);
        }
        lock(&self.scratch).push(scratch);
    }

    fn sum_chunk(&self, chunk: usize, round: &Round<T>, scratch: &mut Scratch<T>, run: Run<'_>) {
        let mut sums = lock(&self.chunks[chunk]);
        let stride = self.source.stride();
        sums.resize_with(round.entries.len(), Evaluation::default);
        for (sum, entry) in sums.iter_mut().zip(&round.entries) {
            sum.reset(entry, stride, self.tasks[entry.task].loss);
        }
        let blocks = self.source.rows().div_ceil(self.block);
        let (first, last) =
            (chunk * blocks / self.chunks.len(), (chunk + 1) * blocks / self.chunks.len());
        for block in first..last {
            if run.check().is_err() {
                return;
            }
            self.add_block(block, round, scratch, &mut sums);
        }
    }

    fn add_block(
        &self,
        block: usize,
        round: &Round<T>,
        scratch: &mut Scratch<T>,
        sums: &mut [Evaluation],
    ) {
        let rows = block * self.block..((block + 1) * self.block).min(self.source.rows());
        let (stride, ld) = (self.source.stride(), padded(rows.len()));
        let mut buffer = std::mem::take(&mut scratch.x);
        let x = self.source.block(rows.clone(), &mut buffer);
        let mut logits = std::mem::take(&mut scratch.logits);
        logits.resize(round.bias.len() * ld, T::default());
        self.kernels.products(x, stride, &round.w, &round.bias, &mut logits, ld);
        for (entry, sum) in round.entries.iter().zip(sums) {
            let logits = &mut logits[entry.first * ld..(entry.first + entry.columns) * ld];
            self.add_entry(entry, x, rows.clone(), logits, scratch, sum);
        }
        scratch.logits = logits;
        scratch.x = buffer;
    }

    fn add_entry(
        &self,
        entry: &Entry,
        x: &[T],
        rows: std::ops::Range<usize>,
        logits: &mut [T],
        scratch: &mut Scratch<T>,
        sum: &mut Evaluation,
    ) {
        let task = &self.tasks[entry.task];
        let (stride, ld) = (self.source.stride(), padded(rows.len()));
        scratch.describe(task, rows.clone(), ld, entry.wanted != Wanted::Gradient);
        let mut block = LossBlock {
            logits,
            ld,
            target: &scratch.target,
            weight: &scratch.weight,
            loss: &mut scratch.loss,
            margin: &mut scratch.margin,
            curvature: &mut scratch.curvature,
        };
        self.kernels.loss(task.loss, &mut block);
        let logits = &*logits;
        sum.loss += weighted_sum(&scratch.loss, &task.weight[rows.clone()], ld);
        for (sum, residuals) in sum.gradient.1.iter_mut().zip(logits.chunks(ld)) {
            *sum += sum_with(&residuals[..rows.len()], |_| 1.0);
        }
        self.kernels.outer(x, stride, logits, ld, &mut sum.gradient.0, false);
        if entry.wanted == Wanted::Curvature {
            self.kernels.outer(x, stride, &scratch.curvature, ld, &mut sum.curvature.0, true);
        }
        if entry.wanted != Wanted::Gradient {
            for (sum, spread) in sum.curvature.1.iter_mut().zip(scratch.curvature.chunks(ld)) {
                *sum += sum_with(&spread[..rows.len()], |_| 1.0);
            }
            if !sum.intercept_hessian.is_empty() {
                self.add_intercept_hessian(task, rows.clone(), logits, scratch, sum);
            }
        }
        if entry.wanted == Wanted::Certificate {
            sum.add_margins(task, rows, scratch);
        }
    }

    /// `sum s (diag p - p p')` from residuals `s (p - y)`: its off-diagonal part is `-sum s p_k p_l`.
    fn add_intercept_hessian(
        &self,
        task: &Task<'_>,
        rows: std::ops::Range<usize>,
        residuals: &[T],
        scratch: &mut Scratch<T>,
        sum: &mut Evaluation,
    ) {
        let (ld, k) = (padded(rows.len()), task.columns);
        // p sqrt(s): the matrix of products of its columns is the sum over rows of s p_k p_l.
        scratch.powers.clear();
        scratch.powers.resize(k * ld, T::default());
        for (class, powers) in scratch.powers.chunks_mut(ld).enumerate() {
            for (i, power) in powers[..rows.len()].iter_mut().enumerate() {
                let weight = scratch.weight[i].wide();
                if weight > 0.0 {
                    let own = f64::from(scratch.target[i].wide() == class as f64);
                    let p = residuals[class * ld + i].wide() / weight + own;
                    *power = T::of(p * weight.sqrt());
                }
            }
        }
        let ldk = padded(k);
        let mut products = vec![T::default(); k * ldk];
        let bias = vec![T::default(); k];
        self.kernels.products(&scratch.powers, ld, &scratch.powers, &bias, &mut products, ldk);
        for i in 0..k {
            for j in 0..k {
                sum.intercept_hessian[i * k + j] -=
                    if i == j { 0.0 } else { products[i * ldk + j].wide() };
            }
            sum.intercept_hessian[i * k + i] += scratch.curvature[i * ld..i * ld + rows.len()]
                .iter()
                .map(|v| v.wide())
                .sum::<f64>();
        }
    }

    fn collect(&self) -> Vec<Evaluation> {
        let mut total = std::mem::take(&mut *lock(&self.chunks[0]));
        for chunk in &self.chunks[1..] {
            for (total, sum) in total.iter_mut().zip(lock(chunk).iter()) {
                total.add(sum);
            }
        }
        total
    }
}

impl<T: Element> Scratch<T> {
    /// Targets and weights of a block in the element type, padded with weight zero.
    fn describe(&mut self, task: &Task<'_>, rows: std::ops::Range<usize>, ld: usize, spread: bool) {
        self.weight.clear();
        self.weight.extend(task.weight[rows.clone()].iter().map(|&value| T::of(value)));
        self.weight.resize(ld, T::default());
        self.target.clear();
        match task.target {
            Target::Classes(classes) => {
                self.target.extend(classes[rows].iter().map(|&class| T::of(f64::from(class))));
                self.target.resize(ld, T::default());
            }
            Target::Signs(signs) => {
                for column in signs.chunks(signs.len() / task.columns) {
                    self.target.extend(column[rows.clone()].iter().map(|&s| T::of(f64::from(s))));
                    self.target.resize(self.target.len().next_multiple_of(ld), T::of(1.0));
                }
            }
        }
        self.loss.resize(self.target.len(), T::default());
        self.margin.resize(self.target.len(), T::default());
        self.curvature.resize(if spread { task.columns * ld } else { 0 }, T::default());
    }
}

impl Evaluation {
    /// Adds what only a certificate needs: margins and held-out scores.
    fn add_margins<T: Element>(
        &mut self,
        task: &Task<'_>,
        rows: std::ops::Range<usize>,
        scratch: &Scratch<T>,
    ) {
        let ld = padded(rows.len());
        for (losses, margins) in scratch.loss.chunks(ld).zip(scratch.margin.chunks(ld)) {
            for (i, row) in rows.clone().enumerate() {
                if task.weight[row] > 0.0 {
                    self.margin = self.margin.min(margins[i].wide());
                }
                if let Some(&weight) = task.held_out.get(row) {
                    self.held_out.0 += weight * losses[i].wide();
                    self.held_out.1 += if margins[i].wide() > 0.0 { weight } else { 0.0 };
                }
            }
        }
    }

    fn reset(&mut self, entry: &Entry, stride: usize, loss: Loss) {
        let zero = |values: &mut Vec<f64>, length: usize| {
            values.clear();
            values.resize(length, 0.0);
        };
        let (k, wide) = (entry.columns, entry.columns * stride);
        self.loss = 0.0;
        zero(&mut self.gradient.0, wide);
        zero(&mut self.gradient.1, k);
        zero(&mut self.curvature.0, if entry.wanted == Wanted::Curvature { wide } else { 0 });
        zero(&mut self.curvature.1, k);
        let full =
            entry.wanted != Wanted::Gradient && loss == Loss::Softmax && k <= MAX_INTERCEPT_HESSIAN;
        zero(&mut self.intercept_hessian, if full { k * k } else { 0 });
        self.margin = f64::INFINITY;
        self.held_out = (0.0, 0.0);
    }

    fn add(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        self.loss += other.loss;
        add(&mut self.gradient.0, &other.gradient.0);
        add(&mut self.gradient.1, &other.gradient.1);
        add(&mut self.curvature.0, &other.curvature.0);
        add(&mut self.curvature.1, &other.curvature.1);
        add(&mut self.intercept_hessian, &other.intercept_hessian);
        self.margin = self.margin.min(other.margin);
        self.held_out.0 += other.held_out.0;
        self.held_out.1 += other.held_out.1;
    }
}

/// Classes up to which the whole Hessian by the intercepts is formed.
pub const MAX_INTERCEPT_HESSIAN: usize = 1024;

/// `sum of weight[i] * values[c * ld + i]` over all columns c.
fn weighted_sum<T: Element>(values: &[T], weight: &[f64], ld: usize) -> f64 {
    values
        .chunks(ld)
        .map(|column| sum_with(column, |i| weight.get(i).copied().unwrap_or(0.0)))
        .sum()
}

/// The sum of `values[i] * factor(i)`, in eight interleaved sums so that additions overlap.
#[inline(always)]
fn sum_with<T: Element>(values: &[T], factor: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    for (at, values) in values.chunks(8).enumerate() {
        for (i, (sum, value)) in sums.iter_mut().zip(values).enumerate() {
            *sum += value.wide() * factor(at * 8 + i);
        }
    }
    sums.iter().sum()
}
