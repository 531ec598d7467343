import pytest

from tlengine.reports.headline import headline
from tlengine.reports.text import NARROW


def facts(document):
    return {fact["label"]: (fact["value"], fact["note"]) for fact in headline(document)["facts"]}


def test_the_answer_comes_first_and_the_rest_below(document):
    found = headline(document)
    assert found["answer"] == f"Use net with knn: 94.0{NARROW}% test accuracy."
    assert found["more"] == "It beats raw and stats."
    assert found["outcome"] == {"kind": "positive", "text": "Transfer helps", "word": "helps"}


def test_the_accuracy_is_that_of_the_way_of_choosing(document):
    value, note = facts(document)["Test accuracy"]
    assert value == f"94.0{NARROW}%"
    assert note == f"95{NARROW}% interval 91.0–97.0; picked in 4 of 5"


def test_no_interval_has_its_reason(document):
    reason = "all test rows are one unit"
    document["verdict"].update(accuracy_low=None, accuracy_high=None, accuracy_reason=reason)
    document["verdict"]["controls"][0].update(low=None, high=None, reason=reason)
    found = facts(document)
    assert found["Test accuracy"][1] == f"no interval: {reason}; picked in 4 of 5"
    assert found["Gain over raw"] == ("+20.0 points", f"no interval: {reason}")


def test_the_gain_is_over_the_control_that_the_outcome_hangs_on(document):
    document["verdict"].update(control="stats", effect=0.3)
    value, note = facts(document)["Gain over stats"]
    assert (value, note[:14]) == ("+30.0 points", "+20.0 to +40.0")


@pytest.mark.parametrize("outcome", ["positive", "none", "negative", "undecided"])
def test_the_margin_where_no_difference_is_shown(document, outcome):
    document["verdict"].update(outcome=outcome, margin=0.043, settled_by="some 700 test samples")
    found = facts(document)
    shown = ("4.3 points", "some 700 test samples")
    assert found.get("Any loss is below") == (shown if outcome in ("none", "undecided") else None)
    document["verdict"]["controls"] = document["verdict"]["controls"][:1]
    found = facts(document)
    assert found.get("Any difference is below") == (shown if outcome in ("none", "undecided") else None)


@pytest.mark.parametrize(("reached", "text"), [(20, "20 per class"), ("all", "all labels"), (None, "–")])
def test_how_far_transfer_helps(document, reached, text):
    document["verdict"]["helps_up_to"] = reached
    value, note = facts(document)["Transfer helps up to"]
    assert value == text
    assert (note == "not shown with 5 per class, so no number is named") == (reached is None)


@pytest.mark.parametrize(("needed", "text"), [(5, "5 per class"), ("all", "all"), (None, "–")])
def test_labels_needed(document, needed, text):
    document["verdict"]["labels_needed"] = needed
    value, note = facts(document)["Labels needed"]
    assert value == text
    assert (note == "not surely better than chance") == (needed is None)


def test_one_budget_tells_neither_how_many_labels_are_needed_nor_how_far_transfer_helps(document):
    document["verdict"]["by_budget"] = document["verdict"]["by_budget"][-1:]
    found = facts(document)
    assert found["Labels needed"] == found["Transfer helps up to"] == ("–", "one budget alone cannot tell")


def test_without_a_control_nothing_is_said_of_transfer(document):
    document["verdict"]["controls"] = []
    assert headline(document)["outcome"] is None
    assert set(facts(document)) == {"Test accuracy", "Labels needed", "Time"}


def test_a_recommended_control_leaves_the_test_to_a_strategy(document):
    document["verdict"].update(backbone="stats", strategy="stats", role="control")
    assert facts(document)["Gain over raw"][1].startswith("net with knn, +10.0 to +30.0")
