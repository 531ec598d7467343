"""What fits said: once, with how often; and nothing of what is no sentence."""

import pytest

from tlengine.reports.cells import rows_of
from tlengine.reports.fit_notes import fit_notes


def texts(document):
    return [note["text"] for note in fit_notes(document, rows_of(document))]


def facts(document, strategy):
    return [fit["facts"] for fit in document["fits"] if fit["strategy"] == strategy]


def test_each_thing_is_told_once_with_how_often(trained):
    assert texts(trained) == [
        "last-block: memory was short: 8 rows were computed at a time (in 3 of 3 fits)",
        "last-block: the block that was trained is blocks.6 (in 3 of 3 fits)",
        "scratch: the training loss was still falling at the end (in 3 of 3 fits)",
        "scratch: of several rates, the one with the least loss was taken",
    ]


def test_notes_that_differ_in_numbers_alone_are_one(trained):
    for step, one in enumerate(facts(trained, "finetune")[:2], 7):
        one["notes"] = [f"the loss was not finite at step {step} of 100"] * 2
    first = "finetune: the loss was not finite at step 7 of 100 (in 2 of 3 fits, or with other numbers)"
    assert first in texts(trained)


def test_the_rates_that_were_tried_have_their_loss_and_how_often_they_were_taken(trained):
    facts(trained, "scratch")[0]["tried"][1]["loss"] = float("inf")
    items = next(note["items"] for note in fit_notes(trained, rows_of(trained)) if note["items"])
    taken = "rate 0.0001 loss 0.5, taken in 1 of 1 fit"
    assert items == [
        f"5 labels per class: {taken}; rate 0.001 no finite loss",
        f"20 labels per class: {taken}; rate 0.001 loss 0.75",
        f"all labels: {taken}; rate 0.001 loss 0.75",
    ]


def test_different_blocks_are_counted(trained):
    facts(trained, "last-block")[0]["block"] = "blocks.2"
    assert (
        "last-block: the block that was trained is blocks.6 (in 2 of 3 fits), blocks.2 (in 1 of 3 fits)"
        in (texts(trained))
    )


@pytest.mark.parametrize("odd", ["text", 3, None, [1, {"rate": "fast"}], {"a": 1}])
def test_what_is_none_of_it_is_not_told(trained, odd):
    for fit in trained["fits"]:
        names = ("notes", "under_trained", "tried", "block", "curve", "drift")
        fit["facts"] = dict.fromkeys(names, [odd] if isinstance(odd, dict) else odd)
        fit["facts"]["block"] = 7
    assert texts(trained) == []


def test_documents_of_earlier_builds_have_none(document):
    assert texts(document) == []
