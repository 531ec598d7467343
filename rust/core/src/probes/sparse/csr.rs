//! A borrowed sparse matrix, checked once, so that no kernel meets an index that is not there.

use crate::error::{Error, Result};
use crate::simd::pass::Element;
use crate::simd::sparse::SparseRows;

/// A matrix in compressed sparse rows (CSR), columns ascending within each row.
#[derive(Clone, Copy, Debug)]
pub struct Csr<'a, T> {
    rows: SparseRows<'a, T>,
    columns: usize,
}

impl<'a, T: Element> Csr<'a, T> {
    /// The numbers of row i, `values[starts[i]..starts[i + 1]]`, stand in `indices` of so many columns.
    ///
    /// Fails where starts or indices are out of range, or indices do not ascend within a row.
    pub fn new(
        values: &'a [T],
        indices: &'a [i32],
        starts: &'a [i64],
        columns: usize,
    ) -> Result<Self> {
        let shape = |message: String| Err(Error::Shape(message));
        if columns == 0 || columns > i32::MAX as usize || starts.len() < 2 {
            let rows = starts.len().saturating_sub(1);
            return shape(format!("a sparse X of {rows} rows and {columns} columns"));
        }
        let stored = values.len();
        if indices.len() != stored || starts[0] != 0 || starts[starts.len() - 1] != stored as i64 {
            return shape(format!("{stored} numbers with {} column indices", indices.len()));
        }
        if let Some(row) = starts.windows(2).position(|pair| pair[0] > pair[1]) {
            return shape(format!("row {row} of a sparse X ends before it starts"));
        }
        let rows = SparseRows { starts, columns: indices, values };
        for row in 0..starts.len() - 1 {
            let (indices, _) = rows.row(row);
            if let Some(index) = indices.iter().find(|&&i| i < 0 || i as usize >= columns) {
                return shape(format!("column {index} at row {row} of an X of {columns} columns"));
            }
            if let Some(pair) = indices.windows(2).find(|pair| pair[0] >= pair[1]) {
                return shape(format!("column {} follows {} at row {row}", pair[1], pair[0]));
            }
        }
        Ok(Self { rows, columns })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows.starts.len() - 1
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many numbers there are.
    pub fn stored(&self) -> usize {
        self.rows.values.len()
    }

    /// Columns and numbers of row `i`.
    pub fn row(&self, i: usize) -> (&'a [i32], &'a [T]) {
        self.rows.row(i)
    }

    /// Some consecutive rows.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> SparseRows<'a, T> {
        SparseRows { starts: &self.rows.starts[range.start..=range.end], ..self.rows }
    }

    /// The first NaN or infinity, in reading order.
    pub(super) fn first_non_finite(&self) -> Error {
        for row in 0..self.rows() {
            let (columns, values) = self.row(row);
            if let Some(at) = values.iter().position(|value| !value.wide().is_finite()) {
                let (column, value) = (columns[at] as usize, values[at].wide());
                return Error::NonFinite { name: "X", row, column, value };
            }
        }
        Error::Invalid("the columns of X sum to more than a double can hold".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_place_is_refused() {
        let values = [1.0, 2.0, 3.0];
        let good = Csr::new(&values, &[0, 2, 1], &[0, 2, 2, 3], 3).unwrap();
        assert_eq!((good.rows(), good.columns(), good.stored()), (3, 3, 3));
        assert_eq!(good.row(0), (&[0, 2][..], &[1.0, 2.0][..]));
        assert_eq!(good.row(1), (&[][..], &[][..]));
        let refused: [(&[i32], &[i64], usize); 9] = [
            (&[0, 3, 1], &[0, 2, 3], 3),
            (&[0, -1, 1], &[0, 2, 3], 3),
            (&[2, 0, 1], &[0, 2, 3], 3),
            (&[1, 1, 1], &[0, 2, 3], 3),
            (&[0, 1], &[0, 2, 3], 3),
            (&[0, 1, 2], &[0, 4, 3], 3),
            (&[0, 1, 2], &[1, 2, 3], 3),
            (&[0, 1, 2], &[0, 2], 3),
            (&[0, 1, 2], &[0, -1, 3], 3),
        ];
        for (indices, starts, columns) in refused {
            let found = Csr::new(&values, indices, starts, columns);
            assert!(matches!(found, Err(Error::Shape(_))), "{indices:?} {starts:?}");
        }
        assert!(Csr::<f32>::new(&[], &[], &[0], 3).is_err());
        assert!(Csr::<f32>::new(&[], &[], &[0, 0], 0).is_err());
    }
}
