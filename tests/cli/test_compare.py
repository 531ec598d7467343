import json
from pathlib import Path

import pytest

QUICK = ("--budgets", "5,all", "--seeds", "1", "--quiet")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def compare_texts(tl, texts, *more):
    options = ("--backbone", "raw", "--label", "topic", "--strategies", "probe,centroid")
    return tl("compare", texts, *options, *QUICK, *more)


def test_json_has_results_verdict_and_paths(tl, texts, out):
    code, document, _ = compare_texts(tl, texts, "--out", out, "--json")
    assert code == 0
    keys = {"backbone", "strategy", "budget", "seed", "fold", "metric", "value"}
    assert all(set(record) == keys for record in document["results"])
    assert {r["metric"] for r in document["results"]} == {"accuracy", "balanced_accuracy", "log_loss", "ece"}
    assert {r["budget"] for r in document["results"]} == {5, "all"}
    assert document["verdict"]["outcome"] in ("positive", "none", "negative", "undecided")
    assert document["excluded"] == document["failed"] == []
    assert (document["embedded"], document["cached"]) == (60, 0)
    for name in ("run", "report", "model"):
        assert Path(document[name]).exists()
    assert json.loads((out / "run.json").read_text())["format"] == "tlengine-run"


def test_the_second_run_embeds_nothing(tl, texts):
    first = compare_texts(tl, texts, "--json")[1]
    second = compare_texts(tl, texts, "--json")[1]
    assert (first["embedded"], second["embedded"], second["cached"]) == (60, 0, 60)
    assert [r["value"] for r in second["results"]] == [r["value"] for r in first["results"]]


def test_the_table_and_the_answer_are_on_stdout(tl, features):
    code, text, err = tl("compare", features, "--strategies", "ridge,knn", *QUICK)
    assert code == 0
    assert err == ""
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["backbone", "strategy", "budget"]
    assert sum(line.startswith("features") for line in lines) == 4
    assert lines[-1].startswith("Use features with ")


def test_gates_end_with_three(tl, features):
    arguments = ("compare", features, "--strategies", "centroid", *QUICK)
    assert tl(*arguments, "--min-accuracy", "0.5")[0] == 0
    code, _, err = tl(*arguments, "--min-accuracy", "1.0")
    assert code == 3
    assert "gate not met: accuracy" in err
    assert tl(*arguments, "--fail-on-negative-transfer")[0] == 0


def test_negative_transfer_fails_the_gate(tl, features, monkeypatch):
    from dataclasses import replace

    from tlengine.evaluation import RunResult

    real = RunResult.verdict.fget
    negative = property(lambda run: replace(real(run), outcome="negative", effect=-0.1))
    monkeypatch.setattr(RunResult, "verdict", negative)
    code, _, err = tl("compare", features, "--strategies", "centroid", *QUICK, "--fail-on-negative-transfer")
    assert code == 3
    assert "negative transfer: -10.0 points" in err


def test_a_backbone_for_features_is_refused(tl, features):
    code, out, err = tl("compare", features, "--backbone", "raw", *QUICK)
    assert (code, out) == (1, "")
    assert "holds features already" in err
    assert "hint: " in err


def test_out_that_is_a_file_is_a_usage_error(tl, features, tmp_path):
    (tmp_path / "taken").write_text("")
    assert tl("compare", features, *QUICK, "--out", tmp_path / "taken")[0] == 2
