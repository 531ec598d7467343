//! Allocations that start where a cache line does.
//!
//! The C library's larger blocks start 16 bytes into a line, so that each 64-byte load of a kernel would touch two of
//! them, which cost solvers about 10 to 20 % of their CPU time on an Intel Xeon (docs/benchmarks.md). It is still
//! the C library that allocates: what it promises about forks and threads holds.
#![allow(unsafe_code, reason = "an allocator hands out raw pointers")]

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;
/// Smaller blocks are left as they are: a line that is split matters in what is read again and again.
const LEAST: usize = 512;

#[global_allocator]
static GLOBAL: OnLines = OnLines;

struct OnLines;

/// The layout that is asked of the C library.
fn on_lines(layout: Layout) -> Layout {
    if layout.size() < LEAST {
        return layout;
    }
    layout.align_to(LINE).unwrap_or(layout)
}

// SAFETY: every block comes from `System` with a layout of the same size and at least the alignment asked for, and
// goes back to it; `on_lines` is a function of the layout alone, so a block is freed with the layout of its allocation.
unsafe impl GlobalAlloc for OnLines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size above zero, and `on_lines` keeps it.
        unsafe { System.alloc(on_lines(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(on_lines(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` was allocated with this layout, so `System` gave it for `on_lines` of it.
        unsafe { System.dealloc(block, on_lines(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's `size` is above zero and fits the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if on_lines(layout).align() == layout.align() && on_lines(wanted).align() == layout.align()
        {
            // SAFETY: `System` gave `block` for this very layout, and none on lines is wanted.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: `wanted` has a size above zero.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks are valid for the smaller of their sizes and do not overlap; `block` is the caller's
            // to give back.
            unsafe {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}
