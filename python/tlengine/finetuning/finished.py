"""A training that came to its end, kept while others of the same fit are still to come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tlengine.finetuning.checkpoints import Checkpoints, Saved, put_back, weights_of
from tlengine.finetuning.loop import Outcome

__all__ = ["Finished", "FinishedFile", "forget_finished"]

NAME = "finished.safetensors"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a training came to, beside the weights.

    Attributes:
        outcome, loss, flops: as in :class:`~tlengine.finetuning.trained.Trained`.
        facts: plain JSON, without the stages, which are of the fit.
    """

    outcome: Outcome
    loss: float
    facts: Mapping[str, Any]
    flops: float | None


class FinishedFile:
    """Where one training of a fit is kept when it is done.

    Args:
        folder: of the training; None keeps nothing.
        identity: as for :class:`~tlengine.finetuning.checkpoints.Checkpoints`.
    """

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._file = Checkpoints(folder, identity, 0.0, name=NAME)

    def save(self, finished: Finished, network: nn.Module, trained: Iterable[nn.Parameter]) -> None:
        """Keep the trained parameters and all buffers; where the disk is full a warning says so."""
        facts = {
            "outcome": asdict(finished.outcome), "loss": finished.loss, "facts": dict(finished.facts),
            "flops": finished.flops,
        }  # fmt: skip
        tensors = weights_of(network, trained)
        self._file.save(Saved(step=finished.outcome.steps, tensors=tensors, facts=facts))

    def take_up(self, network: nn.Module) -> Finished | None:
        """Put the kept weights into ``network``; None where the same training is not there, or damaged."""
        saved = self._file.load()
        if saved is None:
            return None
        facts = saved.facts
        outcome = Outcome(**{**facts["outcome"], "notes": tuple(facts["outcome"]["notes"])})
        put_back(network, saved.tensors)
        return Finished(outcome=outcome, loss=facts["loss"], facts=facts["facts"], flops=facts["flops"])


def forget_finished(folder: Path) -> None:
    """Remove what is kept of the trainings whose folders are in ``folder``."""
    for path in folder.glob(f"*/{NAME}"):
        with suppress(OSError):  # a file that stays is of no harm
            path.unlink()
