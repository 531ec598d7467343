"""The summary as plain text."""

from tests.reports.conftest import make_document, make_trained_document
from tlengine.evaluation.table import summary_table


def test_a_metric_says_itself_whether_it_is_read_in_per_cent():
    document = make_document()
    plain = next(line for line in summary_table(document).splitlines() if "knn*" in line and "all" in line)
    assert "94.0 %   91.0 to 97.0    93.0 %     0.500  0.064" in plain
    for metric in document["metrics"]:
        metric["percent"] = not metric["percent"]
    other = next(line for line in summary_table(document).splitlines() if "knn*" in line and "all" in line)
    assert "0.940   91.0 to 97.0     0.930    50.0 %  6.4 %" in other


def test_one_backbone_is_named_below_and_has_no_column():
    document = make_document()
    lines = summary_table(document).splitlines()
    assert "net " not in lines[1]
    assert "* recommended: net knn" in lines
    document["verdict"].update(backbone="raw", strategy="raw", role="control")
    assert "* recommended: raw; the strategies are those of net" in summary_table(document).splitlines()


def test_two_backbones_and_a_control_that_has_two_results_have_the_column():
    for strategy in ("knn", "raw"):
        document = make_document()
        again = [r | {"backbone": "other"} for r in document["summary"] if r["strategy"] == strategy]
        document["summary"] += again
        lines = summary_table(document).splitlines()
        assert lines[0].startswith("backbone")
        assert sum(line.startswith("other") for line in lines) == 3


def test_controls_come_after_strategies_budget_by_budget():
    lines = summary_table(make_trained_document()).splitlines()[1:-2]
    assert [line.split()[0] for line in lines[:9]] == [
        "knn*", "probe", "lp-ft", "last-block", "finetune", "raw", "stats", "random", "scratch",
    ]  # fmt: skip
    assert [("(control)" in line) for line in lines] == 3 * (5 * [False] + 4 * [True])
    assert max(map(len, lines)) <= 110, "fits a usual terminal"


def test_the_first_metric_is_the_one_with_an_interval():
    document = make_document()
    document["metrics"] = document["metrics"][1:2]
    head, first, *_ = summary_table(document).splitlines()
    assert head.split()[:3] == ["strategy", "budget", "balanced_accuracy"]
    assert first.split()[2:7] == ["89.0", "%", "86.0", "to", "92.0"]
