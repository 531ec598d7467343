//! What the solvers of ridge regression take and return alike.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tlengine_core::probes::RidgeTask;

use crate::arrays::rows_of;

/// A task without leave-one-out and predictions.
pub(crate) fn ridge_task<'a>(
    targets: &'a PyReadonlyArray2<'_, f64>,
    weight: &'a PyReadonlyArray1<'_, f64>,
    labels: Option<&'a PyReadonlyArray1<'_, u32>>,
    alphas: &'a [f64],
    intercept: bool,
) -> PyResult<RidgeTask<'a>> {
    Ok(RidgeTask {
        targets: rows_of(targets)?,
        weight: weight.as_slice()?,
        labels: labels.map_or(Ok(&[] as &[u32]), |labels| labels.as_slice())?,
        alphas,
        intercept,
        leave_one_out: false,
        predictions: false,
    })
}

/// Coefficients (alphas, columns, d) and intercepts (alphas, columns).
pub(crate) fn ridge_solutions<'py, T: numpy::Element>(
    py: Python<'py>,
    coefficients: Vec<T>,
    intercepts: Vec<f64>,
    [alphas, columns, d]: [usize; 3],
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    let coefficients = PyArray1::from_vec(py, coefficients).reshape([alphas, columns, d])?;
    found.set_item("coef", coefficients)?;
    found.set_item("intercept", PyArray1::from_vec(py, intercepts).reshape([alphas, columns])?)?;
    Ok(found)
}
