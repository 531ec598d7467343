import errno
import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.plugins.conftest import plant, use  # noqa: F401 - fixtures

QUICK = ("--budgets", "5,all", "--seeds", "1", "--quiet")

BROKEN = """
import numpy as np
import tlengine as tl
from tlengine.plugins import SimpleStrategy
from tlengine.probes import NearestCentroidProbe


class Picky(NearestCentroidProbe):
    def fit(self, X, y):
        if len(y) > LIMIT:
            raise RuntimeError("too many rows")
        return super().fit(X, y)


@tl.hookimpl
def tlengine_probes():
    yield tl.ProbeSpec(name="picky", estimator=Picky)


class Means(SimpleStrategy):
    def learn(self, view, rows, seed):
        X, codes = view.features(rows), view.codes(rows)
        means = np.stack([X[codes == code].mean(axis=0) for code in range(view.classes)])
        return lambda view, rows: -((view.features(rows)[:, None] - means) ** 2).sum(axis=2)


@tl.hookimpl
def tlengine_strategies():
    yield tl.StrategySpec(name="means", make=Means)
    yield tl.StrategySpec(name="void", make=SimpleStrategy, role="control", view="void")


def load(**kwargs):
    raise OSError("no such file")


@tl.hookimpl
def tlengine_backbones():
    yield tl.BackboneSpec(
        name="void", modality="text", embedding_dim=3, load=load, preprocess=str, revision="1", description=""
    )
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def compare_texts(tl, texts, *more):
    options = ("--backbone", "raw", "--label", "topic", "--strategies", "probe,centroid")
    controls = () if "--controls" in more else ("--controls", "raw")
    return tl("compare", texts, *options, *controls, *QUICK, *more)


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
    assert lines[0].split()[:3] == ["strategy", "budget", "accuracy"]
    assert sum(line.startswith(("ridge", "knn")) for line in lines) == 4
    assert lines[5].startswith("* recommended: features ")
    assert lines[6:7] == [""]
    assert lines[7].startswith("Use features with ")


def test_what_to_do_next_follows_the_answer(tl, features, monkeypatch):
    advised = [{"kind": "labels", "text": "Label more: it helps."}]
    monkeypatch.setattr("tlengine.evaluation.assembly.advise", lambda *_: advised)
    arguments = ("compare", features, "--strategies", "ridge", *QUICK)
    assert tl(*arguments)[1].splitlines()[-1] == "next: Label more: it helps."
    assert tl(*arguments, "--json")[1]["advice"] == advised


def test_controls_are_named_or_none(tl, texts):
    document = compare_texts(tl, texts, "--controls", "raw,stats", "--json")[1]
    assert document["configuration"]["controls"] == ["raw", "stats"]
    assert {c["control"] for c in document["verdict"]["controls"]} == {"raw", "stats"}
    assert document["embedded"] == 120
    document = compare_texts(tl, texts, "--controls", "none", "--json")[1]
    assert document["configuration"]["controls"] == document["verdict"]["controls"] == []
    code, out, err = compare_texts(tl, texts, "--controls", "knn")
    assert (code, out) == (1, "")
    assert "is a strategy, no control" in err


def test_metrics_are_added(tl, features):
    arguments = ("compare", features, "--strategies", "centroid", *QUICK)
    document = tl(*arguments, "--metrics", "macro_f1,brier", "--json")[1]
    assert document["configuration"]["metrics"][-2:] == ["macro_f1", "brier"]
    assert {r["metric"] for r in document["results"]} >= {"accuracy", "ece", "macro_f1", "brier"}
    assert "macro_f1  brier" in tl(*arguments, "--metrics", "macro_f1,brier")[1].splitlines()[0]
    code, _, err = tl(*arguments, "--metrics", "macro-f1")
    assert code == 1
    assert "macro_f1" in err


def test_executors_give_equal_numbers(tl, features):
    arguments = ("compare", features, "--strategies", "centroid", *QUICK, "--json")
    here, processes = (tl(*arguments, "--executor", name)[1] for name in ("here", "processes"))
    assert here["results"] == processes["results"]
    code, _, err = tl(*arguments, "--executor", "nowhere")
    assert code == 1
    assert "here, processes" in err


def test_the_same_command_goes_on_from_what_it_finds(tl, features, tmp_path):
    arguments = ("compare", features, "--strategies", "centroid", "--budgets", "5,all", "--seeds", "2")
    out = ("--out", tmp_path / "out")
    first, second, fresh = tl(*arguments, *out), tl(*arguments, *out), tl(*arguments, *out, "--fresh")
    assert "took up" not in first[2] + fresh[2]
    fits = json.loads((tmp_path / "out" / "run.json").read_text())["journal"]["fits"]
    assert f"took up {fits} of {fits} fits from {tmp_path / 'out'}" in second[2]
    more = tl(*arguments[:-1], "3", *out)
    assert f"took up {fits} of {fits * 3 // 2} fits from" in more[2]
    assert first[1] == second[1] == fresh[1]


def test_time_that_is_over_before_a_seed_is_done_is_an_error(tl, features, tmp_path):
    arguments = ("compare", features, "--strategies", "centroid", "--budgets", "5", "--seeds", "1")
    code, _, err = tl(*arguments, "--out", tmp_path / "out", "--max-minutes", "1e-9")
    assert code == 1
    assert "no seed was done within 1e-09 minutes" in err
    code, _, err = tl(*arguments, "--max-minutes", "0")
    assert code == 2
    assert "--max-minutes" in err
    code, out, _ = tl(*arguments, "--max-minutes", "100", "--json", "--quiet")
    assert (code, out["time"]["max_minutes"]) == (0, 100)


def test_the_answer_is_printed_though_nothing_can_be_saved(tl, features, tmp_path, monkeypatch):
    from tlengine.evaluation import RunResult

    def full(run, directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunResult, "save", full)
    arguments = ("compare", features, "--strategies", "centroid", *QUICK, "--out", tmp_path / "out")
    code, text, err = tl(*arguments)
    assert code == 1
    assert text.splitlines()[-1].startswith("Use features with ")
    assert "No space left on device" in err
    code, document, err = tl(*arguments, "--json")
    assert code == 1
    assert document["answer"].startswith("Use features with ")
    assert document["run"] is document["report"] is document["model"] is None


@pytest.mark.parametrize("limit", [0, 100])
def test_what_was_named_and_failed_ends_with_one(tl, features, tmp_path, plant, use, limit):  # noqa: F811
    use(distribution("tlengine"), plant("broken", f"LIMIT = {limit}\n{BROKEN}"))
    options = ("--strategies", "centroid,picky", *QUICK, "--out", tmp_path / "out")
    code, text, err = tl("compare", features, *options)
    assert code == 1
    where = " at all labels per class" if limit else ""
    assert f"warning: features with picky failed in the step fit{where}: " in err
    assert "too many rows" in err
    assert err.endswith(
        "error: what was asked for has no result: features with picky: RuntimeError: too many rows\n"
        "hint: the rest is done\n"
    )
    assert "Use features with nearest centroids" in text
    document = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [f["budgets"] for f in document["failed"]] == [["all"] if limit else []]
    assert (tmp_path / "out" / "model").is_dir()


def test_a_control_that_was_named_and_failed_ends_with_one(tl, texts, plant, use):  # noqa: F811
    use(distribution("tlengine"), plant("broken", f"LIMIT = 0\n{BROKEN}"))
    code, text, err = compare_texts(tl, texts, "--controls", "raw,void")
    assert code == 1
    assert "warning: void failed in the step extract: " in err
    assert "error: what was asked for has no result: void" in err
    assert "Use " in text


def test_what_was_named_and_cannot_be_kept_costs_a_warning(tl, features, tmp_path, plant, use):  # noqa: F811
    """It has its numbers, and gates are looked at as for any other."""
    use(distribution("tlengine"), plant("broken", f"LIMIT = 0\n{BROKEN}"))
    arguments = ("compare", features, "--strategies", "means", *QUICK, "--out", tmp_path / "out")
    code, text, err = tl(*arguments)
    assert code == 0
    assert "warning: features with means failed in the step refit: a simple strategy cannot be kept" in err
    assert "Use features with means" in text
    code, _, err = tl(*arguments, "--min-accuracy", "1.0")
    assert code == 3
    assert "gate not met: accuracy" in err
    (failed,) = json.loads((tmp_path / "out" / "run.json").read_text())["failed"]
    assert (failed["step"], failed["asked"]) == ("refit", True)


def test_a_gate_is_told_beside_what_failed(tl, features, plant, use):  # noqa: F811
    use(distribution("tlengine"), plant("broken", f"LIMIT = 0\n{BROKEN}"))
    arguments = ("compare", features, "--strategies", "centroid,picky", *QUICK, "--min-accuracy", "1.0")
    code, _, err = tl(*arguments)
    assert code == 1
    assert "gate not met: accuracy" in err
    assert "error: what was asked for has no result: features with picky" in err


def test_settings_go_to_the_strategy_that_they_name(tl, features, texts):
    arguments = (
        "compare",
        texts,
        "--label",
        "topic",
        "--backbone",
        "raw",
        "--strategies",
        "centroid",
        *QUICK,
    )
    code, _, err = tl(*arguments, "--controls", "stats", "--set", "stats.weight=rare")
    assert code == 1
    assert "'stats' does not take weight='rare'" in err
    code, _, err = tl(*arguments, "--controls", "random", "--set", "random.networks=0")
    assert code == 1
    assert "0 untrained networks" in err
    for wrong in ("networks=3", "random.networks", "random.=3", "=3"):
        code, _, err = tl(*arguments, "--set", wrong)
        assert code == 2
        assert "is not like random.networks=3" in err


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
