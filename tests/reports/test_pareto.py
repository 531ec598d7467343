import re

import pytest

from tlengine.reports import render_html
from tlengine.reports.cells import rows_of
from tlengine.reports.pareto import fronts


def drawings(document):
    return {drawing["title"]: drawing for drawing in fronts(document, rows_of(document))}


def test_a_drawing_for_each_cost_with_the_front_listed(document):
    found = drawings(document)
    assert set(found) == {"Labels", "Time", "Energy"}
    assert found["Energy"]["listed"] == [
        "knn, 5 per class: 89.0\u202f%, 15 J",
        "knn, 20 per class: 91.0\u202f%, 60 J",
        "knn, all labels: 93.0\u202f%, 240 J",
    ]
    assert found["Time"]["listed"][0].endswith("15.0 s")
    assert [p["number"] for p in found["Labels"]["points"] if p["number"]] == ["1", "2", "3"]
    assert found["Energy"]["note"] == "By a model: no counter could be read."


def test_less_cost_is_left_and_more_accuracy_is_up_inside_the_drawing(document):
    for drawing in drawings(document).values():
        best = [p for p in drawing["points"] if p["standing"] == "front"]
        assert [p["x"] for p in best] == sorted(p["x"] for p in best)
        assert [p["y"] for p in best] == sorted((p["y"] for p in best), reverse=True)
        for point in drawing["points"]:
            assert drawing["left"] <= point["x_low"] <= point["x"] <= point["x_high"] <= drawing["right"]
            assert 0 < point["y_high"] <= point["y"] <= point["y_low"] <= drawing["bottom"]
        assert len(drawing["ticks"]) >= 2


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1e-6, 1e6), (3.0, 3.1), (0.0, 5.0)])
def test_costs_of_any_size_have_a_place(document, low, high):
    points = [p for p in document["costs"]["fronts"] if p["axis"] == "joules"]
    for point in points:
        point.update(cost=low, cost_low=low, cost_high=low)
    points[-1].update(cost=high, cost_low=high, cost_high=high)
    drawing = drawings(document)["Energy"]
    assert all(drawing["left"] <= p["x"] <= drawing["right"] for p in drawing["points"])


def test_one_point_or_none_is_no_drawing(document):
    document["costs"]["fronts"] = document["costs"]["fronts"][:1]
    assert fronts(document, rows_of(document)) == []
    assert "What accuracy costs" not in render_html(document)


def test_the_page_shows_what_one_model_takes_with_the_source_of_its_joules(document):
    page = render_html(document)
    assert "What one model takes" in page
    assert page.count('class="border"') == 3
    (table,) = re.findall(r"What one model takes.*?</table>", page, re.DOTALL)
    assert "joules" in table
    assert "+ 20, model" in table
    assert "GPU seconds" not in table
    for cost in document["costs"]["strategies"]:
        cost.update(gpu_seconds=2.0, taken_up=3)
    page = render_html(document)
    assert "GPU seconds" in page
    assert "36 fits were taken up from an earlier run" in page


def test_numbers_of_dots_that_lie_on_each_other_go_to_different_sides(document):
    best = [p for p in document["costs"]["fronts"] if p["axis"] == "joules" and p["standing"] == "front"]
    for at, point in enumerate(best):
        point.update(cost=10.0 + at / 100, value=0.9 + at / 1000)
    points = drawings(document)["Energy"]["points"]
    numbered = sorted((p for p in points if p["number"]), key=lambda p: p["number"])
    assert [p["crowded"] for p in numbered] == [False, True, False]
    assert not any(p["crowded"] for p in drawings(document)["Labels"]["points"])


def test_what_all_cost_alike_is_the_tick(document):
    points = [p for p in document["costs"]["fronts"] if p["axis"] == "labels"]
    for point in points:
        point.update(cost=60, cost_low=60, cost_high=60)
    drawing = drawings(document)["Labels"]
    assert [tick["text"] for tick in drawing["ticks"]] == ["60"]
    assert drawing["ticks"][0]["x"] == drawing["points"][0]["x"]
