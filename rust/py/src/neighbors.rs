//! Nearest neighbours and their vote.

use std::sync::Arc;

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tlengine_core::neighbors::{Ballot, Index, Matrix, Metric, Neighbors, Precision, vote};
use tlengine_core::simd::{Isa, Kernels, exact::Real};

use crate::call::{interruptible, promptly};
use crate::errors::to_python;
use crate::mapped::Mapped;

type IdsAndScores<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f64>>);

/// The rows of an index; NumPy owns them.
enum KeptRows {
    F32(Py<PyArray2<f32>>),
    F64(Py<PyArray2<f64>>),
}

/// Exact nearest neighbours among the rows of `X` (float32 or float64, C-contiguous).
#[pyclass(frozen, module = "tlengine._core")]
pub struct NeighborIndex {
    rows: KeptRows,
    index: Index,
}

#[pymethods]
impl NeighborIndex {
    #[new]
    #[pyo3(signature = (X, metric, precision, threads))]
    #[expect(non_snake_case, reason = "the name of the data in scikit-learn")]
    fn new(
        py: Python<'_>,
        X: &Bound<'_, PyAny>,
        metric: &str,
        precision: &str,
        threads: usize,
    ) -> PyResult<Self> {
        let (metric, precision) = (parse_metric(metric)?, parse_precision(precision)?);
        if let Ok(rows) = X.cast::<PyArray2<f32>>() {
            let index = build(py, rows, metric, precision, threads)?;
            return Ok(Self { rows: KeptRows::F32(rows.clone().unbind()), index });
        }
        let rows = X.cast::<PyArray2<f64>>()?;
        let index = build(py, rows, metric, precision, threads)?;
        Ok(Self { rows: KeptRows::F64(rows.clone().unbind()), index })
    }

    /// The index of `X` whose codes are these read-only bytes; None where an index made here is the better one.
    #[staticmethod]
    #[pyo3(signature = (X, metric, precision, codes))]
    #[expect(non_snake_case, reason = "the name of the data in scikit-learn")]
    fn restore(
        py: Python<'_>,
        X: &Bound<'_, PyAny>,
        metric: &str,
        precision: &str,
        codes: &Bound<'_, PyArray1<u8>>,
    ) -> PyResult<Option<Self>> {
        let (metric, precision) = (parse_metric(metric)?, parse_precision(precision)?);
        let memory = Arc::new(Mapped::new(codes)?);
        let (rows, shape) = match X.cast::<PyArray2<f32>>() {
            Ok(rows) => (KeptRows::F32(rows.clone().unbind()), rows.dims()),
            Err(_) => {
                let rows = X.cast::<PyArray2<f64>>()?;
                (KeptRows::F64(rows.clone().unbind()), rows.dims())
            }
        };
        let restored = Kernels::current().and_then(|kernels| {
            Index::restore(kernels, (shape[0], shape[1]), metric, precision, memory)
        });
        let index = restored.map_err(|error| to_python(py, error))?;
        Ok(index.map(|index| Self { rows, index }))
    }

    /// What `restore` takes: the codes that were made so far, and all that goes with them.
    fn codes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let bytes = interruptible(py, 1, |_| self.index.save())?;
        Ok(bytes.into_pyarray(py))
    }

    /// The rows and columns of `X`.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        self.index.shape()
    }

    /// The `k` nearest rows for each row of `Q`, or for each row of `X` among the others where `Q`
    /// is `None`: ids and scores, both (queries, k).
    #[pyo3(signature = (Q, k, threads))]
    #[expect(non_snake_case, reason = "the name of the queries in the public function")]
    fn search<'py>(
        &self,
        py: Python<'py>,
        Q: Option<&Bound<'py, PyAny>>,
        k: usize,
        threads: usize,
    ) -> PyResult<IdsAndScores<'py>> {
        match &self.rows {
            KeptRows::F32(rows) => search(py, &self.index, rows.bind(py), Q, k, threads),
            KeptRows::F64(rows) => search(py, &self.index, rows.bind(py), Q, k, threads),
        }
    }
}

fn build<T: Real + numpy::Element>(
    py: Python<'_>,
    rows: &Bound<'_, PyArray2<T>>,
    metric: Metric,
    precision: Precision,
    threads: usize,
) -> PyResult<Index> {
    let rows = rows.readonly();
    let rows = matrix(py, &rows)?;
    interruptible(py, threads, |run| {
        Index::build(&run, Kernels::current()?, rows, metric, precision)
    })
}

