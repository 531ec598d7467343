//! Sparse X: rows of (column, number) pairs, multiplied as they are, centred without being filled.

mod csr;
mod design;
mod operand;

pub use csr::Csr;
pub(super) use design::SparseDesign;
pub(super) use operand::Centred;
