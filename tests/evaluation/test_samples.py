"""What backbones and controls see of the samples: arrays for controls, rows that all can read, failures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.evaluation.machinery import clouds
from tlengine.data import load_dataset
from tlengine.errors import DecodeError, InputError
from tlengine.evaluation import compare
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.samples import Failed, Wanted, samples_of_features, see_samples
from tlengine.types import Failure, Features

X, CODES = clouds(60)
NAMES = np.array(["a", "b", "c"])[CODES]
QUICK: dict[str, Any] = {"strategies": ["centroid"], "budgets": [5], "seeds": 1, "progress": False}


def test_arrays_are_controls_of_features() -> None:
    """Strategies are on the features alone, the control on its array alone, on the same splits."""
    only = np.where(CODES[:, None] == 2, 1.0, 0.0)
    run = compare((X, NAMES), controls={"flag": only.tolist()}, **QUICK)
    assert {(r["backbone"], r["strategy"]) for r in run.results} == {
        ("features", "centroid"),
        ("flag", "flag"),
    }
    assert [(c["strategy"], c["control"]) for c in run.document["comparisons"]] == [("centroid", "flag")]
    assert {b["name"]: b["dim"] for b in run.document["backbones"]} == {"features": 8, "flag": 1}
    accuracy = {s["strategy"]: s["value"] for s in run.document["summary"] if s["metric"] == "accuracy"}
    third = np.mean(CODES == 2)
    assert third < accuracy["flag"] < 1, "a flag tells one class from the others, and no more"


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (X[:-1], r"\(59, 8\)"),
        (X[:, 0], r"\(60,\)"),
        (X[None], r"\(1, 60, 8\)"),
        (np.where(np.eye(60, 8), np.nan, X), r"\(60, 8\)"),
        (X.astype(np.float64) * 1e300, r"\(60, 8\)"),
        ([["word"] * 60], "list"),
        ("raw", "str"),
        (None, "NoneType"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_an_array_of_another_shape_is_refused(array: Any, shown: str) -> None:
    with pytest.raises(InputError, match=f"the control 'raw' is {shown}") as caught:
        compare((X, NAMES), controls={"raw": array}, **QUICK)
    assert caught.value.hint == "give finite numbers, (60, columns), a row a sample"


def test_a_control_has_a_name_of_its_own() -> None:
    with pytest.raises(InputError, match="a control has the name of the features, 'features'"):
        compare((X, NAMES), controls={"features": X}, **QUICK)
    with pytest.raises(InputError, match="a control is named 'centroid', as a strategy"):
        compare((X, NAMES), controls={"centroid": X}, **QUICK)


def test_features_are_what_they_were_given_as() -> None:
    dataset = load_dataset((X.astype(np.float64)[:, ::-1], NAMES))
    found = samples_of_features(dataset, {"raw": X})
    assert found.views["features"].X.dtype == np.float32
    assert found.views["features"].X.flags.c_contiguous
    assert np.array_equal(found.views["features"].X, X[:, ::-1])
    assert found.views["raw"].backbone == ""
    assert found.rows.tolist() == list(range(60))


TEXTS = load_dataset((["zero", "one", "two", "three"], ["x", "y", "x", "y"]))


def features(rows: list[int], failures: list[str]) -> Features:
    return Features(
        X=np.array(rows, np.float32)[:, None],
        ids=np.array(rows).astype(str),
        rows=np.array(rows),
        failures=[Failure(id=name, reason="torn") for name in failures],
    )


def seen(**by: Any) -> Any:
    def embed(view: Wanted) -> Features:
        found = by[view.name]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    wanted = [Wanted(name=name, backbone=name, source=name, asked=name.startswith("net")) for name in by]
    return see_samples(TEXTS, wanted, embed, Ledger())


def test_rows_are_those_that_every_view_could_read() -> None:
    found = seen(net=features([0, 2, 3], ["1"]), raw=features([0, 1, 3], ["2"]))
    assert found.rows.tolist() == [0, 3]
    assert found.y.tolist() == ["x", "y"]
    assert found.unreadable == [{"id": "1", "reason": "torn"}, {"id": "2", "reason": "torn"}]
    for view in found.views.values():
        assert view.X.tolist() == [[0.0], [3.0]]


def test_a_view_that_fails_is_reported_and_the_others_go_on() -> None:
    whole = features([0, 1, 2, 3], [])
    found = seen(net=whole, net2=RuntimeError("no weights"), raw=InputError("no words", hint="give some"))
    assert list(found.views) == ["net"]
    assert [(f.backbone, f.strategy, f.asked, f.step, f.error, f.hint) for f in found.failed] == [
        ("net2", None, True, "extract", "RuntimeError: no weights", None),
        ("raw", None, False, "extract", "no words", "give some"),
    ]


@pytest.mark.parametrize(
    ("by", "error"),
    [
        (lambda: {"net": RuntimeError("first"), "net2": RuntimeError("second")}, "first"),
        (lambda: {"net": RuntimeError("first"), "raw": features([0, 1, 2, 3], [])}, "first"),
        (
            lambda: {"raw": DecodeError("nothing can be read"), "net": features([0], [])},
            "nothing can be read",
        ),
    ],
)
def test_no_backbone_that_was_asked_for_is_an_error(by: Callable[[], Any], error: str) -> None:
    with pytest.raises(Exception, match=error):
        seen(**by())


def test_what_failed_keeps_its_words() -> None:
    told = Failed.of("net", "probe", InputError("too few", hint="more"), step="refit", asked=True)
    assert (told.error, told.hint, told.step, told.asked) == ("too few", "more", "refit", True)
    assert Failed.of(None, None, KeyError("a")).error == "KeyError: 'a'"
