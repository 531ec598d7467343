"""A grid has one record for each probe, and each is what the estimator gives."""

import numpy as np
import pytest

from tlengine.errors import (
    FeatureScaleWarning,
    InputError,
    LabelError,
    NonFiniteError,
    ShapeMismatchError,
    SingleClassError,
)
from tlengine.probes import LinearProbeCV, grid_logistic, probe_grid
from tlengine.probes.grid_jobs import Draws, Key


def test_one_record_for_each_probe(task):
    found = probe_grid(**task, budgets=[3, "all"], seeds=2)
    assert len(found.records) == 2 * 2 * 2 * 2
    table = found.to_pandas()
    assert list(table.columns) == [
        "features", "target", "seed", "budget", "n_train", "n_test", "C", "accuracy", "log_loss", "converged"
    ]  # fmt: skip
    assert table.converged.all()
    assert (
        table[table.budget == 3].n_train == np.where(table[table.budget == 3].target == "odd", 6, 30)
    ).all()
    full = table[(table.features == "all") & (table.target == "digit")]
    assert full[full.budget == "all"].accuracy.mean() > full[full.budget == 3].accuracy.mean() > 0.3


def test_a_record_equals_the_estimator(task):
    X, y = task["features"]["all"], task["targets"]["digit"]
    (record,) = probe_grid(X, y, seeds=[7], Cs=[1e-4, 1e-2], cv=3, progress=False).records
    (job,) = Draws("y", y, 3, 0.25).jobs([Key("X", "y", 7, "all")])
    assert not set(job.rows) & set(job.test)
    assert sorted([*job.rows, *job.test]) == list(range(len(y)))
    splits = [(np.flatnonzero(job.folds != f), np.flatnonzero(job.folds == f)) for f in range(3)]
    probe = LinearProbeCV([1e-4, 1e-2], cv=splits).fit(X[job.rows], y[job.rows])
    assert record["C"] == probe.C_
    assert record["accuracy"] == pytest.approx(probe.score(X[job.test], y[job.test]))


def test_every_c_without_folds(task):
    found = probe_grid(**task, seeds=1, Cs=[1e-3, 1.0], cv=None)
    assert [record["C"] for record in found.records] == [1e-3, 1.0] * 4


@pytest.mark.parametrize("Cs", [[1e-4, 1e-2, 1.0, 10.0, 100.0, 1e3], [1e3, 1e-2, 100.0, 1e-4, 10.0, 1.0]])
def test_patience_ends_paths_and_chooses_as_the_estimator_does(task, monkeypatch, Cs):
    X, y = task["features"]["all"], task["targets"]["odd"]
    solve, lengths = grid_logistic._core.solve_paths, []

    def watched(*args, **kwargs):
        found = solve(*args, **kwargs)
        lengths.extend(len(paths[0]["objective"]) for paths in found)
        return found

    monkeypatch.setattr(grid_logistic._core, "solve_paths", watched)
    (quick,) = probe_grid(X, y, seeds=[7], Cs=Cs, cv=3, progress=False).records
    (whole,) = probe_grid(X, y, seeds=[7], Cs=Cs, cv=3, patience=None, progress=False).records
    assert lengths[0] < lengths[1] == 6
    (job,) = Draws("y", y, 3, 0.25).jobs([Key("X", "y", 7, "all")])
    splits = [(np.flatnonzero(job.folds != f), np.flatnonzero(job.folds == f)) for f in range(3)]
    probe = LinearProbeCV(Cs, cv=splits).fit(X[job.rows], y[job.rows])
    assert quick["C"] == whole["C"] == probe.C_
    assert quick["accuracy"] == pytest.approx(probe.score(X[job.test], y[job.test]))


def test_a_column_of_another_scale_is_named_with_its_features(task):
    X = task["features"]["all"].copy()
    X[:, 5] = 1e6 * np.arange(len(X))
    with pytest.warns(FeatureScaleWarning, match=r"column 'last\[:, 5\]' has") as told:
        probe_grid({"last": X}, task["targets"]["odd"], seeds=1, Cs=[1e-9], cv=None, progress=False)
    assert [one.filename for one in told] == [__file__]


def test_budgets_and_seeds_are_done_once(task):
    found = probe_grid(**task, budgets=[2, 2], seeds=[3, 3], Cs=[1.0])
    assert len(found.records) == 4


def test_one_budget_needs_no_list(task):
    for one in ("all", 2):
        found = probe_grid(**task, seeds=1, Cs=[1.0], budgets=one)
        assert {record["budget"] for record in found.records} == {one}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"features": {}}, InputError),
        ({"budgets": []}, InputError),
        ({"budgets": np.array([], dtype=int)}, InputError),
        ({"budgets": [2.5]}, InputError),
        ({"budgets": [True]}, InputError),
        ({"budgets": None}, InputError),
        ({"targets": np.zeros(300)}, SingleClassError),
        ({"targets": np.arange(4)}, ShapeMismatchError),
        ({"targets": np.linspace(0, 1, 300)}, LabelError),
        ({"features": np.full((300, 2), np.nan)}, NonFiniteError),
        ({"budgets": [0]}, InputError),
        ({"budgets": ["most"]}, InputError),
        ({"test_size": 1.0}, InputError),
        ({"groups": np.arange(4)}, ShapeMismatchError),
        ({"keys": np.zeros((4, 32))}, ShapeMismatchError),
        ({"keys": np.zeros(300)}, ShapeMismatchError),
    ],
)
def test_bad_input(task, change, error):
    with pytest.raises(error):
        probe_grid(**(task | change))
