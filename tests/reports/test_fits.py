"""Facts of fits are anybody's: what is not what it should be is not there."""

import pytest

from tlengine.reports.fits import curve_of, fits_of, mean_of, notes_of, number_of, rates_of, told


def test_fits_are_found_by_cell(document):
    found = fits_of(document)
    assert len(found) == 12
    assert found["net", "knn", 5][0]["seconds"] == 0.25


def test_the_mean_is_of_what_is_known():
    assert mean_of([{"a": 1}, {"a": None}, {}, {"a": 3}], "a") == 2.0
    assert mean_of([{"a": None}], "a") is None


def test_a_document_of_an_earlier_build_tells_nothing():
    assert told({}, "curve") is None
    assert (curve_of({}), rates_of({}), notes_of({}), number_of({}, "drift")) == ([], [], [], None)


@pytest.mark.parametrize("odd", [True, "0.5", None, float("nan"), float("inf"), [1]])
def test_what_is_no_finite_number_is_none(odd):
    assert number_of({"facts": {"drift": odd}}, "drift") is None
    assert curve_of({"facts": {"curve": [[1, odd], [2, 0.5]]}}) == [(2.0, 0.5)]
    assert rates_of({"facts": {"tried": [{"rate": odd, "loss": 1.0}, {"rate": 0.1, "loss": odd}]}}) == [
        (0.1, None)
    ]


def test_notes_are_sentences_alone():
    assert notes_of({"facts": {"notes": ["so", 3, None, ["x"]]}}) == ["so"]
    assert notes_of({"facts": {"notes": "so"}}) == []
