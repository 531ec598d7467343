"""The page itself: complete, self-contained, and inert whatever the document says."""

import copy
import hashlib
import html
import json
import re
import shutil
import subprocess
from base64 import b64encode
from html.parser import HTMLParser

import pytest

from tests.reports.conftest import make_document, make_trained_document, thumbnail
from tests.requirements import require_tools
from tlengine.errors import RunFormatError
from tlengine.reports import render_html

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    '" onmouseover="alert(1)',
    "\u2028{{ 7 * 7 }}",
    "</style><svg onload=alert(1)>",
    "{% include 'report.css' %}",
]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.text = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    tags = Tags()
    tags.feed(page)
    return tags


def hostile_document():
    previews = [
        {"kind": "image", "src": "javascript:alert(1)"},
        {"kind": "image", "src": "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+"},
        {"kind": "image", "src": "https://example.org/x.png"},
        {"kind": "text", "text": HOSTILE[1]},
        {"kind": "image", "src": thumbnail()},
    ]
    document = make_document(classes=HOSTILE, name=HOSTILE[0], previews=previews)
    return json.loads(
        json.dumps(document).replace('"net"', json.dumps(HOSTILE[0])).replace("broken.jpg", "<b>x</b>")
    )


def test_every_part_is_on_the_page(document):
    page = html.unescape(re.sub(r"<[^>]+>", " ", render_html(document)))
    for expected in (
        "Use net with knn: 94.0\u202f% test accuracy.",
        "Transfer helps",
        "It beats raw and stats.",
        "20 per class",
        "picked in 4 of 5",
        "+20.0 points",
        "It helps up to 20 labels per class.",
        "perfect: 0.058, ≤ 0.090",
        "an interval of a mean needs 200",
        "45 of them taken up",
        "p\u00a0<\u00a00.001",
        "yak (2)",
        "broken.jpg: truncated",
        "net with ridge failed in the step fit at 5, 20 labels per class: out of order (mend it)",
        "a.jpg ≈ b.jpg",
        "p.jpg, q.jpg: cat / dog",
        "saved 31.5 s",
        "ab" * 12,
        "a text",
        "have a twin inside it",
    ):
        assert expected in page, expected


def test_what_networks_told_is_on_the_page(trained):
    page = html.unescape(re.sub(r"<[^>]+>", " ", render_html(trained)))
    for expected in (
        "What to do next",
        "Label more: from 60 to 240 labels",
        "Gain over each control",
        "−12.0 (−22.2 to −1.7)",
        "How the networks trained",
        "still falling in 1 of 1 fit",
        "How far features moved",
        "0.87",
        "memory was short",
        "rate 0.001 loss 0.75",
    ):
        assert expected in page, expected


def test_a_panel_that_has_nothing_to_say_is_absent(document):
    page = render_html(document)
    for absent in (
        "What to do next",
        "Gain over each control",
        "How the networks trained",
        "What was noticed",
    ):
        assert absent not in page


def test_the_page_of_what_was_read_back_is_the_same(trained):
    assert render_html(json.loads(json.dumps(trained))) == render_html(trained)


def test_what_a_plugin_tells_is_text(trained):
    for fit in trained["fits"]:
        fit["facts"] = {"notes": HOSTILE, "block": HOSTILE[0]}
    trained["advice"] = [{"kind": "labels", "text": HOSTILE[1]}]
    tags = parsed(render_html(trained))
    assert "script" not in {tag for tag, _ in tags.found}
    assert {a["src"][:22] for tag, a in tags.found if tag == "img"} == {"data:image/jpeg;base64"}
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert HOSTILE[0] in "".join(tags.text)


