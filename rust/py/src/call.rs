//! How every long call runs: off the GIL, on its own thread, with Ctrl-C noticed meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::prelude::*;
use tlengine_core::{Error, Result, Run};

use crate::errors::to_python;

/// How often a waiting call looks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Runs `work` without the GIL on the calling thread: for what ends within some milliseconds.
/// Ctrl-C surfaces afterwards; a panic becomes `InternalError`.
pub fn brief<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let stop = AtomicBool::new(false);
    let outcome = py.detach(|| {
        catch_unwind(AssertUnwindSafe(|| work(Run::new(1, &stop)))).unwrap_or_else(|_| {
            Err(Error::Internal("the core panicked; this is a bug, please report it".into()))
        })
    });
    outcome.map_err(|error| to_python(py, error))
}

/// Runs `work` without the GIL on `threads` threads. Ctrl-C raises the stop flag and surfaces as
/// `KeyboardInterrupt` once `work` has returned; a panic becomes `InternalError`.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    threads: usize,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let stop = AtomicBool::new(false);
    let (signal, outcome) = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, finished) = channel();
            let stop = &stop;
            scope.spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(Run::new(threads, stop))));
                let _ = done.send(outcome.unwrap_or_else(|_| {
                    Err(Error::Internal(
                        "the core panicked; this is a bug, please report it".into(),
                    ))
                }));
            });
            let mut signal = None;
            loop {
                match finished.recv_timeout(SIGNAL_CHECK) {
                    Ok(outcome) => return (signal, outcome),
                    Err(RecvTimeoutError::Disconnected) => {
                        return (signal, Err(Error::Internal("the worker vanished".into())));
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(error) = Python::attach(|py| py.check_signals()) {
                            stop.store(true, Ordering::Relaxed);
                            signal = Some(error);
                        }
                    }
                }
            }
        })
    });
    match signal {
        Some(error) => Err(error),
        None => outcome.map_err(|error| to_python(py, error)),
    }
}

/// Operations that take a few milliseconds at the most, whatever the machine.
const QUICK: usize = 1 << 21;

/// As [`interruptible`], but work of fewer than [`QUICK`] operations runs on the calling thread:
/// it ends before anyone could interrupt it, and starting a thread would take as long as the work.
pub fn promptly<T: Send>(
    py: Python<'_>,
    threads: usize,
    operations: usize,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    if operations > QUICK {
        return interruptible(py, threads, work);
    }
    let outcome = py.detach(|| {
        let never = AtomicBool::new(false);
        catch_unwind(AssertUnwindSafe(|| work(Run::new(1, &never))))
            .unwrap_or_else(|_| Err(panicked()))
    });
    outcome.map_err(|error| to_python(py, error))
}

fn panicked() -> Error {
    Error::Internal("the core panicked; this is a bug, please report it".into())
}
