import json
from dataclasses import replace

import numpy as np
import pytest

import tlengine as tl
from tlengine.data import load_dataset
from tlengine.errors import BackboneError, InputError, LabelError, TlengineWarning, UnknownNameError
from tlengine.evaluation import check_document, compare
from tlengine.features import ImagePreprocess

QUICK = {"budgets": [5, "all"], "seeds": 1, "progress": False}
FEW = {**QUICK, "budgets": [5]}


class Tiny:
    """A backbone of a few pixels, made without a plugin."""

    def __new__(cls, name="tiny", fail=False):
        from torch import nn

        class Module(nn.Module):
            def forward(self, batch):
                if fail:
                    raise RuntimeError("out of order")
                return nn.functional.adaptive_avg_pool2d(batch, 8).flatten(1)

        preprocess = ImagePreprocess(resize=32, crop=32)
        return tl.Backbone(Module(), preprocess=preprocess, modality="image", name=name, embedding_dim=192)


@pytest.fixture(scope="module")
def run(digit_images):
    return compare(digit_images, Tiny(), **QUICK)


def test_results_hold_every_strategy_budget_seed_fold_and_metric(run):
    found = {
        (r["backbone"], r["strategy"], r["budget"], r["seed"], r["fold"], r["metric"]) for r in run.results
    }
    assert len(found) == len(run.results) == 5 * 2 * 5 * 4
    assert {r["strategy"] for r in run.results} == {"knn", "probe", "ridge", "centroid", "raw"}
    assert {(r["backbone"], r["strategy"]) for r in run.results if "raw" in r.values()} == {("raw", "raw")}
    assert {r["budget"] for r in run.results} == {5, "all"}
    assert all(np.isfinite(r["value"]) for r in run.results)
    assert all(0 <= r["value"] <= 1 for r in run.results if r["metric"] != "log_loss")


def test_digits_are_told_apart_and_more_labels_help(run):
    at = {
        (r["strategy"], r["budget"]): r["value"] for r in run.document["summary"] if r["metric"] == "accuracy"
    }
    assert at["probe", "all"] > 0.95
    assert at["probe", "all"] >= at["probe", 5] > 0.7
    assert run.verdict.accuracy > 0.95
    assert run.verdict.outcome in ("positive", "none", "undecided")


def test_the_document_is_complete_and_plain_json(run):
    document = json.loads(run.to_json())
    check_document(document, "here")
    assert document["dataset"]["rows"] == 120
    assert document["resamples"]["kind"] == "folds"
    assert [b["name"] for b in document["backbones"]] == ["tiny", "raw"]
    assert document["failed"] == document["excluded"] == document["unreadable"] == []
    assert all(len(b["fingerprint"]) >= 32 for b in document["backbones"])
    assert sum(map(sum, document["confusion"]["counts"])) == 120
    assert all(m["preview"]["kind"] == "image" for m in document["mistakes"])
    assert {s["stage"] for s in document["costs"]["stages"]} >= {"extract", "fit", "judge"}


def test_the_same_seeds_give_the_same_numbers(run, digits):
    first, again = (compare(digits, strategies=["probe", "knn"], **QUICK) for _ in range(2))
    assert again.results == first.results


def test_the_table_has_a_line_for_each_strategy_and_budget(run):
    lines = run.table().splitlines()
    assert len(lines) == 1 + 5 * 2
    assert run.verdict.strategy + "*" in run.table()


def test_a_failing_backbone_is_reported_and_the_rest_goes_on(digit_images):
    found = compare(digit_images, [Tiny("broken", fail=True), Tiny()], strategies=["centroid"], **FEW)
    assert [(f["backbone"], f["strategy"]) for f in found.document["failed"]] == [("broken", None)]
    assert "out of order" in found.document["failed"][0]["error"]
    assert {r["backbone"] for r in found.results} == {"tiny", "raw"}


def test_only_failing_backbones_are_an_error(digit_images):
    with pytest.raises(Exception, match="out of order"):
        compare(digit_images, Tiny("broken", fail=True), **FEW)


def test_a_failing_strategy_is_reported_and_the_rest_goes_on(digit_images, monkeypatch):
    import tlengine.evaluation.strategies.similarity as similarity

    def fail(*_):
        raise RuntimeError("no neighbours today")

    monkeypatch.setattr(similarity.NeighborsStrategy, "judge", fail)
    found = compare(digit_images, Tiny(), strategies=["knn", "centroid"], **FEW)
    assert [(f["backbone"], f["strategy"]) for f in found.document["failed"]] == [("tiny", "knn")]
    assert {r["strategy"] for r in found.results} == {"centroid", "raw"}


