"""A run document made by hand, with every part of a report in it."""

import base64
import io

import pytest
from PIL import Image

STRATEGIES = (("net", "knn"), ("net", "probe"), ("raw", "raw"))
BUDGETS = (5, 20, "all")


def thumbnail(color=(200, 30, 30)):
    out = io.BytesIO()
    Image.new("RGB", (40, 40), color).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def make_document(classes=("cat", "dog", "emu"), name="pets", previews=None):
    """A complete document; ``classes``, ``name`` and previews may be anything."""
    n = len(classes)
    summary, comparisons, results = [], [], []
    for at, budget in enumerate(BUDGETS):
        for rank, (backbone, strategy) in enumerate(STRATEGIES):
            cell = {"backbone": backbone, "strategy": strategy, "budget": budget}
            value = 0.9 - 0.1 * rank + 0.02 * at
            for metric in ("accuracy", "balanced_accuracy", "log_loss", "ece"):
                ends = {"low": value - 0.03, "high": value + 0.03}
                summary.append({**cell, "labels": 15.0, "metric": metric, "value": value, **ends})
                results.append({**cell, "seed": 0, "fold": 0, "metric": metric, "value": value})
            if strategy != "raw":
                test = {"effect": 0.2, "low": 0.1, "high": 0.3, "p_value": 0.0004, "p_adjusted": 0.0008}
                comparisons.append({**cell, "control": "raw", **test, "outcome": "positive"})
    previews = previews or [{"kind": "image", "src": thumbnail()}, {"kind": "text", "text": "a text"}, None]
    answer = "Use net with knn: 94.0 % test accuracy."
    return {
        "format": "tlengine-run",
        "version": 1,
        "created": "2026-11-23T15:00:00+00:00",
        "answer": answer,
        "verdict": {
            "outcome": "positive",
            "answer": answer,
            "backbone": "net",
            "strategy": "knn",
            "budget": "all",
            "accuracy": 0.94,
            "accuracy_low": 0.91,
            "accuracy_high": 0.97,
            "control": "raw",
            "effect": 0.2,
            "low": 0.1,
            "high": 0.3,
            "p_value": 0.0004,
            "p_adjusted": 0.0008,
            "labels_needed": 20,
            "beats_control_with": 5,
            "test": "paired difference",
            "selected_on": "cross-validation",
        },
        "dataset": {
            "name": name,
            "modality": "image",
            "rows": 300,
            "used": 296,
            "classes": list(classes),
            "counts": [100] * n,
            "grouped": False,
        },
        "resamples": {
            "kind": "folds",
            "seeds": 1,
            "count": 5,
            "train": 240.0,
            "test": 60.0,
            "select": 0.0,
            "notes": ["3 rows outside the training split have a twin inside it"],
        },
        "configuration": {
            "strategies": ["knn", "probe", "raw"],
            "budgets": list(BUDGETS),
            "seeds": 1,
            "extraction": {},
        },
        "backbones": [{"name": "net", "dim": 64, "fingerprint": "ab" * 32, "recipe": {}, "control": False}],
        "excluded": [{"label": "yak", "count": 2}],
        "failed": [{"backbone": "net", "strategy": "ridge", "error": "out of order", "hint": None}],
        "unreadable": [{"id": "broken.jpg", "reason": "truncated"}],
        "results": results,
        "summary": summary,
        "comparisons": comparisons,
        "confusion": {
            "classes": list(classes),
            "counts": [[9 if i == j else 1 for j in range(n)] for i in range(n)],
        },
        "mistakes": [
            {
                "id": f"{classes[0]}/{i}.jpg",
                "truth": classes[0],
                "predicted": classes[1],
                "confidence": 0.9,
                "p_true": 0.05,
                "tested": 1,
                "wrong": 1,
                "preview": shown,
            }
            for i, shown in enumerate(previews)
        ],
        "duplicates": {
            "threshold": 0.99,
            "count": 1,
            "tested": 300,
            "straddling": 0,
            "pairs": [{"id": "a.jpg", "twin": "b.jpg", "similarity": 0.9991, "same_label": True}],
        },
        "conflicts": [{"ids": ["p.jpg", "q.jpg"], "labels": ["cat", "dog"]}],
        "costs": {
            "stages": [
                {"stage": "extract", "what": "net", "seconds": 12.0},
                {"stage": "judge", "what": "", "seconds": 0.1},
            ],
            "extraction": [
                {
                    "backbone": "net",
                    "rows": 300,
                    "embedded": 0,
                    "cached": 300,
                    "failed": 0,
                    "seconds_saved": 31.5,
                }
            ],
            "total_seconds": 14.2,
        },
        "environment": {
            "versions": {"tlengine": "0.1.0", "numpy": "2.4"},
            "python": "3.11.7",
            "platform": "Linux",
            "threads": 2,
            "plugins": [],
        },
    }


@pytest.fixture
def document():
    return make_document()
