"""A grid that is kept in a file goes on where it ended, and takes nothing else up."""

import json

import numpy as np
import pytest

from tlengine.errors import (
    InputError,
    RunFormatError,
)
from tlengine.probes import grid_logistic, probe_grid, record_file


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


def test_features_and_targets_may_share_a_name(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    options = {"Cs": [1.0], "seeds": 1, "resume": tmp_path / "g", "progress": False}
    first, again = (probe_grid({"a": X, "b": X}, {"a": y, "b": 1 - y}, **options) for _ in range(2))
    assert first.records == again.records


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
    monkeypatch.setattr(record_file, "__version__", "0.0.1")
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
        with pytest.raises(RunFormatError, match="holds no grid that this version of tlengine wrote"):
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
