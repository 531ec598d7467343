//! Probe solvers: arrays in, a dictionary of arrays per task out.

use numpy::{
    Element, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tlengine_core::Meter;
use tlengine_core::probes::{
    self, Finished, Loss, Options, Problem, RidgeTask, Selection, Solution, Target, Task, Watch,
};
use tlengine_core::simd::pass;

use crate::arrays::rows_of;
use crate::call::{interruptible, promptly, watched};
use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::ridge::{ridge_solutions, ridge_task};

/// The target of a task: class numbers, or signs of shape (columns, n).
#[derive(FromPyObject)]
pub(crate) enum TargetArray<'py> {
    Classes(PyReadonlyArray1<'py, u32>),
    Signs(PyReadonlyArray2<'py, i8>),
}

/// A task as Python hands it over: loss, columns, target, weights, held-out weights.
pub(crate) type TaskArrays<'py> = (
    String,
    usize,
    TargetArray<'py>,
    PyReadonlyArray1<'py, f64>,
    Option<PyReadonlyArray1<'py, f64>>,
);

/// A problem as Python hands it over: X, which of its rows (None: all), and the tasks that share them.
type ProblemArrays<'py, T> =
    (Matrix<'py, T>, Option<PyReadonlyArray1<'py, i64>>, Vec<TaskArrays<'py>>);

fn task<'a>((loss, columns, target, weight, held_out): &'a TaskArrays<'_>) -> PyResult<Task<'a>> {
    Ok(Task {
        loss: match loss.as_str() {
            "softmax" => Loss::Softmax,
            "logistic" => Loss::Logistic,
            _ => Loss::SquaredHinge,
        },
        columns: *columns,
        target: match target {
            TargetArray::Classes(classes) => Target::Classes(classes.as_slice()?),
            TargetArray::Signs(signs) => Target::Signs(rows_of(signs)?),
        },
        weight: weight.as_slice()?,
        held_out: held_out.as_ref().map_or(Ok(&[] as &[f64]), |held_out| held_out.as_slice())?,
        start: None,
    })
}

fn solve<'py, T: pass::Element + Element>(
    py: Python<'py>,
    problems: &[ProblemArrays<'py, T>],
    options: &Options,
    threads: usize,
) -> PyResult<Bound<'py, PyList>> {
    let tasks: Vec<Vec<Task<'_>>> = problems
        .iter()
        .map(|(_, _, tasks)| tasks.iter().map(task).collect())
        .collect::<PyResult<_>>()?;
    let mut borrowed: Vec<Problem<'_, T>> = Vec::with_capacity(problems.len());
    for ((x, rows, _), tasks) in problems.iter().zip(&tasks) {
        let matrix = x.features(rows.as_ref())?;
        borrowed.push((matrix.map_err(|error| to_python(py, error))?, tasks));
    }
    let found = interruptible(py, threads, |run| probes::solve_many(&borrowed, options, run))?;
    let all = PyList::empty(py);
    for (paths, (x, tasks)) in found.into_iter().zip(&borrowed) {
        let paths = paths.into_iter().zip(tasks.iter());
        let dicts: PyResult<Vec<_>> =
            paths.map(|(path, task)| to_dict(py, &path, task.columns, x.columns())).collect();
        all.append(PyList::new(py, dicts?)?)?;
    }
    Ok(all)
}

fn to_dict<'py, T: pass::Element + Element>(
    py: Python<'py>,
    path: &[Solution<T>],
    columns: usize,
    d: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    let count = path.len();
    let certificates = || path.iter().map(|solution| &solution.certificate);
    let doubles = |values: Vec<f64>| PyArray1::from_vec(py, values);
    found.set_item("objective", doubles(certificates().map(|c| c.objective).collect()))?;
    found.set_item("gap_bound", doubles(certificates().map(|c| c.gap).collect()))?;
    found.set_item("gradient_norm", doubles(certificates().map(|c| c.gradient_norm).collect()))?;
    found.set_item("margin", doubles(certificates().map(|c| c.margin).collect()))?;
    found.set_item("held_out_loss", doubles(certificates().map(|c| c.held_out.0).collect()))?;
    found.set_item("held_out_hits", doubles(certificates().map(|c| c.held_out.1).collect()))?;
    let converged: Vec<bool> = path.iter().map(|solution| solution.converged).collect();
    found.set_item("converged", PyArray1::from_vec(py, converged))?;
    let counts = |values: Vec<i64>| PyArray1::from_vec(py, values);
    found.set_item("n_iter", counts(path.iter().map(|s| s.iterations as i64).collect()))?;
    found.set_item("n_passes", counts(path.iter().map(|s| s.passes as i64).collect()))?;
    let intercepts: Vec<f64> = path.iter().flat_map(|s| s.intercepts.iter().copied()).collect();
    found.set_item("intercept", PyArray1::from_vec(py, intercepts).reshape([count, columns])?)?;
    let mut coefficients: Vec<T> = Vec::with_capacity(count * columns * d);
    path.iter().for_each(|solution| coefficients.extend_from_slice(&solution.coefficients));
    found.set_item("coef", PyArray1::from_vec(py, coefficients).reshape([count, columns, d])?)?;
    Ok(found)
}

