"""What was fitted is taken up again; what is torn, edited or foreign never is."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlengine.evaluation.journal as module
from tests.evaluation.machinery import assert_same, clouds, files_in, setup_of, tasks_for
from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation.executors import Here
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.running import run_all
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.strategies import CentroidStrategy, RidgeStrategy
from tlengine.plugins.contracts import Energy, HeldOut, Record, Task

X, CODES = clouds(60)


def setup(X: np.ndarray = X, y: np.ndarray = CODES) -> Setup:
    return setup_of(X, y, {"centroid": CentroidStrategy(), "ridge": RidgeStrategy()})


def run(folder: Path, made: Setup | None = None, **options: Any) -> tuple[dict[str, Record], int]:
    """All records of a run, and how many of them were taken up."""
    made = made or setup()
    journal = FileJournal(folder, **options)
    try:
        taken = run_all(made, tasks_for(made), journal, Here(), Ledger(), progress=False)
    finally:
        journal.close()
    return journal.records, taken


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A folder with the journal of a run of 20 tasks."""
    records, taken = run(tmp_path / "out")
    assert (len(records), taken) == (20, 0)
    return tmp_path / "out"


def lines(folder: Path) -> list[bytes]:
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def records_in(folder: Path) -> dict[str, Record]:
    journal = FileJournal(folder)
    keys = [json.loads(line)["record"]["key"] for line in lines(folder) if line.startswith(b'{"record"')]
    journal.take_up(keys)
    journal.close()
    return journal.records


def write(folder: Path, found: list[bytes]) -> None:
    (folder / "journal.jsonl").write_bytes(b"".join(found))


def test_all_is_taken_up_and_nothing_changes(whole: Path) -> None:
    before = files_in(whole)
    first, _ = run(whole.parent / "again")
    records, taken = run(whole)
    assert taken == 20
    assert files_in(whole) == before
    assert set(records) == set(first)
    for key, record in records.items():
        assert_same(record, first[key])


def test_numbers_survive_to_the_last_bit(tmp_path: Path) -> None:
    task = Task(view="a@b:mean", strategy="s", budget=5, seed=1, fold=2, part="inner:3")
    facts: dict[str, Any] = {
        "labels": 7, "calibration": 1 / 7, "held": HeldOut(rows=3, accuracy=2 / 3, log_loss=0.1),
        "chosen": {"C": 0.1, "k": [1, 2]}, "converged": False, "flops": 1e9, "nbytes": 3,
        "train_accuracy": 1 / 3, "seconds": 0.1, "cpu_seconds": 0.2, "peak_bytes": 5, "predict_seconds": 1e-7,
        "gpu_seconds": 1 / 7, "features": True, "energy": Energy(joules=1 / 3, source="model"),
    }  # fmt: skip
    scores = np.array([[1 / 3, -np.inf], [1e-30, 3]], np.float32)
    given = Record(task=task, key="0" * 32, scores=scores, kind="votes", **facts)
    journal = FileJournal(tmp_path)
    journal.add(given)
    journal.close()
    read = records_in(tmp_path)["0" * 32]
    assert_same(read, given)
    assert read.scores is not None
    assert all(getattr(read, name) == value for name, value in facts.items())
    assert (given.taken_up, read.taken_up) == (False, True), "who reads it did not pay for it"


def test_a_line_without_energy_is_taken_up_without_it(tmp_path: Path) -> None:
    """Journals of builds that did not measure it."""
    task = Task(view="a", strategy="s", budget=5, seed=1, fold=2)
    journal = FileJournal(tmp_path)
    journal.add(Record(task=task, key="0" * 32, scores=np.zeros((1, 2), np.float32)))
    journal.close()
    facts = json.loads(lines(tmp_path)[0])["record"]
    del facts["energy"], facts["gpu_seconds"], facts["features"]
    body = json.dumps(facts, sort_keys=True)
    digest = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
    write(tmp_path, [json.dumps({"record": facts, "sum": digest}).encode() + b"\n"])
    read = records_in(tmp_path)["0" * 32]
    assert (read.energy, read.gpu_seconds, read.features) == (None, None, None)


def test_a_journal_without_a_folder_keeps_failures_too() -> None:
    journal = Journal()
    task = Task(view="a", strategy="s", budget=5, seed=1, fold=2)
    journal.add(Record(task=task, key="k", error="no"))
    assert journal.records["k"].failed
    journal.close()


@pytest.mark.parametrize("keep", [1, 40, -1])
def test_a_torn_last_line_is_dropped_and_run_again(whole: Path, keep: int) -> None:
    before, whole_lines = files_in(whole / "predictions"), lines(whole)
    write(whole, [*whole_lines[:-1], whole_lines[-1][:keep]])
    _, taken = run(whole)
    assert taken == 19
    assert files_in(whole / "predictions") == before
    assert [json.loads(line)["record"]["key"] for line in lines(whole)] == [
        json.loads(line)["record"]["key"] for line in whole_lines
    ]


