//! What only ridge regression needs, generic over the vector; instruction sets are chosen in `pass`.
#![expect(clippy::needless_range_loop, reason = "an array walked by value passes through memory")]

use super::vector::{Scalar, Vector};

/// Vectors side by side in a panel of [`gram`], and the most rows of its register tile.
pub const PANEL_VECTORS: usize = 3;
const TILE_ROWS: usize = 8;
/// Vectors of rows that [`leave_out`] holds at a time.
const SPAN: usize = 4;

/// `out[a * W + b] += sum over i of left[i * W + a] * right[i * W + b]` with W columns per panel,
/// [`PANEL_VECTORS`] vectors: a square of a Gram matrix.
///
/// # Safety
/// V's instruction set; `left`, `right`: depth * W elements, `out`: W * W doubles.
#[inline(always)]
pub unsafe fn gram<V: Vector>(
    left: *const V::Elem,
    right: *const V::Elem,
    depth: usize,
    out: *mut f64,
) {
    let width = PANEL_VECTORS * V::LANES;
    // SAFETY: the caller's promise; both tile heights divide the width.
    unsafe {
        if V::COLUMNS * 4 >= 3 * TILE_ROWS {
            for row in (0..width).step_by(TILE_ROWS) {
                gram_tile::<V, TILE_ROWS>(left.add(row), right, depth, out.add(row * width));
            }
        } else {
            for row in (0..width).step_by(4) {
                gram_tile::<V, 4>(left.add(row), right, depth, out.add(row * width));
            }
        }
    }
}

/// # Safety
/// As for [`gram`], for M rows of `out`.
#[inline(always)]
unsafe fn gram_tile<V: Vector, const M: usize>(
    left: *const V::Elem,
    right: *const V::Elem,
    depth: usize,
    out: *mut f64,
) {
    let width = PANEL_VECTORS * V::LANES;
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(V::Elem::default()); PANEL_VECTORS]; M];
        for i in 0..depth {
            let mut row = [V::splat(V::Elem::default()); PANEL_VECTORS];
            for (j, row) in row.iter_mut().enumerate() {
                *row = V::load(right.add(i * width + j * V::LANES));
            }
            for m in 0..M {
                let factor = V::splat(*left.add(i * width + m));
                for j in 0..PANEL_VECTORS {
                    sums[m][j] = row[j].fma(factor, sums[m][j]);
                }
            }
        }
        for m in 0..M {
            for j in 0..PANEL_VECTORS {
                sums[m][j].add_to(out.add(m * width + j * V::LANES));
            }
        }
    }
}

/// Leave-one-out residuals of one output for many penalties.
///
/// For each penalty a, `left[a * ld + i] = (y_i - sum over r of mix[a * parts + r] * fitted[r * ld + i])
/// * inverse[a * ld + i]`, and `sums[a] += sum over i of weight_i left_i^2`.
///
/// # Safety
/// V's instruction set; `ld` a multiple of 16; `y`, `weight`: ld elements, `fitted`: parts * ld, `mix`:
/// penalties * parts, `inverse` and `left`: penalties * ld, `sums`: penalties doubles.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a flat kernel: pointers and sizes")]
pub unsafe fn leave_out<V: Vector>(
    y: *const V::Elem,
    weight: *const V::Elem,
    fitted: *const V::Elem,
    parts: usize,
    mix: *const V::Elem,
    inverse: *const V::Elem,
    penalties: usize,
    ld: usize,
    left: *mut V::Elem,
    sums: *mut f64,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for a in 0..penalties {
            let mix = mix.add(a * parts);
            let mut squares = V::splat(V::Elem::default());
            let mut row = 0;
            while row < ld {
                let from = (y.add(row), weight.add(row), fitted.add(row));
                let to = (inverse.add(a * ld + row), left.add(a * ld + row));
                if row + SPAN * V::LANES <= ld {
                    squares = leave_out_tile::<V, SPAN>(from, mix, parts, ld, to, squares);
                    row += SPAN * V::LANES;
                } else {
                    squares = leave_out_tile::<V, 1>(from, mix, parts, ld, to, squares);
                    row += V::LANES;
                }
            }
            *sums.add(a) += squares.sum().wide();
        }
    }
}

/// The rows of J vectors; returns `squares` with theirs added.
///
/// # Safety
/// As for [`leave_out`], at the first of these rows.
#[inline(always)]
unsafe fn leave_out_tile<V: Vector, const J: usize>(
    (y, weight, fitted): (*const V::Elem, *const V::Elem, *const V::Elem),
    mix: *const V::Elem,
    parts: usize,
    ld: usize,
    (inverse, left): (*const V::Elem, *mut V::Elem),
    mut squares: V,
) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::splat(V::Elem::default()); J];
        for r in 0..parts {
            let factor = V::splat(*mix.add(r));
            for j in 0..J {
                sums[j] = V::load(fitted.add(r * ld + j * V::LANES)).fma(factor, sums[j]);
            }
        }
        for j in 0..J {
            let at = j * V::LANES;
            let residual = V::load(y.add(at)).sub(sums[j]).mul(V::load(inverse.add(at)));
            residual.store(left.add(at));
            squares = residual.mul(residual).fma(V::load(weight.add(at)), squares);
        }
        squares
    }
}
