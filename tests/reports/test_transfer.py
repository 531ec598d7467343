from tlengine.reports.text import NARROW, NBSP
from tlengine.reports.transfer import transfer_panel


def test_every_control_has_a_row(document):
    panel = transfer_panel(document)
    assert panel["subject"] == "net with knn"
    assert [(r["name"], r["value"], r["interval"]) for r in panel["controls"]] == [
        ("raw", "+20.0", "+10.0 to +30.0"),
        ("stats", "+30.0", "+20.0 to +40.0"),
    ]
    assert panel["notes"] == []


def test_the_interval_is_at_the_level_of_the_decision(document):
    document["verdict"]["outcome"] = "negative"
    for record in document["verdict"]["controls"]:
        record["level"] = 0.975
    rows = transfer_panel(document)["controls"]
    assert [row["level"] for row in rows] == [f"97.5{NARROW}%"] * 2
    document["verdict"]["controls"][0].update(p_value=0.02, p_adjusted=0.04)
    assert transfer_panel(document)["controls"][0]["p"] == f"p{NBSP}={NBSP}0.040"


def test_no_interval_is_a_dash_with_its_reason(document):
    document["verdict"]["controls"][1].update(low=None, high=None, reason="one unit")
    panel = transfer_panel(document)
    first, second = panel["controls"]
    assert (first["mark"], second["mark"]) == ("", "a")
    assert (second["interval"], second["level"]) == ("–", "")
    assert panel["notes"] == [{"mark": "a", "text": "one unit"}]


def test_the_outcome_of_every_budget(document):
    document["verdict"]["by_budget"][0].update(control=None, effect=None, low=None, high=None)
    document["verdict"]["by_budget"][1].update(low=None, high=None)
    panel = transfer_panel(document)
    assert [r["outcome"]["kind"] for r in panel["budgets"]] == ["positive", "positive", "undecided"]
    assert [r["labels"] for r in panel["budgets"]] == ["15", "60", "240"]
    assert [r["value"] for r in panel["budgets"]] == ["–", "+20.0", "+20.0"]
    assert [r["interval"] for r in panel["budgets"]] == ["", "–", "+10.0 to +30.0"]
    assert panel["reach"] == "It helps up to 20 labels per class."


def test_without_a_control_there_is_no_panel(document):
    document["verdict"]["controls"] = []
    assert transfer_panel(document) is None


def test_a_control_of_a_backbone_is_named_with_it(document):
    document["verdict"]["controls"][0].update(control="random", control_backbone="net~random")
    assert transfer_panel(document)["controls"][0]["name"] == "random (net~random)"
