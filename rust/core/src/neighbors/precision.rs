//! What the first pass computes in.

use crate::simd::{Kernels, MAX_DEPTH_I8};

/// What the first pass computes in; the result does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 8 bits where the chip multiplies them faster and they tell the rows apart, else [`Float`].
    ///
    /// [`Float`]: Precision::Float
    Auto,
    /// bfloat16 where the chip multiplies it faster and it tells the rows apart, else single.
    Float,
    /// Single precision.
    Float32,
    /// bfloat16.
    Bfloat16,
    /// 8 bits.
    Int8,
}

/// The codes of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Int8,
    Bfloat16,
    Float32,
}

impl Precision {
    /// The codes to try in turn; the last serve in any case.
    pub fn codes(self, kernels: Kernels, depth: usize) -> Vec<Code> {
        let mut codes = match self {
            Self::Float32 => return vec![Code::Float32],
            Self::Bfloat16 => return vec![Code::Bfloat16],
            Self::Int8 => return vec![Code::Int8],
            Self::Auto if kernels.has_fast_i8() && depth <= MAX_DEPTH_I8 => vec![Code::Int8],
            Self::Auto | Self::Float => Vec::new(),
        };
        if kernels.has_fast_bf16() {
            codes.push(Code::Bfloat16);
        }
        codes.push(Code::Float32);
        codes
    }
}
