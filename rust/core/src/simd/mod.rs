//! Kernels chosen at run time for the chip at hand; `unsafe` lives here and in the mapping module.

mod isa;

pub use isa::Isa;
