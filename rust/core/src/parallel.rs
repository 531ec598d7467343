//! Threads and interruption: work is cut into blocks by size alone, so threads only schedule and
//! the results do not depend on how many there are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::leaving::Company;

/// How a long call runs: the threads it may use and the flag that asks it to stop.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    threads: usize,
    stop: &'a AtomicBool,
    meter: Option<&'a Meter>,
}

/// How much of a call's work is done, in units of its own.
#[derive(Debug, Default)]
pub struct Meter {
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Meter {
    /// The part that is done, 0 while nobody knows how much there is.
    pub fn part(&self) -> f64 {
        let total = self.total.load(Ordering::Relaxed);
        if total == 0 { 0.0 } else { self.done.load(Ordering::Relaxed) as f64 / total as f64 }
    }
}

impl<'a> Run<'a> {
    /// A run on `threads` threads (at least one) that ends early once `stop` is set.
    pub fn new(threads: usize, stop: &'a AtomicBool) -> Self {
        Self { threads: threads.max(1), stop, meter: None }
    }

    /// The same run, whose progress `meter` shows.
    pub fn metered(self, meter: &'a Meter) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// There is so much work to do.
    pub fn expect(&self, work: usize) {
        if let Some(meter) = self.meter {
            meter.total.store(work, Ordering::Relaxed);
        }
    }

    /// So much more of it is done.
    pub fn advance(&self, work: usize) {
        if let Some(meter) = self.meter {
            meter.done.fetch_add(work, Ordering::Relaxed);
        }
    }

    /// The number of threads this run may use.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What each of `parts` that run side by side may use, so that all together use no more threads.
    pub fn share(self, parts: usize) -> Self {
        Self { threads: (self.threads / parts.max(1)).max(1), ..self }
    }

    /// The same run on the calling thread alone.
    pub fn alone(self) -> Self {
        Self { threads: 1, ..self }
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
        if self.threads.min(blocks) <= 1 {
            return drain();
        }
        let company = Company::new();
        std::thread::scope(|scope| {
            let started = (1..self.threads.min(blocks))
                .map_while(|_| company.spawn(scope, drain).ok())
                .collect();
            let helpers = company.helpers(started);
            let mut outcome = drain();
            for helper in helpers.join() {
                let theirs = helper
                    .unwrap_or_else(|_| Err(Error::Internal("a worker thread panicked".into())));
                outcome = outcome.and(theirs);
            }
            outcome
        })
    }

    /// `work(block)` for every block in `0..blocks`, in the order of the blocks.
    pub fn collect<T: Send>(
        &self,
        blocks: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let mut slots: Vec<Option<T>> = (0..blocks).map(|_| None).collect();
        self.for_each_mut(&mut slots, |block, slot| {
            *slot = Some(work(block)?);
            Ok(())
        })?;
        Ok(slots.into_iter().flatten().collect())
    }

    /// Calls `work(i, &mut items[i])` for every item, each once, on the threads of this run.
    pub fn for_each_mut<T: Send>(
        &self,
        items: &mut [T],
        work: impl Fn(usize, &mut T) -> Result<()> + Sync,
    ) -> Result<()> {
        let items: Vec<_> = items.iter_mut().map(Mutex::new).collect();
        self.for_each(items.len(), |i| {
            let mut item = items[i].lock().unwrap_or_else(PoisonError::into_inner);
            work(i, &mut item)
        })
    }
}

/// How long a waiting thread spins before it sleeps: passes follow each other within this time.
const SPINS: u32 = 20_000;

/// Threads that repeat the same step, round after round, without being started anew.
#[derive(Debug, Default)]
struct Team {
    round: AtomicUsize,
    busy: AtomicUsize,
    over: AtomicBool,
    failed: AtomicBool,
    asleep: Mutex<()>,
    wake: Condvar,
}

impl Team {
    fn call(&self) {
        // Taken so that no thread falls asleep between its last look and this change.
        let _awake = self.asleep.lock();
        self.round.fetch_add(1, Ordering::Release);
        self.wake.notify_all();
    }

