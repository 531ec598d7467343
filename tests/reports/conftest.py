"""A run document made by hand, with every part of a report in it."""

import base64
import io

import pytest
from PIL import Image

CELLS = (
    ("net", "knn", "strategy"),
    ("net", "probe", "strategy"),
    ("raw", "raw", "control"),
    ("stats", "stats", "control"),
)
BUDGETS = {5: 15.0, 20: 60.0, "all": 240.0}
FEW = "60 test units; an interval of a mean needs 200"


def thumbnail(color=(200, 30, 30)):
    out = io.BytesIO()
    Image.new("RGB", (40, 40), color).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _interval(value, wide=0.03):
    return {"low": value - wide, "high": value + wide, "level": 0.95, "reason": None}


def _summary():
    """Every metric of every cell; the log-loss has no interval, the calibration error its null."""
    found = []
    for at, (budget, labels) in enumerate(BUDGETS.items()):
        for rank, (backbone, strategy, role) in enumerate(CELLS):
            cell = {"backbone": backbone, "strategy": strategy, "role": role, "budget": budget}
            value = 0.9 - 0.1 * rank + 0.02 * at
            none = {"low": None, "high": None, "level": 0.95}
            null = {"ece": 0.064, "expected": 0.058, "high": 0.09, "p_value": 0.3}
            for metric, numbers in (
                ("accuracy", {"value": value, **_interval(value)}),
                ("balanced_accuracy", {"value": value - 0.01, **_interval(value - 0.01)}),
                ("log_loss", {"value": 0.5, **none, "reason": FEW}),
                ("ece", {"value": 0.064, **none, "reason": "ece has no interval", "null": null}),
            ):
                found.append({**cell, "labels": labels, "metric": metric, **numbers})
    return found


def _comparisons():
    found = []
    for budget in BUDGETS:
        for backbone, strategy, role in CELLS:
            cell = {"backbone": backbone, "strategy": strategy, "role": role, "budget": budget}
            for effect, control in ((0.2, "raw"), (0.3, "stats")):
                if role == "strategy":
                    test = {"effect": effect, "p_value": 0.0004, "p_adjusted": 0.0008, **_interval(effect)}
                    named = {"control": control, "control_backbone": control, "outcome": "positive"}
                    found.append({**cell, **named, **test})
    return found


def _fits():
    found = []
    for budget, labels in BUDGETS.items():
        for backbone, strategy, role in CELLS:
            cell = {"backbone": backbone, "strategy": strategy, "role": role, "budget": budget}
            numbers = {"labels": int(labels), "train_accuracy": 0.995, "seconds": 0.25}
            found.append({**cell, "seed": 0, "fold": 0, **numbers, "predict_ms": 0.042, "nbytes": 1_500_000})
    return found


def _spent(seconds, **more):
    known = {"seconds": seconds, "cpu_seconds": 2 * seconds, "gpu_seconds": None, "flops": None}
    return {**known, "peak_bytes": 3_000_000, "joules": 10 * seconds, "source": "model", **more}


def _costs():
    """What one model takes; what reads features has its rows embedded."""
    beside = {"embedding_seconds": 2.0, "embedding_flops": 4e9, "embedding_joules": 20.0}
    return [
        {
            "backbone": backbone,
            "strategy": strategy,
            "role": role,
            "budget": budget,
            "labels": labels,
            "fits": 5,
            "taken_up": 0,
            **_spent(0.25 * (1 + rank)),
            **beside,
            "embedding_source": "model",
        }
        for budget, labels in BUDGETS.items()
        for rank, (backbone, strategy, role) in enumerate(CELLS)
    ]


def _fronts():
    """The cheapest point at each value stands on the front; others behind it in every way."""
    points = []
    for at, (budget, labels) in enumerate(BUDGETS.items()):
        for rank, (backbone, strategy, role) in enumerate(CELLS):
            cell = {"backbone": backbone, "strategy": strategy, "role": role, "budget": budget}
            value, cost = 0.89 - 0.1 * rank + 0.02 * at, labels * (1 + rank)
            ends = {
                "low": value - 0.03,
                "high": value + 0.03,
                "cost_low": 0.7 * cost,
                "cost_high": 1.3 * cost,
            }
            standing = ("front", "undecided", "dominated", "dominated")[rank]
            points.append(
                {**cell, "value": value, "cost": cost, **ends, "source": "model", "standing": standing}
            )
    axes = ("labels", "seconds", "joules")
    return [{"axis": axis, "metric": "balanced_accuracy", **point} for axis in axes for point in points]


