"""Which rows a step sees is a function of the seed, the epoch and the row, whoever asks, and when."""

from __future__ import annotations

import numpy as np
import pytest

from tlengine.finetuning.order import Order


@pytest.mark.parametrize(("rows", "batch"), [(5, 2), (7, 7), (16, 5), (3, 1)])
def test_every_epoch_has_every_row_once_and_no_step_is_short(rows: int, batch: int) -> None:
    order = Order(rows=rows, batch=batch, seed=3)
    seen = np.concatenate([order.step(step)[0] for step in range(3 * rows)])
    assert len(seen) == 3 * rows * batch
    epochs = seen.reshape(-1, rows)
    assert (np.sort(epochs, axis=1) == np.arange(rows)).all()
    if rows > 3:
        assert len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize("views", [None, 0, 4])
def test_steps_do_not_depend_on_those_that_were_asked_before(views: int | None) -> None:
    order = Order(rows=6, batch=4, seed=1, views=views)
    forward = [order.step(step) for step in range(9)]
    for step in (8, 0, 5):
        rows, numbers = Order(rows=6, batch=4, seed=1, views=views).step(step)
        assert (rows == forward[step][0]).all()
        assert (numbers == forward[step][1]).all()


def test_views_are_a_function_of_seed_epoch_and_row() -> None:
    """Another batch size sees the same views of the same rows in the same epochs."""

    def seen(batch: int) -> dict[tuple[int, int], int]:
        order, found = Order(rows=6, batch=batch, seed=1, views=None), {}
        for step in range(24 // batch):
            for i, (row, number) in enumerate(zip(*order.step(step), strict=True)):
                found[(step * batch + i) // 6, int(row)] = int(number)
        return found

    assert seen(2) == seen(4) == seen(3)
    assert len(set(seen(2).values())) == 24, "another view in each epoch"
    few = Order(rows=6, batch=6, seed=1, views=2)
    assert {int(one) for step in range(9) for one in few.step(step)[1]} == {0, 1}
    assert set(Order(rows=6, batch=6, seed=1).step(0)[1]) == {-1}
