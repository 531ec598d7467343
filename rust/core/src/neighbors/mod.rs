//! Exact nearest neighbours.
//!
//! A search has two passes. The first is a fast product of *codes* (single precision, or bfloat16 or 8
//! bits where the chip multiplies those faster) that bounds every score from both sides; rows whose
//! upper bound is below the k-th best lower bound cannot be among the neighbours. The second scores
//! the few rows that are left as if in twice double precision. So the result is that of a brute
//! force in double precision on any data, ties by the lowest row, whatever the codes were.
//!
//! ```text
//! rows ── frame ──► centred vectors ── coding ──► panels of codes + bounds      (once per index)
//! queries ───────► tiles of codes ── scan ──► shortlists ── rank ──► ids, scores
//! ```

mod coding;
mod distinct;
mod frame;
mod index;
mod matrix;
mod open;
mod order;
mod precision;
mod rank;
mod scan;
mod score;
mod shortlist;
mod sketch;
mod spare;
mod visit;
mod vote;
mod wanted;

pub use frame::Metric;
pub use index::{Index, Neighbors};
pub use matrix::Matrix;
pub use precision::Precision;
pub use vote::{Ballot, vote};
