//! What the pass kernels ask of a vector of numbers, and the portable vector of four.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

/// A floating-point type that probes are solved in, with the constants of its `exp` and `ln`.
pub trait Scalar:
    Copy
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    /// Below this, `exp` stays at its value here: far below what the type can tell from nothing beside 1, and
    /// far enough above its smallest normal number that products with weights and features stay normal. On
    /// Intel's chips each subnormal number costs some 150 cycles.
    const EXP_FLOOR: Self;
    /// ln 2 in two parts: the first has trailing zeros, so that its multiples are exact.
    const LN2: [Self; 2];
    /// 1 / k! from the highest power down to k = 2.
    const EXP: &'static [Self];
    /// 2 / (2k + 1) from the highest power down to k = 1: atanh's series, doubled.
    const ATANH: &'static [Self];
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// The same value in double precision.
    fn wide(self) -> f64;
    /// 2 to the power of a whole number within the exponent's range.
    fn pow2(power: Self) -> Self;
    /// Exponent and mantissa in [0.7071, 1.4142] of a number that is at least 1.
    fn split(self) -> (Self, Self);
    /// The nearest whole number.
    fn nearest(self) -> Self;
}

macro_rules! real {
    ($float:ty, $bits:ty, $mantissa:expr, $bias:expr, $half:expr, $floor:expr, $ln2:expr, $exp:expr, $atanh:expr) => {
        impl Scalar for $float {
            const EXP_FLOOR: Self = $floor;
            const LN2: [Self; 2] = $ln2;
            const EXP: &'static [Self] = &$exp;
            const ATANH: &'static [Self] = &$atanh;
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $float
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn pow2(power: Self) -> Self {
                Self::from_bits(((power as i32 + $bias) as $bits) << $mantissa)
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                let exponent = (self.to_bits() - $half) >> $mantissa;
                (exponent as $float, Self::from_bits(self.to_bits() - (exponent << $mantissa)))
            }
            #[inline(always)]
            fn nearest(self) -> Self {
                self.round_ties_even()
            }
        }
    };
}

real!(
    f32,
    u32,
    23,
    127,
    0x3f35_04f3_u32,
    -40.0,
    [0.693_359_4, -2.121_944_4e-4],
    [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5],
    [2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0]
);
real!(
    f64,
    u64,
    52,
    1023,
    0x3fe6_a09e_667f_3bcd_u64,
    -300.0,
    [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10],
    [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ],
    [
        2.0 / 23.0,
        2.0 / 21.0,
        2.0 / 19.0,
        2.0 / 17.0,
        2.0 / 15.0,
        2.0 / 13.0,
        2.0 / 11.0,
        2.0 / 9.0,
        2.0 / 7.0,
        2.0 / 5.0,
        2.0 / 3.0,
    ]
);

/// A register of numbers.
///
/// # Safety
/// Every method may use instructions of the vector's instruction set: call them only where that set
/// is available. `load`, `store` and `add_to` touch [`Vector::LANES`] elements, `store_sums` four.
pub unsafe trait Vector: Copy {
    /// The element type.
    type Elem: Scalar;
    /// Elements in one register.
    const LANES: usize;
    /// Columns of a register tile: what fits beside four rows.
    const COLUMNS: usize;
    unsafe fn splat(value: Self::Elem) -> Self;
    unsafe fn load(from: *const Self::Elem) -> Self;
    unsafe fn store(self, to: *mut Self::Elem);
    /// Asks for the cache line of `at`, which may be any address.
    unsafe fn prefetch(_at: *const Self::Elem) {}
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self * a + b`
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn nearest(self) -> Self;
    unsafe fn pow2(self) -> Self;
    unsafe fn split(self) -> (Self, Self);
    /// `yes` in the lanes where `self == other`, `no` elsewhere.
    unsafe fn where_equal(self, other: Self, yes: Self, no: Self) -> Self;
    /// Adds each lane to a double.
    unsafe fn add_to(self, to: *mut f64);
    /// The sum of all lanes.
    unsafe fn sum(self) -> Self::Elem;
    /// `to[i] = sum of vectors[i] + start[i]` for four vectors.
    #[inline(always)]
    unsafe fn store_sums(vectors: [Self; 4], start: [Self::Elem; 4], to: *mut Self::Elem) {
        for (i, vector) in vectors.into_iter().enumerate() {
            // SAFETY: the caller vouches for four elements at `to` and for the instruction set.
            unsafe { *to.add(i) = vector.sum() + start[i] };
        }
    }
}

/// Four numbers in plain Rust: what every machine can run, and the reference of the others.
#[derive(Clone, Copy)]
pub struct Portable<T>([T; 4]);

impl<T: Scalar> Portable<T> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

// SAFETY: plain Rust needs no instruction set; pointers are touched for four elements as documented.
#[rustfmt::skip]
unsafe impl<T: Scalar> Vector for Portable<T> {
    type Elem = T;
    const LANES: usize = 4;
    const COLUMNS: usize = 2;
    #[inline(always)]
    unsafe fn splat(value: T) -> Self { Self([value; 4]) }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller vouches for four elements; arrays of T have T's alignment.
        Self(unsafe { *from.cast::<[T; 4]>() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: as for `load`.
        unsafe { *to.cast::<[T; 4]>() = self.0 }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self { self.zip(other, |a, b| a + b) }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self { self.zip(other, |a, b| a - b) }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self { self.zip(other, |a, b| a * b) }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self { self.zip(other, |a, b| a / b) }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * a.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self { self.zip(other, |a, b| if a > b { a } else { b }) }
    #[inline(always)]
    unsafe fn nearest(self) -> Self { Self(self.0.map(T::nearest)) }
    #[inline(always)]
    unsafe fn pow2(self) -> Self { Self(self.0.map(T::pow2)) }
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        let parts = self.0.map(T::split);
        (Self(parts.map(|p| p.0)), Self(parts.map(|p| p.1)))
    }
    #[inline(always)]
    unsafe fn where_equal(self, other: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|i| if self.0[i] == other.0[i] { yes.0[i] } else { no.0[i] }))
    }
    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        for (i, value) in self.0.into_iter().enumerate() {
            // SAFETY: the caller vouches for four elements.
            unsafe { *to.add(i) += value.wide() };
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> T { (self.0[0] + self.0[1]) + (self.0[2] + self.0[3]) }
}
