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
//!
//! The words in use here:
//!
//! * *frame*: the centre and the units in which rows and queries are *placed* before they are coded
//! * *ladder*: the codes to try in turn, until some tell the rows apart
//! * *lower*, *upper*: what a score surely lies between; *slack*, *error*: how far these are from the product
//! * *floor*: a score that `k` rows are known to reach; a row that cannot reach it is out
//! * *guess*: a score that `k` rows will probably reach; it is *proven* at the end, or the query scanned again
//! * *threshold*: the larger of the two; *bar*: the same in the unit of exact scores
//! * *least*: the smallest score in the frame that an exact score may have there
//! * *place*: the number of a row among the distinct ones; *reach*: how far a row lies from the mean (in probes)
//!
//! Squares below the least normal double have lost digits: scores of rows shorter than 1e-150 are as exact
//! as their squares are.

mod coding;
mod distinct;
mod frame;
mod index;
mod kept;
mod matrix;
mod open;
mod order;
mod precision;
mod rank;
mod saved;
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
pub use kept::Memory;
pub use matrix::Matrix;
pub use precision::Precision;
pub use vote::{Ballot, vote};
