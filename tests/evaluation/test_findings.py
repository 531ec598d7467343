import base64
import io

import numpy as np
from PIL import Image

from tlengine.data.resamples import make_resamples
from tlengine.evaluation.findings import (
    confusion,
    duplicates,
    hardest_mistakes,
    label_conflicts,
    preview,
)
from tlengine.evaluation.metrics import Outcome


def outcome(rows, truth, p_first):
    p = np.asarray(p_first, dtype=float)
    return Outcome.of(np.asarray(rows), np.asarray(truth), np.stack([p, 1 - p], axis=1))


def test_confusion_counts_every_tested_row():
    found = [outcome([0, 1, 2], [0, 0, 1], [0.9, 0.2, 0.3]), outcome([0, 1, 2], [0, 0, 1], [0.9, 0.8, 0.7])]
    assert confusion(found, 2) == [[3, 1], [1, 1]]


def test_the_least_believed_truth_comes_first_and_right_rows_never():
    found = [outcome([5, 6, 7], [0, 0, 0], [0.4, 0.01, 0.9])]
    records = hardest_mistakes(found)
    assert [r["row"] for r in records] == [6, 5]
    assert records[0]["confidence"] == 0.99
    assert (records[0]["truth"], records[0]["predicted"]) == (0, 1)


def test_a_row_that_is_mostly_right_is_no_mistake():
    found = [outcome([1], [0], [p]) for p in (0.9, 0.9, 0.1)]
    assert hardest_mistakes(found) == []


def test_near_duplicates_across_train_and_test_are_counted_once():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 16)).astype(np.float32)
    y = np.repeat(["a", "b"], 30)
    X[31] = X[0] * 1.001
    X[45] = X[44]
    plan = make_resamples(y, seeds=3)
    found = duplicates(X, np.arange(60).astype(str), y, plan)
    assert found["tested"] == 60
    assert {(p["id"], p["twin"]) for p in found["pairs"]} <= {
        ("0", "31"),
        ("31", "0"),
        ("44", "45"),
        ("45", "44"),
    }
    assert found["count"] == len(found["pairs"]) >= 2
    across = [p for p in found["pairs"] if {p["id"], p["twin"]} == {"0", "31"}]
    assert all(not p["same_label"] for p in across)


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
