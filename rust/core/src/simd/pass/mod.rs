//! The kernels of a pass over the data behind safe calls: lengths are checked, the instruction set is
//! chosen once.

mod losses;
mod products;
mod ridge;
#[cfg(test)]
mod tests;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use crate::error::Result;
use crate::simd::Isa;
use vector::{Portable, Scalar, Vector};
#[cfg(target_arch = "x86_64")]
use x86::{F32x8, F32x16, F64x4, F64x8};

/// Columns are padded with zeros to a multiple of this, rows of a block's scratch likewise.
pub const LANES: usize = 16;

/// `length` rounded up to a multiple of [`LANES`].
pub fn padded(length: usize) -> usize {
    length.next_multiple_of(LANES)
}

/// Which loss a block evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Cross-entropy over all classes; labels are class numbers.
    Softmax,
    /// Logistic loss of each column by itself; targets are +1 and -1.
    Logistic,
    /// Squared hinge of each column by itself; targets are +1 and -1.
    SquaredHinge,
}

/// A block of logits on its way to residuals. All arrays are class-major with `ld` rows per class.
#[derive(Debug)]
pub struct LossBlock<'a, T> {
    /// Logits on entry, weighted residuals on return.
    pub logits: &'a mut [T],
    /// Rows per class, a multiple of [`LANES`]; rows beyond the data have weight zero.
    pub ld: usize,
    /// Class numbers (softmax, `ld`) or +-1 (the others, one column after the other).
    pub target: &'a [T],
    /// One weight per row.
    pub weight: &'a [T],
    /// Receives the unweighted loss: per row (softmax) or per column and row.
    pub loss: &'a mut [T],
    /// Receives the distance to the decision boundary in logits, of the same shape as `loss`.
    pub margin: &'a mut [T],
    /// Receives the second derivative by each logit, or is empty.
    pub curvature: &'a mut [T],
}

/// One output of a block of rows, for [`PassKernels::leave_out`].
#[derive(Debug)]
pub struct LeaveOut<'a, T> {
    /// The output, one number per row; as many rows as a multiple of [`LANES`].
    pub y: &'a [T],
    /// A weight per row.
    pub weight: &'a [T],
    /// parts * rows: what the fitted values are mixed from.
    pub fitted: &'a [T],
    /// penalties * parts: how.
    pub mix: &'a [T],
    /// penalties * rows: one over what the leverage leaves.
    pub inverse: &'a [T],
}

type Products<T> = unsafe fn(*const T, usize, usize, *const T, *const T, usize, *mut T, usize);
type Outer<T> = unsafe fn(*const T, usize, usize, *const T, usize, usize, *mut f64);
type Gram<T> = unsafe fn(*const T, *const T, usize, *mut f64);
type LeaveOutKernel<T> = unsafe fn(
    *const T,
    *const T,
    *const T,
    usize,
    *const T,
    *const T,
    usize,
    usize,
    *mut T,
    *mut f64,
);
type LossKernel<T> =
    unsafe fn(*mut T, usize, usize, usize, *const T, *const T, *mut T, *mut T, *mut T);

/// The kernels for one element type and one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct PassKernels<T> {
    products: Products<T>,
    outer: Outer<T>,
    outer_squared: Outer<T>,
    gram: Gram<T>,
    panel: usize,
    leave_out: LeaveOutKernel<T>,
    losses: [LossKernel<T>; 3],
    inner: unsafe fn(*const T, *const T, usize) -> f64,
    add_scaled: unsafe fn(T, *const T, *mut T, usize),
}

impl<T: Scalar> PassKernels<T> {
    /// `out[k * ld + i] = x_i . w_k + bias[k]`; rows of `x` and `w` are `stride` apart.
    pub fn products(&self, x: &[T], stride: usize, w: &[T], bias: &[T], out: &mut [T], ld: usize) {
        let rows = x.len() / stride;
        assert!(stride.is_multiple_of(LANES) && x.len() == rows * stride);
        assert!(w.len() == bias.len() * stride && out.len() >= bias.len() * ld);
        assert!(ld >= rows && ld.is_multiple_of(LANES));
        if rows > 0 {
            // SAFETY: lengths were just checked; the table holds kernels of an available set.
            unsafe {
                (self.products)(
                    x.as_ptr(),
                    rows,
                    stride,
                    w.as_ptr(),
                    bias.as_ptr(),
                    bias.len(),
                    out.as_mut_ptr(),
                    ld,
                );
            }
        }
    }

