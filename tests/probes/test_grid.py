import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.errors import (
    FeatureScaleWarning,
    InputError,
    LabelError,
    NonFiniteError,
    RunFormatError,
    ShapeMismatchError,
    SingleClassError,
)
from tlengine.probes import LinearProbeCV, grid_journal, grid_logistic, probe_grid
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


def test_budgets_are_nested(task):
    y = task["targets"]["digit"]
    small, large = Draws("y", y, None, 0.25).jobs([Key("X", "y", 0, budget) for budget in (2, 5)])
    assert set(small.rows) < set(large.rows)
    assert np.array_equal(small.test, large.test)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 25), min_size=2, max_size=4),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.sampled_from([2, 5]),
    st.sampled_from([2, 4, "all"]),
    st.integers(0, 99),
)
def test_rows_in_one_order_and_rows_as_units_give_draws_of_the_same_make(sizes, share, cv, budget, seed):
    """The quick way for rows that are units, against the engine that takes any units."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    try:
        quick, general = (Draws("y", y, cv, share) for _ in range(2))
    except InputError:
        assert max(sizes) <= 2
        return
    general.units = np.arange(len(y))
    key = Key("X", "y", seed, budget)
    one, other = (next(draws.jobs([key])) for draws in (quick, general))
    for job in (one, other):
        assert not set(job.rows) & set(job.test)
        assert len(set(job.rows.tolist())) == len(job.rows)
    assert np.bincount(y[one.test], minlength=9).tolist() == np.bincount(y[other.test], minlength=9).tolist()
    assert np.bincount(y[one.rows], minlength=9).tolist() == np.bincount(y[other.rows], minlength=9).tolist()
    for code in range(len(sizes)):
        of_class = [np.sort(np.bincount(j.folds[y[j.rows] == code] + 1, minlength=9)) for j in (one, other)]
        assert of_class[0].tolist() == of_class[1].tolist()
    assert np.sort(np.bincount(one.folds + 1)).tolist() == np.sort(np.bincount(other.folds + 1)).tolist()


def test_every_row_is_tested_and_drawn_as_often_either_way():
    y = np.repeat(np.arange(3), [12, 8, 4])
    keys = [Key("X", "y", seed, 2) for seed in range(2_000)]
    quick, general = (Draws("y", y, 2, 0.25) for _ in range(2))
    general.units = np.arange(24)
    for draws in (quick, general):
        tested, drawn = np.zeros(24), np.zeros(24)
        for job in draws.jobs(keys):
            tested[job.test] += 1
            drawn[job.rows] += 1
        # 24 frequencies of 2,000 draws at most 1.1 points of standard error each.
        assert np.abs(tested / 2_000 - 0.25).max() < 0.05
        assert np.abs(drawn / 2_000 - 2 / np.bincount(y)[y]).max() < 0.05


@pytest.mark.parametrize("told", ["groups", "keys", "contents"])
def test_twins_are_never_on_both_sides(told):
    """Random labels, every sample four times: no probe can know them."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 4, axis=0), np.repeat(rng.integers(0, 2, 60), 4)
    noisy = X + rng.normal(scale=1e-3, size=X.shape)
    loose = probe_grid(noisy, y, Cs=[1.0], seeds=4, progress=False)
    assert np.mean([r["accuracy"] for r in loose.records]) > 0.95
    keys = np.zeros((240, 32), dtype=np.uint8)
    keys[:, 3] = np.arange(240) // 4
    columns = {"groups": {"groups": np.arange(240) // 4}, "keys": {"keys": keys}, "contents": {}}[told]
    found = probe_grid(
        X if told == "contents" else noisy,
        y,
        Cs=[1e-2, 1.0],
        seeds=20,
        budgets=[20, "all"],
        progress=False,
        **columns,
    )
    # 15 units are tested for each of 20 seeds: 2.9 points of standard error if they were independent.
    assert abs(np.mean([r["accuracy"] for r in found.records]) - 0.5) < 0.12


def test_groups_of_different_sizes_give_test_parts_of_different_sizes():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), rng.integers(2, 30, 30))
    y = np.arange(len(groups)) % 3
    X = rng.normal(size=(len(groups), 5)) + y[:, None]
    found = probe_grid(X, y, Cs=[1.0, 10.0], seeds=6, groups=groups, progress=False)
    assert len({r["n_test"] for r in found.records}) > 1
    for record in found.records:
        (job,) = Draws("y", y, 5, 0.25, groups).jobs([Key("X", "y", record["seed"], "all")])
        assert not set(groups[job.rows]) & set(groups[job.test])
        assert record["n_test"] == len(job.test)
        for fold in range(5):
            assert not set(groups[job.rows[job.folds == fold]]) & set(groups[job.rows[job.folds != fold]])
        splits = [(np.flatnonzero(job.folds != f), np.flatnonzero(job.folds == f)) for f in range(5)]
        probe = LinearProbeCV([1.0, 10.0], cv=splits).fit(X[job.rows], y[job.rows])
        assert record["accuracy"] == pytest.approx(probe.score(X[job.test], y[job.test]))


