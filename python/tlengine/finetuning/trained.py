"""A trained network, and what is told of its training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlengine.features import Backbone
from tlengine.finetuning.grouping import Choice
from tlengine.finetuning.heads import HeadConfig
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.loop import Outcome
from tlengine.finetuning.metrics import thinned
from tlengine.finetuning.network import Network
from tlengine.finetuning.settings import Recipe, TrainSettings
from tlengine.plugins.contracts import Codes, Rows

if TYPE_CHECKING:
    from tlengine.finetuning.session import Session

__all__ = ["Trained", "facts_of", "is_under_trained", "learned_nothing"]

_STILL_FALLS, _DONE, _LEARNED = 0.02, 0.01, 0.5
"""A training is not over while its loss falls by more than the first share in its last tenth, unless it is
below the second share of that of guessing; nor while it is above the third, for at a rate of nothing a loss
stands still wherever it is."""


@dataclass(kw_only=True, eq=False)
class Trained:
    """A trained network, and how it came about.

    Attributes:
        network: in evaluation mode, without gradients.
        backbone: whose module is that of the network.
        head: what the network's head was built of.
        inputs: the rows of the run for it.
        rows: (n,) those that it was trained on.
        settings: by which.
        known: (k,) the class of the run behind each logit.
        recipe, choice, outcome: of the training.
        loss: of the training rows as they are, at the end.
        facts: plain JSON; see :attr:`tlengine.plugins.contracts.Record.facts`.
        flops: of the training; None where none could be counted.
    """

    network: Network
    backbone: Backbone
    head: HeadConfig
    inputs: Inputs
    rows: Rows
    settings: TrainSettings
    known: Codes
    recipe: Recipe
    choice: Choice
    outcome: Outcome
    loss: float
    facts: dict[str, Any]
    flops: float | None = None


def facts_of(session: Session, outcome: Outcome, parameters: int) -> dict[str, Any]:
    """What a record tells of a training, its loss and the stages of the fit aside.

    Args:
        session: that trained.
        outcome: of it.
        parameters: how many numbers were trained.
    """
    fit, recipe, inputs = session.fit, session.recipe, session.inputs
    found: dict[str, Any] = {
        "steps": outcome.steps,
        "rate": recipe.rate,
        "head_rate": recipe.head_rate,
        "batch": recipe.batch,
        "micro": outcome.micro,
        "parameters": parameters,
        "device": fit.device,
        "pretrained": not session.scratch,
        "curve": thinned(outcome.losses),
        "augmentation": dict(inputs.augmentation.describe()) if inputs.augmented else None,
        "notes": _notes(session, outcome),
    }
    if session.frozen is not None:
        found["reused"] = session.frozen.reused
    if session.surgical is not None:
        found["block_number"] = session.surgical
        found["block"] = ", ".join(session.backbone.blocks[session.surgical])
    if session.settings.start == "probe":
        found["probe"] = {"C": fit.probe.C, "temperature": fit.probe.temperature}
    return found


def _notes(session: Session, outcome: Outcome) -> Sequence[str]:
    kept = [] if session.frozen is None else session.frozen.notes
    notes = [*session.notes, *kept, *outcome.notes]
    if session.recipe.cut:
        notes.append(f"cut to {session.recipe.steps} steps for want of time")
    return notes


def learned_nothing(loss: float, classes: int) -> str | None:
    """What is to be said of a training that ends no better than guessing; None where it ends better.

    >>> learned_nothing(0.3, 3)
    >>> learned_nothing(6.0, 3)[:62]
    'the training loss of 6.00 is no better than that of guessing, '
    """
    guessing = math.log(max(2, classes))
    if loss < guessing:
        return None
    return (
        f"the training loss of {loss:.2f} is no better than that of guessing, {guessing:.2f}: nothing was "
        "learned; more steps or another rate may help"
    )


def is_under_trained(before: float, loss: float, classes: int) -> bool:
    """Whether the loss still fell in the last tenth, or the training rows are hardly learned at all.

    Args:
        before: the training loss before the last tenth of the steps.
        loss: at the end.
        classes: that were trained.

    >>> is_under_trained(0.5, 0.499, 10), is_under_trained(0.5, 0.4, 10), is_under_trained(1.9, 1.9, 10)
    (False, True, True)
    """
    guessing = math.log(max(2, classes))
    still = before - loss > _STILL_FALLS * before and loss > _DONE * guessing
    return still or loss > _LEARNED * guessing
