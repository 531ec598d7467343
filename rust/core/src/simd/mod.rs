//! Kernels chosen at run time for the chip at hand; `unsafe` lives here and in the mapping module.
#![allow(unsafe_code)]

mod isa;
pub mod pass;
mod pass_kernels;
mod pass_vector;
#[cfg(target_arch = "x86_64")]
mod pass_x86;

pub use isa::Isa;