/// Solves problems, each rows of an X with the tasks that share them, for every C; see
/// `tlengine.probes.probe_path`. All X have the same type; one may be sparse: data, indices (int32, ascending
/// within a row), indptr (int64) and number of columns of a CSR matrix.
#[pyfunction]
#[pyo3(signature = (problems, cs, *, tol, max_iter, fit_intercept, threads, patience=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one private function")]
pub fn solve_paths<'py>(
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
    let options =
        Options { cs, tolerance, max_iterations, intercept, patience, before: Vec::new() };
    match problems.extract::<Vec<ProblemArrays<'py, f32>>>() {
        Ok(problems) => solve(py, &problems, &options, threads),
        Err(_) => {
            let problems: Vec<ProblemArrays<'py, f64>> = problems.extract()?;
            solve(py, &problems, &options, threads)
        }
    }
}

/// Where a task starts: coefficients (columns, d) and intercepts (columns,), for X as it is.
type StartArrays<'py> = (PyReadonlyArray2<'py, f64>, PyReadonlyArray1<'py, f64>);

/// As `solve_paths` for one problem, while somebody watches: `look(solved, C, passes, gap, finished)` is called
/// about every 50 ms and at the end, with the new solutions as (task, place of C, whether all tasks have solved
/// it, dictionary). It says whether that is enough: then the solve ends with the pass that is under way, and hands
/// over how far it is with the next C; where there was no pass yet it ends at once. True is returned where every
/// C was solved.
#[pyfunction]
#[pyo3(signature = (x, tasks, cs, *, tol, max_iter, fit_intercept, threads, look, patience=None, before=Vec::new(), starts=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one private function")]
pub fn watch_paths<'py>(
    py: Python<'py>,
    x: Bound<'py, PyAny>,
    tasks: Vec<TaskArrays<'py>>,
    cs: Vec<f64>,
    tol: f64,
    max_iter: usize,
    fit_intercept: bool,
    threads: usize,
    look: Py<PyAny>,
    patience: Option<usize>,
    before: Vec<f64>,
    starts: Option<Vec<StartArrays<'py>>>,
) -> PyResult<bool> {
    let (tolerance, max_iterations, intercept) = (tol, max_iter, fit_intercept);
    let options = Options { cs, tolerance, max_iterations, intercept, patience, before };
    let mut borrowed: Vec<Task<'_>> = tasks.iter().map(task).collect::<PyResult<_>>()?;
    for (task, (w, b)) in borrowed.iter_mut().zip(starts.iter().flatten()) {
        task.start = Some((rows_of(w)?, b.as_slice()?));
    }
    match x.extract::<Matrix<'py, f32>>() {
        Ok(x) => watch_as(py, &x, &borrowed, &options, threads, &look),
        Err(_) => watch_as::<f64>(py, &x.extract()?, &borrowed, &options, threads, &look),
    }
}

fn watch_as<'py, T: pass::Element + Element>(
    py: Python<'py>,
    x: &Matrix<'py, T>,
    tasks: &[Task<'_>],
    options: &Options,
    threads: usize,
    look: &Py<PyAny>,
) -> PyResult<bool> {
    let matrix = x.features(None)?.map_err(|error| to_python(py, error))?;
    let d = matrix.columns();
    let watch = Watch::default();
    let columns: Vec<usize> = tasks.iter().map(|task| task.columns).collect();
    let tell = |py: Python<'_>| {
        let (at, finished) = watch.look();
        let finished = finished.into_iter().map(|Finished { task, place, is_whole, solution }| {
            Ok((task, place, is_whole, to_dict(py, &[solution], columns[task], d)?))
        });
        let finished: Vec<_> = finished.collect::<PyResult<_>>()?;
        let enough =
            look.call1(py, (at.solved, at.c, at.passes, at.gap, finished))?.is_truthy(py)?;
        if enough {
            watch.end_after(0);
        }
        Ok(enough && at.passes == 0)
    };
    let done = watched(py, threads, tell, |run| {
        probes::solve_watched(matrix, tasks, options, &watch, run)
    });
    // What was certified since the last look, or before Ctrl-C, is handed over all the same.
    let told = tell(py);
    let is_complete = done? == Some(true);
    told?;
    Ok(is_complete)
}

