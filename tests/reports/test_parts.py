import base64
import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.reports.conftest import thumbnail
from tlengine.reports.chart import LINE, Series, label_curve
from tlengine.reports.pictures import clean_picture

shares = st.floats(0, 1).flatmap(lambda v: st.tuples(st.just(v), st.floats(0, v), st.floats(v, 1)))
curves = st.lists(st.lists(shares, min_size=3, max_size=3), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(curves, st.sampled_from([380, 760]))
def test_everything_is_drawn_inside_the_frame(values, width):
    series = [
        Series(name=f"s{i}", role="best" if i == 0 else "other", values=tuple(v))
        for i, v in enumerate(values)
    ]
    chart = label_curve([5, 10, "all"], series, width=width)
    for drawn in chart["series"]:
        for dot in drawn["dots"]:
            assert chart["left"] <= dot["x"] <= chart["right"]
            assert 0 <= dot["high"] <= dot["y"] <= dot["low"] <= chart["bottom"] + 0.1
    assert chart["series"][-1]["role"] == "best"


@settings(max_examples=80, deadline=None)
@given(curves)
def test_end_labels_do_not_overlap(values):
    series = [Series(name=f"s{i}", role="other", values=tuple(v)) for i, v in enumerate(values)]
    places = sorted(d["label_y"] for d in label_curve([5, 10, "all"], series, width=760)["series"])
    assert all(b - a >= LINE - 0.2 for a, b in pairwise(places))


def test_ticks_span_the_intervals():
    chart = label_curve([5], [Series(name="a", role="best", values=((0.93, 0.91, 0.95),))], width=380)
    texts = [int(t["text"]) for t in chart["ticks"]]
    assert texts[0] <= 91
    assert texts[-1] >= 95
    assert 3 <= len(texts) <= 7


def test_a_picture_is_encoded_anew():
    clean = clean_picture(thumbnail((10, 200, 30)))
    assert clean.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(clean.split(",")[1]))) as image:
        assert (image.format, image.size) == ("JPEG", (40, 40))


@pytest.mark.parametrize(
    "source",
    [
        None,
        3,
        "",
        "x.png",
        "https://example.org/x.png",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:image/png;base64,AAAA",
        'data:image/png;base64,AAAA" onerror=alert(1)',
        "data:text/html;base64,PGI+",
    ],
)
def test_anything_else_is_left_out(source):
    assert clean_picture(source) is None


def test_a_large_picture_is_left_out():
    out = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(out, "PNG")
    assert clean_picture("data:image/png;base64," + base64.b64encode(out.getvalue()).decode()) is None
