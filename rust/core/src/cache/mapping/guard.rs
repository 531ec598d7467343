//! Keeps the process alive when a page of a guarded range cannot be read.
//!
//! A file that another program cuts short raises SIGBUS in whoever reads the lost part of a mapping.
//! The handler here puts zeros in place of the whole range and lets the reader go on: its checksum
//! then fails, and the row is read again with `pread`, which says what is wrong. Page by page would
//! not do: each one splits the mapping, and a process has 65,530 of them at most. Faults elsewhere go
//! to the handler that was there before, or kill as ever. (systemd's journal does the same.)

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Ranges that can be guarded at once.
const SLOTS: usize = 1024;
/// The start of a slot that is taken and not yet filled in.
const TAKEN: usize = 1;

struct Slot {
    /// Counts the ranges that it has held: whoever sees it change while he reads the others has
    /// read of two of them.
    version: AtomicUsize,
    start: AtomicUsize,
    length: AtomicUsize,
    /// Whether zeros were put in its place.
    replaced: AtomicBool,
}

static GUARDED: [Slot; SLOTS] = [const {
    let [version, start, length] = [const { AtomicUsize::new(0) }; 3];
    Slot { version, start, length, replaced: AtomicBool::new(false) }
}; SLOTS];
static REPLACED: AtomicUsize = AtomicUsize::new(0);
/// Whoever handled SIGBUS before; null where that is the kernel, which kills.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

impl Slot {
    /// Start and length of the range that it holds; None while they change. Nobody is waited for: the
    /// slot of a range that is being read from does not change.
    fn range(&self) -> Option<(usize, usize)> {
        let version = self.version.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Acquire);
        let length = self.length.load(Ordering::Acquire);
        let is_one = start > TAKEN
            && start == self.start.load(Ordering::Acquire)
            && version == self.version.load(Ordering::Acquire);
        is_one.then_some((start, length))
    }
}

/// A guarded range of addresses, until it is dropped.
#[derive(Debug)]
pub struct Guard(usize);

impl Guard {
    /// Guards `length` bytes from `start` on, a mapping of a file; None where that is impossible.
    pub fn new(start: usize, length: usize) -> Option<Guard> {
        if !watch() {
            return None;
        }
        let take = |slot: &Slot| {
            slot.start.compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let number = GUARDED.iter().position(take)?;
        GUARDED[number].version.fetch_add(1, Ordering::AcqRel);
        GUARDED[number].length.store(length, Ordering::Relaxed);
        GUARDED[number].replaced.store(false, Ordering::Relaxed);
        GUARDED[number].start.store(start, Ordering::Release);
        Some(Guard(number))
    }

    /// Whether the range still shows the file.
    pub fn is_intact(&self) -> bool {
        !GUARDED[self.0].replaced.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDED[self.0].length.store(0, Ordering::Relaxed);
        GUARDED[self.0].start.store(0, Ordering::Release);
    }
}

/// How many ranges were replaced since the process began.
#[cfg(test)]
pub fn replaced() -> usize {
    REPLACED.load(Ordering::Relaxed)
}

/// Makes sure that SIGBUS comes here: others may have taken it since the last call.
pub fn watch() -> bool {
    static INSTALLING: Mutex<()> = Mutex::new(());
    // SAFETY: all-zero is a valid `sigaction`, and the call only writes to it.
    let mut current: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks for the action in place; both pointers are valid.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut current) } != 0 {
        return false;
    }
    if current.sa_sigaction == handler_address() {
        return true;
    }
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    // Never freed: the handler may be reading the one before.
    PREVIOUS.store(Box::into_raw(Box::new(current)), Ordering::Release);
    // SAFETY: as above, all-zero is valid.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = handler_address();
    // Not deferred, so that a handler called by `pass_on` which raises the signal again ends all.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for and is async-signal-safe.
    unsafe { libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut()) == 0 }
}

fn handler_address() -> libc::sighandler_t {
    on_bus_error as extern "C" fn(_, _, _) as libc::sighandler_t
}

/// Async-signal-safe: atomics and system calls alone.
extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: this thread's errno, which whoever was interrupted may be about to read.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel passes a valid record; the address is set where the code is positive.
    let fault = unsafe { ((*info).si_code > 0).then(|| (*info).si_addr() as usize) };
    if !fault.is_some_and(replace) {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Puts zeros in place of the guarded range that `address` lies in, if it lies in one.
fn replace(address: usize) -> bool {
    let around = |slot: &'static Slot| {
        let (start, length) = slot.range()?;
        (address.checked_sub(start)? < length).then_some((slot, start, length))
    };
    let Some((slot, start, length)) = GUARDED.iter().find_map(around) else { return false };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let at = start as *mut libc::c_void;
    // SAFETY: start and length are those of one guarded range, a whole mapping that only copies are
    // made from. The fault lies in it, so whoever faulted keeps it alive: the slot does not change
    // from here on, and no other mapping is touched.
    let mapped = unsafe { libc::mmap(at, length, libc::PROT_READ, flags, -1, 0) };
    slot.replaced.store(true, Ordering::Relaxed);
    REPLACED.fetch_add(1, Ordering::Relaxed);
    mapped == at
}

/// Hands a fault that is not ours to the handler that was there before.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // Taken out meanwhile: where the handler raises the signal again, the kernel ends the process.
    let previous = PREVIOUS.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: it is null or was made by `watch` and is never freed.
    let action = unsafe { previous.as_ref() };
    match action.map_or(libc::SIG_DFL, |action| action.sa_sigaction) {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: both calls are async-signal-safe; the signal kills once this one returns.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
        handler if action.is_some_and(|action| action.sa_flags & libc::SA_SIGINFO != 0) => {
            type Full = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: SA_SIGINFO says that the handler has this signature.
            let handler = unsafe { std::mem::transmute::<libc::sighandler_t, Full>(handler) };
            handler(signal, info, context);
            PREVIOUS.store(previous, Ordering::Release);
        }
        handler => {
            type Short = extern "C" fn(libc::c_int);
            // SAFETY: without SA_SIGINFO a handler takes the number of the signal alone.
            let handler = unsafe { std::mem::transmute::<libc::sighandler_t, Short>(handler) };
            handler(signal);
            PREVIOUS.store(previous, Ordering::Release);
        }
    }
}
