//! The Hessian by the intercepts of a softmax: `sum over rows of s (diag p - p p')`.

use super::block::Scratch;
use crate::simd::pass::{Element, PassKernels, padded};
use crate::simd::vectorised::update;

/// Classes up to which the whole Hessian is formed.
const MAX_CLASSES: usize = 1024;
/// Classes of a panel: what lies above the diagonal is summed within panels only.
const PANEL: usize = 128;

/// The sums `s p_k p_l` over rows: what the Hessian has off its diagonal, but for the sign. A panel holds
/// [`PANEL`] columns of the matrix, from its first row at the diagonal to the last.
#[derive(Clone, Debug, Default)]
pub struct InterceptHessian {
    classes: usize,
    pub(super) sums: Vec<f64>,
}

impl InterceptHessian {
    /// Whether that many classes have one: with more of them `p p'` is small beside `diag p`.
    pub fn has_room_for(classes: usize) -> bool {
        classes <= MAX_CLASSES
    }

    /// `sum of s p_k p_l` for two different classes.
    pub fn together(&self, k: usize, l: usize) -> f64 {
        let (row, column) = (k.max(l), k.min(l));
        let first = column / PANEL * PANEL;
        let at = (row - first) * width(self.classes, first) + column - first;
        self.sums[offset(self.classes, first) + at]
    }

    /// Sets the sums of so many classes to zero; of none: there are none.
    pub(super) fn reset(&mut self, classes: usize) {
        self.classes = classes;
        self.sums.clear();
        self.sums.resize(offset(classes, classes.next_multiple_of(PANEL)), 0.0);
    }

    /// Adds a block of rows, from its residuals `s (p - y)`.
    pub(super) fn add_block<T: Element>(
        &mut self,
        kernels: &PassKernels<T>,
        residuals: &[T],
        rows: usize,
        scratch: &mut Scratch<T>,
    ) {
        if self.classes == 0 {
            return;
        }
        let ld = padded(rows);
        scratch.find_roots(residuals, ld);
        let Scratch { roots, across, .. } = scratch;
        for first in (0..self.classes).step_by(PANEL) {
            let (wide, start) = (width(self.classes, first), offset(self.classes, first));
            across.clear();
            across.resize(rows * wide, T::default());
            for (k, roots) in roots[first * ld..].chunks(ld).take(wide).enumerate() {
                for (row, root) in across.chunks_mut(wide).zip(roots) {
                    row[k] = *root;
                }
            }
            let sums = &mut self.sums[start..start + (self.classes - first) * wide];
            kernels.outer(across, wide, &roots[first * ld..], ld, sums, false);
        }
    }
}

/// Columns of the panel that starts at class `first`, padded.
fn width(classes: usize, first: usize) -> usize {
    padded(PANEL.min(classes - first))
}

/// Where the sums of that panel start: those before it are full.
fn offset(classes: usize, first: usize) -> usize {
    (0..first.min(classes)).step_by(PANEL).map(|at| (classes - at) * width(classes, at)).sum()
}

impl<T: Element> Scratch<T> {
    /// `p sqrt(s)` of every class and row: the sum over rows of products of two is that of `s p_k p_l`.
    fn find_roots(&mut self, residuals: &[T], ld: usize) {
        let Self { roots, weight, target, root_weights, inverse, .. } = self;
        root_weights.clear();
        root_weights.extend(weight.iter().map(|weight| weight.wide().sqrt()));
        inverse.clear();
        inverse.extend(root_weights.iter().map(|&root| if root > 0.0 { 1.0 / root } else { 0.0 }));
        roots.clear();
        roots.resize(residuals.len(), T::default());
        for (roots, residuals) in roots.chunks_mut(ld).zip(residuals.chunks(ld)) {
            update(roots, residuals, inverse, |root, residual, inverse| {
                *root = T::of(residual.wide() * inverse);
            });
        }
        for (i, (class, weight)) in target.iter().zip(root_weights.iter()).enumerate() {
            let own = &mut roots[class.wide() as usize * ld + i];
            *own = T::of(own.wide() + weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_classes_is_summed_once() {
        for classes in [1, 2, 16, 17, 127, 128, 129, 300] {
            let (rows, ld) = (21, padded(21));
            let mut scratch = Scratch::<f64>::default();
            let share = |k: usize, i: usize| ((k * 31 + i * 7) % 13 + 1) as f64 / 50.0;
            let weight = |i: usize| if i < rows { (i % 4) as f64 } else { 0.0 };
            scratch.weight.extend((0..ld).map(weight));
            scratch.target.extend((0..ld).map(|i| (i % classes) as f64));
            let residual = |at: usize| {
                let (k, i) = (at / ld, at % ld);
                weight(i) * (share(k, i) - f64::from(i % classes == k))
            };
            let residuals: Vec<f64> = (0..classes * ld).map(residual).collect();
            let mut hessian = InterceptHessian::default();
            hessian.reset(classes);
            let kernels = f64::kernels().unwrap();
            hessian.add_block(kernels, &residuals, rows, &mut scratch);
            for (k, l) in (0..classes).flat_map(|k| (0..classes).map(move |l| (k, l))) {
                let expected: f64 = (0..rows).map(|i| weight(i) * share(k, i) * share(l, i)).sum();
                assert!((hessian.together(k, l) - expected).abs() < 1e-12, "{classes}: {k}, {l}");
            }
        }
    }
}
