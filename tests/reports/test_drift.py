import pytest

from tlengine.reports.cells import cells_of, rows_of
from tlengine.reports.drift import drift_table


def table(document):
    return drift_table(document, cells_of(document), rows_of(document))


def test_who_trains_pretrained_weights_has_a_row(trained):
    found = table(trained)
    assert [row["name"] for row in found["rows"]] == ["lp-ft", "last-block", "finetune"]
    assert [cell["value"] for cell in found["rows"][2]["cells"]] == ["0.87"] * 3
    assert [cell["interval"] for cell in found["rows"][2]["cells"]] == [""] * 3


def test_several_fits_show_mean_least_and_most(trained):
    (own,) = [f for f in trained["fits"] if (f["strategy"], f["budget"]) == ("lp-ft", 5)]
    trained["fits"].append({**own, "seed": 1, "facts": {"drift": 0.5}})
    cell = table(trained)["rows"][0]["cells"][0]
    assert (cell["value"], cell["interval"]) == ("0.41", "0.31–0.50")


@pytest.mark.parametrize("told", ["far", None, float("nan"), [0.1], True])
def test_what_is_no_number_is_a_dash(trained, told):
    (own,) = [f for f in trained["fits"] if (f["strategy"], f["budget"]) == ("lp-ft", 5)]
    own["facts"]["drift"] = told
    assert table(trained)["rows"][0]["cells"][0]["value"] == "–"


def test_documents_of_earlier_builds_have_none(document):
    assert table(document) is None
