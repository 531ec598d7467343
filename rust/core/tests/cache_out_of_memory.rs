//! Every large allocation of the cache fails once, and from then on: an error, never an abort, and
//! the same call succeeds once there is memory again.
//!
//! Large means 8 KiB or more: whatever grows with rows or keys. Small ones (a file name, a header, a
//! shared pointer) cannot fail softly in stable Rust.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tlengine_core::cache::{Cache, Digest, Dtype, Durability, Key, Shape, Table};
use tlengine_core::{Error, Result, Run};

const LARGE: usize = 8 << 10;
const DIM: usize = 400;
const ROWS: usize = 400;

#[derive(Clone, Copy)]
enum Plan {
    /// Count only.
    Count,
    /// The n-th large allocation fails.
    Once(usize),
    /// All from the n-th on fail.
    Forever(usize),
}

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
    static SEEN: Cell<usize> = const { Cell::new(0) };
    static FAILED: Cell<usize> = const { Cell::new(0) };
}

struct Failing;

fn refuses(size: usize) -> bool {
    let Some(plan) = PLAN.get().filter(|_| size >= LARGE) else { return false };
    let number = SEEN.get();
    SEEN.set(number + 1);
    let fails = match plan {
        Plan::Count => false,
        Plan::Once(at) => number == at,
        Plan::Forever(from) => number >= from,
    };
    FAILED.set(FAILED.get() + usize::from(fails));
    fails
}

// SAFETY: every call goes to the system's allocator, or returns null as a full one does.
#[allow(unsafe_code, reason = "an allocator is unsafe by nature")]
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        if refuses(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && refuses(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// `work` under a plan; its outcome, and how many allocations were large and how many failed.
fn under<T>(plan: Plan, work: impl FnOnce() -> T) -> (T, usize, usize) {
    SEEN.set(0);
    FAILED.set(0);
    PLAN.set(Some(plan));
    let outcome = work();
    PLAN.set(None);
    (outcome, SEEN.get(), FAILED.get())
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn run() -> Run<'static> {
    Run::new(1, &NEVER)
}

fn keys(salt: u8) -> Vec<Key> {
    (0..ROWS).map(|row| blake3_key(salt, row)).collect()
}

fn blake3_key(salt: u8, row: usize) -> Key {
    let mut digest = Digest::default();
    digest.update(&[salt, row as u8, (row >> 8) as u8]);
    digest.finish()
}

fn rows(salt: u8, dtype: Dtype) -> Vec<f32> {
    let step = if dtype == Dtype::F32 { 0.25 } else { 1.0 };
    (0..ROWS * DIM).map(|at| ((at / DIM + usize::from(salt)) % 100) as f32 * step).collect()
}

fn open(path: &Path, dtype: Dtype) -> Result<Table> {
    let cache = Cache::open(path, false, Durability::Process)?;
    cache.table(b"{}", Shape::new(DIM, dtype)?, b"{}")
}

fn assert_holds(table: &Table, salt: u8, dtype: Dtype) {
    let (mut out, mut hit) = (vec![9.0; ROWS * DIM], vec![false; ROWS]);
    table.get(run(), &keys(salt), &mut out, &mut hit).unwrap();
    assert!(hit.iter().all(|hit| *hit));
    assert_eq!(out, rows(salt, dtype));
}

/// Runs `work` with each of its large allocations failing, once and for ever; after each failure
/// `mend` must find everything as it was. Returns how many failures were injected.
fn sweep(work: impl Fn() -> Result<()>, mend: impl Fn()) -> usize {
    let (outcome, large, _) = under(Plan::Count, &work);
    outcome.unwrap();
    mend();
    let mut injected = 0;
    for number in 0..large {
        for plan in [Plan::Once(number), Plan::Forever(number)] {
            let (outcome, _, failed) = under(plan, &work);
            if failed > 0 {
                injected += 1;
                assert!(matches!(outcome, Err(Error::OutOfMemory { .. })), "{number}: {outcome:?}");
            }
            mend();
        }
    }
    injected
}

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

#[test]
fn every_large_allocation_of_a_get() {
    for dtype in DTYPES {
        let folder = tempfile::tempdir().unwrap();
        let table = open(folder.path(), dtype).unwrap();
        table.put(run(), &keys(0), &rows(0, dtype), 0.0).unwrap();
        table.flush().unwrap();
        let (keys, out) = (keys(0), RefCell::new((vec![0.0; ROWS * DIM], vec![false; ROWS])));
        let get = || {
            let (rows, hit) = &mut *out.borrow_mut();
            table.get(run(), &keys, rows, hit).map(|_| ())
        };
        assert!(sweep(get, || assert_holds(&table, 0, dtype)) >= 2);
    }
}

#[test]
fn every_large_allocation_of_a_put_and_a_flush() {
    for dtype in DTYPES {
        let folder = tempfile::tempdir().unwrap();
        let table = open(folder.path(), dtype).unwrap();
        let salt = Cell::new(0);
        let fresh = RefCell::new((keys(0), rows(0, dtype)));
        let put = || {
            let (keys, rows) = &*fresh.borrow();
            table.put(run(), keys, rows, 0.0).and_then(|_| table.flush())
        };
        let mend = || {
            put().unwrap();
            assert_holds(&table, salt.get(), dtype);
            assert_holds(&open(folder.path(), dtype).unwrap(), salt.get(), dtype);
            salt.set(salt.get() + 1);
            *fresh.borrow_mut() = (keys(salt.get()), rows(salt.get(), dtype));
        };
        let injected = sweep(put, mend);
        assert!(injected >= 8, "only {injected}");
        let stored: u64 = table.segments().unwrap().iter().map(|(_, rows, _)| rows).sum();
        assert_eq!(stored, u64::from(salt.get()) * ROWS as u64, "each row once");
    }
}

#[test]
fn every_large_allocation_of_opening() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), Dtype::F32).unwrap();
    table.put(run(), &keys(0), &rows(0, Dtype::F32), 0.0).unwrap();
    table.close().unwrap();
    let path = folder.path();
    let refresh = || open(path, Dtype::F32)?.refresh();
    let mend = || assert_holds(&open(path, Dtype::F32).unwrap(), 0, Dtype::F32);
    assert!(sweep(refresh, mend) >= 2);
}
