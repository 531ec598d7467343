"""The answer in words."""

import pytest

from tlengine.evaluation.sentences import answer

SPOKEN = {"probe": "a linear probe", "raw": "a probe on pixels", "stats": "a probe on statistics"}
RAW = {"control": "raw", "effect": 0.2, "p_adjusted": 0.001}
STATS = {"control": "stats", "effect": 0.1, "p_adjusted": 0.001}


def facts(**changed):
    found = {
        "backbone": "net", "strategy": "probe", "role": "strategy", "budget": "all", "outcome": "positive",
        "accuracy": 0.9, "accuracy_low": 0.85, "accuracy_high": 0.93, "accuracy_reason": None,
        "picked": [{"times": 5, "of": 5}], "controls": [RAW, STATS], "control": "stats", "effect": 0.1,
        "low": 0.05, "high": 0.15, "transfer": {"backbone": "net", "strategy": "probe"}, "margin": 0.14,
        "missing": [], "selected_on": "", "settled_by": None, "labels_needed": "all", "helps_up_to": "all",
    }  # fmt: skip
    return found | changed


USE = "Use net with a linear probe: 90.0 % test accuracy (95 % interval 85.0 to 93.0)"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {},
            f"{USE}. It beats the controls raw and stats: by 10.0 points (+5.0 to +15.0) against a probe on "
            "statistics.",
        ),
        (
            {"picked": [{"times": 4, "of": 5}], "controls": [], "control": None, "labels_needed": 20},
            "Use net with a linear probe: picked in 4 of 5 resamples, and what was picked has 90.0 % test "
            "accuracy (95 % interval 85.0 to 93.0). 20 labels per class come within one point of the final "
            "balanced accuracy.",
        ),
        (
            {"outcome": "negative", "effect": -0.1, "low": -0.15, "high": -0.05, "helps_up_to": 20},
            f"{USE}. Transfer is negative: it is 10.0 points worse than a probe on statistics "
            "(-15.0 to -5.0). Transfer helps up to 20 labels per class.",
        ),
        (
            {"outcome": "none", "effect": 0.001, "low": -0.01, "high": 0.012, "margin": 0.011,
             "helps_up_to": None, "controls": [RAW, {**STATS, "effect": 0.001}]},
            f"{USE}. Transfer makes no difference against a probe on statistics: +0.1 points (-1.0 to +1.2); "
            "it loses to no control by more than 1.1 points, and gains 20.0 over a probe on pixels.",
        ),
        (
            {"outcome": "none", "effect": 0.001, "low": -0.01, "high": 0.012, "margin": 0.011,
             "helps_up_to": None, "controls": [{**STATS, "effect": 0.001}]},
            f"{USE}. Transfer makes no difference against the control stats: +0.1 points (-1.0 to +1.2); "
            "any difference is below 1.1 points.",
        ),
        (
            {"outcome": "undecided", "missing": ["rcf"], "margin": None, "settled_by": "a result of rcf",
             "helps_up_to": None},
            f"{USE}. Whether transfer helps is open, for the control rcf has no result: +10.0 points "
            "(+5.0 to +15.0) against a probe on statistics.",
        ),
        (
            {"outcome": "undecided", "controls": [], "control": None, "missing": ["raw", "stats"],
             "helps_up_to": None},
            f"{USE}. Whether transfer helps is open, for the controls raw and stats have no result.",
        ),
        (
            {"outcome": "undecided", "effect": 0.03, "low": -0.01, "high": 0.07, "margin": 0.06,
             "helps_up_to": 20, "settled_by": "some 900 test samples would show a difference of 3.0 points"},
            f"{USE}. Whether transfer helps against a probe on statistics is open: +3.0 points "
            "(-1.0 to +7.0); it loses to no control by more than 6.0 points; some 900 test samples would "
            "show a difference of 3.0 points. Transfer helps up to 20 labels per class.",
        ),
        (
            {"strategy": "raw", "backbone": "raw", "role": "control", "outcome": "negative", "effect": -0.1,
             "low": -0.15, "high": -0.05, "helps_up_to": None},
            "Use no pretrained network: a probe on pixels reaches 90.0 % test accuracy (95 % interval 85.0 "
            "to 93.0). Transfer is negative: net with a linear probe is 10.0 points worse than a probe on "
            "statistics (-15.0 to -5.0).",
        ),
        (
            {"accuracy_reason": "all test rows belong to one unit", "accuracy_low": None,
             "accuracy_high": None, "outcome": "undecided", "low": None, "high": None, "margin": None,
             "effect": 0.5, "helps_up_to": None},
            "Use net with a linear probe: 90.0 % test accuracy (no interval: all test rows belong to one "
            "unit). Whether transfer helps against a probe on statistics is open: +50.0 points.",
        ),
    ],
)  # fmt: skip
def test_answers(changed, expected):
    assert answer(facts(**changed), SPOKEN) == expected


