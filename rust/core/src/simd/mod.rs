//! Kernels chosen at run time for the chip at hand; `unsafe` lives here and in the mapping module.
//!
//! [`Kernels`] is a proof that an instruction set is there; its methods are the kernels:
//! register-tiled products (`product_f32`, `product_bf16`, `product_i8`) over the shapes of [`tile`], certified
//! bounds ([`bounds`]), rounding to codes ([`encode`]) and exact sums ([`exact`]).
#![allow(unsafe_code)]

pub mod bounds;
pub mod candidates;
pub mod checksum;
pub mod encode;
pub mod exact;
mod floor;
mod isa;
mod kernels;
pub mod pass;
mod pass_losses;
mod pass_products;
mod pass_ridge;
#[cfg(test)]
mod pass_tests;
mod pass_vector;
#[cfg(target_arch = "x86_64")]
mod pass_x86;
pub mod plain;
mod prefetch;
mod product_bf16;
mod product_f32;
mod product_i8;
pub mod rotation;
pub mod tile;
pub mod vectorised;

pub use isa::Isa;
pub use kernels::Kernels;
pub use product_i8::MAX_DEPTH as MAX_DEPTH_I8;
