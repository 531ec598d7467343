"""The gain over each control by budget: numbers, places on one scale, and what is not there."""

import pytest

from tlengine.reports.gains import gain_drawings


def test_each_control_has_a_drawing_with_a_row_for_each_budget(trained):
    raw, scratch, stats = gain_drawings(trained)
    assert [d["title"] for d in (raw, scratch, stats)] == ["raw", "scratch (net)", "stats"]
    assert [row["budget"] for row in raw["rows"]] == ["5", "20", "all"]
    assert [row["text"] for row in raw["rows"]][::2] == ["+25.0 (+14.8 to +35.2)", "+10.0 (+3.5 to +16.5)"]
    assert {row["look"] for row in stats["rows"]} == {"loss"}
    assert {row["look"] for row in raw["rows"]} == {"gain"}


def test_all_stand_on_one_scale(trained):
    drawings = gain_drawings(trained)
    assert len({tuple(tick["x"] for tick in d["ticks"]) for d in drawings}) == 1
    assert [tick["text"] for tick in drawings[0]["ticks"]] == ["−40", "−20", "0", "+20", "+40", "+60"]
    assert drawings[0]["zero"] == pytest.approx(34 + 168 * 40 / 100, abs=0.1)
    first = drawings[0]["rows"][0]
    assert first["x"] == pytest.approx(34 + 168 * 65 / 100, abs=0.1)
    assert first["x_low"] < first["x"] < first["x_high"]


def test_an_interval_that_holds_zero_is_open(trained):
    trained["verdict"]["by_budget"][0]["controls"][0].update(low=-0.01, high=0.3)
    assert gain_drawings(trained)[0]["rows"][0]["look"] == "open"


def test_without_an_interval_there_is_a_dot_and_no_line(trained):
    trained["verdict"]["by_budget"][0]["controls"][0].update(low=None, high=None)
    row = gain_drawings(trained)[0]["rows"][0]
    assert (row["x_low"], row["text"]) == (None, "+25.0 (no interval)")


def test_one_budget_and_documents_of_earlier_builds_have_none(document, trained):
    assert gain_drawings(document) == []
    trained["verdict"]["by_budget"] = trained["verdict"]["by_budget"][-1:]
    assert gain_drawings(trained) == []
