//! Single-precision products of a query tile with a panel of rows.
#![expect(clippy::needless_range_loop, reason = "see the comment on loops below")]

#[cfg(target_arch = "x86_64")]
use super::tile::PANEL_ROWS;
use super::tile::{Products, StepF32, with_width};
#[cfg(target_arch = "x86_64")]
use crate::simd::Isa;
use crate::simd::Kernels;

impl Kernels {
    /// Writes `out[m][r]`, the inner product of query `m` and row `r`, for `width` queries.
    ///
    /// Each sum is a chain over the depth in which a step costs one or two roundings, so its error
    /// is at most `(depth + 1) * 2^-24` times the product of the two norms, to first order.
    ///
    /// # Panics
    /// If `width` is not in `TILE_WIDTHS` or `queries` does not hold `width` numbers a step.
    pub fn products_f32(
        self,
        queries: &[f32],
        width: usize,
        panel: &[StepF32],
        out: &mut Products,
    ) {
        assert_eq!(queries.len(), width * panel.len(), "a tile as deep as its panel");
        match self.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Kernels` exists only where its instruction set is available.
            Isa::Avx512 | Isa::Avx512Vnni => unsafe {
                with_width!(width, avx512(queries, panel, out))
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { with_width!(width, avx2(queries, panel, out)) },
            _ => with_width!(width, portable(queries, panel, out)),
        }
    }
}

fn portable<const M: usize>(queries: &[f32], panel: &[StepF32], out: &mut Products) {
    const LANES: usize = 8;
    for (m, sums) in out.0.iter_mut().enumerate().take(M) {
        for (part, sums) in sums.chunks_exact_mut(LANES).enumerate() {
            let mut acc = [0f32; LANES];
            for (step, query) in panel.iter().zip(queries.chunks_exact(M)) {
                let rows = &step.0[part * LANES..][..LANES];
                for lane in 0..LANES {
                    acc[lane] += query[m] * rows[lane];
                }
            }
            sums.copy_from_slice(&acc);
        }
    }
}

// Loops over vectors walk by index: iterator adapters are functions without the vector features,
// and the compiler does not inline those into functions that have them.

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<const M: usize>(queries: &[f32], panel: &[StepF32], out: &mut Products) {
    use std::arch::x86_64::*;
    let mut acc = [[_mm512_setzero_ps(); 2]; M];
    for i in 0..panel.len() {
        let rows = panel[i].0.as_ptr();
        // SAFETY: a step is 32 floats, aligned to 64 bytes.
        let rows = unsafe { [_mm512_load_ps(rows), _mm512_load_ps(rows.add(16))] };
        // SAFETY: the caller has checked that there are `M` floats for each step of the panel.
        let query = unsafe { queries.as_ptr().add(i * M) };
        for m in 0..M {
            // SAFETY: `m < M`.
            let factor = _mm512_set1_ps(unsafe { *query.add(m) });
            acc[m][0] = _mm512_fmadd_ps(factor, rows[0], acc[m][0]);
            acc[m][1] = _mm512_fmadd_ps(factor, rows[1], acc[m][1]);
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

/// Six queries by half a panel fill 12 of the 16 registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<const M: usize>(queries: &[f32], panel: &[StepF32], out: &mut Products) {
    let mut first = 0;
    while first < M {
        for half in 0..2 {
            match M - first {
                1 => avx2_part::<M, 1>(queries, panel, out, first, half),
                2 => avx2_part::<M, 2>(queries, panel, out, first, half),
                4 => avx2_part::<M, 4>(queries, panel, out, first, half),
                _ => avx2_part::<M, 6>(queries, panel, out, first, half),
            }
        }
        first += 6;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_part<const M: usize, const G: usize>(
    queries: &[f32],
    panel: &[StepF32],
    out: &mut Products,
    first: usize,
    half: usize,
) {
    use std::arch::x86_64::*;
    let column = half * (PANEL_ROWS / 2);
    let mut acc = [[_mm256_setzero_ps(); 2]; G];
    for i in 0..panel.len() {
        // SAFETY: a step is 32 floats, of which this half is 16, aligned to 32 bytes.
        let rows = unsafe {
            let rows = panel[i].0.as_ptr().add(column);
            [_mm256_load_ps(rows), _mm256_load_ps(rows.add(8))]
        };
        // SAFETY: the caller has checked that there are `M` floats for each step of the panel.
        let query = unsafe { queries.as_ptr().add(i * M + first) };
        for g in 0..G {
            // SAFETY: `first + g < M`.
            let factor = _mm256_set1_ps(unsafe { *query.add(g) });
            acc[g][0] = _mm256_fmadd_ps(factor, rows[0], acc[g][0]);
            acc[g][1] = _mm256_fmadd_ps(factor, rows[1], acc[g][1]);
        }
    }
    for g in 0..G {
        // SAFETY: a row of products is 32 floats, of which this half is 16, aligned to 32 bytes.
        unsafe {
            let sums = out.0[first + g].as_mut_ptr().add(column);
            _mm256_store_ps(sums, acc[g][0]);
            _mm256_store_ps(sums.add(8), acc[g][1]);
        }
    }
}
