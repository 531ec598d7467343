//! bfloat16 products of a query tile with a panel of rows.
//!
//! A flag does not tell whether they pay: on some chips `vdpbf16ps` does twice the work of a
//! single-precision multiply-add, on others half of it. So both are timed once.
#![expect(clippy::needless_range_loop, reason = "see the comment on loops in `f32`")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::tile::{PANEL_ROWS, Products, StepBf16, StepF32, TILE_QUERIES, with_width};
#[cfg(target_arch = "x86_64")]
use crate::simd::Isa;
use crate::simd::Kernels;

/// How much faster than single precision they have to be.
const WORTHWHILE: f64 = 1.2;
/// Steps of the panels on which both are timed, and how often.
const STEPS: usize = 128;
const REPEATS: usize = 16;

impl Kernels {
    /// Whether bfloat16 products are faster than single-precision ones here; timed on first use,
    /// which takes less than a millisecond.
    pub fn has_fast_bf16(self) -> bool {
        // 0: not known yet; 1: no; 2: yes. Two threads may both time it, but none waits for another, which in
        // the child of a fork might not exist.
        static FASTER: AtomicU8 = AtomicU8::new(0);
        if !self.has_bf16() {
            return false;
        }
        if FASTER.load(Ordering::Relaxed) == 0 {
            let faster = 1 + u8::from(self.bf16_is_faster());
            // The first answer stays, so that a process has but one.
            let _ = FASTER.compare_exchange(0, faster, Ordering::Relaxed, Ordering::Relaxed);
        }
        FASTER.load(Ordering::Relaxed) == 2
    }

    #[cfg(target_arch = "x86_64")]
    fn has_bf16(self) -> bool {
        matches!(self.isa(), Isa::Avx512 | Isa::Avx512Vnni)
            && is_x86_feature_detected!("avx512bf16")
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn has_bf16(self) -> bool {
        false
    }

    /// The same number of products in both, by turns.
    fn bf16_is_faster(self) -> bool {
        let mut out = Products::ZERO;
        let (floats, pairs) = ([StepF32::ZERO; 2 * STEPS], [StepBf16::ZERO; STEPS]);
        let (float_tile, pair_tile) = ([0.0; 2 * STEPS * TILE_QUERIES], [0; STEPS * TILE_QUERIES]);
        let mut best = [Duration::MAX; 2];
        for _ in 0..REPEATS {
            let start = Instant::now();
            self.products_f32(&float_tile, TILE_QUERIES, &floats, &mut out);
            self.products_f32(&float_tile, TILE_QUERIES, &floats, std::hint::black_box(&mut out));
            let middle = Instant::now();
            self.products_bf16(&pair_tile, TILE_QUERIES, &pairs, &mut out);
            self.products_bf16(&pair_tile, TILE_QUERIES, &pairs, std::hint::black_box(&mut out));
            best = [best[0].min(middle - start), best[1].min(middle.elapsed())];
        }
        best[0].as_secs_f64() > WORTHWHILE * best[1].as_secs_f64()
    }

    /// Writes `out[m][r]`, the inner product of the codes of query `m` and row `r`.
    ///
    /// `queries` holds for each step of two dimensions `width` words of two codes, the first in the
    /// low half. No code may be subnormal, and products below the smallest normal number may count
    /// as zero. A product of codes is exact in single precision, and each is added with at most two
    /// roundings.
    ///
    /// # Panics
    /// If `width` is not in `TILE_WIDTHS`, or `queries` does not fit the panel.
    pub fn products_bf16(
        self,
        queries: &[i32],
        width: usize,
        panel: &[StepBf16],
        out: &mut Products,
    ) {
        assert_eq!(queries.len(), width * panel.len(), "a tile as deep as its panel");
        #[cfg(target_arch = "x86_64")]
        if self.has_bf16() {
            // SAFETY: just checked.
            unsafe { with_width!(width, avx512(queries, panel, out)) }
            return;
        }
        with_width!(width, portable(queries, panel, out));
    }
}

/// The number of a code.
fn number(code: u16) -> f32 {
    f32::from_bits(u32::from(code) << 16)
}

fn portable<const M: usize>(queries: &[i32], panel: &[StepBf16], out: &mut Products) {
    for m in 0..M {
        let mut sums = [0.0; PANEL_ROWS];
        for (step, words) in panel.iter().zip(queries.chunks_exact(M)) {
            let (low, high) = (number(words[m] as u16), number((words[m] >> 16) as u16));
            for r in 0..PANEL_ROWS {
                sums[r] += low * number(step.0[r][0]);
                sums[r] += high * number(step.0[r][1]);
            }
        }
        out.0[m] = sums;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn avx512<const M: usize>(queries: &[i32], panel: &[StepBf16], out: &mut Products) {
    use std::arch::x86_64::*;
    // SAFETY: both types are 64 bytes without further meaning.
    let pairs = |vector: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(vector) };
    let mut acc = [[_mm512_setzero_ps(); 2]; M];
    for i in 0..panel.len() {
        let rows = panel[i].0.as_ptr().cast::<__m512i>();
        // SAFETY: a step is 128 bytes, aligned to 64.
        let rows = unsafe { [_mm512_load_si512(rows), _mm512_load_si512(rows.add(1))] };
        // SAFETY: the caller has checked that there are `M` words for each step of the panel.
        let query = unsafe { queries.as_ptr().add(i * M) };
        for m in 0..M {
            // SAFETY: `m < M`.
            let codes = pairs(_mm512_set1_epi32(unsafe { *query.add(m) }));
            acc[m][0] = _mm512_dpbf16_ps(acc[m][0], pairs(rows[0]), codes);
            acc[m][1] = _mm512_dpbf16_ps(acc[m][1], pairs(rows[1]), codes);
        }
    }
    for m in 0..M {
        let sums = out.0[m].as_mut_ptr();
        // SAFETY: a row of products is 32 floats, aligned to 64 bytes.
        unsafe {
            _mm512_store_ps(sums, acc[m][0]);
            _mm512_store_ps(sums.add(16), acc[m][1]);
        }
    }
}
