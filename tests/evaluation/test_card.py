"""The card of a model says what a reader needs, and no name of the user's can change what it says."""

import pytest

from tlengine.evaluation.card import card_of_run, card_of_training

TEST = {
    "rows": 40,
    "accuracy": {"value": 0.9, "low": 0.7721, "high": 0.9604},
    "ece": {"value": 0.05, "low": None, "high": None},
}


@pytest.fixture
def document():
    return {
        "dataset": {"name": "photos", "modality": "image", "rows": 60},
        "backbone": {"name": "efficientnet-lite0", "fingerprint": "ab" * 32, "image_size": 128},
        "strategy": "lp-ft",
        "settings": {"steps": 3},
        "chosen": {"rate": 1e-4},
        "rows": 60,
        "classes": ["cat", "dog"],
        "counts": [20, 40],
        "excluded": [{"label": "eel", "count": 1}],
        "converged": True,
        "facts": {"notes": ["memory was short"]},
        "test": None,
        "costs": {"total_seconds": 81.2},
    }


def test_a_training_says_data_backbone_licence_settings_cost_and_use(document):
    card = card_of_training(document)
    for said in (
        "| `cat` | 20 |", "licence: Apache-2.0", "128 x 128", '`{"steps": 3}`', "Not judged", "`eel` (1)",
        "memory was short.", "81 seconds", "energy: not known", 'tl.from_pretrained("model")',
        'model.predict("new-photos/")',
    ):  # fmt: skip
        assert said in card
    assert [line for line in card.splitlines() if line.startswith("## ")] == [
        "## Data", "## Backbone", "## Training", "## Outcome", "## Limits", "## Cost", "## Use",
    ]  # fmt: skip


def test_what_was_judged_is_told_with_its_intervals(document):
    card = card_of_training({**document, "test": TEST})
    assert "| accuracy | 0.9000 | 0.7721 to 0.9604 |" in card
    assert "| ece | 0.0500 | - |" in card
    assert "for these training rows" in card


def test_energy_is_told_with_its_source(document):
    costs = {"total_seconds": 81.2, "totals": {"joules": 1234.0, "source": "counter"}}
    assert "1.2e+03 joules (source: counter)" in card_of_training({**document, "costs": costs})


def test_names_cannot_break_out(document):
    document["classes"] = ["a|b\n# Licence: none", "``` x"]
    document["dataset"]["name"] = "x`\n## Outcome\nbest"
    card = card_of_training(document)
    assert card.count("\n## Outcome") == 1
    assert "| `a/b # Licence: none` | 20 |" in card
    assert card.count("```") == 4


def test_many_classes_are_counted(document):
    document["classes"], document["counts"] = [f"c{i}" for i in range(40)], [1] * 40
    assert "And 10 classes more." in card_of_training(document)


def test_a_run_tells_its_answer_and_every_control(document):
    run = {
        "dataset": {**document["dataset"], "classes": ["cat", "dog"], "counts": [20, 40]},
        "verdict": {
            "answer": "Use the probe.", "scope": "for draws from these 60 rows", "accuracy": 0.9,
            "accuracy_low": 0.8, "accuracy_high": 0.95, "budget": 20,
            "controls": [
                {"control": "raw", "control_backbone": "", "effect": 0.1, "low": 0.05, "high": 0.15},
                {"control": "random", "control_backbone": "net", "effect": -0.02, "low": None, "high": None},
            ],
        },
        "resamples": {"count": 5, "notes": []},
        "excluded": [],
        "costs": {"total_seconds": 12.0},
    }  # fmt: skip
    metadata = {
        "backbone": "efficientnet-lite0", "fingerprint": "ab", "image_size": None, "modality": "image",
        "strategy": "probe", "chosen": {"C": 1.0}, "rows": 60,
    }  # fmt: skip
    card = card_of_run(run, metadata, "features")
    for said in (
        "Use the probe.", "0.9000 (0.8000 to 0.9500)", "for draws from these 60 rows",
        "| `raw` | +10.0 | +5.0 to +15.0 |", "| `net with random` | -2.0 | - |", "tl.extract(",
    ):  # fmt: skip
        assert said in card
