//! A proof that an instruction set is there, and the macro that compiles one body for all of them.

use super::Isa;
use crate::error::{Error, Result};

/// The kernels of one instruction set. A value exists only if this machine can run them, which is
/// what makes the kernels safe to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    isa: Isa,
}

impl Kernels {
    /// The kernels of `isa`, or `None` where this machine lacks it.
    pub fn new(isa: Isa) -> Option<Self> {
        isa.is_available().then_some(Self { isa })
    }

    /// The kernels of [`Isa::current`].
    pub fn current() -> Result<Self> {
        let isa = Isa::current()?;
        Self::new(isa).ok_or_else(|| Error::Internal(format!("{} vanished", isa.name())))
    }

    /// The kernels of [`Isa::current`], or the portable ones where that names none: for loops that
    /// return the same bits on all of them.
    #[inline]
    pub fn in_use() -> Self {
        Self { isa: Isa::current().unwrap_or(Isa::Scalar) }
    }

    /// The kernels of every instruction set of this machine, the portable one first.
    pub fn available() -> Vec<Self> {
        Isa::ALL.into_iter().filter_map(Self::new).collect()
    }

    /// The instruction set that these kernels use.
    pub fn isa(self) -> Isa {
        self.isa
    }
}

/// Defines a method of [`Kernels`] whose `#[inline(always)]` body is compiled once for every
/// instruction set, so that the compiler's vectors have its width. Bodies use no approximate or
/// contracted operation, so all versions return the same bits.
macro_rules! multiversion {
    ($(#[$meta:meta])* $name:ident $(<$($T:ident: $bound:path),+ $(; const $N:ident)?>)?
     ($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? = $body:path) => {
        impl $crate::simd::Kernels {
            $(#[$meta])*
            #[inline]
            pub fn $name $(<$($T: $bound),+ $(, const $N: usize)?>)? (self, $($arg: $kind),*) $(-> $out)? {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                    fn avx512 $(<$($T: $bound),+ $(, const $N: usize)?>)? ($($arg: $kind),*) $(-> $out)? { $body($($arg),*) }
                    #[target_feature(enable = "avx2,fma")]
                    fn avx2 $(<$($T: $bound),+ $(, const $N: usize)?>)? ($($arg: $kind),*) $(-> $out)? { $body($($arg),*) }
                    use $crate::simd::Isa;
                    match self.isa() {
                        // SAFETY: a `Kernels` exists only where its instruction set is available.
                        Isa::Avx512 | Isa::Avx512Vnni => return unsafe { avx512($($arg),*) },
                        // SAFETY: as above.
                        Isa::Avx2 => return unsafe { avx2($($arg),*) },
                        Isa::Scalar | Isa::Neon => {}
                    }
                }
                $body($($arg),*)
            }
        }
    };
}
pub(crate) use multiversion;
