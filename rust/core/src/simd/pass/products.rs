//! Products of a pass over the data, generic over the vector; instruction sets are chosen in `pass`.
//!
//! Rows of `x` and of `w` are `stride` elements apart and `stride` is a multiple of every vector
//! length, so no kernel has a tail along the columns. Class-major arrays hold one class after the
//! other, `ld` elements apart.

#![expect(clippy::needless_range_loop, reason = "an array walked by value passes through memory")]

use super::vector::{Scalar, Vector};

/// Rows of a register tile.
const ROWS: usize = 4;
/// Vectors of a register tile of `outer`.
const SPAN: usize = 4;

/// `out[k * ld + i] = x_i . w_k + bias[k]` for every row i and class k.
///
/// # Safety
/// V's instruction set; `x`: rows * stride, `w`: classes * stride, `bias`: classes elements;
/// `out`: classes * ld elements with ld at least rows, rounded up to a multiple of four.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a flat kernel: pointers and sizes")]
pub unsafe fn products<V: Vector>(
    x: *const V::Elem,
    rows: usize,
    stride: usize,
    w: *const V::Elem,
    bias: *const V::Elem,
    classes: usize,
    out: *mut V::Elem,
    ld: usize,
) {
    // Weights beyond this do not stay in the first-level cache while the rows go by: then the rows,
    // which come from the second, go by once for each tile of weights.
    const NEAR: usize = 24 << 10;
    let far = classes * stride * size_of::<V::Elem>() > NEAR;
    let (group, depth) = if far { (V::COLUMNS, depth::<V>(stride)) } else { (classes, stride) };
    let mut start = 0;
    while start < classes {
        let end = classes.min(start + tile_width(classes - start, group));
        for from in (0..stride).step_by(depth) {
            let part = (from, depth.min(stride - from), stride);
            for row in (0..rows).step_by(ROWS) {
                // The rows beyond the end repeat the last one; their results land in the padding of `out`.
                let last = rows - 1;
                let mut at = [x; ROWS];
                for (i, at) in at.iter_mut().enumerate() {
                    // SAFETY: the row is clamped below `rows`.
                    *at = unsafe { x.add((row + i).min(last) * stride) };
                }
                let mut first = start;
                while first < end {
                    let width = tile_width(end - first, V::COLUMNS);
                    // SAFETY: classes first..first + width exist, and `out` has room for four rows.
                    unsafe {
                        let (w, bias) = (w.add(first * stride), bias.add(first));
                        let out = out.add(first * ld + row);
                        match width {
                            1 => product_tile::<V, 1>(at, part, w, bias, out, ld),
                            2 => product_tile::<V, 2>(at, part, w, bias, out, ld),
                            3 => product_tile::<V, 3>(at, part, w, bias, out, ld),
                            4 => product_tile::<V, 4>(at, part, w, bias, out, ld),
                            5 => product_tile::<V, 5>(at, part, w, bias, out, ld),
                            _ => product_tile::<V, 6>(at, part, w, bias, out, ld),
                        }
                    }
                    first += width;
                }
            }
        }
        start = end;
    }
}

/// Columns of X that a tile of weights and its rows take at a time: both stay in the first-level cache.
#[inline(always)]
fn depth<V: Vector>(stride: usize) -> usize {
    const TILE: usize = 32 << 10;
    let most = TILE / (size_of::<V::Elem>() * (V::COLUMNS + ROWS));
    stride.div_ceil(stride.div_ceil(most)).next_multiple_of(16)
}

/// The next tile when `left` columns go into the fewest tiles of at most `most`, as even as can be.
#[inline(always)]
fn tile_width(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

/// # Safety
/// As for [`products`], for K classes and four rows, the columns from..from + depth; those before them
/// are in `out` already.
#[inline(always)]
unsafe fn product_tile<V: Vector, const K: usize>(
    x: [*const V::Elem; ROWS],
    (from, depth, stride): (usize, usize, usize),
    w: *const V::Elem,
    bias: *const V::Elem,
    out: *mut V::Elem,
    ld: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(V::Elem::default()); ROWS]; K];
        for column in (from..from + depth).step_by(V::LANES) {
            let mut rows = [V::splat(V::Elem::default()); ROWS];
            for i in 0..ROWS {
                rows[i] = V::load(x[i].add(column));
                if K * ROWS >= 16 {
                    V::prefetch(x[i].wrapping_add(ROWS * stride + column));
                }
            }
            for (k, sums) in sums.iter_mut().enumerate() {
                let weights = V::load(w.add(k * stride + column));
                for i in 0..ROWS {
                    sums[i] = rows[i].fma(weights, sums[i]);
                }
            }
        }
        for k in 0..K {
            let out = out.add(k * ld);
            let start = if from == 0 { [*bias.add(k); 4] } else { *out.cast::<[V::Elem; 4]>() };
            V::store_sums(sums[k], start, out);
        }
    }
}

