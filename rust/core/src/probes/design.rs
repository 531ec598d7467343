//! X as the solvers see it, dense or sparse: what they know of its columns, and how a pass multiplies it.

use super::data::{DenseDesign, Selection};
use super::pass::{Filled, Operand};
use super::sparse::{Csr, SparseDesign};
use crate::error::Result;
use crate::parallel::Run;
use crate::simd::pass::Element;

/// X as it is handed over.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a, T> {
    /// Rows of numbers.
    Dense(Selection<'a, T>),
    /// Rows of columns and numbers.
    Sparse(Csr<'a, T>),
}

impl<'a, T> From<Selection<'a, T>> for Features<'a, T> {
    fn from(x: Selection<'a, T>) -> Self {
        Self::Dense(x)
    }
}

impl<'a, T> From<Csr<'a, T>> for Features<'a, T> {
    fn from(x: Csr<'a, T>) -> Self {
        Self::Sparse(x)
    }
}

impl<T: Element> Features<'_, T> {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(x) => x.rows(),
            Self::Sparse(x) => x.rows(),
        }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense(x) => x.columns(),
            Self::Sparse(x) => x.columns(),
        }
    }
}

/// `X` with the weighted mean subtracted and each column divided by a power of two.
///
/// Both leave the problem as it is: the intercept is free, so `b' = b + W mu` absorbs the mean, and
/// the penalty of a scaled column is scaled with it ([`Design::penalty`]).
#[derive(Debug)]
pub enum Design<'a, T> {
    /// A copy of X.
    Dense(DenseDesign<'a, T>),
    /// X itself: its coefficients are scaled and shifted instead.
    Sparse(SparseDesign<'a, T>),
}

impl<'a, T: Element> Design<'a, T> {
    /// Centres only if `centre`: the intercept must be free. Turns a dense X into its principal axes if
    /// `turn`; a sparse one would be filled.
    ///
    /// `weight` has one entry per row. Fails on the first NaN or infinity in `x`.
    pub fn new(
        x: impl Into<Features<'a, T>>,
        weight: &[f64],
        (centre, turn): (bool, bool),
        run: Run<'_>,
    ) -> Result<Self> {
        Ok(match x.into() {
            Features::Dense(x) => Self::Dense(DenseDesign::new(x, weight, (centre, turn), run)?),
            Features::Sparse(x) => Self::Sparse(SparseDesign::new(x, weight, centre, run)?),
        })
    }

    /// Coefficients of a column of a task, padded.
    pub fn stride(&self) -> usize {
        self.penalty().len()
    }

    /// The largest squared distance of a row from the mean.
    pub fn reach(&self) -> f64 {
        match self {
            Self::Dense(design) => design.reach(),
            Self::Sparse(design) => design.reach,
        }
    }

    /// What was subtracted from each column.
    pub fn mean(&self) -> &[f64] {
        match self {
            Self::Dense(design) => design.mean(),
            Self::Sparse(design) => &design.mean,
        }
    }

    /// Coefficients and intercepts for the original rows, as the solvers see them: one vector, padded.
    pub fn placed(&self, w: &[f64], b: &[f64], run: Run<'_>) -> Result<Vec<f64>> {
        match self {
            Self::Dense(design) => design.placed(w, b, run),
            Self::Sparse(design) => design.placed(w, b),
        }
    }

    /// Padded coefficients of this design, for the centred rows as they were.
    pub fn original_coefficients(&self, w: &[f64], run: Run<'_>) -> Result<Vec<f64>> {
        match self {
            Self::Dense(design) => design.original_coefficients(w, run),
            Self::Sparse(design) => Ok(design.original_coefficients(w)),
        }
    }

    /// The penalty of each column, relative to that of the original one.
    pub fn penalty(&self) -> &[f64] {
        match self {
            Self::Dense(design) => design.penalty(),
            Self::Sparse(design) => &design.penalty,
        }
    }

    /// What the solvers multiply.
    pub fn scaled(&self) -> Box<dyn Operand<T> + '_> {
        match self {
            Self::Dense(design) => Box::new(Filled(design)),
            Self::Sparse(design) => Box::new(design.scaled()),
        }
    }

    /// The original rows, centred in double precision, neither scaled nor rounded.
    pub fn exact(&self) -> Box<dyn Operand<f64> + '_> {
        match self {
            Self::Dense(design) => Box::new(Filled(design.exact())),
            Self::Sparse(design) => Box::new(design.exact()),
        }
    }
}