def _verdict(answer):
    control = {"control": "raw", "control_backbone": "raw", "effect": 0.2, "p_value": 0.0004}
    outcomes = {5: "positive", 20: "positive", "all": "undecided"}
    return {
        "outcome": "positive",
        "answer": answer,
        "backbone": "net",
        "strategy": "knn",
        "role": "strategy",
        "budget": "all",
        "accuracy": 0.94,
        "accuracy_low": 0.91,
        "accuracy_high": 0.97,
        "accuracy_reason": None,
        "missing": [],
        "picked": [
            {"backbone": "net", "strategy": "knn", "role": "strategy", "times": 4, "of": 5},
            {"backbone": "net", "strategy": "probe", "role": "strategy", "times": 1, "of": 5},
        ],
        "controls": [
            {**control, **_interval(0.2, 0.1), "p_adjusted": 0.0008},
            {
                **control,
                **_interval(0.3, 0.1),
                "control": "stats",
                "control_backbone": "stats",
                "effect": 0.3,
                "p_adjusted": 0.0008,
            },
        ],
        "control": "raw",
        "effect": 0.2,
        "low": 0.1,
        "high": 0.3,
        "p_value": 0.0004,
        "p_adjusted": 0.0008,
        "transfer": {"backbone": "net", "strategy": "knn"},
        "margin": 0.3,
        "settled_by": None,
        "by_budget": [
            {
                "budget": budget,
                "labels": labels,
                "outcome": outcomes[budget],
                "control": "raw",
                "effect": 0.2,
                "low": 0.1,
                "high": 0.3,
                "margin": 0.3,
                "accuracy": 0.94,
                "balanced_accuracy": 0.93,
                "chance": 1 / 3,
                "backbone": "net",
                "strategy": "knn",
            }
            for budget, labels in BUDGETS.items()
        ],
        "helps_up_to": 20,
        "labels_needed": 20,
        "scope": "for training rows drawn like these 5 times",
        "test": "paired difference",
        "selected_on": "cross-validation",
    }


