//! Lists of searches that are over: the next search fills them again, since pages that the system has to
//! clear first would be a part of its time.

use std::sync::Mutex;

use crate::simd::candidates::Candidates;

/// Bytes of lists that are kept.
const BYTES: usize = 64 << 20;

/// Empty lists with room in them.
#[derive(Default)]
pub struct Spare {
    lists: Mutex<Vec<Candidates>>,
}

impl Spare {
    /// So many empty lists, those with room first. Nobody waits for them: in the child of a fork the thread
    /// that holds them may not exist.
    pub fn take(&self, count: usize) -> Vec<Candidates> {
        let mut taken = match self.lists.try_lock() {
            Ok(mut lists) => {
                let left = lists.len().saturating_sub(count);
                lists.split_off(left)
            }
            Err(_) => Vec::new(),
        };
        taken.resize_with(count, Candidates::default);
        taken
    }

    /// Keeps lists for the next search.
    pub fn give(&self, lists: impl Iterator<Item = Candidates>) {
        let Ok(mut kept) = self.lists.try_lock() else { return };
        let mut bytes: usize = kept.iter().map(Candidates::bytes).sum();
        for mut list in lists {
            bytes += list.bytes();
            if bytes > BYTES {
                return;
            }
            list.clear();
            kept.push(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Kernels;
    use crate::simd::bounds::{QueryBounds, RowBounds};
    use crate::simd::tile::PANEL_ROWS;

    fn list(panels: u32) -> Candidates {
        let (kernels, uppers) = (Kernels::available()[0], [1.0; PANEL_ROWS]);
        let mut list = Candidates::default();
        for panel in 0..panels {
            let first = panel * PANEL_ROWS as u32;
            list.add_marked(kernels, 1, &uppers, &RowBounds::NONE, &QueryBounds::NONE, first);
        }
        list
    }

    #[test]
    fn lists_come_back_empty_and_with_their_room() {
        let spare = Spare::default();
        let given = list(100);
        let bytes = given.bytes();
        spare.give([given].into_iter());
        let taken = spare.take(3);
        assert!(taken.iter().all(Candidates::is_empty));
        assert_eq!(taken.iter().map(Candidates::bytes).sum::<usize>(), bytes);
        assert!(spare.take(1)[0].bytes() == 0);
    }

    #[test]
    fn no_more_is_kept_than_is_worth_it_and_nobody_waits() {
        let spare = Spare::default();
        let large = || list(40_000);
        let fitting = BYTES / large().bytes();
        spare.give((0..fitting + 2).map(|_| large()));
        assert_eq!(spare.lists.lock().unwrap().len(), fitting);
        let held = spare.lists.lock().unwrap();
        spare.give([list(1)].into_iter());
        assert_eq!(spare.take(2).len(), 2);
        drop(held);
    }
}
