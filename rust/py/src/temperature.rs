//! Ridge regression scaled to the least log-loss of its leave-one-out predictions.

use numpy::{
    Element, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tlengine_core::probes::{self, Fit, Goal, RidgeTask, Selection, Stored};
use tlengine_core::simd::pass;

use crate::arrays::rows_of;
use crate::call::interruptible;
use crate::errors::to_python;
use crate::ridge::{ridge_solutions, ridge_task};

type Scales<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Ridge solutions for all alphas, each with its best scale; see `tlengine.probes.PreValProbe`.
#[pyfunction]
#[pyo3(signature = (x, targets, weight, labels, alphas, *, fit_intercept, threads))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one private function")]
pub fn solve_prevalidated<'py>(
    py: Python<'py>,
    x: Bound<'py, PyAny>,
    targets: PyReadonlyArray2<'py, f64>,
    weight: PyReadonlyArray1<'py, f64>,
    labels: Option<PyReadonlyArray1<'py, u32>>,
    alphas: Vec<f64>,
    fit_intercept: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let task = ridge_task(&targets, &weight, labels.as_ref(), &alphas, fit_intercept)?;
    let task = RidgeTask { leave_one_out: true, ..task };
    match x.extract::<PyReadonlyArray2<'py, f32>>() {
        Ok(x) => solve_as(py, &x, &task, threads),
        Err(_) => solve_as(py, &x.extract::<PyReadonlyArray2<'py, f64>>()?, &task, threads),
    }
}

fn solve_as<'py, T: pass::Element + Element>(
    py: Python<'py>,
    x: &PyReadonlyArray2<'py, T>,
    task: &RidgeTask<'_>,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let d = x.as_array().ncols();
    let matrix = Selection::new(rows_of(x)?, d).map_err(|error| to_python(py, error))?;
    let solved = interruptible(py, threads, |run| probes::prevalidated_path(matrix, task, run))?;
    let (alphas, columns) = (task.alphas.len(), solved.centres.len());
    let (scales, losses) = arrays(py, &solved.fits);
    let shape = [alphas, columns, d];
    let found = ridge_solutions(py, solved.path.coefficients, solved.path.intercepts, shape)?;
    found.set_item("centre", PyArray1::from_vec(py, solved.centres))?;
    found.set_item("scale", scales)?;
    found.set_item("loss", losses)?;
    Ok(found)
}

/// The best scale of predictions (alphas, columns, n) and their log-loss at it, for each alpha.
#[pyfunction]
#[pyo3(signature = (predictions, centre, labels, signs, share, threads))]
pub fn fit_scales<'py>(
    py: Python<'py>,
    predictions: PyReadonlyArray3<'py, f64>,
    centre: PyReadonlyArray1<'py, f64>,
    labels: Option<PyReadonlyArray1<'py, u32>>,
    signs: Option<PyReadonlyArray2<'py, f64>>,
    share: PyReadonlyArray1<'py, f64>,
    threads: usize,
) -> PyResult<Scales<'py>> {
    let goal = match (&labels, &signs) {
        (Some(labels), _) => Goal::Classes(labels.as_slice()?),
        (None, Some(signs)) => Goal::Signs(rows_of(signs)?),
        (None, None) => Goal::Signs(&[]),
    };
    let stored = Stored {
        values: predictions.as_slice()?,
        centre: centre.as_slice()?,
        goal,
        share: share.as_slice()?,
    };
    if !predictions.is_c_contiguous() {
        return Err(PyValueError::new_err("predictions are not column by column"));
    }
    let expected = [predictions.shape()[0], stored.centre.len(), stored.share.len()];
    if predictions.shape() != expected {
        let error =
            tlengine_core::Error::Shape(format!("predictions of shape {:?}", predictions.shape()));
        return Err(to_python(py, error));
    }
    let fits = interruptible(py, threads, |run| probes::fit_scales(&stored, run))?;
    Ok(arrays(py, &fits))
}

fn arrays<'py>(py: Python<'py>, fits: &[Fit]) -> Scales<'py> {
    let scales = fits.iter().map(|fit| fit.scale).collect();
    let losses = fits.iter().map(|fit| fit.loss).collect();
    (PyArray1::from_vec(py, scales), PyArray1::from_vec(py, losses))
}
