"""The summary as plain text."""

from tests.reports.conftest import make_document
from tlengine.evaluation.table import summary_table


def test_a_metric_says_itself_whether_it_is_read_in_per_cent():
    document = make_document()
    plain = next(line for line in summary_table(document).splitlines() if "knn*" in line and "all" in line)
    assert "94.0 %   91.0 to 97.0    93.0 %     0.500  0.064" in plain
    for metric in document["metrics"]:
        metric["percent"] = not metric["percent"]
    other = next(line for line in summary_table(document).splitlines() if "knn*" in line and "all" in line)
    assert "0.940   91.0 to 97.0     0.930    50.0 %  6.4 %" in other


def test_the_first_metric_is_the_one_with_an_interval():
    document = make_document()
    document["metrics"] = document["metrics"][1:2]
    head, first, *_ = summary_table(document).splitlines()
    assert head.split()[:4] == ["backbone", "strategy", "budget", "balanced_accuracy"]
    assert first.split()[3:8] == ["89.0", "%", "86.0", "to", "92.0"]