def test_the_page_loads_nothing_and_runs_nothing(document):
    page = render_html(document)
    tags = parsed(page).found
    assert {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base", "form"} == set()
    for tag, attributes in tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("style", "href", "srcset")
        ], tag
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/jpeg;base64,")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_the_policy_allows_this_style_and_nothing_else(document):
    page = render_html(document)
    policy = next(
        a["content"] for tag, a in parsed(page).found if a.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy


def test_hostile_names_are_text():
    page = render_html(hostile_document())
    tags = parsed(page)
    names = {tag for tag, _ in tags.found}
    assert names & {"script", "b"} <= {"b"}
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert [a["src"][:22] for tag, a in tags.found if tag == "img"] == ["data:image/jpeg;base64"]
    text = "".join(tags.text)
    for name in HOSTILE:
        assert name in text


def test_headless_chromium_shows_no_dialog_and_asks_for_nothing(tmp_path):
    require_tools("chromium")
    (tmp_path / "report.html").write_text(render_html(hostile_document()))
    command = [
        shutil.which("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        (tmp_path / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "What it cost" in done.stdout
    assert "CONSOLE" not in done.stderr, "the browser reports an error or a refused request"
    assert "alert(1)" in done.stdout
    assert len(parsed(done.stdout).found) == len(parsed(render_html(hostile_document())).found)


@pytest.mark.parametrize("n", [2, 12, 13, 60])
def test_many_classes_become_a_list_of_confusions(n):
    page = render_html(make_document(classes=[f"class-{i}" for i in range(n)]))
    assert ('class="matrix"' in page) == (n <= 12)
    assert ("most frequent confusions" in page) == (n > 12)


def test_one_budget_has_a_table_and_no_curve(document):
    document["configuration"]["budgets"] = ["all"]
    assert '<polyline class="series"' not in render_html(document)


def test_a_run_without_a_control_renders(document):
    gone = ("control", "effect", "low", "high", "p_value", "p_adjusted", "margin", "helps_up_to", "transfer")
    document["comparisons"] = []
    document["summary"] = [r for r in document["summary"] if r["role"] != "control"]
    document["verdict"].update(dict.fromkeys(gone), controls=[], outcome="undecided")
    for record in document["verdict"]["by_budget"]:
        record.update(dict.fromkeys(("control", "effect", "low", "high")))
    page = render_html(document)
    assert "Gain over" not in page
    assert "Does transfer help?" not in page
    assert "<polyline" in page


def test_a_run_without_any_interval_renders(document):
    for records in (document["summary"], document["comparisons"], document["verdict"]["controls"]):
        for record in records:
            record.update(low=None, high=None, reason="all test rows are one unit")
    for record in document["verdict"]["by_budget"]:
        record.update(low=None, high=None)
    document["verdict"].update(dict.fromkeys(("low", "high", "accuracy_low", "accuracy_high")))
    page = render_html(document)
    assert page.count("all test rows are one unit") >= 3
    assert "None" not in page


def test_a_run_that_chance_explains_renders(document):
    document["verdict"].update(labels_needed=None, helps_up_to=None)
    assert "not surely better than chance" in render_html(document)


@pytest.mark.parametrize("version", [1, 3, None])
def test_another_version_is_refused(document, version):
    document["version"] = version
    with pytest.raises(RunFormatError, match="this tlengine reads 2") as caught:
        render_html(document)
    assert "run compare again" in caught.value.hint


def test_an_incomplete_document_is_refused(document):
    del document["summary"]
    with pytest.raises(RunFormatError, match="summary"):
        render_html(document)


def places(value, way=()):
    """Every key of every object, and of the first record of every list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*way, key)
            yield from places(inner, (*way, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*way, 0))


@pytest.mark.parametrize("make", [make_document, make_trained_document])
def test_whatever_is_missing_the_page_is_made_or_the_document_refused(make):
    outcomes, document = set(), make()
    for way in places(document):
        broken = copy.deepcopy(document)
        owner = broken
        for step in way[:-1]:
            owner = owner[step]
        del owner[way[-1]]
        try:
            render_html(broken)
            outcomes.add("made")
        except RunFormatError:
            outcomes.add("refused")
        except Exception as error:
            raise AssertionError(f"without {way}: {error!r}") from error
    assert outcomes == {"made", "refused"}
