import pytest

from tests.reports.conftest import FEW
from tlengine.reports.cells import cells_of, rows_of
from tlengine.reports.tables import accuracy_table, metrics_table, training_table, use_table
from tlengine.reports.text import NARROW


def parts(document):
    return document, cells_of(document), rows_of(document)


def of(table, name):
    return next(row for row in table["rows"] if row["name"] == name)


def test_accuracy_by_budget(document):
    table = accuracy_table(*parts(document))
    assert [(head["text"], head["small"]) for head in table["heads"]] == [
        ("5", "15 in all"),
        ("20", "60 in all"),
        ("all", "240 in all"),
    ]
    knn = of(table, "knn")
    assert knn["look"] == "best"
    assert [cell["value"] for cell in knn["cells"]] == [f"{n}{NARROW}%" for n in ("90.0", "92.0", "94.0")]
    assert knn["cells"][0]["interval"] == "87.0–93.0"


def test_a_budget_that_failed_is_a_dash(document):
    document["summary"] = [r for r in document["summary"] if (r["strategy"], r["budget"]) != ("probe", 20)]
    cells = of(accuracy_table(*parts(document)), "probe")["cells"]
    assert [cell["value"] == "–" for cell in cells] == [False, True, False]


def test_a_missing_interval_has_a_footnote(document):
    table = metrics_table(*parts(document))
    assert [head["text"] for head in table["heads"]] == [
        "difference", "balanced accuracy", "log-loss", "calibration error",
    ]  # fmt: skip
    loss = of(table, "knn")["cells"][2]
    assert (loss["value"], loss["interval"], loss["mark"]) == ("0.500", "–", "a")
    assert table["notes"] == [{"mark": "a", "text": FEW}]


def test_the_calibration_error_stands_beside_its_null(document):
    error = of(metrics_table(*parts(document)), "raw")["cells"][3]
    assert error == {"value": "0.064", "interval": "perfect: 0.058, ≤ 0.090", "mark": ""}


def test_a_metric_says_itself_how_it_is_read(document):
    """A plugin's metric is shown in per cent, and that less of it is better, as tlengine's own are."""
    mine = {"name": "miss", "label": "missed", "percent": True, "greater_is_better": False}
    document["metrics"].append(mine)
    document["summary"] += [{**r, "metric": "miss"} for r in document["summary"] if r["metric"] == "accuracy"]
    table = metrics_table(*parts(document))
    smalls = [(head["text"], head["small"]) for head in table["heads"]]
    assert smalls[1:] == [
        ("balanced accuracy", ""),
        ("log-loss", "less is better"),
        ("calibration error", "less is better"),
        ("missed", "less is better"),
    ]
    assert of(table, "knn")["cells"][-1]["value"] == f"94.0{NARROW}%"


def test_every_metric_that_shows_its_null_is_named(document):
    assert metrics_table(*parts(document))["nulls"] == "calibration error"
    null = {"expected": 0.1, "high": 0.2}
    document["summary"] = [
        {**r, "null": null} if r["metric"] == "log_loss" else r for r in document["summary"]
    ]
    assert metrics_table(*parts(document))["nulls"] == "log-loss, calibration error"


def test_a_null_of_independent_rows_says_so_where_rows_share_groups(document):
    for record in document["summary"]:
        if record["metric"] == "ece":
            record["null"]["reason"] = "rows share groups"
    table = metrics_table(*parts(document))
    assert of(table, "raw")["cells"][3]["mark"]
    assert "rows share groups" in [note["text"] for note in table["notes"]]


def test_the_difference_names_its_control(document):
    table = metrics_table(*parts(document))
    assert of(table, "probe")["cells"][0]["value"] == "+20.0 (raw)"
    assert of(table, "raw")["cells"][0]["value"] == "–"


def test_without_comparisons_there_is_no_difference(document):
    document["comparisons"] = []
    table = metrics_table(*parts(document))
    assert table["heads"][0]["text"] == "balanced accuracy"
    assert not table["compared"]


def test_other_metrics_get_a_column_and_what_is_not_defined_a_reason(document):
    for name, value, reason in (("auroc", None, "one class"), ("kappa", 0.8765, None)):
        label = {"auroc": "AUROC"}.get(name, name)
        document["metrics"] += [{"name": name, "label": label, "percent": False, "greater_is_better": True}]
        ends = {"low": None, "high": None, "level": 0.95, "reason": reason}
        document["summary"] += [
            {**r, "metric": name, "value": value, **ends}
            for r in document["summary"]
            if r["metric"] == "accuracy"
        ]
    table = metrics_table(*parts(document))
    assert [head["text"] for head in table["heads"]][-2:] == ["AUROC", "kappa"]
    auroc, kappa = of(table, "knn")["cells"][-2:]
    assert (auroc["value"], kappa["value"]) == ("–", "0.876")
    assert {"mark": auroc["mark"], "text": "one class"} in table["notes"]


def test_training_stands_beside_test(document):
    document["fits"].append({**document["fits"][0], "seed": 1, "train_accuracy": 0.885})
    first, *_ = of(training_table(*parts(document)), "knn")["cells"]
    assert (first["value"], first["interval"]) == (f"94.0{NARROW}%", f"test 90.0{NARROW}%")


@pytest.mark.parametrize(("name", "column"), [("train_accuracy", None), ("nbytes", 1)])
def test_what_was_not_measured_is_a_dash(document, name, column):
    for fit in document["fits"]:
        fit[name] = None
    table = training_table(*parts(document)) if column is None else use_table(document, rows_of(document))
    assert {row["cells"][column or 0]["value"] for row in table["rows"]} == {"–"}


def test_what_a_model_takes(document):
    cells = of(use_table(document, rows_of(document)), "stats")["cells"]
    assert [cell["value"] for cell in cells] == ["0.042", "1.50", "250"]
