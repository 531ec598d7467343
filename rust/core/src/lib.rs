//! The numerical heart of tlengine, without any Python in it.
//!
//! * [`cache`]: content-addressed rows of embeddings on disk that are never returned wrong
//! * [`neighbors`]: exact nearest neighbours
//! * [`probes`]: certified solvers for linear probes on frozen features
//! * [`simd`]: the kernels that the rooms above share, chosen at run time for the chip at hand
//!
//! Long work takes a [`Run`]: how many threads it may use, and a flag that asks it to stop.

// Elsewhere a user of libc, what guards mappings, may be left out.
#![cfg_attr(all(not(test), target_os = "linux"), deny(unused_crate_dependencies))]

pub mod cache;
mod error;
#[cfg(unix)]
pub mod leaving;
mod memory;
pub mod neighbors;
mod parallel;
mod powers;
#[cfg(feature = "probes")]
pub mod probes;
pub mod simd;

pub use error::{Error, Result};
pub use parallel::{Meter, Run};
// Chosen for its features alone: see Cargo.toml.
#[cfg(feature = "probes")]
use pulp as _;

/// `"release"` for the build that users get, `"debug"` where debug assertions are compiled in.
pub const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };
