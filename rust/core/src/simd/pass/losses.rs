//! Losses of a block of logits, generic over the vector; instruction sets are chosen in `pass`.
//!
//! Class-major arrays hold one class after the other, `ld` elements apart.

use super::vector::{Scalar, Vector};

/// e^x for x <= 0; at least e to the `EXP_FLOOR`.
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
