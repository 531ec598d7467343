//! `tlengine._core`: converts arguments, releases the GIL, calls `tlengine-core`, maps errors.
//! No arithmetic lives here.
#![deny(unused_crate_dependencies)]

mod allocator;
mod arrays;
mod cache;
mod call;
mod errors;
mod hashing;
mod mapped;
mod matrix;
mod neighbors;
mod probes;
mod ridge;
mod temperature;
mod views;

use pyo3::prelude::*;

/// The compiled core of tlengine. Private: use the functions and classes of `tlengine`.
#[pymodule(gil_used = false)]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::cache::{CacheHandle, TableHandle};
    #[pymodule_export]
    use super::call::{panic_in_a_call, stop_calls};
    #[pymodule_export]
    use super::hashing::Blake3;
    #[pymodule_export]
    use super::neighbors::{NeighborIndex, faster_than_float32, instruction_sets, neighbor_vote};
    #[pymodule_export]
    use super::probes::{patient_count, solution_logits, solve_paths, solve_ridge, watch_paths};
    #[pymodule_export]
    use super::temperature::{fit_scales, solve_prevalidated};
    #[pymodule_export]
    use super::views::Rows;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("build_profile", tlengine_core::BUILD_PROFILE)
    }
}