def edit(pattern: bytes, by: bytes) -> Callable[[bytes], bytes]:
    def edited(line: bytes) -> bytes:
        found = re.sub(pattern, by, line, count=1)
        assert found != line
        return found

    return edited


MUTATIONS = {
    "number": edit(rb'"labels": \d+', b'"labels": 99'),
    "accuracy": edit(rb'"train_accuracy": [\d.e-]+', b'"train_accuracy": 0.123'),
    "key": edit(rb'"key": "..', b'"key": "zz'),
    "task": edit(rb'"seed": 0', b'"seed": 1'),
    "version": edit(rb'"format": 2', b'"format": 1'),
    "sum": edit(rb'"sum": "...', b'"sum": "zzz'),
    "no JSON": lambda line: b"{" + line,
    "other JSON": lambda line: b"[1, 2]\n",
    "a string": lambda line: b'"sum"\n',
    "null": lambda line: b"null\n",
    "empty": lambda line: b"\n",
    "binary": lambda line: bytes(range(256)).replace(b"\n", b"") + b"\n",
    "carriage returns": lambda line: b"\r\r\r\n",
    "deep": lambda line: b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_line_that_is_not_what_was_written_is_left_out(whole: Path, mutation: str) -> None:
    before, found = files_in(whole / "predictions"), lines(whole)
    lost = json.loads(found[3])["record"]["key"]
    found[3] = MUTATIONS[mutation](found[3])
    write(whole, found)
    known = records_in(whole)
    assert len(known) == 19
    assert lost not in known
    records, taken = run(whole)
    assert (taken, len(records)) == (19, 20)
    assert files_in(whole / "predictions") == before
    assert run(whole)[1] == 20


def test_a_line_of_another_version_is_left_out_though_its_digest_fits(whole: Path) -> None:
    found = lines(whole)
    body = json.loads(found[0])["record"] | {"format": module.FORMAT + 1}
    told = json.dumps(body, sort_keys=True)
    found[0] = json.dumps({"sum": module._sum(told), "record": body}).encode() + b"\n"
    write(whole, found)
    assert run(whole)[1] == 19


@pytest.mark.parametrize("way", ["missing", "empty", "edited", "other", "cut", "garbage", "folder"])
def test_scores_that_are_not_what_was_written_are_left_out(whole: Path, way: str) -> None:
    before = files_in(whole / "predictions")
    first, second, *_ = sorted((whole / "predictions").iterdir())
    content = first.read_bytes()
    if way in ("missing", "folder"):
        first.unlink()
    if way == "folder":
        first.mkdir()
        assert len(records_in(whole)) == 19
        return
    if way != "missing":
        other = bytes([*content[:-1], content[-1] ^ 1])
        first.write_bytes(
            {
                "empty": b"",
                "edited": other,
                "other": second.read_bytes(),
                "cut": content[:-4],
                "garbage": b"x" * 99,
            }[way]
        )
    assert run(whole)[1] == 19
    assert files_in(whole / "predictions") == before


def test_other_data_take_nothing_up(whole: Path) -> None:
    moved = X.copy()
    moved[0] += 1
    for made in (setup(moved), setup(y=np.roll(CODES, 1))):
        assert run(whole, made)[1] == 0
    assert run(whole)[1] == 20


def test_fresh_forgets_what_it_wrote_and_nothing_else(whole: Path) -> None:
    (whole / "predictions" / "mine.txt").write_text("stays")
    (whole / "notes.txt").write_text("stays")
    stale = whole / "predictions" / ("f" * 32 + ".safetensors")
    stale.write_bytes(b"of another run")
    _, taken = run(whole, fresh=True)
    assert taken == 0
    assert len(lines(whole)) == 20
    assert not stale.exists()
    assert (whole / "predictions" / "mine.txt").read_text() == "stays"
    assert (whole / "notes.txt").read_text() == "stays"


def test_drafts_of_a_run_that_was_killed_are_removed(whole: Path) -> None:
    draft = whole / "predictions" / ".tlengine-1-abcd.tmp"
    draft.write_bytes(b"half")
    assert run(whole)[1] == 20
    assert not draft.exists()


def test_a_file_system_without_locks_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match="a file system without locks"):
        FileJournal(tmp_path)


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first = FileJournal(tmp_path)
    for fresh in (False, True):
        with pytest.raises(InputError, match="another run is writing to"):
            FileJournal(tmp_path, fresh=fresh)
    first.close()
    FileJournal(tmp_path).close()


def test_out_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="is a file, not a directory"):
        FileJournal(tmp_path / "taken")


