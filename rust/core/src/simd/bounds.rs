//! Turns products of approximate vectors into upper bounds of true scores, and marks the rows whose
//! bound reaches a query's floor.
//!
//! For a query `u`, a row `v` and their codes `u'`, `v'` the Cauchy-Schwarz inequality gives
//! `|u.v - u'.v'| <= |u| |v - v'| + |u - u'| |v'|`; the terms below are these norms, rounded up by
//! whoever fills them in, with room for the roundings made here.
#![expect(clippy::needless_range_loop, reason = "plain loops, for the reason given in `exact`")]

#[cfg(target_arch = "x86_64")]
use super::Isa;
use super::Kernels;
use super::kernels::multiversion;
use super::tile::{PANEL_ROWS, Products, TILE_QUERIES};

/// What is known of the rows of a panel.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct RowBounds {
    /// Value of one unit of a row's codes.
    pub scale: [f32; PANEL_ROWS],
    /// Error of the row's codes and of its sums, as a multiple of the query's norm.
    pub error: [f32; PANEL_ROWS],
    /// Norm of the coded row.
    pub norm: [f32; PANEL_ROWS],
    /// Upper bound of the row's own term of the score; minus infinity where there is no row.
    pub bias: [f32; PANEL_ROWS],
    /// Error of that term.
    pub bias_error: [f32; PANEL_ROWS],
}

// SAFETY: five arrays of 32 floats fill ten cache lines to the last byte, and any bytes are floats.
unsafe impl bytemuck::Zeroable for RowBounds {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for RowBounds {}

impl RowBounds {
    /// A panel without rows: no bound reaches any floor.
    pub const NONE: Self = Self {
        scale: [0.0; PANEL_ROWS],
        error: [0.0; PANEL_ROWS],
        norm: [0.0; PANEL_ROWS],
        bias: [f32::NEG_INFINITY; PANEL_ROWS],
        bias_error: [0.0; PANEL_ROWS],
    };
}

/// What is known of a query.
#[derive(Clone, Copy, Debug)]
pub struct QueryBounds {
    /// Value of one unit of the query's codes.
    pub scale: f32,
    /// Norm of the query, coded or not, whichever is larger.
    pub norm: f32,
    /// Norm of the error of its codes.
    pub error: f32,
    /// Factor of the rows' own terms.
    pub bias_weight: f32,
    /// Error that does not depend on the row.
    pub slack: f32,
    /// Scores below it do not matter.
    pub floor: f32,
}

impl QueryBounds {
    /// A place in a tile that holds no query: no row reaches its floor.
    pub const NONE: Self = Self {
        scale: 0.0,
        norm: 0.0,
        error: 0.0,
        bias_weight: 0.0,
        slack: 0.0,
        floor: f32::INFINITY,
    };

    /// The least score of row `r`, given its upper bound.
    #[inline]
    pub fn lower(&self, rows: &RowBounds, r: usize, upper: f32) -> f32 {
        let error = self.norm * rows.error[r]
            + self.error * rows.norm[r]
            + self.bias_weight * rows.bias_error[r]
            + self.slack;
        let width = 2.0 * error;
        // A dozen roundings, each at most 2^-24 of what is rounded; unbounded minus unbounded is
        // no number, and so no bound.
        (upper - width - (upper.abs() + width) * ROUNDINGS).max(f32::NEG_INFINITY)
    }

    /// [`QueryBounds::lower`] of 16 rows, given their errors, norms and errors of the bias.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn lower_avx512(
        &self,
        upper: std::arch::x86_64::__m512,
        error: std::arch::x86_64::__m512,
        norm: std::arch::x86_64::__m512,
        bias_error: std::arch::x86_64::__m512,
    ) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::*;
        let times = |factor: f32, numbers| _mm512_mul_ps(_mm512_set1_ps(factor), numbers);
        let error = _mm512_add_ps(times(self.norm, error), times(self.error, norm));
        let error = _mm512_add_ps(error, times(self.bias_weight, bias_error));
        let width = times(2.0, _mm512_add_ps(error, _mm512_set1_ps(self.slack)));
        let room = times(ROUNDINGS, _mm512_add_ps(_mm512_abs_ps(upper), width));
        let lower = _mm512_sub_ps(_mm512_sub_ps(upper, width), room);
        // Where the first is no number, the result is the second.
        _mm512_max_ps(lower, _mm512_set1_ps(f32::NEG_INFINITY))
    }
}

