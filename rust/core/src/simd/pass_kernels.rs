//! The kernels of a pass over the data, generic over the vector; instruction sets are chosen in `pass`.
//!
//! Rows of `x` and of `w` are `stride` elements apart and `stride` is a multiple of every vector
//! length, so no kernel has a tail along the columns. Class-major arrays hold one class after the
//! other, `ld` elements apart.

use super::pass_vector::{Real, Vector};

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
    for row in (0..rows).step_by(ROWS) {
        // The rows beyond the end repeat the last one; their results land in the padding of `out`.
        let last = rows - 1;
        let lines = [row, (row + 1).min(last), (row + 2).min(last), (row + 3).min(last)];
        // SAFETY: row indices are clamped below `rows`.
        let at = lines.map(|line| unsafe { x.add(line * stride) });
        let mut first = 0;
        while first < classes {
            let width = tile_width(classes - first, V::COLUMNS);
            // SAFETY: classes first..first + width exist, and `out` has room for four rows.
            unsafe {
                let (w, bias) = (w.add(first * stride), bias.add(first));
                let out = out.add(first * ld + row);
                match width {
                    1 => product_tile::<V, 1>(at, stride, w, bias, out, ld),
                    2 => product_tile::<V, 2>(at, stride, w, bias, out, ld),
                    3 => product_tile::<V, 3>(at, stride, w, bias, out, ld),
                    4 => product_tile::<V, 4>(at, stride, w, bias, out, ld),
                    5 => product_tile::<V, 5>(at, stride, w, bias, out, ld),
                    _ => product_tile::<V, 6>(at, stride, w, bias, out, ld),
                }
            }
            first += width;
        }
    }
}

/// The next tile when `left` columns go into the fewest tiles of at most `most`, as even as can be.
#[inline(always)]
fn tile_width(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

/// # Safety
/// As for [`products`], for K classes and four rows.
#[inline(always)]
unsafe fn product_tile<V: Vector, const K: usize>(
    x: [*const V::Elem; ROWS],
    stride: usize,
    w: *const V::Elem,
    bias: *const V::Elem,
    out: *mut V::Elem,
    ld: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(V::Elem::default()); ROWS]; K];
        for column in (0..stride).step_by(V::LANES) {
            let mut rows = [V::splat(V::Elem::default()); ROWS];
            for i in 0..ROWS {
                rows[i] = V::load(x[i].add(column));
            }
            for (k, sums) in sums.iter_mut().enumerate() {
                let weights = V::load(w.add(k * stride + column));
                for i in 0..ROWS {
                    sums[i] = rows[i].fma(weights, sums[i]);
                }
            }
        }
        for (k, sums) in sums.into_iter().enumerate() {
            V::store_sums(sums, *bias.add(k), out.add(k * ld));
        }
    }
}

/// `g[k * stride + j] += sum over rows of r[k * r_class + i * r_row] * x_ij` for the first `width`
/// columns, a multiple of every vector length; x is squared if SQUARED.
///
/// # Safety
/// V's instruction set; `x`: `width` elements in each row, `g`: `width` doubles for each class, `r`
/// readable at every `k * r_class + i * r_row`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a flat kernel: pointers and sizes")]
pub unsafe fn outer<V: Vector, const SQUARED: bool>(
    x: *const V::Elem,
    rows: usize,
    stride: usize,
    width: usize,
    r: *const V::Elem,
    r_class: usize,
    r_row: usize,
    classes: usize,
    g: *mut f64,
) {
    let wide = SPAN * V::LANES;
    let mut column = 0;
    while column < width {
        let span = if column + wide <= width { SPAN } else { 1 };
        let mut first = 0;
        while first < classes {
            let tile = tile_width(classes - first, V::COLUMNS);
            // SAFETY: the columns column..column + span * LANES and these classes exist.
            unsafe {
                let at = (x.add(column), r.add(first * r_class), g.add(first * stride + column));
                let size = (rows, stride, r_class, r_row);
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
    (rows, stride, r_class, r_row): (usize, usize, usize, usize),
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
                let factor = V::splat(*r.add(k * r_class + i * r_row));
                for j in 0..J {
                    sums[j] = row[j].fma(factor, sums[j]);
                }
            }
        }
        for (k, sums) in sums.into_iter().enumerate() {
            for (j, sum) in sums.into_iter().enumerate() {
                sum.add_to(g.add(k * stride + j * V::LANES));
            }
        }
    }
}