def test_failures_are_tried_anew(tmp_path: Path) -> None:
    class Moody(CentroidStrategy):
        broken = True

        def fit(self, *args: Any, **options: Any) -> Any:
            if self.broken:
                raise RuntimeError("no")
            return super().fit(*args, **options)

    made = setup_of(X, CODES, {"moody": Moody(), "ridge": RidgeStrategy()})
    records, _ = run(tmp_path, made)
    assert sum(record.failed for record in records.values()) == 10
    assert len(lines(tmp_path)) == 10
    Moody.broken = False
    records, taken = run(tmp_path, made)
    assert taken == 10
    assert not any(record.failed for record in records.values())
    assert len(lines(tmp_path)) == 20


FULL = OSError(errno.ENOSPC, "No space left on device")


class Full:
    """A file on a disk that has room for so many lines and bytes."""

    def __init__(self, file: Any, lines: int, rest: int | None) -> None:
        self.file, self.lines, self.rest = file, lines, rest

    def write(self, data: bytes) -> int:
        self.lines -= 1
        if self.lines >= 0:
            return int(self.file.write(data))
        if self.rest is None:
            raise FULL
        return int(self.file.write(data[: self.rest]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def no_room(*_: Any, **__: Any) -> None:
    raise FULL


def full_for_scores(journal: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.replace_file

    def replace(path: Path, *args: Any, **options: Any) -> Any:
        return no_room() if len(os.listdir(path.parent)) >= 5 else real(path, *args, **options)

    monkeypatch.setattr(module, "replace_file", replace)


def full_when_synced(journal: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", no_room)
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.0)


def full_for_lines(rest: int | None) -> Callable[..., None]:
    def fill(journal: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
        journal._file = Full(journal._file, 5, rest)  # type: ignore[assignment]

    return fill


@pytest.mark.parametrize(
    ("fill", "kept"),
    [(full_for_scores, 5), (full_for_lines(None), 5), (full_for_lines(10), 5), (full_when_synced, 1)],
)
def test_a_full_disk_ends_the_journal_and_not_the_run(
    tmp_path: Path, fill: Callable[..., None], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on the disk by then is whole, and is taken up when there is room again."""
    made, journal = setup(), FileJournal(tmp_path)
    fill(journal, monkeypatch)
    with pytest.warns(TlengineWarning, match=r"cannot be written to .*No space left"):
        run_all(made, tasks_for(made), journal, Here(), Ledger(), progress=False)
    journal.close()
    assert len(journal.records) == 20, "the run went on"
    monkeypatch.undo()
    assert len(lines(tmp_path)) == kept
    assert all(line.endswith(b"\n") for line in lines(tmp_path))
    records, taken = run(tmp_path)
    assert taken == kept
    for key, record in records.items():
        assert_same(record, journal.records[key])


def test_lines_and_scores_are_synced_each_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores before the lines that name them."""
    synced: list[str] = []
    clock = [0.0]
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    journal = FileJournal(tmp_path)
    task = Task(view="a", strategy="s", budget=5, seed=1, fold=2)
    for number in range(6):
        clock[0] += 0.4
        journal.add(Record(task=task, key=f"{number:032x}", scores=np.zeros((1, 2), np.float32)))
    names = [Path(path).name[-14:] for path in synced]
    assert [name for name in names if name == "journal.jsonl"[-14:]] == ["journal.jsonl"] * 2
    assert names.index("journal.jsonl") == 3
    journal.close()
    assert Path(synced[-1]).name == "journal.jsonl"
    assert len([path for path in synced if path.endswith(".safetensors")]) == 6


def test_scores_of_other_runs_are_not_read_and_not_removed(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that served other data costs no memory; scores that no line names are swept away."""
    orphan = whole / "predictions" / ("e" * 32 + ".safetensors")
    orphan.write_bytes(b"written by a run that was killed before its line")
    before = files_in(whole / "predictions")
    read: list[str] = []
    real = module._read

    def noted(facts: Any, folder: Path) -> Any:
        read.append(facts["key"])
        return real(facts, folder)

    monkeypatch.setattr(module, "_read", noted)
    moved = X.copy()
    moved[0] += 1
    records, taken = run(whole, setup(moved))
    assert (taken, len(records), read) == (0, 20, [])
    after = files_in(whole / "predictions")
    assert orphan.name not in after
    assert before.items() - after.items() == {(orphan.name, before[orphan.name])}


def test_memory_does_not_hold_scores_of_rows_held_out(whole: Path) -> None:
    """They are the most that a fit leaves behind: five times the test rows. On disk they stay."""
    from safetensors.numpy import load

    records, _ = run(whole)
    for key, record in records.items():
        assert record.held_out is None
        assert record.held is not None
        kept = load((whole / "predictions" / f"{key}.safetensors").read_bytes())
        assert len(kept["held_out"]) == record.held.rows
