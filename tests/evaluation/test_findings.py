"""What a run notices about single samples, and leaks that are found or impossible."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.made import World
from tlengine.data import load_dataset
from tlengine.data.resamples import make_resamples
from tlengine.errors import TlengineWarning
from tlengine.evaluation import compare
from tlengine.evaluation.findings import confusion, duplicates, hardest_mistakes, label_conflicts, preview
from tlengine.statistics import Outcome


def outcome(rows, truth, p_first):
    p = np.asarray(p_first, dtype=float)
    return Outcome.of(np.asarray(rows), np.asarray(truth), np.stack([p, 1 - p], axis=1), counts=[1, 1])


def test_confusion_counts_every_tested_row():
    found = [outcome([0, 1, 2], [0, 0, 1], [0.9, 0.2, 0.3]), outcome([0, 1, 2], [0, 0, 1], [0.9, 0.8, 0.7])]
    assert confusion(found, 2) == [[3, 1], [1, 1]]


def test_confusions_of_a_run_are_those_of_its_draws():
    draws = World.of(rows=100, classes=3).add("probe", 0.8, 0.8).draws
    counts = np.array(confusion(draws, 3))
    assert counts.sum() == 300
    assert np.trace(counts) == sum(draw.correct.sum() for draw in draws)


def test_the_least_believed_truth_comes_first_and_right_rows_never():
    records = hardest_mistakes([outcome([5, 6, 7], [0, 0, 0], [0.4, 0.01, 0.9])])
    assert [r["row"] for r in records] == [6, 5]
    assert records[0]["confidence"] == pytest.approx(0.99)
    assert records[0]["p_true"] == pytest.approx(0.01)
    assert (records[0]["truth"], records[0]["predicted"]) == (0, 1)


def test_a_row_that_is_mostly_right_is_no_mistake():
    assert hardest_mistakes([outcome([1], [0], [p]) for p in (0.9, 0.9, 0.1)]) == []
    (found,) = hardest_mistakes([outcome([1], [0], [p]) for p in (0.9, 0.1, 0.1)])
    assert (found["tested"], found["wrong"]) == (3, 2)


def test_no_more_mistakes_than_asked_for():
    many = outcome(np.arange(30), np.zeros(30, int), np.linspace(0, 0.4, 30))
    assert [r["row"] for r in hardest_mistakes([many], n=3)] == [0, 1, 2]


def test_near_duplicates_across_train_and_test_are_counted_once():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 16)).astype(np.float32)
    y = np.repeat(["a", "b"], 30)
    X[31] = X[0] * 1.001
    X[45] = X[44]
    found = duplicates(X, np.arange(60).astype(str), y, make_resamples(y, seeds=3))
    assert found["tested"] == 60
    pairs = {frozenset((p["id"], p["twin"])): p for p in found["pairs"]}
    assert set(pairs) == {frozenset(("0", "31")), frozenset(("44", "45"))}
    assert found["count"] == len(found["pairs"]) == 4, "each of a pair was tested"
    assert not pairs[frozenset(("0", "31"))]["same_label"]
    assert pairs[frozenset(("44", "45"))]["same_label"]
    assert all(p["similarity"] >= found["threshold"] for p in found["pairs"])


def test_conflicting_labels_are_named():
    keys = np.zeros((4, 32), dtype=np.uint8)
    keys[:, 0] = [1, 1, 2, 2]
    found = label_conflicts(keys, np.array(["a", "b", "c", "c"]), np.array(["p", "q", "r", "s"]))
    assert found == [{"ids": ["p", "q"], "labels": ["a", "b"]}]


def test_an_image_becomes_a_small_jpeg_and_a_text_its_beginning():
    shown = preview(np.zeros((500, 300, 3), dtype=np.uint8))
    with Image.open(io.BytesIO(base64.b64decode(shown["src"].split(",")[1]))) as image:
        assert (image.format, max(image.size)) == ("JPEG", 160)
    assert len(preview("x" * 5_000)["text"]) < 300
    assert preview(b"not an image") is None


def noise(n=120, copies=2, seed=0):
    """Rows of noise with labels of noise, each there several times with equal label."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 12)).astype(np.float32)
    return np.repeat(rows, copies, axis=0), np.repeat(rng.permutation(np.arange(n) % 2), copies)


QUICK = {"strategies": ["knn", "probe"], "budgets": ["all"], "seeds": 3, "progress": False}


def test_twins_of_equal_content_never_leak():
    """A neighbour of distance 0 on the other side would make noise learnable."""
    X, y = noise()
    run = compare((X, y), **QUICK)
    assert run.verdict.accuracy < 0.65
    assert run.verdict.labels_needed is None
    assert run.document["duplicates"]["count"] == 0
    for record in run.document["summary"]:
        assert record["metric"] != "accuracy" or record["value"] < 0.65


def test_near_twins_that_are_no_unit_leak_and_are_found():
    X, y = noise()
    X = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32) * 1e-4
    run = compare((X, y), **QUICK)
    assert run.verdict.accuracy > 0.8
    assert run.document["duplicates"]["count"] > 0.7 * len(X)
    assert all(pair["same_label"] for pair in run.document["duplicates"]["pairs"])


def test_groups_never_leak():
    X, y = noise()
    X = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32) * 1e-4
    ds = replace(load_dataset((X, y)), groups=(np.arange(len(X)) // 2).astype(str))
    run = compare(ds, **QUICK)
    assert run.verdict.accuracy < 0.65
    assert run.document["duplicates"]["count"] == 0
    assert run.document["dataset"]["grouped"]


def test_twins_across_the_users_split_are_told():
    X, y = noise(n=100)
    ds = replace(load_dataset((X, y)), splits=np.array(["train", "test"] * 100))
    with pytest.warns(TlengineWarning, match="100 rows outside the training split have a twin"):
        run = compare(ds, **QUICK)
    assert run.document["duplicates"]["straddling"] == 100
    assert run.document["duplicates"]["count"] == 100
    assert run.document["resamples"]["notes"] == [
        "100 rows outside the training split have a twin (content or group) inside it"
    ]


def test_equal_contents_with_two_labels_are_told():
    X, y = noise(n=40)
    y[1] = 1 - y[0]
    run = compare((X, y), **QUICK)
    assert run.document["conflicts"] == [{"ids": ["0", "1"], "labels": [str(y[0]), str(y[1])]}]
