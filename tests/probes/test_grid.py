import json

import numpy as np
import pytest

from tlengine.errors import (
    InputError,
    LabelError,
    NonFiniteError,
    RunFormatError,
    ShapeMismatchError,
    SingleClassError,
)
from tlengine.probes import LinearProbeCV, grid, probe_grid
from tlengine.probes.grid_jobs import Draws, Key


@pytest.fixture
def task(digits):
    X, y = (part[:300] for part in digits)
    return {
        "features": {"all": X, "half": X[:, ::2]},
        "targets": {"digit": y, "odd": y % 2},
        "progress": False,
    }


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


def test_budgets_are_nested(task):
    y = task["targets"]["digit"]
    small, large = Draws("y", y, None, 0.25).jobs([Key("X", "y", 0, budget) for budget in (2, 5)])
    assert set(small.rows) < set(large.rows)
    assert np.array_equal(small.test, large.test)


def test_an_interrupted_grid_is_resumed(task, tmp_path, monkeypatch):
    journal = tmp_path / "grid.jsonl"
    whole = probe_grid(**task, budgets=[2, 4], seeds=3)
    solve, calls = grid._core.solve_paths, []

    def fail_at_third(*args, **kwargs):
        calls.append(len(args[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return solve(*args, **kwargs)

    monkeypatch.setattr(grid._core, "solve_paths", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        probe_grid(**task, budgets=[2, 4], seeds=3, resume=journal)
    journal.write_text(journal.read_text() + '[["all", "di')
    assert probe_grid(**task, budgets=[2, 4], seeds=3, resume=journal).records == whole.records
    before = len(calls)
    assert probe_grid(**task, budgets=[2, 4], seeds=3, resume=journal).records == whole.records
    assert len(calls) == before
    assert json.loads(journal.read_text().splitlines()[0])["format"] == "tlengine-grid"
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(**task, budgets=[2, 4], seeds=3, tol=1e-3, resume=journal)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"features": {}}, InputError),
        ({"targets": np.zeros(300)}, SingleClassError),
        ({"targets": np.arange(4)}, ShapeMismatchError),
        ({"targets": np.linspace(0, 1, 300)}, LabelError),
        ({"features": np.full((300, 2), np.nan)}, NonFiniteError),
        ({"budgets": [0]}, InputError),
        ({"budgets": ["most"]}, InputError),
        ({"test_size": 1.0}, InputError),
    ],
)
def test_bad_input(task, change, error):
    with pytest.raises(error):
        probe_grid(**(task | change))
