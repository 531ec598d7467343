"""What one model takes: its fit, and what it found ready; what is not known is never taken for nothing."""

from types import SimpleNamespace
from typing import Any

import pytest

from tlengine.evaluation.energy import Meter
from tlengine.evaluation.model_cost import Forward, ModelCost, numbers_of
from tlengine.plugins.contracts import Energy, Record

ROW = Forward(seconds=0.5, flops=1e9, energy=Energy(joules=2.0, source="counter"))


def cost(row: Forward, *told: dict[str, Any], reads: str = "features", features: bool | None = None) -> Any:
    """Of fits of one second and one joule each, by 10 labels."""
    records = {
        (seed, 0): Record(
            task=None, key=str(seed), scores=[], seconds=1.0, facts=facts, features=features,
            energy=Energy(joules=1.0, source="counter"),
        )  # type: ignore[arg-type]
        for seed, facts in enumerate(told)
    }  # fmt: skip
    strategy = SimpleNamespace(strategy=SimpleNamespace(reads=reads))
    setup = SimpleNamespace(strategies={"net": strategy})
    cell: Any = SimpleNamespace(records=records, labels=10.0, strategy="net", setup=setup, name={})
    return ModelCost(cell, row, Meter(gpu=False))


def test_rows_and_blocks_that_were_ready_are_added_to_every_fit() -> None:
    """The fit that computed the blocks has them in its own seconds, so the range is that of all of it."""
    found = cost(ROW, {}, {"reused": {"seconds": 4.0, "flops": 3e9}}, features=True)
    told = found.as_dict()
    assert (told["embedding_seconds"], told["embedding_flops"]) == (7.0, 1.15e10)
    value, low, high, _ = found.at("seconds")
    assert (value, low, high) == pytest.approx((8.0, 0.9 * 6.0, 1.1 * 10.0))
    assert found.at("joules")[0] > 1.0 + 10 * 2.0
    assert found.at("joules")[3] == Meter(gpu=False).model, "blocks are told by the model"


def test_who_reads_no_features_pays_for_none() -> None:
    found = cost(ROW, {}, reads="contents", features=False)
    told = found.as_dict()
    assert (told["embedding_seconds"], told["embedding_joules"], told["embedding_source"]) == (None,) * 3
    assert (found.at("seconds")[0], found.at("joules")[0]) == (1.0, 1.0)


@pytest.mark.parametrize(("reads", "charged"), [("features", True), ("contents", False)])
def test_of_a_fit_that_did_not_note_it_the_strategy_says_it(reads: str, charged: bool) -> None:
    assert cost(ROW, {}, reads=reads).features is charged


def test_a_row_whose_energy_is_not_known_leaves_the_model_out() -> None:
    unknown = Forward(seconds=0.5, energy=Energy())
    found = cost(unknown, {}, features=True)
    assert found.at("joules") is None
    assert (found.as_dict()["embedding_seconds"], found.as_dict()["embedding_flops"]) == (5.0, None)


def test_a_plugin_may_tell_anything() -> None:
    assert numbers_of({"a": 1, "b": "much", "c": True, "d": -1, 3: 2.5}) == {"a": 1.0, "3": 2.5}
    assert numbers_of("much") == {}
    assert cost(ROW, {"reused": "yes"}, features=False).as_dict()["embedding_seconds"] is None
