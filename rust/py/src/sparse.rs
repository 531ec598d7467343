//! Probe solvers on sparse X: the arrays of a CSR matrix in, what `probes` gives out.

use std::borrow::Cow;

use numpy::{Element, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyList;
use tlengine_core::Error;
use tlengine_core::probes::{Csr, Options, Problem, Task};
use tlengine_core::simd::pass;

use crate::errors::to_python;
use crate::probes::{TaskArrays, solve_all, task};

/// Column numbers in either of SciPy's types.
#[derive(FromPyObject)]
enum Indices<'py> {
    Narrow(PyReadonlyArray1<'py, i32>),
    Wide(PyReadonlyArray1<'py, i64>),
}

impl Indices<'_> {
    /// The numbers in 32 bits; those that do not fit are out of range of any X.
    fn narrow(&self, py: Python<'_>) -> PyResult<Cow<'_, [i32]>> {
        match self {
            Self::Narrow(indices) => Ok(Cow::Borrowed(indices.as_slice()?)),
            Self::Wide(indices) => {
                let refused = |index: i64| Error::Shape(format!("column {index} of a sparse X"));
                let narrow =
                    |&index: &i64| i32::try_from(index).map_err(|_| to_python(py, refused(index)));
                Ok(Cow::Owned(indices.as_slice()?.iter().map(narrow).collect::<PyResult<_>>()?))
            }
        }
    }
}

/// A problem as Python hands it over: data, indices, indptr, number of columns, tasks.
type SparseArrays<'py, T> = (
    PyReadonlyArray1<'py, T>,
    Indices<'py>,
    PyReadonlyArray1<'py, i64>,
    usize,
    Vec<TaskArrays<'py>>,
);

fn solve<'py, T: pass::Element + Element>(
    py: Python<'py>,
    problems: &[SparseArrays<'py, T>],
    options: &Options,
    threads: usize,
) -> PyResult<Bound<'py, PyList>> {
    let columns: Vec<Cow<'_, [i32]>> =
        problems.iter().map(|(_, indices, ..)| indices.narrow(py)).collect::<PyResult<_>>()?;
    let tasks: Vec<Vec<Task<'_>>> = problems
        .iter()
        .map(|problem| problem.4.iter().map(task).collect())
        .collect::<PyResult<_>>()?;
    let mut borrowed: Vec<Problem<'_, T>> = Vec::with_capacity(problems.len());
    for (((data, _, starts, d, _), columns), tasks) in problems.iter().zip(&columns).zip(&tasks) {
        let x = Csr::new(data.as_slice()?, columns, starts.as_slice()?, *d);
        borrowed.push((x.map_err(|error| to_python(py, error))?.into(), tasks));
    }
    solve_all(py, &borrowed, options, threads)
}

/// As `solve_paths` for problems whose X is sparse: (data, indices, indptr, number of columns, tasks),
/// the indices ascending within each row.
#[pyfunction]
#[pyo3(signature = (problems, cs, *, tol, max_iter, fit_intercept, threads, patience=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one private function")]
pub fn solve_paths_sparse<'py>(
    py: Python<'py>,
    problems: Bound<'py, PyAny>,
    cs: Vec<f64>,
    tol: f64,
    max_iter: usize,
    fit_intercept: bool,
    threads: usize,
    patience: Option<usize>,
) -> PyResult<Bound<'py, PyList>> {
    let (tolerance, max_iterations, intercept) = (tol, max_iter, fit_intercept);
    let options = Options { cs, tolerance, max_iterations, intercept, patience };
    match problems.extract::<Vec<SparseArrays<'py, f32>>>() {
        Ok(problems) => solve(py, &problems, &options, threads),
        Err(_) => {
            let problems: Vec<SparseArrays<'py, f64>> = problems.extract()?;
            solve(py, &problems, &options, threads)
        }
    }
}
