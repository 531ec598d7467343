"""Solutions kept in a file: what is whole is taken up, whatever happened to the rest."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlengine.errors import InputError, RunFormatError, TlengineWarning
from tlengine.probes.path_journal import PathJournal, problem_digest

DIGEST = "ab" * 16


def solution(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"coef": rng.normal(size=(1, 2, 3)).astype(np.float32), "converged": np.array([True])}


def filled(path: Path, count: int = 3) -> list[Any]:
    pairs = [(10.0**i, [solution(2 * i), solution(2 * i + 1)]) for i in range(count)]
    with PathJournal(path, DIGEST) as journal:
        for C, solutions in pairs:
            journal.add(C, solutions)
    return pairs


def test_what_was_kept_comes_back_with_all_its_bits(tmp_path: Path) -> None:
    pairs = filled(tmp_path / "a")
    with PathJournal(tmp_path / "a", DIGEST) as journal:
        assert list(journal.kept) == [C for C, _ in pairs]
        for C, solutions in pairs:
            for kept, given in zip(journal.kept[C], solutions, strict=True):
                assert kept.keys() == given.keys()
                for name in given:
                    np.testing.assert_array_equal(kept[name], given[name])
                    assert kept[name].dtype == given[name].dtype


def test_a_file_cut_anywhere_gives_its_whole_records_and_goes_on(tmp_path: Path) -> None:
    pairs = filled(tmp_path / "a")
    body = (tmp_path / "a").read_bytes()
    for end in range(0, len(body), 41):
        (tmp_path / "b").write_bytes(body[:end])
        with PathJournal(tmp_path / "b", DIGEST) as journal:
            count = len(journal.kept)
            assert list(journal.kept) == [C for C, _ in pairs[:count]]
            journal.add(1e5, pairs[0][1])
        with PathJournal(tmp_path / "b", DIGEST) as journal:
            assert list(journal.kept) == [*(C for C, _ in pairs[:count]), 1e5]


def test_no_flipped_bit_gives_another_number(tmp_path: Path) -> None:
    pairs = dict(filled(tmp_path / "a"))
    body = (tmp_path / "a").read_bytes()
    start = body.index(b"\n") + 1
    lines = [found.start() for found in re.finditer(rb'\{"C"', body)]
    places = {at for line in lines for at in range(line, body.index(b"\n", line))}
    assert len(lines) == 3
    for at in sorted(places | {*range(start, len(body), 37)}):
        (tmp_path / "b").write_bytes(body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :])
        with PathJournal(tmp_path / "b", DIGEST) as journal:
            for C, solutions in journal.kept.items():
                np.testing.assert_array_equal(solutions[0]["coef"], pairs[C][0]["coef"])
            assert len(journal.kept) < 3


@pytest.mark.parametrize("text", [b"something else\n", b"{}\n", b"\xff\n", b'{"format": "tlengine-grid"}\n'])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(RunFormatError, match="holds no path"):
        PathJournal(tmp_path / "a", DIGEST)
    assert (tmp_path / "a").read_bytes() == text


def test_another_version_and_another_problem_are_refused(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    with pytest.raises(RunFormatError, match="other data or settings"):
        PathJournal(tmp_path / "a", "cd" * 16)
    body = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(body.replace(b'"version": "', b'"version": "9', 1))
    with pytest.raises(RunFormatError, match="was written by tlengine 9"):
        PathJournal(tmp_path / "b", DIGEST)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with PathJournal(tmp_path / "a", DIGEST), pytest.raises(InputError, match="another run"):
        PathJournal(tmp_path / "a", DIGEST)


def test_every_part_of_a_problem_counts() -> None:
    X, y, weight = np.arange(6.0).reshape(3, 2), np.arange(3, dtype=np.uint32), np.ones(3)
    task = ("softmax", 3, y, weight, None)
    digests = {
        problem_digest(X, [task], 1e-4),
        problem_digest(X.astype(np.float32), [task], 1e-4),
        problem_digest(X.reshape(2, 3), [task], 1e-4),
        problem_digest(X, [task, task], 1e-4),
        problem_digest(X, [("logistic", *task[1:])], 1e-4),
        problem_digest(X, [(*task[:3], 2 * weight, None)], 1e-4),
        problem_digest(X, [(*task[:4], weight)], 1e-4),
        problem_digest(X, [task], 1e-5),
    }
    assert len(digests) == 8


def test_a_full_disk_costs_no_solution_and_leaves_whole_records(tmp_path: Path) -> None:
    file = tmp_path / "path"
    filled(file, 2)
    size, before = file.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    with PathJournal(file, DIGEST) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            with pytest.warns(TlengineWarning, match="path cannot be written to .*not kept"):
                journal.add(1e5, [solution(0), solution(1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.add(1e6, [solution(2), solution(3)])
        assert {1e5, 1e6} < set(journal.kept)
    assert file.stat().st_size == size
    with PathJournal(file, DIGEST) as again:
        assert set(again.kept) == {1.0, 10.0}
