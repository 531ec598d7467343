"""Training curves: whose, on which scale, and what a plugin may tell instead."""

import pytest

from tlengine.reports.cells import rows_of
from tlengine.reports.losses import loss_drawings


def drawings(document):
    return loss_drawings(document, rows_of(document))


def facts(document, strategy):
    return next(f for f in document["fits"] if (f["strategy"], f["budget"]) == (strategy, "all"))["facts"]


def test_each_strategy_that_trains_has_one(trained):
    found = drawings(trained)
    assert [d["title"] for d in found] == ["lp-ft", "last-block", "finetune", "scratch"]
    assert [d["look"] for d in found][-1] == "control"
    assert found[0]["note"] == "100 steps, rate 0.0001, loss 0.102 at the end"
    assert found[-1]["note"].endswith("; still falling in 1 of 1 fit")
    points = found[0]["lines"][0].split()
    assert len(points) == 50
    x, y = map(float, points[-1].split(","))
    assert x == 366.0
    assert y == pytest.approx(184 - 172 * 0.1023 / 1.5, abs=0.1)


def test_all_have_one_scale_of_losses(trained):
    facts(trained, "scratch")["curve"] = [[1, 2.4], [2, 2.3]]
    assert len({tuple(t["y"] for t in d["losses"]) for d in drawings(trained)}) == 1
    assert drawings(trained)[0]["losses"][-1]["text"] == "2.5"


def test_a_training_that_runs_away_leaves_the_others_their_room(trained):
    facts(trained, "finetune")["curve"] = [[1, 1.1], [50, 1e9], [100, 1e12]]
    found = drawings(trained)
    assert float(found[0]["losses"][-1]["text"]) <= 4
    assert found[2]["note"].endswith(f"; drawn up to {found[2]['losses'][-1]['text']}")
    assert "drawn up to" not in found[0]["note"]
    heights = [float(point.split(",")[1]) for point in found[2]["lines"][0].split()]
    assert heights[1:] == [12.0, 12.0], "the top of the drawing"


@pytest.mark.parametrize(
    "curve", [None, "falling", [], [[1, 0.5]], [[1], [2]], [[1, None], [2, "x"]], [1, 2], {"1": 2}]
)
def test_what_is_no_curve_is_not_drawn(trained, curve):
    facts(trained, "finetune")["curve"] = curve
    assert [d["title"] for d in drawings(trained)] == ["lp-ft", "last-block", "scratch"]


def test_losses_of_zero_are_drawn(trained):
    for strategy in ("lp-ft", "last-block", "finetune", "scratch"):
        facts(trained, strategy)["curve"] = [[1, 0.0], [2, 0.0]]
    assert drawings(trained)[0]["lines"][0].endswith(",184.0")


def test_documents_of_earlier_builds_have_none(document):
    assert drawings(document) == []