/// e^x for x <= 0; at least the smallest normal number.
///
/// # Safety
/// V's instruction set.
#[inline(always)]
unsafe fn exp<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let x = x.max(V::splat(V::Elem::EXP_FLOOR));
        let power = x.mul(V::splat(V::Elem::of(std::f64::consts::LOG2_E))).nearest();
        let [high, low] = V::Elem::LN2;
        let rest = power.fma(V::splat(V::Elem::of(-high.wide())), x);
        let rest = power.fma(V::splat(V::Elem::of(-low.wide())), rest);
        let mut series = V::splat(V::Elem::EXP[0]);
        for &term in &V::Elem::EXP[1..] {
            series = series.fma(rest, V::splat(term));
        }
        let one = V::splat(V::Elem::of(1.0));
        series.fma(rest, one).fma(rest, one).mul(power.pow2())
    }
}

/// ln(1 + x) for x >= 0, accurate however small x is.
///
/// # Safety
/// V's instruction set.
#[inline(always)]
unsafe fn ln_1p<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let one = V::splat(V::Elem::of(1.0));
        let sum = x.add(one);
        let lost = x.sub(sum.sub(one)).div(sum);
        let (exponent, mantissa) = sum.split();
        let above = mantissa.sub(one);
        let ratio = above.div(above.add(V::splat(V::Elem::of(2.0))));
        let square = ratio.mul(ratio);
        let mut series = V::splat(V::Elem::ATANH[0]);
        for &term in &V::Elem::ATANH[1..] {
            series = series.fma(square, V::splat(term));
        }
        let [high, low] = V::Elem::LN2;
        let log = series.mul(square).fma(ratio, ratio.add(ratio));
        let log = exponent.fma(V::splat(low), log.add(lost));
        exponent.fma(V::splat(high), log)
    }
}

/// The softmax cross-entropy of a block, in place: logits become residuals s (p - y).
///
/// `loss[i]` becomes the loss of row i without its weight, `margin[i]` the logit of its class less
/// the highest other one. Where `curvature` is not null it receives s p (1 - p).
///
/// # Safety
/// V's instruction set; `rows` a multiple of 16; `logits` and `curvature`: classes * ld elements with ld
/// at least `rows`; the others: `rows` elements.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a flat kernel: pointers and sizes")]
pub unsafe fn softmax<V: Vector>(
    logits: *mut V::Elem,
    ld: usize,
    rows: usize,
    classes: usize,
    label: *const V::Elem,
    weight: *const V::Elem,
    loss: *mut V::Elem,
    margin: *mut V::Elem,
    curvature: *mut V::Elem,
) {
    // SAFETY: the caller's promise; every access below is at a row below `rows`.
    unsafe {
        let zero = V::splat(V::Elem::default());
        let one = V::splat(V::Elem::of(1.0));
        for row in (0..rows).step_by(V::LANES) {
            let class = V::load(label.add(row));
            let at = |k: usize| logits.add(k * ld + row);
            let mut own = zero;
            let mut other = V::splat(V::Elem::of(f64::from(f32::MIN)));
            for k in 0..classes {
                let (logit, k) = (V::load(at(k)), V::splat(V::Elem::of(k as f64)));
                own = k.where_equal(class, logit, own);
                other = k.where_equal(class, other, other.max(logit));
            }
            let top = own.max(other);
            let mut others = zero;
            for k in 0..classes {
                let power = exp(V::load(at(k)).sub(top));
                power.store(at(k));
                let k = V::splat(V::Elem::of(k as f64));
                others = others.add(k.where_equal(class, zero, power));
            }
            // The label's own term is kept apart: 1 - p loses nothing when p is close to 1.
            let total = others.add(exp(own.sub(top)));
            let excess = top.where_equal(own, others, total.sub(one));
            ln_1p(excess).add(top.sub(own)).store(loss.add(row));
            own.sub(other).store(margin.add(row));
            let weight = V::load(weight.add(row));
            let scale = one.div(total);
            let (share, rest) = (weight.mul(scale), zero.sub(others).mul(scale));
            for k in 0..classes {
                let power = V::load(at(k));
                let mine = V::splat(V::Elem::of(k as f64));
                let residual = power.mul(share);
                mine.where_equal(class, rest.mul(weight), residual).store(at(k));
                if !curvature.is_null() {
                    let spread = mine.where_equal(class, zero.sub(rest), one.sub(power.mul(scale)));
                    residual.mul(spread).store(curvature.add(k * ld + row));
                }
            }
        }
    }
}