    fn wait(&self, seen: usize) {
        for _ in 0..SPINS {
            if self.round.load(Ordering::Acquire) != seen {
                return;
            }
            std::hint::spin_loop();
        }
        let Ok(mut guard) = self.asleep.lock() else { return };
        while self.round.load(Ordering::Acquire) == seen {
            guard = match self.wake.wait(guard) {
                Ok(guard) => guard,
                Err(_) => return,
            };
        }
    }

    fn serve(&self, step: &(impl Fn() + Sync)) {
        let mut seen = 0;
        loop {
            self.wait(seen);
            seen += 1;
            if self.over.load(Ordering::Acquire) {
                return;
            }
            if catch_unwind(AssertUnwindSafe(step)).is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }
}

/// Sends the helpers home when the leading thread leaves, be it by a panic.
struct Dismissal<'a>(&'a Team);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        self.0.call();
    }
}

impl Run<'_> {
    /// Calls `lead` with a function that runs `step` once on each of `threads` threads and waits
    /// for all of them. The threads live as long as `lead` does, so a round costs microseconds.
    pub fn team<R>(
        &self,
        threads: usize,
        step: impl Fn() + Sync,
        lead: impl FnOnce(&dyn Fn() -> Result<()>) -> R,
    ) -> R {
        let (team, company) = (Team::default(), Company::new());
        std::thread::scope(|scope| {
            let started = (1..threads.min(self.threads))
                .map_while(|_| company.spawn(scope, || team.serve(&step)).ok())
                .collect();
            let helpers = company.helpers(started);
            let count = helpers.count();
            // Dropped before the helpers, who are then joined.
            let _dismissal = Dismissal(&team);
            lead(&|| {
                self.check()?;
                team.busy.store(count, Ordering::Relaxed);
                if count > 0 {
                    team.call();
                }
                step();
                while team.busy.load(Ordering::Acquire) > 0 {
                    std::thread::yield_now();
                }
                if team.failed.load(Ordering::Relaxed) {
                    return Err(Error::Internal("a worker thread panicked".into()));
                }
                self.check()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_runs_every_round_on_every_thread() {
        let stop = AtomicBool::new(false);
        for threads in [1, 2, 4] {
            let count = AtomicUsize::new(0);
            let rounds = Run::new(threads, &stop).team(
                threads,
                || {
                    count.fetch_add(1, Ordering::Relaxed);
                },
                |round| {
                    for _ in 0..100 {
                        round().unwrap();
                    }
                    count.load(Ordering::Relaxed)
                },
            );
            assert_eq!(rounds, 100 * threads);
        }
    }

    #[test]
    fn a_panic_in_a_helper_is_an_error_and_the_flag_stops_a_round() {
        let stop = AtomicBool::new(false);
        let run = Run::new(2, &stop);
        let leader = std::thread::current().id();
        let step = || assert_eq!(std::thread::current().id(), leader, "a helper panics");
        let outcome = run.team(2, step, |round| round());
        assert!(matches!(outcome, Err(Error::Internal(_))));
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(run.team(2, || (), |round| round()), Err(Error::Interrupted)));
    }

    #[test]
    fn shares_are_no_more_threads_than_the_whole() {
        let stop = AtomicBool::new(false);
        for (threads, parts, each) in [(16, 15, 1), (16, 16, 1), (16, 5, 3), (16, 1, 16), (2, 9, 1)]
        {
            let share = Run::new(threads, &stop).share(parts);
            assert_eq!(share.threads(), each);
            assert!(parts.min(threads) * share.threads() <= threads);
        }
    }

    #[test]
    fn for_each_visits_every_block_once() {
        let stop = AtomicBool::new(false);
        let seen: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let work = |block: usize| {
            seen[block].fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        Run::new(3, &stop).for_each(100, work).unwrap();
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }
}
