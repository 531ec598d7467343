//! Threads that end while nobody forks.
//!
//! A thread of Rust's standard library takes a lock of the whole process as it ends (`stack_overflow::thread_info`,
//! as of 1.95). A fork in that moment copies the lock as it is, and every thread that ends in the child waits for
//! it for ever. So the helpers of a call stay until all are done, then leave together, and a fork waits for those
//! microseconds.
#![allow(unsafe_code, reason = "pthread_atfork has no safe form")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Forks that have begun.
static FORKS: AtomicUsize = AtomicUsize::new(0);
/// Companies whose threads are ending.
static ENDING: AtomicUsize = AtomicUsize::new(0);
static WATCH: Once = Once::new();

extern "C" fn before_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    while ENDING.load(Ordering::SeqCst) > 0 {
        std::thread::yield_now();
    }
}

extern "C" fn after_fork() {
    FORKS.fetch_sub(1, Ordering::SeqCst);
}

extern "C" fn in_the_child() {
    // The threads that they speak of did not come along.
    FORKS.store(0, Ordering::SeqCst);
    ENDING.store(0, Ordering::SeqCst);
}

/// While it lives no fork begins.
struct Ending;

impl Ending {
    fn begin() -> Self {
        loop {
            while FORKS.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
            ENDING.fetch_add(1, Ordering::SeqCst);
            if FORKS.load(Ordering::SeqCst) == 0 {
                return Self;
            }
            ENDING.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        ENDING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Joins a thread that ends once `leave` is dropped.
pub fn see_off<T>(leave: std::sync::mpsc::Sender<()>, thread: std::thread::JoinHandle<T>) {
    let _ending = Ending::begin();
    drop(leave);
    drop(thread.join());
}

/// The helpers of one call: how many are done, and whether they may go.
#[derive(Debug, Default)]
pub struct Company {
    done: Mutex<usize>,
    changed: Condvar,
    open: AtomicBool,
}

impl Company {
    /// A company of nobody yet.
    pub fn new() -> Self {
        // SAFETY: the three functions touch atomics alone, which is allowed at any fork, and live for ever.
        WATCH.call_once(|| unsafe {
            libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_the_child));
        });
        Self::default()
    }

    /// Starts a helper; an error where no thread can be had. It ends once the company is joined.
    pub fn spawn<'scope, T: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> std::io::Result<ScopedJoinHandle<'scope, T>> {
        Builder::new().spawn_scoped(scope, move || {
            let _stay = Stay(self);
            work()
        })
    }

    /// Those that were started, to be joined; also where the caller panics.
    pub fn helpers<'scope, T>(
        &'scope self,
        handles: Vec<ScopedJoinHandle<'scope, T>>,
    ) -> Helpers<'scope, T> {
        Helpers { company: self, handles }
    }

    fn wait_for(&self, helpers: usize) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |done: &mut usize| *done < helpers;
        drop(self.changed.wait_while(done, all).unwrap_or_else(PoisonError::into_inner));
    }

    fn let_go(&self) {
        let _done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.store(true, Ordering::Release);
        self.changed.notify_all();
    }
}

/// Keeps a helper that is done, or has panicked, until its company may go.
struct Stay<'a>(&'a Company);

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let mut done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        self.0.changed.notify_all();
        let shut = |_: &mut usize| !self.0.open.load(Ordering::Acquire);
        drop(self.0.changed.wait_while(done, shut).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Helpers under way.
#[derive(Debug)]
pub struct Helpers<'scope, T> {
    company: &'scope Company,
    handles: Vec<ScopedJoinHandle<'scope, T>>,
}

impl<T> Helpers<'_, T> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Waits for all of them; what each returned, or what it panicked with.
    pub fn join(mut self) -> Vec<std::thread::Result<T>> {
        self.end()
    }

    fn end(&mut self) -> Vec<std::thread::Result<T>> {
        let handles = std::mem::take(&mut self.handles);
        if handles.is_empty() {
            return Vec::new();
        }
        self.company.wait_for(handles.len());
        let _ending = Ending::begin();
        self.company.let_go();
        handles.into_iter().map(ScopedJoinHandle::join).collect()
    }
}

impl<T> Drop for Helpers<'_, T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_joined_with_what_they_return() {
        let company = Company::new();
        let found = std::thread::scope(|scope| {
            let handles = (0..3).map(|i| company.spawn(scope, move || 10 * i).unwrap()).collect();
            company.helpers(handles).join()
        });
        assert_eq!(found.into_iter().map(|one| one.unwrap()).collect::<Vec<_>>(), [0, 10, 20]);
    }

    #[test]
    fn a_panic_on_either_side_leaves_nobody_behind() {
        let outcome = std::panic::catch_unwind(|| {
            let company = Company::new();
            std::thread::scope(|scope| {
                let handles = vec![company.spawn(scope, || panic!("a helper")).unwrap()];
                let _helpers = company.helpers::<()>(handles);
                panic!("the caller");
            });
        });
        assert!(outcome.is_err());
    }

    #[test]
    fn a_fork_waits_for_those_that_end() {
        let ending = Ending::begin();
        std::thread::scope(|scope| {
            let fork = scope.spawn(|| before_fork());
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!fork.is_finished());
            drop(ending);
            fork.join().unwrap();
        });
        let begun = std::thread::spawn(|| drop(Ending::begin()));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!begun.is_finished());
        after_fork();
        begun.join().unwrap();
    }
}