/// `g[k * stride + j] += sum over rows of r[k * ld + i] * x_ij`; x is squared if SQUARED.
///
/// # Safety
/// V's instruction set; `x`: rows * stride elements, `g`: classes * stride doubles, `r`: `rows`
/// elements for each class.
#[inline(always)]
pub unsafe fn outer<V: Vector, const SQUARED: bool>(
    x: *const V::Elem,
    rows: usize,
    stride: usize,
    r: *const V::Elem,
    ld: usize,
    classes: usize,
    g: *mut f64,
) {
    let wide = SPAN * V::LANES;
    let mut column = 0;
    while column < stride {
        let span = if column + wide <= stride { SPAN } else { 1 };
        let mut first = 0;
        while first < classes {
            let tile = tile_width(classes - first, V::COLUMNS);
            // SAFETY: the columns column..column + span * LANES and these classes exist.
            unsafe {
                let at = (x.add(column), r.add(first * ld), g.add(first * stride + column));
                let size = (rows, stride, ld);
                match (tile, span) {
                    (1, SPAN) => outer_tile::<V, 1, SPAN, SQUARED>(at, size),
                    (2, SPAN) => outer_tile::<V, 2, SPAN, SQUARED>(at, size),
                    (3, SPAN) => outer_tile::<V, 3, SPAN, SQUARED>(at, size),
                    (4, SPAN) => outer_tile::<V, 4, SPAN, SQUARED>(at, size),
                    (5, SPAN) => outer_tile::<V, 5, SPAN, SQUARED>(at, size),
                    (6, SPAN) => outer_tile::<V, 6, SPAN, SQUARED>(at, size),
                    (1, _) => outer_tile::<V, 1, 1, SQUARED>(at, size),
                    (2, _) => outer_tile::<V, 2, 1, SQUARED>(at, size),
                    (3, _) => outer_tile::<V, 3, 1, SQUARED>(at, size),
                    (4, _) => outer_tile::<V, 4, 1, SQUARED>(at, size),
                    (5, _) => outer_tile::<V, 5, 1, SQUARED>(at, size),
                    _ => outer_tile::<V, 6, 1, SQUARED>(at, size),
                }
            }
            first += tile;
        }
        column += span * V::LANES;
    }
}

/// # Safety
/// As for [`outer`], for K classes and J vectors of columns.
#[inline(always)]
unsafe fn outer_tile<V: Vector, const K: usize, const J: usize, const SQUARED: bool>(
    (x, r, g): (*const V::Elem, *const V::Elem, *mut f64),
    (rows, stride, ld): (usize, usize, usize),
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(V::Elem::default()); J]; K];
        for i in 0..rows {
            let mut row = [V::splat(V::Elem::default()); J];
            for (j, value) in row.iter_mut().enumerate() {
                let loaded = V::load(x.add(i * stride + j * V::LANES));
                *value = if SQUARED { loaded.mul(loaded) } else { loaded };
            }
            for (k, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*r.add(k * ld + i));
                for j in 0..J {
                    sums[j] = row[j].fma(factor, sums[j]);
                }
            }
        }
        for k in 0..K {
            for j in 0..J {
                sums[k][j].add_to(g.add(k * stride + j * V::LANES));
            }
        }
    }
}

/// a . b
///
/// # Safety
/// V's instruction set; `length` elements each, `length` a multiple of 16.
#[inline(always)]
pub unsafe fn inner<V: Vector>(a: *const V::Elem, b: *const V::Elem, length: usize) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::splat(V::Elem::default()); SPAN];
        let mut at = 0;
        while at + SPAN * V::LANES <= length {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = at + i * V::LANES;
                *sum = V::load(a.add(at)).fma(V::load(b.add(at)), *sum);
            }
            at += SPAN * V::LANES;
        }
        while at < length {
            sums[0] = V::load(a.add(at)).fma(V::load(b.add(at)), sums[0]);
            at += V::LANES;
        }
        let mut total = 0.0;
        for i in 0..SPAN {
            total += sums[i].sum().wide();
        }
        total
    }
}

/// `y += factor * x`
///
/// # Safety
/// V's instruction set; `length` elements each, `length` a multiple of 16.
#[inline(always)]
pub unsafe fn add_scaled<V: Vector>(
    factor: V::Elem,
    x: *const V::Elem,
    y: *mut V::Elem,
    length: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let factor = V::splat(factor);
        for at in (0..length).step_by(V::LANES) {
            V::load(x.add(at)).fma(factor, V::load(y.add(at))).store(y.add(at));
        }
    }
}
