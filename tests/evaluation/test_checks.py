"""What a strategy cannot do on a backbone is said before anything is fitted."""

from typing import Any

import pytest

from tests.evaluation.pictures import tiny
from tests.evaluation.trained import Trained, spec
from tlengine.data.dataset import Dataset
from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation import compare
from tlengine.evaluation.executors import Here

QUICK: dict[str, Any] = {"budgets": [5], "seeds": 1, "progress": False}


class Watched(Here):
    """Writes down what is run."""

    def __init__(self) -> None:
        self.run_for: set[tuple[str, str]] = set()

    def run(self, setup: Any, tasks: Any) -> Any:
        self.run_for |= {(task.view, task.strategy) for task in tasks}
        return super().run(setup, tasks)


def test_it_is_left_out_where_it_cannot_be_used_and_the_rest_goes_on(digit_images: Dataset) -> None:
    watched, backbones = Watched(), [tiny("bare"), tiny("whole")]
    with pytest.warns(
        TlengineWarning, match="net cannot be used on bare and is left out: bare has no blocks"
    ):
        run = compare(
            digit_images, backbones, strategies=["centroid", spec("net", Trained(refuses="bare"))],
            controls=(), executor=watched, **QUICK,
        )  # fmt: skip
    assert watched.run_for == {("bare", "centroid"), ("whole", "centroid"), ("whole", "net")}
    (failed,) = [failed for failed in run.document["failed"] if failed["step"] == "fit"]
    told = {name: failed[name] for name in ("backbone", "strategy", "error", "hint", "asked", "step")}
    assert told == {
        "backbone": "bare", "strategy": "net", "error": "bare has no blocks", "hint": "name another backbone",
        "asked": True, "step": "fit",
    }  # fmt: skip
    assert "no result: bare net: bare has no blocks" in run.table()


def test_where_no_strategy_is_left_nothing_is_trained(digit_images: Dataset) -> None:
    """Controls alone would be recommended as if they had won."""
    watched = Watched()
    with (
        pytest.warns(TlengineWarning, match="left out"),
        pytest.raises(InputError, match="net cannot be used on tiny: tiny has no blocks") as said,
    ):
        compare(
            digit_images, tiny(), strategies=[spec("net", Trained(refuses=""))], controls=["raw"],
            executor=watched, **QUICK,
        )  # fmt: skip
    assert said.value.hint == "name another backbone"
    assert not watched.run_for


def test_a_control_that_cannot_be_had_leaves_a_gain_open(digit_images: Dataset) -> None:
    scratch = spec("beginner", Trained(refuses="", inner_tasks=0), "control")
    with pytest.warns(TlengineWarning, match="beginner cannot be used"):
        run = compare(digit_images, tiny(), strategies=["centroid", scratch], controls=["raw"], **QUICK)
    assert run.verdict.missing == ["beginner"]
    assert run.verdict.outcome != "positive"


@pytest.mark.parametrize(("names", "missing"), [("bare whole", ["beginner on bare"]), ("whole bare", [])])
def test_one_that_cannot_be_had_on_one_backbone_counts_where_that_is_picked(
    digit_images: Dataset, names: str, missing: list[str]
) -> None:
    """Of two networks that are alike the first is picked."""
    beginner = spec("beginner", Trained(refuses="bare", inner_tasks=0, steps=1), "control")
    backbones = [tiny(name) for name in names.split()]
    with pytest.warns(TlengineWarning, match="beginner cannot be used on bare"):
        run = compare(digit_images, backbones, strategies=["centroid", beginner], controls=(), **QUICK)
    assert run.verdict.backbone == names.split()[0]
    assert run.verdict.missing == missing
    assert not missing or run.verdict.outcome == "undecided"


def test_a_check_that_breaks_costs_its_own_strategy(digit_images: Dataset) -> None:
    class Exits(Trained):
        def check(self, view: Any) -> None:
            raise SystemExit("out")

    with pytest.warns(TlengineWarning, match="left out: SystemExit: out"):
        run = compare(
            digit_images, tiny(), strategies=["centroid", spec("net", Exits())], controls=(), **QUICK
        )
    assert {fit["strategy"] for fit in run.document["fits"]} == {"centroid"}


def test_a_check_sees_no_label_of_a_test_row(digit_images: Dataset) -> None:
    class Looks(Trained):
        def check(self, view: Any) -> None:
            view.codes(range(120))

    with pytest.warns(TlengineWarning, match="LookupError: the label of row"):
        compare(digit_images, tiny(), strategies=["centroid", spec("net", Looks())], controls=(), **QUICK)