    /// `g[k * stride + j] += sum over i of r[k * ld + i] x_ij`, with x squared if `squared`.
    pub fn outer(&self, x: &[T], stride: usize, r: &[T], ld: usize, g: &mut [f64], squared: bool) {
        let (rows, classes) = (x.len() / stride, g.len() / stride);
        assert!(stride.is_multiple_of(LANES) && x.len() == rows * stride);
        assert!(g.len() == classes * stride && ld >= rows && r.len() >= classes * ld);
        let kernel = if squared { self.outer_squared } else { self.outer };
        // SAFETY: lengths were just checked; the table holds kernels of an available set.
        unsafe { kernel(x.as_ptr(), rows, stride, r.as_ptr(), ld, classes, g.as_mut_ptr()) }
    }

    /// Columns of a panel of [`PassKernels::gram`].
    pub fn panel(&self) -> usize {
        self.panel
    }

    /// `out[a * W + b] += sum over i of left[i * W + a] right[i * W + b]`, W columns per panel.
    pub fn gram(&self, left: &[T], right: &[T], out: &mut [f64]) {
        let depth = left.len() / self.panel;
        assert!(left.len() == depth * self.panel && right.len() == left.len());
        assert!(out.len() == self.panel * self.panel);
        // SAFETY: lengths were just checked; the table holds kernels of an available set.
        unsafe { (self.gram)(left.as_ptr(), right.as_ptr(), depth, out.as_mut_ptr()) }
    }

    /// Leave-one-out residuals of one output for many penalties, and their weighted squares:
    /// `left[a * ld + i] = (y_i - sum over r of mix[a * parts + r] fitted[r * ld + i]) inverse[a * ld + i]`
    /// and `sums[a] += sum over i of weight_i left[a * ld + i]^2`.
    pub fn leave_out(&self, from: &LeaveOut<'_, T>, left: &mut [T], sums: &mut [f64]) {
        let (ld, penalties) = (from.y.len(), sums.len());
        let parts = from.mix.len() / penalties;
        assert!(
            ld.is_multiple_of(LANES) && from.weight.len() == ld && left.len() == penalties * ld
        );
        assert!(from.fitted.len() == parts * ld && from.mix.len() == penalties * parts);
        assert!(from.inverse.len() == penalties * ld);
        // SAFETY: lengths were just checked; the table holds kernels of an available set.
        unsafe {
            (self.leave_out)(
                from.y.as_ptr(),
                from.weight.as_ptr(),
                from.fitted.as_ptr(),
                parts,
                from.mix.as_ptr(),
                from.inverse.as_ptr(),
                penalties,
                ld,
                left.as_mut_ptr(),
                sums.as_mut_ptr(),
            );
        }
    }

    /// Turns logits into residuals and fills `loss`, `margin` and `curvature`.
    pub fn loss(&self, kind: Loss, block: &mut LossBlock<'_, T>) {
        let ld = block.ld;
        let classes = block.logits.len() / ld;
        let per_row = if kind == Loss::Softmax { ld } else { classes * ld };
        assert!(ld.is_multiple_of(LANES) && block.logits.len() == classes * ld);
        assert!(block.target.len() == per_row && block.weight.len() == ld);
        assert!(block.loss.len() == per_row && block.margin.len() == per_row);
        assert!(block.curvature.is_empty() || block.curvature.len() == classes * ld);
        let curvature = if block.curvature.is_empty() {
            std::ptr::null_mut()
        } else {
            block.curvature.as_mut_ptr()
        };
        // SAFETY: lengths were just checked; the table holds kernels of an available set.
        unsafe {
            self.losses[kind as usize](
                block.logits.as_mut_ptr(),
                ld,
                ld,
                classes,
                block.target.as_ptr(),
                block.weight.as_ptr(),
                block.loss.as_mut_ptr(),
                block.margin.as_mut_ptr(),
                curvature,
            );
        }
    }

    /// a . b, summed in `T` per lane and in double across lanes.
    pub fn inner(&self, a: &[T], b: &[T]) -> f64 {
        assert!(a.len() == b.len() && a.len().is_multiple_of(LANES));
        // SAFETY: lengths were just checked; the table holds kernels of an available set.
        unsafe { (self.inner)(a.as_ptr(), b.as_ptr(), a.len()) }
    }

    /// y += factor x
    pub fn add_scaled(&self, factor: f64, x: &[T], y: &mut [T]) {
        assert!(x.len() == y.len() && x.len().is_multiple_of(LANES));
        // SAFETY: lengths were just checked; the table holds kernels of an available set.
        unsafe { (self.add_scaled)(T::of(factor), x.as_ptr(), y.as_mut_ptr(), x.len()) }
    }
}