/// Room for the roundings of a lower bound.
const ROUNDINGS: f32 = 1.0 / (1 << 20) as f32;

/// Which rows reach which floors.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// Bit `r` for row `r`, for each query.
    pub rows: [u32; TILE_QUERIES],
    /// A bit for each query that has marked rows. Which these are cannot be predicted, so there is no
    /// branch on it.
    pub queries: u32,
}

impl Marks {
    const NONE: Self = Self { rows: [0; TILE_QUERIES], queries: 0 };

    #[inline(always)]
    fn add(&mut self, query: usize, rows: u32) {
        self.rows[query] = rows;
        self.queries |= u32::from(rows != 0) << query;
    }
}

impl Kernels {
    /// Replaces products by upper bounds of scores, and marks the rows whose bounds reach the floors of
    /// the queries. All instruction sets return the same bits.
    pub fn upper_bounds(
        self,
        sums: &mut Products,
        rows: &RowBounds,
        queries: &[QueryBounds],
    ) -> Marks {
        match self.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Kernels` exists only where its instruction set is available.
            Isa::Avx512 | Isa::Avx512Vnni => unsafe { raise_avx512(sums, rows, queries) },
            _ => self.raise(sums, rows, queries),
        }
    }
}

#[inline(always)]
fn raise_body(sums: &mut Products, rows: &RowBounds, queries: &[QueryBounds]) -> Marks {
    let mut marks = Marks::NONE;
    for m in 0..queries.len() {
        let (query, sums) = (&queries[m], &mut sums.0[m]);
        let mut any = false;
        for r in 0..PANEL_ROWS {
            let error = query.error.mul_add(rows.norm[r], query.slack);
            let error = query.norm.mul_add(rows.error[r], error);
            let own = query.bias_weight.mul_add(rows.bias[r], error);
            sums[r] = sums[r].mul_add(rows.scale[r] * query.scale, own);
            any |= sums[r] >= query.floor;
        }
        let mut marked = 0;
        if any {
            for r in 0..PANEL_ROWS {
                marked |= u32::from(sums[r] >= query.floor) << r;
            }
        }
        marks.add(m, marked);
    }
    marks
}

multiversion! {
    /// [`Kernels::upper_bounds`] without vectors of masks.
    raise(sums: &mut Products, rows: &RowBounds, queries: &[QueryBounds]) -> Marks
        = raise_body
}

/// The comparison leaves its marks in a mask register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn raise_avx512(sums: &mut Products, rows: &RowBounds, queries: &[QueryBounds]) -> Marks {
    use std::arch::x86_64::*;
    const LANES: usize = PANEL_ROWS / 2;
    let mut marks = Marks::NONE;
    let halves = [0, LANES].map(|at| {
        // SAFETY: each array has 32 numbers, of which a half is 16; unaligned loads ask for no more.
        [&rows.scale, &rows.error, &rows.norm, &rows.bias]
            .map(|column| unsafe { _mm512_loadu_ps(column.as_ptr().add(at)) })
    });
    for m in 0..queries.len().min(TILE_QUERIES) {
        let query = &queries[m];
        let mut marked = [0; 2];
        for half in 0..2 {
            let [scale, error, norm, bias] = halves[half];
            let own =
                _mm512_fmadd_ps(_mm512_set1_ps(query.error), norm, _mm512_set1_ps(query.slack));
            let own = _mm512_fmadd_ps(_mm512_set1_ps(query.norm), error, own);
            let own = _mm512_fmadd_ps(_mm512_set1_ps(query.bias_weight), bias, own);
            let scale = _mm512_mul_ps(scale, _mm512_set1_ps(query.scale));
            let place = sums.0[m][half * LANES..][..LANES].as_mut_ptr();
            // SAFETY: `place` is the first of 16 numbers.
            unsafe {
                let upper = _mm512_fmadd_ps(_mm512_loadu_ps(place), scale, own);
                _mm512_storeu_ps(place, upper);
                let floor = _mm512_set1_ps(query.floor);
                marked[half] = u32::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(upper, floor));
            }
        }
        marks.add(m, marked[0] | marked[1] << LANES);
    }
    marks
}
