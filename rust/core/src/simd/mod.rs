//! Kernels chosen at run time for the chip at hand; `unsafe` lives here and in the mapping module.
//!
//! [`Kernels`] is a proof that an instruction set is there; its methods are the kernels:
//! register-tiled products ([`products`]) over the shapes of [`tile`], certified bounds ([`bounds`]), rounding to codes
//! ([`encode`]) and exact sums ([`exact`]) for neighbours, and what a pass over the data of a probe is made of ([`pass`]).
#![allow(unsafe_code)]

pub mod bounds;
pub mod candidates;
pub mod checksum;
pub mod encode;
pub mod exact;
mod floor;
mod isa;
mod kernels;
pub mod moments;
pub mod pass;
mod prefetch;
pub mod products;
pub mod rivals;
pub mod rotation;
#[cfg(feature = "probes")]
pub mod sparse;
pub mod vectorised;

pub use isa::Isa;
pub use kernels::Kernels;
pub use products::i8::MAX_DEPTH as MAX_DEPTH_I8;
pub use products::tile;