/// One table for a vector type: each entry instantiates a kernel inside a function compiled for the set.
macro_rules! table {
    ($name:ident, $vector:ty $(, $feature:literal)?) => {
        fn $name() -> PassKernels<<$vector as Vector>::Elem> {
            #![expect(clippy::too_many_arguments, reason = "flat kernels: pointers and sizes")]
            type V = $vector;
            type T = <V as Vector>::Elem;
            // SAFETY of every function below: the contract of the kernel it forwards to, and the
            // instruction set, which `choose` has seen to be available.
            $(#[target_feature(enable = $feature)])?
            unsafe fn products(x: *const T, n: usize, s: usize, w: *const T, b: *const T, k: usize, out: *mut T, ld: usize) {
                // SAFETY: forwarded.
                unsafe { products::products::<V>(x, n, s, w, b, k, out, ld) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn outer(x: *const T, n: usize, s: usize, r: *const T, ld: usize, k: usize, g: *mut f64) {
                // SAFETY: forwarded.
                unsafe { products::outer::<V, false>(x, n, s, r, ld, k, g) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn outer_squared(x: *const T, n: usize, s: usize, r: *const T, ld: usize, k: usize, g: *mut f64) {
                // SAFETY: forwarded.
                unsafe { products::outer::<V, true>(x, n, s, r, ld, k, g) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn softmax(l: *mut T, ld: usize, n: usize, k: usize, y: *const T, s: *const T, loss: *mut T, m: *mut T, c: *mut T) {
                // SAFETY: forwarded.
                unsafe { losses::softmax::<V>(l, ld, n, k, y, s, loss, m, c) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn logistic(l: *mut T, ld: usize, n: usize, k: usize, y: *const T, s: *const T, loss: *mut T, m: *mut T, c: *mut T) {
                // SAFETY: forwarded.
                unsafe { losses::logistic::<V>(l, ld, n, k, y, s, loss, m, c) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn hinge(l: *mut T, ld: usize, n: usize, k: usize, y: *const T, s: *const T, loss: *mut T, m: *mut T, c: *mut T) {
                // SAFETY: forwarded.
                unsafe { losses::squared_hinge::<V>(l, ld, n, k, y, s, loss, m, c) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn inner(a: *const T, b: *const T, n: usize) -> f64 {
                // SAFETY: forwarded.
                unsafe { products::inner::<V>(a, b, n) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn add_scaled(f: T, x: *const T, y: *mut T, n: usize) {
                // SAFETY: forwarded.
                unsafe { products::add_scaled::<V>(f, x, y, n) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn gram(l: *const T, r: *const T, n: usize, out: *mut f64) {
                // SAFETY: forwarded.
                unsafe { ridge::gram::<V>(l, r, n, out) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn leave_out(y: *const T, s: *const T, f: *const T, p: usize, c: *const T, i: *const T, a: usize, ld: usize, l: *mut T, sums: *mut f64) {
                // SAFETY: forwarded.
                unsafe { ridge::leave_out::<V>(y, s, f, p, c, i, a, ld, l, sums) }
            }
            let panel = ridge::PANEL_VECTORS * <V as Vector>::LANES;
            PassKernels { products, outer, outer_squared, gram, panel, leave_out, losses: [softmax, logistic, hinge], inner, add_scaled }
        }
    };
}

table!(portable_f32, Portable<f32>);
table!(portable_f64, Portable<f64>);
#[cfg(target_arch = "x86_64")]
table!(avx2_f32, F32x8, "avx2,fma");
#[cfg(target_arch = "x86_64")]
table!(avx2_f64, F64x4, "avx2,fma");
#[cfg(target_arch = "x86_64")]
table!(avx512_f32, F32x16, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
#[cfg(target_arch = "x86_64")]
table!(avx512_f64, F64x8, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

/// An element type with kernels: `f32` or `f64`.
pub trait Element: Scalar {
    /// The kernels of an instruction set, or of the best one below it that has any; it must be available.
    fn kernels_of(isa: Isa) -> PassKernels<Self>;
    /// The kernels of [`Isa::current`], looked up once.
    fn kernels() -> Result<&'static PassKernels<Self>>;
}

macro_rules! element {
    ($float:ty, $portable:ident, $avx2:ident, $avx512:ident) => {
        impl Element for $float {
            fn kernels_of(isa: Isa) -> PassKernels<Self> {
                assert!(isa.is_available(), "{} is not available on this machine", isa.name());
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => $avx2(),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 | Isa::Avx512Vnni => $avx512(),
                    _ => $portable(),
                }
            }
            fn kernels() -> Result<&'static PassKernels<Self>> {
                static TABLE: OnceLock<PassKernels<$float>> = OnceLock::new();
                let isa = Isa::current()?;
                Ok(TABLE.get_or_init(|| Self::kernels_of(isa)))
            }
        }
    };
}

element!(f32, portable_f32, avx2_f32, avx512_f32);
element!(f64, portable_f64, avx2_f64, avx512_f64);
