//! 8-bit products of a query tile with a panel of rows.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes, so the rows' codes are stored shifted by 128 and
//! each sum starts at `-128 * (sum of the query's codes)`, which undoes the shift. The arithmetic
//! is exact for up to [`MAX_DEPTH`] dimensions.
#![expect(clippy::needless_range_loop, reason = "see the comment on loops below")]

#[cfg(target_arch = "x86_64")]
use super::tile::PANEL_ROWS;
use super::tile::{Products, StepI8, with_width};
use crate::simd::{Isa, Kernels};

/// The most dimensions whose products fit 32 bits: `2^16 * 127 * 255 < 2^31`.
pub const MAX_DEPTH: usize = 1 << 16;

impl Kernels {
    /// Whether 8-bit products are faster than single-precision ones here.
    pub fn has_fast_i8(self) -> bool {
        self.isa() == Isa::Avx512Vnni
    }

    /// Writes `out[m][r]`, the inner product of the codes of query `m` and row `r`, rounded once.
    ///
    /// `queries` holds the `width` starting sums, then for each step of four dimensions `width`
    /// words of four signed codes, the first in the lowest byte.
    ///
    /// # Panics
    /// If `width` is not in `TILE_WIDTHS`, or `queries` does not fit the panel.
    pub fn products_i8(self, queries: &[i32], width: usize, panel: &[StepI8], out: &mut Products) {
        assert_eq!(queries.len(), width * (panel.len() + 1), "a tile as deep as its panel");
        match self.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Kernels` exists only where its instruction set is available.
            Isa::Avx512Vnni => unsafe { with_width!(width, vnni(queries, panel, out)) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above; AVX-512 implies AVX2.
            Isa::Avx512 | Isa::Avx2 => unsafe { with_width!(width, avx2(queries, panel, out)) },
            _ => with_width!(width, portable(queries, panel, out)),
        }
    }
}

fn portable<const M: usize>(queries: &[i32], panel: &[StepI8], out: &mut Products) {
    let (starts, queries) = queries.split_at(M);
    for (m, sums) in out.0.iter_mut().enumerate().take(M) {
        for (r, sum) in sums.iter_mut().enumerate() {
            let steps = panel.iter().zip(queries.chunks_exact(M));
            let total = steps.fold(starts[m], |total, (step, query)| {
                let query = query[m].to_le_bytes().map(|code| i32::from(code as i8));
                let row = step.0[r].map(i32::from);
                total.wrapping_add((0..4).map(|i| query[i] * row[i]).sum())
            });
            *sum = total as f32;
        }
    }
}

// Loops over vectors walk by index, for the reason given in `f32`.

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni<const M: usize>(queries: &[i32], panel: &[StepI8], out: &mut Products) {
    use std::arch::x86_64::*;
    let mut acc = [[_mm512_setzero_si512(); 2]; M];
    for m in 0..M {
        acc[m] = [_mm512_set1_epi32(queries[m]); 2];
    }
    for i in 0..panel.len() {
        let rows = panel[i].0.as_ptr().cast::<__m512i>();
        // SAFETY: a step is 128 bytes, aligned to 64.
        let rows = unsafe { [_mm512_load_si512(rows), _mm512_load_si512(rows.add(1))] };
        // SAFETY: the caller has checked that `M` words follow the starting sums for each step.
        let query = unsafe { queries.as_ptr().add((i + 1) * M) };
        for m in 0..M {
            // SAFETY: `m < M`.
            let codes = _mm512_set1_epi32(unsafe { *query.add(m) });
            acc[m][0] = _mm512_dpbusd_epi32(acc[m][0], rows[0], codes);
            acc[m][1] = _mm512_dpbusd_epi32(acc[m][1], rows[1], codes);
        }
    }
    for m in 0..M {
        let sums = out.0[m].as_mut_ptr();
        // SAFETY: a row of products is 32 floats, aligned to 64 bytes.
        unsafe {
            _mm512_store_ps(sums, _mm512_cvtepi32_ps(acc[m][0]));
            _mm512_store_ps(sums.add(16), _mm512_cvtepi32_ps(acc[m][1]));
        }
    }
}

/// Widens to 16 bits, where a multiply-add of pairs cannot saturate.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<const M: usize>(queries: &[i32], panel: &[StepI8], out: &mut Products) {
    use std::arch::x86_64::*;
    for m in 0..M {
        for first in [0, PANEL_ROWS / 2] {
            let mut acc = [_mm256_setzero_si256(); 4];
            for i in 0..panel.len() {
                let codes = _mm256_cvtepi8_epi16(_mm_set1_epi32(queries[(i + 1) * M + m]));
                for part in 0..4 {
                    // SAFETY: four rows of a step are 16 bytes; `first + 4 * part + 4 <= 32`.
                    let rows = unsafe {
                        let rows = panel[i].0.as_ptr().add(first + 4 * part);
                        _mm256_cvtepu8_epi16(_mm_loadu_si128(rows.cast()))
                    };
                    acc[part] = _mm256_add_epi32(acc[part], _mm256_madd_epi16(rows, codes));
                }
            }
            for part in 0..4 {
                let mut pairs = [0i32; 8];
                // SAFETY: the array holds 32 bytes; unaligned stores ask for no alignment.
                unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), acc[part]) };
                for r in 0..4 {
                    let total =
                        queries[m].wrapping_add(pairs[2 * r]).wrapping_add(pairs[2 * r + 1]);
                    out.0[m][first + 4 * part + r] = total as f32;
                }
            }
        }
    }
}