fn search<'py, T: Real + numpy::Element>(
    py: Python<'py>,
    index: &Index,
    rows: &Bound<'py, PyArray2<T>>,
    queries: Option<&Bound<'py, PyAny>>,
    k: usize,
    threads: usize,
) -> PyResult<IdsAndScores<'py>> {
    let rows = rows.readonly();
    let rows = matrix(py, &rows)?;
    let found = match queries {
        None => interruptible(py, threads, |run| index.search_others(&run, rows, k))?,
        Some(queries) => {
            let queries = queries.cast::<PyArray2<T>>()?.readonly();
            let queries = matrix(py, &queries)?;
            let size = queries.rows().saturating_mul(rows.rows()).saturating_mul(rows.columns());
            promptly(py, threads, size, |run| index.search(&run, rows, queries, k))?
        }
    };
    let Neighbors { k, rows, scores } = found;
    let shape = [rows.len() / k, k];
    Ok((rows.into_pyarray(py).reshape(shape)?, scores.into_pyarray(py).reshape(shape)?))
}

fn matrix<'a, T: Real + numpy::Element>(
    py: Python<'_>,
    array: &'a PyReadonlyArray2<'_, T>,
) -> PyResult<Matrix<'a, T>> {
    let shape = array.as_array().dim();
    Matrix::new(array.as_slice()?, shape.0, shape.1).map_err(|error| to_python(py, error))
}

fn parse_metric(name: &str) -> PyResult<Metric> {
    match name {
        "cosine" => Ok(Metric::Cosine),
        "inner" => Ok(Metric::Inner),
        "euclidean" => Ok(Metric::Euclidean),
        other => Err(PyValueError::new_err(format!("no metric {other:?}"))),
    }
}

fn parse_precision(name: &str) -> PyResult<Precision> {
    match name {
        "auto" => Ok(Precision::Auto),
        "float" => Ok(Precision::Float),
        "float32" => Ok(Precision::Float32),
        "bfloat16" => Ok(Precision::Bfloat16),
        "int8" => Ok(Precision::Int8),
        other => Err(PyValueError::new_err(format!("no precision {other:?}"))),
    }
}

/// Class probabilities by a weighted vote, (temperatures, ks, queries, classes).
#[pyfunction]
#[pyo3(signature = (rows, scores, labels, classes, ks, temperatures, threads))]
#[expect(clippy::too_many_arguments, reason = "what a vote is made of")]
pub fn neighbor_vote<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, i64>,
    scores: PyReadonlyArray2<'py, f64>,
    labels: PyReadonlyArray1<'py, u32>,
    classes: usize,
    ks: Vec<usize>,
    temperatures: Vec<f64>,
    threads: usize,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let (queries, k) = rows.as_array().dim();
    let ballot = Ballot {
        k,
        rows: rows.as_slice()?,
        scores: scores.as_slice()?,
        labels: labels.as_slice()?,
        classes,
    };
    let size = ballot.rows.len().saturating_mul(temperatures.len() * ks.len());
    let shares = promptly(py, threads, size, |run| vote(&run, ballot, &ks, &temperatures))?;
    shares.into_pyarray(py).reshape([temperatures.len(), ks.len(), queries, classes].as_slice())
}

/// The instruction set in use and those of this machine, the portable one first.
#[pyfunction]
pub fn instruction_sets(py: Python<'_>) -> PyResult<(&'static str, Vec<&'static str>)> {
    let isa = Isa::current().map_err(|error| to_python(py, error))?;
    let available = Kernels::available().into_iter().map(|kernels| kernels.isa().name());
    Ok((isa.name(), available.collect()))
}

/// The precisions of a first pass whose products are faster than single precision here.
#[pyfunction]
pub fn faster_than_float32(py: Python<'_>) -> PyResult<Vec<&'static str>> {
    let kernels = Kernels::current().map_err(|error| to_python(py, error))?;
    let all = [("int8", kernels.has_fast_i8()), ("bfloat16", kernels.has_fast_bf16())];
    Ok(all.into_iter().filter_map(|(name, faster)| faster.then_some(name)).collect())
}