def test_features_are_compared_without_a_control(digits):
    found = compare(digits, strategies=["probe", "ridge"], **QUICK)
    assert {r["strategy"] for r in found.results} == {"probe", "ridge"}
    assert (found.verdict.outcome, found.verdict.control) == ("undecided", None)
    assert found.document["comparisons"] == []


def test_every_registered_probe_is_a_strategy(digits):
    found = compare((digits[0] / 16, digits[1]), strategies=["preval", "svm"], **FEW)
    assert found.document["failed"] == []
    accuracy = {r["strategy"]: r["value"] for r in found.results if r["metric"] == "accuracy"}
    assert set(accuracy) == {"preval", "svm"}
    assert min(accuracy.values()) > 0.6


def test_features_and_a_backbone_do_not_go_together(digits):
    with pytest.raises(InputError, match="features already"):
        compare(digits, "raw", **QUICK)
    with pytest.raises(InputError, match="no strategy can be run"):
        compare(digits, strategies=["raw"], **QUICK)


def test_texts_against_words():
    rng = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "axe", "file", "drill"]}
    texts, labels = [], []
    for index in range(80):
        label = ("fruit", "tool")[index % 2]
        texts.append(" ".join(rng.choice(words[label], 3)) + f" number {index}")
        labels.append(label)
    found = compare((texts, labels), "raw", strategies=["probe"], budgets=["all"], seeds=1, progress=False)
    assert found.verdict.accuracy > 0.9
    assert {(r["backbone"], r["strategy"]) for r in found.results} == {("raw", "probe"), ("raw", "raw")}
    assert found.verdict.effect == 0


def test_a_selection_split_is_counted_among_the_labels(digits):
    X, y = digits
    splits = np.array(["train"] * 200 + ["select"] * 100 + ["test"] * 100)
    ds = load_dataset((X, y))
    found = compare(
        replace(ds, splits=splits), strategies=["probe"], budgets=[5, "all"], seeds=2, progress=False
    )
    assert found.document["resamples"]["kind"] == "given"
    labels = {r["budget"]: r["labels"] for r in found.document["summary"]}
    assert labels == {5: 120.0, "all": 300.0}
    every = [r["value"] for r in found.results if r["budget"] == "all" and r["metric"] == "accuracy"]
    assert every[0] == every[1]


def test_small_classes_are_left_out_with_a_warning(digits):
    X, y = digits
    y = np.concatenate([y, ["rare"] * 2])
    X = np.concatenate([X, X[:2] + 1])
    with pytest.warns(TlengineWarning, match=r"'rare' \(2\)"):
        found = compare((X, y), strategies=["centroid"], **QUICK)
    assert found.document["excluded"] == [{"label": "rare", "count": 2}]
    assert "rare" not in found.document["dataset"]["classes"]
    assert "rare" not in found.model.metadata["classes"]


def test_unreadable_samples_are_named_and_left_out(digit_images):
    contents = [np.asarray(c) for c in digit_images.contents]
    contents[3] = b"not an image"
    with pytest.warns(TlengineWarning):
        found = compare(replace(digit_images, contents=contents), Tiny(), strategies=["centroid"], **FEW)
    assert [u["id"] for u in found.document["unreadable"]] == [str(digit_images.ids[3])]
    assert found.document["dataset"]["used"] == 119


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"budgets": [0]}, InputError, "budget"),
        ({"budgets": []}, InputError, "budget"),
        ({"seeds": 0}, InputError, "seeds"),
        ({"strategies": []}, InputError, "strategy"),
        ({"strategies": ["prob"]}, UnknownNameError, "prob"),
    ],
)
def test_strange_options_are_refused_before_any_work(digits, options, error, match):
    with pytest.raises(error, match=match):
        compare(digits, **{"progress": False, **options})


def test_labels_are_needed(digits):
    with pytest.raises(LabelError):
        compare(load_dataset(digits[0]), progress=False)


def test_a_backbone_for_other_samples_is_refused():
    with pytest.raises((BackboneError, InputError), match="text"):
        compare((["a", "b"] * 20, ["x", "y"] * 20), Tiny(), **QUICK)
