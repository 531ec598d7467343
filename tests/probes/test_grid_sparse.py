"""Sparse features in a grid: never filled, equal to the same numbers dense; probes that take none say so."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from tlengine.errors import InputError, NonFiniteError, RunFormatError
from tlengine.probes import grid_logistic, probe_grid

RNG = np.random.default_rng(0)
X = sparse.random_array((240, 40), density=0.1, rng=RNG, dtype=np.float32, format="csr")
DENSE = X.toarray()
Y = np.array(["a", "b", "c"])[(DENSE[:, :15].sum(1) > 0.7).astype(int) + (DENSE[:, 15:25].sum(1) > 0.6)]
TAGS = np.stack([DENSE[:, :15].sum(1) > 0.7, DENSE[:, 15:25].sum(1) > 0.6], axis=1).astype(int)
CS = [1e-1, 1.0, 10.0]
OPTIONS = {"seeds": 2, "progress": False}
pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


def assert_same(one, other):
    assert len(one.records) == len(other.records)
    for a, b in zip(one.records, other.records, strict=True):
        named = {name for name, value in b.items() if isinstance(value, str)}
        assert {name: a[name] for name in named} == {name: b[name] for name in named}
        numbers = {name: value for name, value in b.items() if name not in named}
        assert {name: a[name] for name in numbers} == pytest.approx(numbers, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("y", [Y, TAGS], ids=["classes", "labels"])
@pytest.mark.parametrize("cv", [3, None])
@pytest.mark.parametrize("form", ["csr_array", "csc_matrix", "coo_array", "float64"])
def test_the_logistic_probe_gives_what_it_gives_dense(y, cv, form, monkeypatch):
    """Every problem that the core gets is sparse: nothing is filled."""
    solved, solve = [], grid_logistic._core.solve_paths
    monkeypatch.setattr(
        grid_logistic._core,
        "solve_paths",
        lambda problems, *a, **k: solved.extend(problems) or solve(problems, *a, **k),
    )
    given = X.astype(np.float64) if form == "float64" else getattr(sparse, form)(X)
    options = {"Cs": CS, "cv": cv, "tol": 1e-6, "budgets": [10, "all"], "predictions": True, **OPTIONS}
    found = probe_grid(given, y, **options, scoring="f1_macro")
    assert solved
    assert all(isinstance(problem[0], tuple) for problem in solved)
    other = probe_grid(given.toarray(), y, **options, scoring="f1_macro")
    assert_same(found, other)
    for a, b in zip(found.predictions, other.predictions, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
        np.testing.assert_allclose(a.values, b.values, atol=1e-3)


@pytest.mark.parametrize(
    "probe", ["svm", LogisticRegression(), make_pipeline(MaxAbsScaler(), LogisticRegression())]
)
def test_estimators_that_take_sparse_rows_get_them(probe):
    assert_same(probe_grid(X, Y, probe=probe, **OPTIONS), probe_grid(DENSE, Y, probe=probe, **OPTIONS))


def test_sparse_and_dense_side_by_side_with_groups():
    both = {"words": X, "pixels": RNG.normal(size=(240, 3))}
    found = probe_grid(both, Y, Cs=CS, groups=np.arange(240) // 2, **OPTIONS).records
    assert [record["features"] for record in found] == ["words", "words", "pixels", "pixels"]
    assert len({record["n_test"] for record in found if record["seed"] == 0}) == 1


def test_rows_of_equal_content_stay_together_whatever_is_stored():
    twice = sparse.vstack([X, X]).tocsr()
    # A zero in front of each row of the first half, in a column where the row has nothing.
    zeros, at = (DENSE == 0).argmax(axis=1), twice.indptr[:240]
    stored = sparse.csr_array(
        (
            np.insert(twice.data, at, 0),
            np.insert(twice.indices, at, zeros),
            twice.indptr + np.minimum(np.arange(481), 240),
        ),
        twice.shape,
    )
    stored.sort_indices()
    assert stored.nnz == twice.nnz + 240
    assert (stored != twice).nnz == 0
    for given in (twice, stored):
        (found,) = probe_grid(
            given, np.tile(Y, 2), Cs=[1.0], cv=None, predictions=True, **OPTIONS | {"seeds": 1}
        ).predictions
        assert set(found.rows) == {(row + 240) % 480 for row in found.rows}


@pytest.mark.parametrize("probe", ["ridge", "knn", "centroid", "preval"])
def test_probes_that_take_none_say_so(probe):
    with pytest.raises(InputError, match=r"features .words. are sparse, and .* takes no sparse X"):
        probe_grid({"pixels": DENSE, "words": X}, Y, probe=probe, **OPTIONS)


def test_what_is_no_number_is_named():
    wrong = X.copy()
    wrong[7, 3] = np.nan
    with pytest.raises(NonFiniteError, match="words contains NaN or infinity: nan at row 7, column 3"):
        probe_grid({"words": wrong}, Y, **OPTIONS)


def test_a_grid_of_sparse_rows_is_taken_up(tmp_path):
    options = {"Cs": CS, "resume": tmp_path / "g", **OPTIONS}
    first = probe_grid(X, Y, **options).records
    assert probe_grid(X, Y, callback=lambda record: pytest.fail("solved again"), **options).records == first
    moved = X.copy()
    moved.data[0] += 1
    with pytest.raises(RunFormatError, match="other data"):
        probe_grid(moved, Y, **options)
