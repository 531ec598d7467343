//! Every kernel of a pass, on every instruction set of this machine, against plain sums in double.

use proptest::prelude::*;

use super::Isa;
use super::{Element, LeaveOut, Loss, LossBlock, padded};

/// Deterministic numbers of about unit size.
fn numbers<T: Element>(count: usize, seed: u64) -> Vec<T> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::of((state >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0)
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn close(name: &str, got: f64, wanted: f64, tolerance: f64) {
    let size = wanted.abs().max(1.0);
    assert!((got - wanted).abs() <= tolerance * size, "{name}: {got} instead of {wanted}");
}

fn tolerance<T>() -> f64 {
    if size_of::<T>() == 4 { 2e-5 } else { 1e-12 }
}

fn check_products<T: Element>(isa: Isa, rows: usize, stride: usize, classes: usize, seed: u64) {
    let kernels = T::kernels_of(isa);
    let (x, w): (Vec<T>, Vec<T>) =
        (numbers(rows * stride, seed), numbers(classes * stride, seed + 1));
    let (bias, r): (Vec<T>, Vec<T>) =
        (numbers(classes, seed + 2), numbers(classes * padded(rows), seed + 3));
    let ld = padded(rows);
    let mut out = vec![T::default(); classes * ld];
    kernels.products(&x, stride, &w, &bias, &mut out, ld);
    let mut sums = [vec![1.0; classes * stride], vec![1.0; classes * stride]];
    kernels.outer(&x, stride, &r, ld, &mut sums[0], false);
    kernels.outer(&x, stride, &r, ld, &mut sums[1], true);
    let at = |i: usize, j: usize| x[i * stride + j].wide();
    for k in 0..classes {
        for i in 0..rows {
            let wanted: f64 = (0..stride).map(|j| at(i, j) * w[k * stride + j].wide()).sum();
            close("product", out[k * ld + i].wide(), wanted + bias[k].wide(), tolerance::<T>());
        }
        for j in 0..stride {
            let plain: f64 = (0..rows).map(|i| r[k * ld + i].wide() * at(i, j)).sum();
            let squared: f64 = (0..rows).map(|i| r[k * ld + i].wide() * at(i, j).powi(2)).sum();
            close("outer", sums[0][k * stride + j], 1.0 + plain, tolerance::<T>());
            close("outer of squares", sums[1][k * stride + j], 1.0 + squared, tolerance::<T>());
        }
    }
    let wanted: f64 = x.iter().map(|x| x.wide() * x.wide()).sum();
    close("inner", kernels.inner(&x, &x), wanted, tolerance::<T>());
    let mut y = x.clone();
    kernels.add_scaled(-0.5, &x, &mut y);
    assert!(y.iter().zip(&x).all(|(y, x)| y.wide() == 0.5 * x.wide()));
}

fn check_ridge<T: Element>(isa: Isa, depth: usize, parts: usize, penalties: usize, seed: u64) {
    let kernels = T::kernels_of(isa);
    let (w, ld) = (kernels.panel(), padded(depth));
    let (left, right): (Vec<T>, Vec<T>) = (numbers(depth * w, seed), numbers(depth * w, seed + 1));
    let mut out = vec![1.0; w * w];
    kernels.gram(&left, &right, &mut out);
    for (a, b) in (0..w).flat_map(|a| (0..w).map(move |b| (a, b))) {
        let wanted: f64 =
            (0..depth).map(|i| left[i * w + a].wide() * right[i * w + b].wide()).sum();
        close("gram", out[a * w + b], 1.0 + wanted, tolerance::<T>());
    }
    let (y, weight): (Vec<T>, Vec<T>) = (numbers(ld, seed + 2), numbers(ld, seed + 3));
    let (fitted, mix): (Vec<T>, Vec<T>) =
        (numbers(parts * ld, seed + 4), numbers(penalties * parts, seed + 5));
    let inverse: Vec<T> = numbers(penalties * ld, seed + 6);
    let mut rest = vec![T::default(); penalties * ld];
    let mut sums = vec![1.0; penalties];
    let from = LeaveOut { y: &y, weight: &weight, fitted: &fitted, mix: &mix, inverse: &inverse };
    kernels.leave_out(&from, &mut rest, &mut sums);
    for a in 0..penalties {
        let mut sum = 1.0;
        for i in 0..ld {
            let part = |r: usize| mix[a * parts + r].wide() * fitted[r * ld + i].wide();
            let residual = y[i].wide() - (0..parts).map(part).sum::<f64>();
            let wanted = residual * inverse[a * ld + i].wide();
            close("residual", rest[a * ld + i].wide(), wanted, tolerance::<T>());
            sum += weight[i].wide() * wanted * wanted;
        }
        close("sum of squares", sums[a], sum, 10.0 * ld as f64 * tolerance::<T>());
    }
}

/// Loss, margin, derivative by each logit and second derivative of one row, in double.
fn naive(loss: Loss, logits: &[f64], target: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>) {
    if loss == Loss::Softmax {
        let class = target[0] as usize;
        let top = logits.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
        let others: f64 =
            (0..logits.len()).filter(|&k| k != class).map(|k| (logits[k] - top).exp()).sum();
        let other = (0..logits.len()).filter(|&k| k != class).map(|k| logits[k]);
        let margin = logits[class] - other.fold(f64::MIN, f64::max);
        let value = if margin > 0.0 { others.ln_1p() } else { top - logits[class] + total.ln() };
        let p = |k: usize| (logits[k] - top).exp() / total;
        let residual = |k| if k == class { -others / total } else { p(k) };
        let spread = |k| p(k) * if k == class { others / total } else { 1.0 - p(k) };
        let all = 0..logits.len();
        return (
            vec![value],
            vec![margin],
            all.clone().map(residual).collect(),
            all.map(spread).collect(),
        );
    }
    let t: Vec<f64> = logits.iter().zip(target).map(|(l, y)| l * y).collect();
    let each = |f: &dyn Fn(f64, f64) -> f64| t.iter().zip(target).map(|(&t, &y)| f(t, y)).collect();
    let sigmoid = |t: f64| 1.0 / (1.0 + t.exp());
    if loss == Loss::Logistic {
        let value = |t: f64, _| (-t.abs()).exp().ln_1p() + (-t).max(0.0);
        let spread = |t: f64, _| (-t.abs()).exp() / (1.0 + (-t.abs()).exp()).powi(2);
        return (each(&value), t.clone(), each(&|t, y| -y * sigmoid(t)), each(&spread));
    }
    let short = |t: f64| (1.0 - t).max(0.0);
    let spread = |t: f64, _| if t < 1.0 { 2.0 } else { 0.0 };
    (each(&|t, _| short(t).powi(2)), t.clone(), each(&|t, y| -2.0 * y * short(t)), each(&spread))
}

fn check_loss<T: Element>(isa: Isa, loss: Loss, rows: usize, classes: usize, size: f64, seed: u64) {
    let ld = padded(rows);
    let logits: Vec<T> =
        numbers::<T>(classes * ld, seed).iter().map(|l| T::of(l.wide() * size)).collect();
    let weight: Vec<T> = numbers::<T>(ld, seed + 1).iter().map(|w| T::of(w.wide().abs())).collect();
    let columns = if loss == Loss::Softmax { 1 } else { classes };
    let target: Vec<T> = numbers::<T>(columns * ld, seed + 2)
        .iter()
        .map(|t| match loss {
            Loss::Softmax => T::of((t.wide().abs() * 100.0).floor() % classes as f64),
            _ => T::of(t.wide().signum()),
        })
        .collect();
    let mut out = logits.clone();
    let (mut value, mut margin) = (target.clone(), target.clone());
    let mut curvature = vec![T::default(); classes * ld];
    let mut block = LossBlock {
        logits: &mut out,
        ld,
        target: &target,
        weight: &weight,
        loss: &mut value,
        margin: &mut margin,
        curvature: &mut curvature,
    };
    T::kernels_of(isa).loss(loss, &mut block);
    for (i, weight) in weight.iter().enumerate() {
        let row = |values: &[T]| -> Vec<f64> {
            values.iter().skip(i).step_by(ld).map(|value| value.wide()).collect()
        };
        let (wanted, distance, residual, spread) = naive(loss, &row(&logits), &row(&target));
        let s = weight.wide();
        let each = |name: &str, got: Vec<f64>, wanted: Vec<f64>, scale: f64| {
            for (got, wanted) in got.into_iter().zip(wanted) {
                // Relative, so that losses of well separated rows keep their digits; the curvature
                // only has to be right beside one.
                let least = if name == "curvature" { 1.0 } else { 1e-30 };
                let error = (got - scale * wanted).abs() / (scale * wanted).abs().max(least);
                assert!(error <= 10.0 * tolerance::<T>(), "{name}: {got} not {}", scale * wanted);
            }
        };
        each("loss", row(&value), wanted, 1.0);
        each("margin", row(&margin), distance, 1.0);
        each("residual", row(&out), residual, s);
        each("curvature", row(&curvature), spread, s);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn products_match(rows in 1usize..40, stride in 1usize..8, classes in 1usize..20, seed in 0u64..1000) {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            check_products::<f32>(isa, rows, stride * 16, classes, seed);
            check_products::<f64>(isa, rows, stride * 16, classes, seed);
        }
    }

    #[test]
    fn ridge_kernels_match(depth in 1usize..90, parts in 1usize..12, penalties in 1usize..9, seed in 0u64..1000) {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            check_ridge::<f32>(isa, depth, parts, penalties, seed);
            check_ridge::<f64>(isa, depth, parts, penalties, seed);
        }
    }

    #[test]
    fn losses_match(rows in 1usize..70, classes in 2usize..9, exponent in -3i32..2, seed in 0u64..1000) {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for loss in [Loss::Softmax, Loss::Logistic, Loss::SquaredHinge] {
                // Squared hinges cancel near 1: their digits are those of the logits.
                let size = if loss == Loss::SquaredHinge { 8.0 } else { 10f64.powi(exponent) };
                if loss != Loss::SquaredHinge {
                    check_loss::<f32>(isa, loss, rows, classes, size, seed);
                }
                check_loss::<f64>(isa, loss, rows, classes, size, seed);
            }
        }
    }
}

#[test]
fn products_of_long_rows_are_taken_in_parts() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for stride in [816, 1296, 2400] {
            check_products::<f32>(isa, 7, stride, 13, 5);
            check_products::<f64>(isa, 7, stride, 13, 5);
        }
    }
}
