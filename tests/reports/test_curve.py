from tlengine.reports.cells import cells_of, rows_of
from tlengine.reports.curve import curves


def drawn(document):
    return curves(document, cells_of(document), rows_of(document))


def test_the_curve_is_prior_free(document):
    """Accuracy may jump where class shares do; the balanced one is what is drawn."""
    before = drawn(document)
    for record in document["summary"]:
        if record["metric"] == "accuracy":
            record["value"] = record["low"] = record["high"] = 0.1
    assert drawn(document) == before
    for record in document["summary"]:
        if record["metric"] == "balanced_accuracy":
            record["value"] = 0.5
    assert drawn(document) != before


def test_all_stands_at_its_number_of_labels(document):
    chart = drawn(document)[0]
    places = {b["text"]: b["x"] for b in chart["budgets"]}
    assert places["5"] < places["20"] < places["all"]
    for record in document["summary"]:
        if record["budget"] == "all":
            record["labels"] = 61.0
    nearer = {b["text"]: b["x"] for b in drawn(document)[0]["budgets"]}
    assert nearer["all"] - nearer["20"] < 10


def test_chance_is_drawn(document):
    chart = drawn(document)[0]
    knn = next(s for s in chart["series"] if s["name"] == "knn")
    assert chart["chance"] > max(dot["y"] for dot in knn["dots"])


def test_one_number_of_labels_makes_no_curve(document):
    document["configuration"]["budgets"] = ["all"]
    assert drawn(document) == []


def test_a_budget_without_a_value_is_left_out(document):
    for record in document["summary"]:
        if (record["metric"], record["strategy"], record["budget"]) == ("balanced_accuracy", "knn", 20):
            record["value"] = None
    knn = next(s for s in drawn(document)[0]["series"] if s["name"] == "knn")
    assert len(knn["dots"]) == 2
