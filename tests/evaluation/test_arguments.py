"""What is passed is checked before anything is done, and the message says what would do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlengine.errors import InputError
from tlengine.evaluation.arguments import check_out, minutes_of, names_of_metrics, seed_of, seeds_of


@pytest.mark.parametrize("given", [0, -1, 10_001, 2.0, True, "5", None, float("nan"), [5]])
def test_seeds_are_a_whole_number_from_1(given: Any) -> None:
    with pytest.raises(InputError, match="seeds; at least 1 is needed, a whole number up to 10,000"):
        seeds_of(given)


@pytest.mark.parametrize("given", [-1, 2**31, 0.0, True, "0", None])
def test_a_seed_is_a_whole_number_from_0(given: Any) -> None:
    with pytest.raises(InputError, match=r"^seed "):
        seed_of(given)


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf"), True, "5", [1]])
def test_minutes_are_above_0(given: Any) -> None:
    with pytest.raises(InputError, match="max_minutes=") as caught:
        minutes_of(given)
    assert caught.value.hint == "use a number above 0, or None for no limit"


def test_numbers_of_numpy_are_numbers() -> None:
    given = seeds_of(np.int64(3)), seed_of(np.int32(0)), minutes_of(np.float32(0.5)), minutes_of(None)
    assert given == (3, 0, 0.5, None)
    assert [type(one) for one in given[:3]] == [int, int, float]


def test_metrics_are_names_and_those_that_a_verdict_needs_come_first() -> None:
    assert names_of_metrics(["brier", "ece"]) == [
        "accuracy", "balanced_accuracy", "log_loss", "ece", "brier",
    ]  # fmt: skip
    with pytest.raises(InputError, match="a metric is a int, no name"):
        names_of_metrics(["brier", 3])  # type: ignore[list-item]


def test_out_is_a_path_or_nothing(tmp_path: Path) -> None:
    for good in (None, "out", tmp_path):
        check_out(good)
    for bad in (3, b"out", ["out"], True):
        with pytest.raises(InputError, match=f"out is a {type(bad).__name__}, no path"):
            check_out(bad)