def test_a_class_of_one_row_is_trained_on_and_held_out_in_no_fold():
    y = np.array([0] * 20 + [1] * 20 + [2])
    (job,) = Draws("y", y, 5, 0.25).jobs([Key("X", "y", 0, "all")])
    assert job.folds[y[job.rows] == 2].tolist() == [-1]
    assert set(job.folds[y[job.rows] != 2].tolist()) == set(range(5))


def test_a_budget_that_leaves_nothing_to_hold_out_is_an_error(task):
    with pytest.raises(InputError, match=r"budget 1: no class has two samples"):
        probe_grid(**task, budgets=[1])
    assert len(probe_grid(**task, budgets=[1], cv=None, seeds=1, Cs=[1.0]).records) == 4


def test_a_target_of_one_group_per_class_is_an_error():
    y = np.repeat([0, 1], 20)
    with pytest.raises(InputError, match="can be both tested and trained on"):
        probe_grid(np.eye(40), y, groups=y, progress=False)


def test_other_groups_are_another_journal(task, tmp_path):
    X, y = task["features"]["all"], task["targets"]["odd"]
    probe_grid(X, y, seeds=1, Cs=[1.0], resume=tmp_path / "j", progress=False)
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(X, y, seeds=1, Cs=[1.0], groups=np.arange(300) // 2, resume=tmp_path / "j", progress=False)


def test_an_interrupted_grid_is_resumed(task, tmp_path, monkeypatch):
    journal = tmp_path / "grid.jsonl"
    whole = probe_grid(**task, budgets=[2, 4], seeds=3)
    solve, calls = grid_logistic._core.solve_paths, []

    def fail_at_third(*args, **kwargs):
        calls.append(len(args[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return solve(*args, **kwargs)

    monkeypatch.setattr(grid_logistic.LogisticJobs, "most", 6)
    monkeypatch.setattr(grid_logistic._core, "solve_paths", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        probe_grid(**task, budgets=[2, 4], seeds=3, resume=journal)
    assert len(journal.read_text().splitlines()) == 1 + 6 + 6, "what was solved before is kept"
    journal.write_text(journal.read_text() + '[["all", "di')
    assert probe_grid(**task, budgets=[2, 4], seeds=3, resume=journal).records == whole.records
    before = len(calls)
    assert probe_grid(**task, budgets=[2, 4], seeds=3, resume=journal).records == whole.records
    assert len(calls) == before
    assert json.loads(journal.read_text().splitlines()[0])["format"] == "tlengine-grid"
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(**task, budgets=[2, 4], seeds=3, tol=1e-3, resume=journal)


@pytest.mark.parametrize(
    "budgets",
    [np.array([2, 4]), (np.int64(2), np.int32(4)), range(2, 5, 2)],
    ids=["array", "scalars", "range"],
)
def test_budgets_of_any_integers_are_kept(task, tmp_path, budgets):
    options = {"seeds": np.int64(1), "Cs": [1.0], "cv": np.int64(2), "max_iter": np.int64(1000)}
    journal = tmp_path / "grid.jsonl"
    found = probe_grid(**task, **options, budgets=budgets, resume=journal).records
    assert found == probe_grid(**task, **options, budgets=[2, 4]).records
    assert [type(record["budget"]) for record in found] == [int] * 8
    assert probe_grid(**task, **options, budgets=budgets, resume=journal).records == found


def test_budgets_and_seeds_are_done_once(task):
    found = probe_grid(**task, budgets=[2, 2], seeds=[3, 3], Cs=[1.0])
    assert len(found.records) == 4


def test_features_and_targets_may_share_a_name(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    options = {"Cs": [1.0], "seeds": 1, "resume": tmp_path / "g", "progress": False}
    first, again = (probe_grid({"a": X, "b": X}, {"a": y, "b": 1 - y}, **options) for _ in range(2))
    assert first.records == again.records


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=6), st.booleans(), st.integers(2, 5), st.integers(0, 99)
)
def test_every_fit_has_every_class_and_rare_ones_cost_no_fold(sizes, grouped, cv, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    groups = np.random.default_rng(seed).integers(0, len(y), len(y)) if grouped else None
    try:
        (job,) = Draws("y", y, cv, 0.25, groups).jobs([Key("X", "y", seed, "all")])
    except InputError:
        return
    classes = set(y[job.rows])
    for fold in range(job.folds.max() + 1):
        assert set(y[job.rows[job.folds != fold]]) == classes
    counts = np.bincount(y[job.rows])
    if not grouped:
        assert set(job.folds[counts[y[job.rows]] == 1]) <= {-1}
        assert job.folds.max() + 1 == max(2, min(cv, counts.max()))


def test_one_budget_needs_no_list(task):
    for one in ("all", 2):
        found = probe_grid(**task, seeds=1, Cs=[1.0], budgets=one)
        assert {record["budget"] for record in found.records} == {one}


DAMAGES = {
    "no JSON": lambda line: line[:9] + b"}" + line[10:],
    "another number": lambda line: line.replace(b'"n_train": ', b'"n_train": 1'),
    "another key": lambda line: line.replace(b'["all"', b'["half"', 1),
    "no text": lambda line: b"\xff" + line,
    "no list": lambda line: b"3",
    "nothing": lambda line: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_line_costs_its_own_job(task, tmp_path, monkeypatch, damage):
    journal = tmp_path / "grid.jsonl"
    options = {**task, "budgets": [2], "seeds": 2, "Cs": [1.0], "resume": journal}
    whole = probe_grid(**options).records
    lines = journal.read_bytes().split(b"\n")
    assert len(lines) == 1 + 8 + 1
    spoilt = damage(lines[1])
    assert spoilt != lines[1]
    journal.write_bytes(b"\n".join([lines[0], spoilt, *lines[2:]]))
    solve, solved = grid_logistic._core.solve_paths, []
    monkeypatch.setattr(
        grid_logistic._core,
        "solve_paths",
        lambda jobs, *a, **k: solved.append(len(jobs)) or solve(jobs, *a, **k),
    )
    assert probe_grid(**options).records == whole
    assert probe_grid(**options).records == whole
    assert solved == [1]


def test_a_file_that_cannot_be_opened_is_said(task, tmp_path):
    with pytest.raises(InputError, match="cannot be opened: No such file or directory"):
        probe_grid(**task, seeds=1, resume=tmp_path / "no" / "grid.jsonl")


def test_one_writer_at_a_time(task, tmp_path, monkeypatch):
    journal = tmp_path / "grid.jsonl"
    options = {**task, "budgets": [2], "seeds": 1, "Cs": [1.0], "resume": journal}
    solve, refused = grid_logistic._core.solve_paths, []

    def meanwhile(*args, **kwargs):
        if not refused:
            with pytest.raises(InputError, match=r"another run is writing to .*grid\.jsonl") as caught:
                probe_grid(**options)
            refused.append(caught.value.hint)
        return solve(*args, **kwargs)

    monkeypatch.setattr(grid_logistic._core, "solve_paths", meanwhile)
    whole = probe_grid(**options).records
    assert refused == ["wait for it, or choose another file"]
    assert probe_grid(**options).records == whole, "the file is free again"


def test_results_of_another_version_are_not_taken_up(task, tmp_path, monkeypatch):
    journal = tmp_path / "grid.jsonl"
    options = {**task, "budgets": [2], "seeds": 1, "Cs": [1.0], "resume": journal}
    monkeypatch.setattr(grid_journal, "__version__", "0.0.1")
    probe_grid(**options)
    monkeypatch.undo()
    before = journal.read_bytes()
    with pytest.raises(RunFormatError, match=r"was written by tlengine 0\.0\.1, which may solve otherwise"):
        probe_grid(**options)
    assert journal.read_bytes() == before


def test_a_file_of_an_older_layout_is_not_taken_up(task, tmp_path):
    journal = tmp_path / "grid.jsonl"
    options = {**task, "budgets": [2], "seeds": 1, "Cs": [1.0], "resume": journal}
    probe_grid(**options)
    first, *rest = journal.read_text().splitlines(keepends=True)
    told = json.loads(first)
    del told["layout"]
    journal.write_text(json.dumps(told) + "\n" + "".join(rest))
    with pytest.raises(RunFormatError, match="is of an older build") as caught:
        probe_grid(**options)
    assert caught.value.hint == "name another file, or delete this one"


def test_a_file_of_somebody_else_stays_as_it_is(task, tmp_path):
    for text in ("id,label\n1,cat\n", "notes", "{}\n"):
        other = tmp_path / "other"
        other.write_text(text)
        with pytest.raises(RunFormatError, match="no grid that this version of tlengine wrote"):
            probe_grid(**task, budgets=[2], seeds=1, Cs=[1.0], resume=other)
        assert other.read_text() == text


def test_a_file_that_was_cut_off_in_its_first_line_begins_anew(task, tmp_path):
    journal = tmp_path / "grid.jsonl"
    options = {**task, "budgets": [2], "seeds": 1, "Cs": [1.0], "resume": journal}
    whole = probe_grid(**options).records
    first = journal.read_bytes().split(b"\n")[0]
    for length in (0, 1, len(first)):
        journal.write_bytes(first[:length])
        assert probe_grid(**options).records == whole


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