def test_the_control_that_is_named_is_the_one_that_the_outcome_hangs_on():
    """Not the one of the least effect, where that is noise."""
    found = answer(
        facts(outcome="negative", control="stats", effect=-0.05, low=-0.09, high=-0.01,
              controls=[{"control": "raw", "effect": -0.07}, {"control": "stats", "effect": -0.05}]),
        SPOKEN,
    )  # fmt: skip
    assert "5.0 points worse than a probe on statistics" in found


def test_what_is_tested_is_named_where_it_is_not_what_is_recommended():
    """A control that is picked now and then may leave another strategy in front than strategies alone do."""
    found = answer(facts(transfer={"backbone": "net", "strategy": "knn"}), {**SPOKEN, "knn": "neighbours"})
    assert found.startswith("Use net with a linear probe: ")
    assert "net with neighbours beats the controls" in found


def test_a_strategy_without_a_spoken_name_is_called_by_its_name():
    found = answer(facts(strategy="lda", transfer={"backbone": "net", "strategy": "lda"}), SPOKEN)
    assert found.startswith("Use net with lda: ")
    assert " It beats " in found


def test_labels_and_budgets_share_a_sentence():
    found = answer(facts(outcome="undecided", labels_needed=50, helps_up_to=20), SPOKEN)
    assert found.endswith(
        "50 labels per class come within one point of the final balanced accuracy, and transfer helps up to "
        "20 labels per class."
    )


SCRATCH = {"control": "scratch", "effect": 0.3, "p_adjusted": 0.001, "under_trained": True}
WITH_SCRATCH = {**SPOKEN, "scratch": "training from scratch"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {},
            "It beats the controls trained to the end, raw and stats: by 10.0 points (+5.0 to +15.0) against "
            "a probe on statistics; training from scratch was not.",
        ),
        (
            {"controls": [STATS, SCRATCH]},
            "It beats the control trained to the end, stats: by 10.0 points (+5.0 to +15.0) against a probe "
            "on statistics; training from scratch was not.",
        ),
        (
            {"outcome": "none", "effect": 0.001, "low": -0.01, "high": 0.012, "margin": 0.011,
             "helps_up_to": None, "controls": [{**STATS, "effect": 0.001}, SCRATCH]},
            "Transfer makes no difference against a probe on statistics: +0.1 points (-1.0 to +1.2); any "
            "difference is below 1.1 points; training from scratch was not trained to the end.",
        ),
        (
            {"outcome": "undecided", "control": "scratch", "effect": 0.3, "low": 0.2, "high": 0.4,
             "margin": None, "helps_up_to": None, "controls": [SCRATCH]},
            "Whether transfer helps is open, for the control scratch was not trained to the end: +30.0 "
            "points (+20.0 to +40.0) against training from scratch.",
        ),
        (
            {"outcome": "negative", "control": "scratch", "effect": -0.3, "low": -0.4, "high": -0.2,
             "helps_up_to": None, "under_trained": [], "controls": [STATS, {**SCRATCH, "effect": -0.3}]},
            "Transfer is negative: it is 30.0 points worse than training from scratch (-40.0 to -20.0).",
        ),
    ],
)  # fmt: skip
def test_a_control_that_was_not_trained_to_the_end_is_never_said_to_be_beaten(changed, expected):
    found = answer(
        facts(**{"controls": [RAW, STATS, SCRATCH], "under_trained": ["scratch"]} | changed), WITH_SCRATCH
    )
    assert found == f"{USE}. {expected}"


def test_what_was_cut_ends_the_answer():
    note = "Networks were trained for 40 % of their steps, to fit in 10 minutes"
    assert answer(facts(notes=[note]), SPOKEN).endswith(f" against a probe on statistics. {note}.")
