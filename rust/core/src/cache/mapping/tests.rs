//! Windows over files that are cut short while they are read.

use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Window;
use super::guard::{Guard, replaced};
use crate::simd::checksum::Stores::Cached;

const BYTES: usize = 1 << 20;

/// There is one list of guarded ranges for the whole process.
static LIST: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_page_that_is_gone_is_zeros_and_does_not_match() {
    let _alone = alone();
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; BYTES], 0).unwrap();
    let window = Window::new(file.as_fd(), BYTES).unwrap().expect("a slot is free");
    let (mut copy, mut seen) = (vec![1; 3000], 0);
    let offset = BYTES as u64 - 3000;
    let whole = window.copy(offset, &mut copy, 5, 0, Cached).unwrap();
    assert_eq!(whole, xxh3_128_with_seed(&[7; 3000], 5));
    for threads in 1..=4 {
        let before = replaced();
        let file = tempfile::tempfile().unwrap();
        file.set_len(BYTES as u64).unwrap();
        let window = Window::new(file.as_fd(), BYTES).unwrap().expect("a slot is free");
        file.set_len(0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| window.copy(offset, &mut [1; 3000], 5, 0, Cached).unwrap());
            }
        });
        assert!(replaced() > before, "no page was missing");
        assert!(!window.is_intact());
        seen += 1;
    }
    file.set_len(0).unwrap();
    let cut = window.copy(offset, &mut copy, 5, 0, Cached).unwrap();
    assert_eq!((copy, seen), (vec![0; 3000], 4));
    assert_ne!(cut, whole);
}

#[test]
fn nothing_outside_is_copied() {
    let _alone = alone();
    let file = tempfile::tempfile().unwrap();
    file.set_len(5000).unwrap();
    let window = Window::new(file.as_fd(), 5000).unwrap().expect("a slot is free");
    assert!(window.is_guarded());
    for offset in [4001, 5000, u64::MAX, u64::MAX - 500] {
        assert_eq!(window.copy(offset, &mut [0; 1000], 0, 0, Cached), None);
    }
    assert!(window.copy(4000, &mut [0; 1000], 0, u64::MAX, Cached).is_some());
}

#[test]
fn guards_run_out_and_come_back() {
    let _alone = alone();
    let many = || (0..10_000).map_while(|_| Guard::new(1 << 40, 0)).collect::<Vec<_>>();
    let guards = many();
    assert!((512..10_000).contains(&guards.len()));
    drop(guards);
    assert!(many().len() >= 512);
}

/// 100,000 pages are missing, every other one of which is read: one mapping each would be more than a
/// process can have.
#[test]
fn any_number_of_missing_pages() {
    let _alone = alone();
    const PAGES: u64 = 150_000;
    let file = tempfile::tempfile().unwrap();
    file.set_len(PAGES * 4096).unwrap();
    let window =
        Window::new(file.as_fd(), (PAGES * 4096) as usize).unwrap().expect("a slot is free");
    file.set_len(0).unwrap();
    let before = replaced();
    for page in (0..PAGES).step_by(2) {
        let mut copy = [1; 64];
        window.copy(page * 4096, &mut copy, 5, 0, Cached).unwrap();
        assert_eq!(copy, [0; 64]);
    }
    assert_eq!(replaced(), before + 1, "all at once");
}

/// A view needs no memory but for what is read: 4 TiB are more than this machine has.
#[test]
fn a_map_larger_than_memory() {
    let file = tempfile::tempfile().unwrap();
    let length = 1 << 42;
    file.set_len(length).unwrap();
    let outcome = super::Map::new(file.as_fd(), length as usize);
    // Where the system sets memory aside for every mapping, none can be larger.
    let strict = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap().trim() == "2";
    assert!(strict || outcome.is_ok(), "{outcome:?}");
}
