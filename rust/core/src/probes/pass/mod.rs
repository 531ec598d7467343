//! One fused pass over X: for each block of rows, logits, loss and residuals, gradients.
//!
//! X is read once for any number of problems, and nothing of size n x K is stored. Blocks are cut by
//! row count and go into a fixed number of chunks; each chunk sums its blocks in order and chunks are
//! added in order, so the result has the same bits for any number of threads.

mod block;
mod evaluation;
mod hessian;
mod operand;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use block::Scratch;
pub use evaluation::Evaluation;
pub use hessian::InterceptHessian;
pub use operand::{Block, Filled, Operand};

use super::data::lock;
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::{Element, Loss, PassKernels};

/// Chunks of blocks at most: enough for the threads of a large machine.
const MAX_CHUNKS: usize = 16;
/// Bytes that the sums of all chunks may take; large problems use fewer chunks.
const CHUNK_BYTES: usize = 256 << 20;

/// What each row should come out as.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A class number per row; losses of independent columns see one class against the rest.
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
    /// Where to start: columns x d coefficients and intercepts, for X as it is; none: from the class shares.
    pub start: Option<(&'a [f64], &'a [f64])>,
}

impl Task<'_> {
    /// The sum of the weights.
    pub fn total(&self) -> f64 {
        self.weight.iter().sum()
    }

    /// The sum of the weights of each class, or of the positive rows of each column.
    pub(super) fn totals(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.columns];
        match self.target {
            Target::Classes(classes) => {
                let rows = classes.iter().zip(self.weight);
                rows.for_each(|(&class, weight)| sums[class as usize] += weight);
            }
            Target::Signs(signs) => {
                for (sum, column) in sums.iter_mut().zip(signs.chunks(self.weight.len())) {
                    let positive = column.iter().zip(self.weight).filter(|(sign, _)| **sign > 0);
                    *sum = positive.map(|(_, weight)| weight).sum();
                }
            }
        }
        sums
    }
}

/// What a point is evaluated for, besides the loss and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
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
    /// What it is evaluated for.
    pub purpose: Purpose,
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
    purpose: Purpose,
}

/// Evaluates tasks on an X.
pub struct Pass<'a, T: 'static> {
    operand: &'a dyn Operand<T>,
    tasks: &'a [Task<'a>],
    kernels: &'static PassKernels<T>,
    block: usize,
    round: RwLock<Round<T>>,
    chunks: Vec<Mutex<Vec<Evaluation>>>,
    next: AtomicUsize,
    scratch: Mutex<Vec<Scratch<T>>>,
}

impl<'a, T: Element> Pass<'a, T> {
    /// A pass over `operand`, whose rows the tasks describe; at most `columns` are stacked in a round.
    pub fn new(operand: &'a dyn Operand<T>, tasks: &'a [Task<'a>], columns: usize) -> Result<Self> {
        let block = operand.block_rows(columns);
        let blocks = operand.rows().div_ceil(block);
        let bytes = operand.width(columns) * size_of::<f64>();
        let most = MAX_CHUNKS.min(operand.chunks()).min((CHUNK_BYTES / bytes).max(4));
        let chunks = blocks.div_ceil(2).clamp(1, most.max(1));
        Ok(Self {
            operand,
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
        let work = self.operand.work() * columns;
        let threads = run.threads().min(self.chunks.len()).min(work / WORTH + 1);
        run.team(
            threads,
            || self.drain(run),
            |round| {
                lead(&|points: &[Point<'_>]| {
                    self.prepare(points);
                    round()?;
                    self.collect(run)
                })
            },
        )
    }

    fn prepare(&self, points: &[Point<'_>]) {
        let mut round = self.round.write().unwrap_or_else(PoisonError::into_inner);
        round.w.clear();
        round.bias.clear();
        round.entries.clear();
        let mut first = 0;
        for point in points {
            let columns = self.tasks[point.task].columns;
            let (task, purpose) = (point.task, point.purpose);
            round.entries.push(Entry { task, first, columns, purpose });
            first += columns;
        }
        let Round { w, bias, .. } = &mut *round;
        self.operand.arrange(points, w, bias);
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
        sums.resize_with(round.entries.len(), Evaluation::default);
        for (sum, entry) in sums.iter_mut().zip(&round.entries) {
            sum.reset(entry, self.operand.width(entry.columns), self.tasks[entry.task].loss);
        }
        let blocks = self.operand.rows().div_ceil(self.block);
        let (first, last) =
            (chunk * blocks / self.chunks.len(), (chunk + 1) * blocks / self.chunks.len());
        for block in first..last {
            if run.check().is_err() {
                return;
            }
            self.add_block(block, round, scratch, &mut sums);
        }
    }

    fn collect(&self, run: Run<'_>) -> Result<Vec<Evaluation>> {
        let mut total = std::mem::take(&mut *lock(&self.chunks[0]));
        let others: Vec<_> = self.chunks[1..].iter().map(lock).collect();
        for (at, total) in total.iter_mut().enumerate() {
            total.add_all(&others.iter().map(|chunk| &chunk[at]).collect::<Vec<_>>(), run)?;
        }
        total.iter_mut().for_each(|sum| self.operand.settle(sum));
        Ok(total)
    }
}
