"""A run document has all that a report shows, or is refused with the place that is missing."""

import copy
import json

import pytest

from tlengine.errors import RunFormatError
from tlengine.evaluation import check_document, compare
from tlengine.evaluation.schema import _OBJECTS, _RECORDS


@pytest.fixture(scope="module")
def document(digits):
    X, y = digits
    X = X[:160].copy()
    X[1], X[3] = X[0], X[2] + 1e-4  # a conflict or a twin, and a near-duplicate
    y = y[:160].copy()
    y[1] = "three" if y[0] != "three" else "two"
    options = {"strategies": ["ridge", "centroid"], "budgets": [5, "all"], "seeds": 1, "progress": False}
    return json.loads(compare((X, y), controls={"raw": X[:, :9]}, **options).to_json())


def test_a_run_fits(document):
    check_document(document, "here")
    for part in (
        "results",
        "summary",
        "comparisons",
        "fits",
        "verdict.controls",
        "verdict.picked",
        "mistakes",
    ):
        entries = document
        for step in part.split("."):
            entries = entries[step]
        assert entries, f"{part} is checked on something"


def test_documents_of_earlier_builds_fit(document):
    """They lack what fits told, the controls of each budget, and the advice."""
    old = copy.deepcopy(document)
    del old["advice"]
    for fit in old["fits"]:
        del fit["facts"]
    for record in old["verdict"]["by_budget"]:
        del record["controls"]
    check_document(old, "here")


@pytest.mark.parametrize(
    ("break_it", "place"),
    [
        (lambda d: d["fits"][0].update(facts="fast"), r"here: fits\[0\].facts is 'fast'"),
        (lambda d: d["verdict"]["by_budget"][0].update(controls={}), "by_budget\\[0\\].controls is {}"),
        (lambda d: d["verdict"]["by_budget"][1]["controls"][0].pop("low"), r"controls\[0\].low is missing"),
        (lambda d: d.update(advice="do it"), "here: advice is not a list"),
        (lambda d: d.update(advice=[{"kind": "labels"}]), r"here: advice\[0\].text is missing"),
    ],
)
def test_what_is_there_is_checked(document, break_it, place):
    broken = copy.deepcopy(document)
    break_it(broken)
    with pytest.raises(RunFormatError, match=place):
        check_document(broken, "here")


@pytest.mark.parametrize("name", _OBJECTS)
def test_every_part_and_key_is_needed(document, name):
    *way, last = name.split(".")

    def owner(of):
        for step in way:
            of = of[step]
        return of

    broken = copy.deepcopy(document)
    del owner(broken)[last]
    with pytest.raises(RunFormatError, match=f"here: {name} "):
        check_document(broken, "here")
    for key, kinds in _OBJECTS[name].items():
        if type(None) in kinds:
            continue
        broken = copy.deepcopy(document)
        owner(broken)[last][key] = None
        with pytest.raises(RunFormatError, match=rf"here: {name}\.{key} is None"):
            check_document(broken, "here")


@pytest.mark.parametrize("name", _RECORDS)
def test_every_list_is_needed_and_a_bad_record_is_named(document, name):
    broken = copy.deepcopy(document)
    *way, last = name.split(".")
    owner = broken
    for step in way:
        owner = owner[step]
    entries, owner[last] = owner[last], "no list"
    with pytest.raises(RunFormatError, match=rf"here: {name} is (not a list|'no list')"):
        check_document(broken, "here")
    owner[last] = [*entries, 3]
    with pytest.raises(RunFormatError, match=rf"{name}\[{len(entries)}\] is missing or not an object"):
        check_document(broken, "here")
    for key in _RECORDS[name] if entries else ():
        owner[last] = [{**entries[0], key: object()}]
        with pytest.raises(RunFormatError, match=rf"{name}\[0\]\.{key} is <object"):
            check_document(broken, "here")


@pytest.mark.parametrize("version", [1, 3, "2", None])
def test_another_version_is_refused(document, version):
    with pytest.raises(RunFormatError, match=f"version {version!r}"):
        check_document({**document, "version": version}, "here")


@pytest.mark.parametrize("document", [None, 3, [], {}, {"format": "other"}])
def test_what_is_no_run_is_refused(document):
    with pytest.raises(RunFormatError, match="here is not a run of tlengine"):
        check_document(document, "here")
