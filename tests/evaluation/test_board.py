"""A batch is taken by one, and what came of it is told once."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tlengine.errors import InputError, ResourceError
from tlengine.evaluation.board import Board
from tlengine.plugins.contracts import Record, Task


def task(seed: int, strategy: str = "probe") -> Task:
    return Task(view="net", strategy=strategy, budget="all" if seed % 2 else 5, seed=seed, fold=0)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    found = Board(tmp_path / "board")
    found.make()
    return found


def test_batches_go_in_order_each_to_one_of_several_that_try(board: Board) -> None:
    given = {f"{number:06d}-0": [task(number), task(number, "knn")] for number in range(40)}
    for name, tasks in given.items():
        board.post(name, tasks)
    assert board.folder.stat().st_mode & 0o777 == 0o700
    taken: dict[int, list[str]] = {}

    def take(rank: int) -> None:
        taken[rank] = []
        while (one := Board(board.folder).take(rank)) is not None:
            assert one.tasks == given[one.name]
            taken[rank].append(one.name)

    threads = [threading.Thread(target=take, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(name for names in taken.values() for name in names) == Counter(list(given))
    assert all(names == sorted(names) for names in taken.values())
    assert board.take(0) is None


def test_what_was_told_comes_once_and_a_draft_never(board: Board) -> None:
    board.post("000000-0", [task(0), task(1)])
    taken = board.take(3)
    assert taken is not None
    assert not taken.again
    record = Record(task=task(1), key="k", scores=np.eye(2, dtype=np.float32))
    (board.folder / "done" / ".tlengine-1-0.tmp").write_bytes(b"half")
    board.put(taken, task(1), record)
    board.put(taken, task(0), None)
    (none, (told, found)) = board.found()
    assert none == (task(0), None)
    assert told == task(1)
    assert found is not None
    assert np.array_equal(found.scores, record.scores)
    assert list(board.found()) == []


def test_what_a_rank_that_is_gone_had_is_lost_once(board: Board) -> None:
    for name in ("000000-0", "000001-0", "000002-1"):
        board.post(name, [task(0)])
    taken = [board.take(rank) for rank in (0, 1, 12)]
    assert [one.again for one in taken if one is not None] == [False, False, True]
    assert list(board.lost(lambda rank: rank == 12)) == ["000002-1"]
    assert list(board.lost(lambda rank: rank == 12)) == []
    assert taken[1] is not None
    board.finish(taken[1])
    assert list(board.lost(lambda rank: rank > 0)) == [], "it was done"


def test_what_was_withdrawn_or_removed_is_not_there_to_be_taken(board: Board) -> None:
    board.post("000000-0", [task(0)])
    board.withdraw()
    assert board.take(1) is None
    assert Board(board.folder / "no such folder").take(1) is None
    with pytest.raises(ResourceError, match="cannot be written to"):
        Board(board.folder / "no such folder").post("000000-0", [task(0)])


def test_a_complaint_says_whose_it_is(board: Board) -> None:
    board.check()
    board.complain(3, InputError("the run cannot be opened", hint="install it"))
    with pytest.raises(InputError, match=r"^rank 3: the run cannot be opened") as caught:
        board.check()
    assert caught.value.hint == "install it"
