//! A borrowed row-major matrix.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::exact::Real;

/// Rows of equal length, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
}

/// Rows looked at between two questions whether to stop.
const CHUNK: usize = 4096;
/// Beyond it, squared norms of a row would overflow.
const LARGEST: f64 = 1e150;

impl<'a, T: Real> Matrix<'a, T> {
    /// `data` as `rows` rows of `columns` numbers.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Result<Self> {
        if rows.checked_mul(columns) != Some(data.len()) {
            let length = data.len();
            return Err(Error::Shape(format!("{length} numbers are not {rows} x {columns}")));
        }
        Ok(Self { data, rows, columns })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.columns..][..self.columns]
    }

    /// The largest absolute value; fails at the first NaN, infinity or number too large to square.
    pub fn largest(&self, run: &Run<'_>, kernels: Kernels, name: &'static str) -> Result<f64> {
        let found = Mutex::new((0f64, self.rows));
        run.for_each(self.rows.div_ceil(CHUNK), |chunk| {
            let (mut largest, mut fault) = (0f64, self.rows);
            for i in (chunk * CHUNK..self.rows.min((chunk + 1) * CHUNK)).rev() {
                let size = kernels.largest(self.row(i));
                if size <= LARGEST { largest = largest.max(size) } else { fault = i }
            }
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            *found = (found.0.max(largest), found.1.min(fault));
            Ok(())
        })?;
        let (largest, fault) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        if fault < self.rows { Err(self.describe(fault, name)) } else { Ok(largest) }
    }

    fn describe(&self, row: usize, name: &'static str) -> Error {
        let values = self.row(row).iter().map(|&value| value.into()).enumerate();
        let outside = |&(_, value): &(usize, f64)| value.is_nan() || value.abs() > LARGEST;
        let (column, value) = values.into_iter().find(outside).unwrap_or((0, f64::NAN));
        if value.is_finite() {
            return Error::Invalid(format!(
                "{name} holds {value:e} at row {row}, column {column}; the limit is {LARGEST:e}"
            ));
        }
        Error::NonFinite { name, row, column, value }
    }
}