/// The logistic loss of independent columns, in place; `target` holds +1 or -1, class-major.
///
/// `loss` and `margin` are per column and row (`ld` apart); the rest is as for [`softmax`].
///
/// # Safety
/// As for [`softmax`], with `target`, `loss` and `margin` of columns * ld elements.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a flat kernel: pointers and sizes")]
pub unsafe fn logistic<V: Vector>(
    logits: *mut V::Elem,
    ld: usize,
    rows: usize,
    columns: usize,
    target: *const V::Elem,
    weight: *const V::Elem,
    loss: *mut V::Elem,
    margin: *mut V::Elem,
    curvature: *mut V::Elem,
) {
    // SAFETY: the caller's promise; every access below is at a row below `rows`.
    unsafe {
        let zero = V::splat(V::Elem::default());
        let one = V::splat(V::Elem::of(1.0));
        for at in (0..columns).flat_map(|k| (0..rows).step_by(V::LANES).map(move |i| k * ld + i)) {
            let target = V::load(target.add(at));
            let weight = V::load(weight.add(at % ld));
            let distance = V::load(logits.add(at)).mul(target);
            let size = distance.max(zero.sub(distance));
            let power = exp(zero.sub(size));
            let scale = one.div(one.add(power));
            // The probability of the wrong side: power * scale on the right side of 0, else scale.
            let wrong = size.where_equal(distance, power, one).mul(scale);
            ln_1p(power).add(zero.max(zero.sub(distance))).store(loss.add(at));
            distance.store(margin.add(at));
            zero.sub(wrong).mul(weight).mul(target).store(logits.add(at));
            if !curvature.is_null() {
                power.mul(scale).mul(scale).mul(weight).store(curvature.add(at));
            }
        }
    }
}

/// The squared hinge max(0, 1 - t z)^2 of independent columns, in place; otherwise as [`logistic`].
///
/// # Safety
/// As for [`logistic`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a flat kernel: pointers and sizes")]
pub unsafe fn squared_hinge<V: Vector>(
    logits: *mut V::Elem,
    ld: usize,
    rows: usize,
    columns: usize,
    target: *const V::Elem,
    weight: *const V::Elem,
    loss: *mut V::Elem,
    margin: *mut V::Elem,
    curvature: *mut V::Elem,
) {
    // SAFETY: the caller's promise; every access below is at a row below `rows`.
    unsafe {
        let zero = V::splat(V::Elem::default());
        let one = V::splat(V::Elem::of(1.0));
        let two = V::splat(V::Elem::of(2.0));
        for at in (0..columns).flat_map(|k| (0..rows).step_by(V::LANES).map(move |i| k * ld + i)) {
            let target = V::load(target.add(at));
            let weight = V::load(weight.add(at % ld));
            let distance = V::load(logits.add(at)).mul(target);
            let short = zero.max(one.sub(distance));
            short.mul(short).store(loss.add(at));
            distance.store(margin.add(at));
            zero.sub(short).mul(two).mul(weight).mul(target).store(logits.add(at));
            if !curvature.is_null() {
                short.where_equal(zero, zero, two).mul(weight).store(curvature.add(at));
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
        sums.into_iter().map(|sum| sum.sum().wide()).sum()
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
