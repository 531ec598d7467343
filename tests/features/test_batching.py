"""Batches: order, token budgets, workers."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.networks import PREPROCESS
from tlengine.errors import ResourceError
from tlengine.features.batching import RANDOM, image_batches, text_batches


class Letters:
    """A tokenizer: one token per letter."""

    pad_id = 0

    def __call__(self, text: str) -> Any:
        if text == "!":
            raise ValueError("no letters")
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=40), st.integers(1, 5))
def test_texts_are_batched_by_length_within_the_budget(lengths: list[int], batch_size: int) -> None:
    texts = ["x" * length for length in lengths]
    batches = list(text_batches(texts, range(len(texts)), Letters(), batch_size=batch_size))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(texts)))
    for batch in batches:
        assert [len(array) for array in batch.arrays] == [lengths[row] for row in batch.rows]
        padded = len(batch.rows) * max(1, *(len(array) for array in batch.arrays), 1)
        assert len(batch.rows) == 1 or (len(batch.rows) <= batch_size and padded <= 128 * batch_size)


def test_texts_that_fail_are_told_and_the_others_go_on() -> None:
    batches = list(text_batches(["a", "!", "bb"], [0, 1, 2], Letters(), batch_size=8))
    failures = {row: why for batch in batches for row, why in batch.failures.items()}
    assert failures == {1: "preprocessing failed: ValueError: no letters"}
    assert sorted(row for batch in batches for row in batch.rows) == [0, 2]


@pytest.mark.parametrize(
    ("result", "reason"),
    [({"input_ids": [1]}, "a dict, not"), (None, "a NoneType, not"), ([[1], [1, 2]], "failed")],
)
def test_preprocessing_that_returns_no_numbers_is_told(result: Any, reason: str) -> None:
    (batch,) = text_batches(["a"], [0], lambda text: result, batch_size=1)
    assert reason in batch.failures[0]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_images_keep_their_order(workers: int) -> None:
    images = [np.full((20, 20, 3), i, np.uint8) for i in range(7)]
    images[4] = b"no image"  # type: ignore[call-overload]
    batches = list(
        image_batches(images, [6, 4, 2, 0], PREPROCESS, batch_size=3, workers=workers, max_pixels=400)
    )
    assert [batch.rows for batch in batches] == [[6, 2], [0]]
    assert [list(batch.failures) for batch in batches] == [[4], []]
    assert [int(array[0, 0, 0]) for batch in batches for array in batch.arrays] == [6, 2, 0]


def _dies(image: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_an_error_with_a_way_out() -> None:
    images = [np.zeros((2, 2, 3), np.uint8)]
    with pytest.raises(ResourceError, match="--workers 0"):
        list(image_batches(images, [0], _dies, batch_size=1, workers=1, max_pixels=9))


def test_contents_may_be_paths_that_are_gone(tmp_path: Path) -> None:
    (batch,) = image_batches([tmp_path / "x.png"], [0], PREPROCESS, batch_size=1, workers=0, max_pixels=9)
    assert "No such file" in batch.failures[0]


@pytest.mark.parametrize("modality", ["text", "image"])
def test_rows_all_over_the_dataset_are_preprocessed_twice(modality: str) -> None:
    """A step that is taken now and then passes on one row; on sixteen it does not."""
    seen: list[int] = []

    def prepare(sample: Any) -> Any:
        seen.append(int(sample) if modality == "text" else int(np.asarray(sample)[0, 0, 0]))
        return np.zeros(1)

    if modality == "text":
        list(text_batches([str(i) for i in range(200)], range(200), prepare, batch_size=8))
    else:
        images = [np.full((2, 2, 3), i, np.uint8) for i in range(200)]
        list(image_batches(images, range(200), prepare, batch_size=8, workers=0, max_pixels=9))
    twice = [i for i in range(200) if seen.count(i) == 2]
    assert twice == [0, 50, 100, 150]
    assert len(seen) == 204


def test_at_most_sixteen_rows_are_preprocessed_twice() -> None:
    calls = []
    list(text_batches(["a"] * 10_000, range(10_000), lambda x: calls.append(x) or [0], batch_size=99))
    assert len(calls) == 10_016


def test_a_step_that_is_taken_now_and_then_is_found() -> None:
    rng = np.random.default_rng(0)
    batches = text_batches(["a"] * 2000, range(2000), lambda text: [int(rng.random() < 0.2)], batch_size=99)
    assert RANDOM in {why for batch in batches for why in batch.failures.values()}
