//! Threads and interruption: work is cut into blocks by size alone, so threads only schedule and
//! the results do not depend on how many there are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// How a long call runs: the threads it may use and the flag that asks it to stop.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    threads: usize,
    stop: &'a AtomicBool,
}

impl<'a> Run<'a> {
    /// A run on `threads` threads (at least one) that ends early once `stop` is set.
    pub fn new(threads: usize, stop: &'a AtomicBool) -> Self {
        Self { threads: threads.max(1), stop }
    }

    /// The number of threads this run may use.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// [`Error::Interrupted`] once the stop flag is set; long loops ask at least every 50 ms.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Calls `work(block)` for every block in `0..blocks`, each once, on the threads of this run.
    /// Ends at the first error or once the stop flag is set.
    pub fn for_each(&self, blocks: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        let next = AtomicUsize::new(0);
        let drain = || -> Result<()> {
            loop {
                self.check()?;
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    return Ok(());
                }
                if let Err(error) = work(block) {
                    next.store(blocks, Ordering::Relaxed);
                    return Err(error);
                }
            }
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.threads.min(blocks))
                .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, drain).ok())
                .collect();
            let mut outcome = drain();
            for helper in helpers {
                let theirs = helper
                    .join()
                    .unwrap_or_else(|_| Err(Error::Internal("a worker thread panicked".into())));
                outcome = outcome.and(theirs);
            }
            outcome
        })
    }
}
