"""The training loop: AdamW by steps, each a function of the seed, the step and the weights before it.

No generator is carried from step to step, so that a training that was cut off goes on bit by bit where it
stopped, and two trainings in one process are as two in two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tlengine.errors import BackboneError, ResourceError
from tlengine.finetuning.checkpoints import Checkpoints, Saved, put_back, state_of
from tlengine.finetuning.determinism import seed_generators
from tlengine.finetuning.memory import SHORT, halved, is_short
from tlengine.finetuning.metrics import Metrics
from tlengine.finetuning.network import Network
from tlengine.finetuning.order import Order, seed_for
from tlengine.finetuning.precision import computing
from tlengine.finetuning.settings import Recipe
from tlengine.plugins.contracts import Rows

__all__ = ["Group", "Outcome", "Training"]

_SNAPSHOTS = 10
"""So often in a training the weights are put aside, for a loss that becomes NaN."""
_GOOD = "good:"
"""Begins the names of these weights in a checkpoint."""
_SHORT = "memory was short"


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Parameters that are trained alike.

    Attributes:
        parameters: of one block, or the head.
        scale: factor of the rate.
        weight_decay: of AdamW.
        from_step: the step at which they begin to be trained.
        anchor: the share of the way back to where they started (to 0 with ``to_zero``) that is gone in a step
            at the full rate.
    """

    parameters: Sequence[nn.Parameter]
    scale: float = 1.0
    weight_decay: float = 0.0
    from_step: int = 0
    anchor: float = 0.0
    to_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended.

    Attributes:
        steps: that were made.
        losses: of each step, the mean over its rows.
        finished: False where it stopped at a loss that is not finite.
        micro: rows that were computed at a time in the end.
        notes: sentences for the user.
    """

    steps: int
    losses: Sequence[float]
    finished: bool
    micro: int
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True, eq=False)
class Training:
    """One training.

    Attributes:
        network: trained in place.
        groups: what is trained; everything else is left alone.
        batch: takes (m,) row numbers and view numbers, returns what the network is called with.
        targets: (n,) class numbers without gaps.
        recipe, order: the numbers, and which rows each step sees.
        seed: of dropout.
        modes: puts the network into the mode in which it is trained at a step.
        precision: of the forward pass, a name of :data:`~tlengine.features.forward.PRECISIONS`.
        checkpoints, metrics: what is kept on the way.
        told: called after each step with the steps made and the loss.
        look: a step, and what is measured after it; ``seen`` is the result.
        least: rows that are computed at a time at the least; 2 where batch normalisation learns.
    """

    network: Network
    groups: Sequence[Group]
    batch: Callable[[Rows, Rows], Any]
    targets: torch.Tensor
    recipe: Recipe
    order: Order
    seed: int
    modes: Callable[[int], None]
    checkpoints: Checkpoints
    metrics: Metrics
    precision: str = "float32"
    told: Callable[[int, float], None] = field(default=lambda step, loss: None)
    look: tuple[int, Callable[[], float]] | None = None
    least: int = 1
    seen: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._micro = self.order.batch
        self._whole = True  # whether weights, moments and what was measured are those of one step
        self._buffers: dict[str, torch.Tensor] = {}
        self._notes: list[str] = []
        self._device = self.targets.device
        self._optimizer = torch.optim.AdamW(
            [{"params": list(g.parameters), "weight_decay": g.weight_decay} for g in self.groups],
            lr=self.recipe.rate,
            fused=self._device.type in ("cpu", "cuda"),
        )
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self.precision == "fp16")
        self._anchors = [
            [p.detach().clone() for p in g.parameters] if g.anchor and not g.to_zero else []
            for g in self.groups
        ]

    def run(self) -> Outcome:
        """Train from the last checkpoint, or from the start.

        Ctrl-C between two updates of the weights keeps the last whole step; in the middle of an update, or of
        what is measured after it, the last checkpoint stays.

        Raises:
            ResourceError: one row alone does not fit into memory.
            BackboneError: the loss is not finite before anything was trained.
        """
        losses, steps = self._resume(), self.recipe.steps
        begun = len(losses)
        self.metrics.begin(begun)
        self.modes(begun)
        finished = True
        try:
            for step in range(begun, steps):
                self._buffers = self._copied_buffers()
                loss = self._step(step)
                if loss is None:
                    finished = False
                    break
                losses.append(loss)
                self._keep(step + 1, losses)
        except KeyboardInterrupt:
            if self._whole and len(losses) > begun:
                self._save(losses, self._buffers)
            raise
        finally:
            self.metrics.close()
        if not finished or not self._is_finite():
            finished = False
            self._back_to_good(len(losses))
            del losses[self._good[0] :]
        return Outcome(
            steps=len(losses),
            losses=losses,
            finished=finished,
            micro=self._micro,
            notes=tuple(self._notes),
        )

    def timed(self, step: int) -> float:
        """Seconds of one step, which is made.

        Raises:
            ResourceError: no memory for a single row.
        """
        since = time.perf_counter()
        self._step(step)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - since

    def _resume(self) -> list[float]:
        """The losses of the steps that were made."""
        self._good: tuple[int, dict[str, torch.Tensor]] = 0, {}
        saved = self.checkpoints.load()
        if saved is None:
            return []
        facts = saved.facts
        own = {name: one for name, one in saved.tensors.items() if not name.startswith(_GOOD)}
        put_back(self.network, own, self._optimizer)
        good = {n.removeprefix(_GOOD): one for n, one in saved.tensors.items() if n.startswith(_GOOD)}
        self._good = int(facts["good"]), good
        self._micro, self._notes, self.seen = int(facts["micro"]), list(facts["notes"]), facts["seen"]
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(facts["scaler"])
        return [float(loss) for loss in facts["losses"]]

    def _weights(self) -> dict[str, torch.Tensor]:
        trained = {id(p) for group in self.groups for p in group.parameters}
        found = {n: p.detach() for n, p in self.network.named_parameters() if id(p) in trained}
        return found | dict(self.network.named_buffers())

    def _is_finite(self) -> bool:
        """Whether the last update, whose loss nobody has seen, left numbers behind."""
        kept = [one for one in self._weights().values() if one.is_floating_point()]
        return all(bool(torch.isfinite(one).all()) for one in kept)

    def _back_to_good(self, step: int) -> None:
        now = self._weights()
        with torch.no_grad():
            for name, tensor in self._good[1].items():
                now[name].copy_(tensor)
        self._notes.append(
            f"the loss was not finite at step {min(step + 1, self.recipe.steps)} of {self.recipe.steps}: the "
            f"weights after step {self._good[0]} are kept; a smaller rate than {self.recipe.rate:g} may help"
        )

    def _keep(self, step: int, losses: Sequence[float]) -> None:
        self.metrics.add(step, "train", "loss", losses[-1])
        self.told(step, losses[-1])
        if self.look is not None and step == self.look[0]:
            self.seen = self.look[1]()
            self.modes(step)
        self._buffers = {}  # those of the network are those of this step
        self._whole = True
        if self.checkpoints.due() and step < self.recipe.steps:
            self._save(losses)

    def _save(self, losses: Sequence[float], buffers: Mapping[str, torch.Tensor] | None = None) -> None:
        """Keep the state after the last of ``losses``; ``buffers`` stand for those of the network."""
        facts = {
            "losses": list(losses), "micro": self._micro, "notes": self._notes, "seen": self.seen,
            "good": self._good[0], "scaler": self._scaler.state_dict(),
        }  # fmt: skip
        tensors = state_of(self.network, self._optimizer) | dict(buffers or {})
        tensors |= {_GOOD + name: one for name, one in self._good[1].items()}
        self.metrics.flush()
        self.checkpoints.save(Saved(step=len(losses), tensors=tensors, facts=facts))

    def _copied_buffers(self) -> dict[str, torch.Tensor]:
        """As they are in front of a step, whose forward pass may change them; nothing where none is kept."""
        if not self.checkpoints.keeps:
            return {}
        return {f"buffer:{name}": one.clone() for name, one in self.network.named_buffers()}

    def _step(self, step: int) -> float | None:
        """The loss of a step that was made; None where it is not finite, and nothing was changed."""
        self._set(step)
        loss = self._gradients(step)
        self._scaler.unscale_(self._optimizer)
        trained = [p for group in self._optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(trained, self.recipe.clip)
        # Half precision overflows now and then: the scaler leaves such a step out, and scales less.
        if not math.isfinite(loss) or not (self._scaler.is_enabled() or math.isfinite(float(norm))):
            self._optimizer.zero_grad(set_to_none=True)
            self._refuse_start(step, loss)
            return None
        if step % max(1, self.recipe.steps // _SNAPSHOTS) == 0:
            # The loss of these weights is known, that of the next ones is not.
            self._good = step, {name: one.clone() for name, one in self._weights().items()}
        self._whole = False
        try:
            self._scaler.step(self._optimizer)
        except SHORT as error:
            if is_short(error):
                raise ResourceError(
                    f"no memory on {self._device} for the moments of the optimiser",
                    hint="train fewer blocks (last-block), take a smaller backbone, or another device",
                ) from error
            raise
        self._scaler.update()
        self._pull(step)
        self._optimizer.zero_grad(set_to_none=True)
        return loss

    def _refuse_start(self, step: int, loss: float) -> None:
        if step == 0:
            what = f"the loss is {loss}" if not math.isfinite(loss) else "the gradient is not finite"
            raise BackboneError(
                f"{what} before anything was trained",
                hint="look for NaN in what the network returns for a training row, in training mode; with "
                "precision fp16 try float32",
            )

    def _set(self, step: int) -> None:
        if step and any(step == group.from_step for group in self.groups):
            self.modes(step)
        factor = self.recipe.rate * self.recipe.factor(step)
        for group, held in zip(self.groups, self._optimizer.param_groups, strict=True):
            held["lr"] = factor * group.scale
            begun = step >= group.from_step
            for parameter in group.parameters:
                parameter.requires_grad_(begun)

    def _gradients(self, step: int) -> float:
        """Gradients of the mean loss over the step's rows, in parts that fit into memory."""
        rows, views = self.order.step(step)
        while True:
            seed_generators(seed_for(self.seed, step, "dropout"), self._device)
            try:
                return self._accumulate(rows, views)
            except SHORT as error:
                if not is_short(error):
                    raise
                self._halve(error)

    def _accumulate(self, rows: Rows, views: Rows) -> float:
        total = torch.zeros((), device=self._device)
        parts = max(1, min(-(-len(rows) // self._micro), len(rows) // self.least))
        for part in np.array_split(np.arange(len(rows)), parts):
            inputs = self.batch(rows[part], views[part])
            wanted = self.targets[torch.from_numpy(rows[part]).to(self._device)]
            with computing(self.precision, self._device):
                logits = self.network(inputs)
            loss = functional.cross_entropy(logits.float(), wanted, reduction="sum") / len(rows)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return float(total)

    def _halve(self, error: Exception) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._micro = halved(self._micro, error, self._device, "train on", least=self.least)
        self._notes = [note for note in self._notes if not note.startswith(_SHORT)]
        self._notes.append(
            f"{_SHORT}: {self._micro} rows were computed at a time, {self.order.batch} still a step"
        )

    def _pull(self, step: int) -> None:
        """L2-SP: towards the start, decoupled from the moments as weight decay is."""
        with torch.no_grad():
            for group, starts in zip(self.groups, self._anchors, strict=True):
                share = min(1.0, self.recipe.factor(step) * group.anchor)
                if not share or step < group.from_step:
                    continue
                for i, parameter in enumerate(group.parameters):
                    if group.to_zero:
                        parameter.mul_(1.0 - share)
                    else:
                        parameter.lerp_(starts[i], share)
