from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.reports.chart import LINE, Point, Series, label_curve

TICKS = [(15.0, "5"), (30.0, "10"), (400.0, "all")]
share = st.floats(0, 1)
known = share.flatmap(lambda v: st.tuples(st.just(v), st.floats(0, v), st.floats(v, 1)))
point = known | share.map(lambda v: (v, None, None))
curves = st.lists(st.lists(point, min_size=3, max_size=3), min_size=1, max_size=30)


def series_of(values, look="other", name="s"):
    points = [
        Point(labels=n, value=v, low=low, high=high)
        for (n, _), (v, low, high) in zip(TICKS, values, strict=True)
    ]
    return Series(name=name, look=look, points=tuple(points))


def corners(polygon):
    return [tuple(map(float, corner.split(","))) for corner in polygon.split()]


@settings(max_examples=80, deadline=None)
@given(curves, st.sampled_from([380, 760]), st.none() | share)
def test_everything_is_drawn_inside_the_frame(values, width, chance):
    looks = ["best", "hardest", "control"] + ["other"] * len(values)
    series = [series_of(v, look, f"s{i}") for i, (v, look) in enumerate(zip(values, looks, strict=False))]
    chart = label_curve(TICKS, series, width=width, chance=chance)
    bottom = chart["bottom"] + 0.1
    assert chart["series"][-1]["look"] == "best"
    for drawn in chart["series"]:
        xs = [dot["x"] for dot in drawn["dots"]]
        assert xs == sorted(set(xs))
        assert all(chart["left"] <= x <= chart["right"] for x in xs)
        assert all(0 <= dot["y"] <= bottom for dot in drawn["dots"])
        places = [place for band in drawn["bands"] for place in corners(band)]
        assert all(chart["left"] <= x <= chart["right"] and 0 <= y <= bottom for x, y in places)
    if chance is not None:
        assert 0 <= chart["chance"] <= bottom


@settings(max_examples=80, deadline=None)
@given(curves)
def test_names_do_not_overlap_and_the_best_has_one(values):
    series = [series_of(v, "best" if i == 0 else "other", f"s{i}") for i, v in enumerate(values)]
    chart = label_curve(TICKS, series, width=380)
    named = [s for s in chart["series"] if s["named"]]
    assert named[-1]["name"] == "s0"
    assert len(named) == min(len(values), (chart["bottom"] - 14) // LINE)
    places = sorted(s["label_y"] for s in named)
    assert all(b - a >= LINE - 0.2 for a, b in pairwise(places))
    assert places[0] >= 0
    assert places[-1] <= chart["bottom"]


def test_a_band_ends_where_there_is_no_interval():
    nothing, wide = (0.5, None, None), (0.5, 0.4, 0.6)
    for values, lengths in (
        ([wide, wide, wide], [6]),
        ([wide, wide, nothing], [4]),
        ([wide, nothing, wide], [2, 2]),
        ([nothing] * 3, []),
    ):
        drawn = label_curve(TICKS, [series_of(values, "best")], width=760)["series"][0]
        assert [len(corners(band)) for band in drawn["bands"]] == lengths


def test_only_the_best_and_the_hardest_have_a_band():
    looks = ("other", "control", "hardest", "best")
    series = [series_of([(0.5, 0.4, 0.6)] * 3, look, look) for look in looks]
    drawn = label_curve(TICKS, series, width=760)["series"]
    assert [s["name"] for s in drawn if s["bands"]] == ["hardest", "best"]


def test_long_names_keep_both_ends_and_room_for_the_curve():
    name = "a-network-with-a-very-long-name · centroid"
    chart = label_curve(TICKS, [series_of([(0.5, 0.4, 0.6)] * 3, "best", name)], width=380)
    (drawn,) = chart["series"]
    assert drawn["name"] == "a-netwo…name · centroid"
    assert chart["right"] - chart["left"] > 140


def test_the_axis_is_logarithmic_and_its_texts_stand_apart():
    ticks = [(10.0, "10"), (100.0, "100"), (1000.0, "1000"), (1010.0, "all")]
    points = tuple(Point(labels=n, value=0.5) for n, _ in ticks)
    chart = label_curve(ticks, [Series(name="a", look="best", points=points)], width=760)
    first, second, third, last = chart["budgets"]
    assert abs((second["x"] - first["x"]) - (third["x"] - second["x"])) < 0.3
    assert last["x"] - third["x"] < 5
    assert last["at"] - third["at"] > 30
    assert last["labels"] == "1,010"


def test_ticks_span_intervals_and_chance():
    points = tuple(Point(labels=n, value=0.93, low=0.91, high=0.95) for n, _ in TICKS)
    series = [Series(name="a", look="best", points=points)]
    texts = [int(t["text"]) for t in label_curve(TICKS, series, width=380)["ticks"]]
    assert texts[0] <= 91
    assert texts[-1] >= 95
    assert 3 <= len(texts) <= 7
    texts = [int(t["text"]) for t in label_curve(TICKS, series, width=380, chance=0.1)["ticks"]]
    assert texts[0] <= 10
