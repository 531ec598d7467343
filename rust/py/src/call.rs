//! How every call of the core runs: off the GIL, with Ctrl-C noticed and a panic caught.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tlengine_core::leaving::Company;
use tlengine_core::{Error, Result, Run};

use crate::errors::to_python;

/// How often a waiting call looks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Operations that take a few milliseconds at the most, whatever the machine.
const QUICK: usize = 1 << 21;

/// How often all calls were asked to stop: a call ends early once this changes.
static STOPS: AtomicUsize = AtomicUsize::new(0);

/// Asks every running call of this process to stop; each then raises `KeyboardInterrupt`.
///
/// Python delivers Ctrl-C to the main thread alone. Where that one waits for a pool of threads, it
/// passes the news on with this.
#[pyfunction]
pub fn stop_calls() {
    STOPS.fetch_add(1, Ordering::Relaxed);
}

/// Panics on every thread of a call, so that a test can see that nobody dies of it.
#[pyfunction]
pub fn panic_in_a_call(py: Python<'_>, threads: usize) -> PyResult<()> {
    let blocks = 2 * threads.max(1);
    interruptible(py, threads, |run| {
        run.for_each(blocks, |block| panic!("block {block} was told to"))
    })
}

/// Runs `work` without the GIL on `threads` threads. Ctrl-C raises the stop flag and surfaces as
/// `KeyboardInterrupt` once `work` has returned; a panic becomes `InternalError`.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    threads: usize,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let found = watched(py, threads, |_| Ok(false), work)?;
    found.ok_or_else(|| to_python(py, Error::Interrupted))
}

/// As [`interruptible`], and `look` runs with the GIL about every [`SIGNAL_CHECK`]. It may say that this is
/// enough: then the work is stopped, and nothing comes back; so it is where `look` fails.
pub fn watched<T: Send>(
    py: Python<'_>,
    threads: usize,
    look: impl Fn(Python<'_>) -> PyResult<bool> + Sync,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<Option<T>> {
    let stop = AtomicBool::new(false);
    let mut lookout = Lookout::new(&look, &stop);
    // Kept where both threads can take it: one that cannot be started gives nothing back.
    let work = Mutex::new(Some(work));
    let company = Company::new();
    let outcome = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, finished) = channel();
            let stop = &stop;
            let take = || work.lock().unwrap_or_else(PoisonError::into_inner).take();
            let serve = move || done.send(guarded(Run::new(threads, stop), take()));
            let Ok(started) = company.spawn(scope, serve) else {
                // No thread can be had: the call runs here, where Ctrl-C is noticed once it is over.
                return guarded(Run::new(threads, stop), take());
            };
            // Joined as it is dropped.
            let _helper = company.helpers(vec![started]);
            lookout.wait(&finished)
        })
    });
    lookout.judge(py, outcome)
}

/// What a thread that waits for work notices, and how it stops that work.
struct Lookout<'a, L> {
    look: &'a L,
    stop: &'a AtomicBool,
    /// [`STOPS`] as the call began.
    stops: usize,
    signal: Option<PyErr>,
    enough: bool,
}

impl<'a, L: Fn(Python<'_>) -> PyResult<bool>> Lookout<'a, L> {
    fn new(look: &'a L, stop: &'a AtomicBool) -> Self {
        let stops = STOPS.load(Ordering::Relaxed);
        Self { look, stop, stops, signal: None, enough: false }
    }

    /// What the work comes to.
    fn wait<T>(&mut self, finished: &Receiver<Result<T>>) -> Result<T> {
        loop {
            match finished.recv_timeout(SIGNAL_CHECK) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) => self.check(),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal("the worker vanished".into()));
                }
            }
        }
    }

    fn check(&mut self) {
        // Once it is to stop nobody looks any more.
        if self.signal.is_none() && !self.enough {
            match Python::attach(|py| py.check_signals().and_then(|()| (self.look)(py))) {
                Ok(said) => self.enough = said,
                Err(error) => self.signal = Some(error),
            }
        }
        let is_called_off = STOPS.load(Ordering::Relaxed) != self.stops;
        if self.signal.is_some() || self.enough || is_called_off {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn judge<T>(self, py: Python<'_>, outcome: Result<T>) -> PyResult<Option<T>> {
        match (self.signal, outcome) {
            (Some(error), _) => Err(error),
            (None, Err(Error::Interrupted)) if self.enough => Ok(None),
            (None, outcome) => outcome.map(Some).map_err(|error| to_python(py, error)),
        }
    }
}

/// As [`interruptible`], but work of fewer than [`QUICK`] operations is [`brief`].
pub fn promptly<T: Send>(
    py: Python<'_>,
    threads: usize,
    operations: usize,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    if operations > QUICK { interruptible(py, threads, work) } else { brief(py, work) }
}

/// Runs `work` without the GIL on the calling thread: for what ends before anyone could interrupt
/// it, where starting a thread would take as long as the work.
pub fn brief<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let never = AtomicBool::new(false);
    py.detach(|| guarded(Run::new(1, &never), Some(work))).map_err(|error| to_python(py, error))
}

fn guarded<'a, T>(run: Run<'a>, work: Option<impl FnOnce(Run<'a>) -> Result<T>>) -> Result<T> {
    let lost = || Err(Error::Internal("the work of a call was lost".into()));
    catch_unwind(AssertUnwindSafe(|| work.map_or_else(lost, |work| work(run)))).unwrap_or_else(
        |_| Err(Error::Internal("the core panicked; this is a bug, please report it".into())),
    )
}