def make_document(classes=("cat", "dog", "emu"), name="pets", previews=None):
    """A complete document; ``classes``, ``name`` and previews may be anything."""
    n = len(classes)
    summary = _summary()
    results = [
        {
            **{k: r[k] for k in ("backbone", "strategy", "budget", "metric", "value")},
            "seed": 0,
            "fold": 0,
        }
        for r in summary
    ]
    previews = previews or [{"kind": "image", "src": thumbnail()}, {"kind": "text", "text": "a text"}, None]
    answer = "Use net with knn: 94.0 % test accuracy. It beats raw and stats."
    return {
        "format": "tlengine-run",
        "version": 2,
        "created": "2026-11-23T15:00:00+00:00",
        "answer": answer,
        "verdict": _verdict(answer),
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
            "strategies": ["knn", "probe", "raw", "stats"],
            "controls": ["raw", "stats"],
            "metrics": ["accuracy", "balanced_accuracy", "log_loss", "ece"],
            "budgets": list(BUDGETS),
            "seeds": 1,
            "extraction": {},
        },
        "metrics": [
            {"name": name, "label": label, "percent": percent, "greater_is_better": percent}
            for name, label, percent in (
                ("accuracy", "accuracy", True),
                ("balanced_accuracy", "balanced accuracy", True),
                ("log_loss", "log-loss", False),
                ("ece", "calibration error", False),
            )
        ],
        "backbones": [{"name": "net", "dim": 64, "fingerprint": "ab" * 32, "recipe": {}, "control": False}],
        "excluded": [{"label": "yak", "count": 2}],
        "failed": [
            {
                "backbone": "net",
                "strategy": "ridge",
                "error": "out of order",
                "hint": "mend it",
                "asked": False,
                "step": "fit",
                "budgets": [5, 20],
            }
        ],
        "unreadable": [{"id": "broken.jpg", "reason": "truncated"}],
        "results": results,
        "summary": summary,
        "comparisons": _comparisons(),
        "fits": _fits(),
        "journal": {"fits": 60, "taken_up": 45},
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
                {"stage": "extract", "what": "net", **_spent(12.0)},
                {"stage": "judge", "what": "", **_spent(0.1)},
            ],
            "strategies": _costs(),
            "totals": {**_spent(14.2), "co2e_grams": None, "co2_intensity": None, "error": 0.3},
            "energy": {
                "watts_per_core": 5.0,
                "notes": ["no counter"],
            },
            "saved": {
                "rows": 300,
                "rows_seconds": 31.5,
                "prefix_rows": 0,
                "prefix_seconds": 0.0,
                "fits": 0,
                "fits_seconds": 0.0,
                "flops": None,
                "seconds": 31.5,
            },
            "fronts": _fronts(),
            "extraction": [
                {
                    "backbone": "net",
                    "rows": 300,
                    "embedded": 0,
                    "cached": 300,
                    "failed": 0,
                    "seconds": 0.1,
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


TRAINED = {"lp-ft": 0.04, "last-block": 0.02, "finetune": -0.03}
"""Strategies that train the network, and by how much they differ from the probe."""


def make_trained_document():
    """The same with networks that were trained, the control ``scratch`` among them, and what they told."""
    found = make_document()
    for name, shift in TRAINED.items():
        _copy(found, "probe", name, shift)
    _copy(found, "stats", "random", -0.05, view="net~random")
    _copy(found, "stats", "scratch", -0.12, view="net")
    for fit in found["fits"]:
        if fit["strategy"] in (*TRAINED, "scratch"):
            fit["facts"] = _facts(fit["strategy"])
    for record in found["verdict"]["by_budget"]:
        gain = 0.1 if record["budget"] == "all" else 0.25
        tests = (("raw", "raw", gain), ("scratch", "net", gain + 0.1), ("stats", "stats", -0.12))
        record["controls"] = [_gain(*test, wide=0.04 + gain / 4) for test in tests]
    text = "Label more: from 60 to 240 labels knn gained +2.0 points (+0.5 to +3.5)."
    found["advice"] = [{"kind": "labels", "text": text, "effect": 0.02}]
    found["configuration"]["strategies"] += [*TRAINED, "random", "scratch"]
    found["configuration"]["controls"] += ["random", "scratch"]
    return found


def _copy(found, of, name, shift, view=None):
    """Every record of a strategy once more, under another name and with other values."""
    costs = found["costs"]
    for records in (
        found["summary"],
        found["fits"],
        found["comparisons"],
        costs["strategies"],
        costs["fronts"],
    ):
        for record in [r for r in records if r["strategy"] == of]:
            moved = {n: record[n] + shift for n in ("value", "low", "high") if record.get(n) is not None}
            records.append({**record, **moved, "strategy": name, "backbone": view or record["backbone"]})


def _gain(control, view, effect, wide):
    named = {
        "control": control,
        "control_backbone": view,
        "effect": effect,
        "p_value": 0.01,
        "p_adjusted": 0.01,
    }
    return {**named, **_interval(effect, wide)}


def _facts(strategy):
    """What a training tells; ``scratch`` tried two rates and has no features that could have moved."""
    curve = [[step, round(1.1 * 0.97**step + 0.05, 4)] for step in range(2, 101, 2)]
    facts = {"steps": 100, "rate": 1e-4, "curve": curve, "under_trained": False, "notes": []}
    if strategy == "scratch":
        tried = [{"rate": 1e-4, "loss": 0.5}, {"rate": 1e-3, "loss": 0.75}]
        return {**facts, "under_trained": True, "tried": tried}
    if strategy == "last-block":
        facts |= {"block": "blocks.6", "notes": ["memory was short: 8 rows were computed at a time"]}
    return {**facts, "drift": {"lp-ft": 0.31, "last-block": 0.22, "finetune": 0.87}[strategy]}


@pytest.fixture
def document():
    return make_document()


@pytest.fixture
def trained():
    return make_trained_document()