/// After how many of these held-out losses, of ascending C, patience ends a path; None: it goes on.
#[pyfunction]
pub fn patient_count(losses: Vec<f64>, patience: usize, tol: f64) -> Option<usize> {
    probes::patient_count(&losses, patience, tol)
}

/// The logits (n_C, K, n) of solutions for chosen rows of X.
#[pyfunction]
pub fn solution_logits<'py>(
    py: Python<'py>,
    x: Bound<'py, PyAny>,
    rows: PyReadonlyArray1<'py, i64>,
    coef: Bound<'py, PyAny>,
    intercept: PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyAny>> {
    match (x.extract::<PyReadonlyArray2<'py, f32>>(), coef.extract()) {
        (Ok(x), Ok(coef)) => logits_as::<f32>(py, &x, &rows, &coef, &intercept),
        _ => logits_as::<f64>(py, &x.extract()?, &rows, &coef.extract()?, &intercept),
    }
}

fn logits_as<'py, T: pass::Element + Element>(
    py: Python<'py>,
    x: &PyReadonlyArray2<'py, T>,
    rows: &PyReadonlyArray1<'py, i64>,
    coef: &PyReadonlyArray3<'py, T>,
    intercept: &PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let (count, columns, n) = (intercept.shape()[0], intercept.shape()[1], rows.len());
    let matrix = Selection::of_rows(rows_of(x)?, x.shape()[1], rows.as_slice()?);
    let (coef, intercept) = (coef.as_slice()?, intercept.as_slice()?);
    // Four at a time, even without vector instructions.
    let products = n * coef.len();
    let found = promptly(py, 1, products / 4, |_| probes::logits(matrix?, coef, intercept))?;
    Ok(PyArray1::from_vec(py, found).reshape([count, columns, n])?.into_any())
}

/// Ridge solutions for all alphas; see `tlengine.probes.ridge_path`. `look(part)` is called about every 50 ms with
/// the part of the work that is done, and says whether that is enough: then there is no result.
#[pyfunction]
#[pyo3(signature = (x, targets, weight, labels, alphas, *, fit_intercept, leave_one_out, predictions, threads, look=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one private function")]
pub fn solve_ridge<'py>(
    py: Python<'py>,
    x: Bound<'py, PyAny>,
    targets: PyReadonlyArray2<'py, f64>,
    weight: PyReadonlyArray1<'py, f64>,
    labels: Option<PyReadonlyArray1<'py, u32>>,
    alphas: Vec<f64>,
    fit_intercept: bool,
    leave_one_out: bool,
    predictions: bool,
    threads: usize,
    look: Option<Py<PyAny>>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let task = ridge_task(&targets, &weight, labels.as_ref(), &alphas, fit_intercept)?;
    let task = RidgeTask { leave_one_out, predictions, ..task };
    match x.extract::<PyReadonlyArray2<'py, f32>>() {
        Ok(x) => solve_ridge_as(py, &x, &task, threads, look.as_ref()),
        Err(_) => solve_ridge_as::<f64>(py, &x.extract()?, &task, threads, look.as_ref()),
    }
}

fn solve_ridge_as<'py, T: pass::Element + Element>(
    py: Python<'py>,
    x: &PyReadonlyArray2<'py, T>,
    task: &RidgeTask<'_>,
    threads: usize,
    look: Option<&Py<PyAny>>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let (n, d) = (x.as_array().nrows(), x.as_array().ncols());
    let matrix = Selection::new(rows_of(x)?, d).map_err(|error| to_python(py, error))?;
    let meter = Meter::default();
    let tell = |py: Python<'_>| {
        look.map_or(Ok(false), |look| look.call1(py, (meter.part(),))?.is_truthy(py))
    };
    let path =
        watched(py, threads, tell, |run| probes::ridge_path(matrix, task, run.metered(&meter)))?;
    let Some(path) = path else { return Ok(None) };
    let (alphas, columns) = (task.alphas.len(), task.targets.len() / n);
    let shape = [alphas, columns, d];
    let found = ridge_solutions(py, path.coefficients, path.intercepts, shape)?;
    found.set_item("rank", path.rank)?;
    if task.leave_one_out {
        let errors = PyArray1::from_vec(py, path.errors);
        found.set_item("error", errors.reshape([alphas, columns])?)?;
        found.set_item("accuracy", PyArray1::from_vec(py, path.accuracies))?;
    }
    if task.predictions {
        let values = PyArray1::from_vec(py, path.predictions);
        found.set_item("prediction", values.reshape([alphas, columns, n])?)?;
    }
    Ok(Some(found))
}
