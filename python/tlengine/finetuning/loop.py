"""The training loop: AdamW by steps, each a function of the seed, the step and the weights before it.

No generator is carried from step to step, so that a training that was cut off goes on bit by bit where it
stopped, and two trainings in one process are as two in two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tlengine.errors import ResourceError
from tlengine.features.forward import is_out_of_memory
from tlengine.finetuning.checkpoints import Checkpoints, Saved, put_back, state_of
from tlengine.finetuning.metrics import Metrics
from tlengine.finetuning.network import Network
from tlengine.finetuning.order import Order, seed_for
from tlengine.finetuning.settings import Recipe
from tlengine.plugins.contracts import Rows

__all__ = ["Group", "Outcome", "Training"]

_SNAPSHOTS = 10
"""So often in a training the weights are put aside, for a loss that becomes NaN."""


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
        modes: puts the network into training mode.
        precision: a dtype for autocast; None is float32.
        checkpoints, metrics: what is kept on the way.
        told: called after each step with the steps made and the loss.
        look: a step, and what is measured after it; ``seen`` is the result.
    """

    network: Network
    groups: Sequence[Group]
    batch: Callable[[Rows, Rows], Any]
    targets: torch.Tensor
    recipe: Recipe
    order: Order
    seed: int
    modes: Callable[[], None]
    checkpoints: Checkpoints
    metrics: Metrics
    precision: torch.dtype | None = None
    told: Callable[[int, float], None] = field(default=lambda step, loss: None)
    look: tuple[int, Callable[[], float]] | None = None
    seen: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._micro = self.order.batch
        self._notes: list[str] = []
        self._device = self.targets.device
        self._optimizer = torch.optim.AdamW(
            [{"params": list(g.parameters), "weight_decay": g.weight_decay} for g in self.groups],
            lr=self.recipe.rate,
            fused=self._device.type in ("cpu", "cuda"),
        )
        scaled = self.precision == torch.float16
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=scaled)
        self._anchors = [
            [p.detach().clone() for p in g.parameters] if g.anchor and not g.to_zero else []
            for g in self.groups
        ]

    def run(self) -> Outcome:
        """Train from the last checkpoint, or from the start.

        Raises:
            ResourceError: one row alone does not fit into memory.
        """
        losses, good = self._resume()
        self.metrics.begin(len(losses))
        self.modes()
        every = max(1, self.recipe.steps // _SNAPSHOTS)
        finished = True
        try:
            for step in range(len(losses), self.recipe.steps):
                loss = self._step(step)
                if loss is None:
                    finished = False
                    self._back_to(good, step)
                    break
                losses.append(loss)
                self._keep(step + 1, losses)
                if (step + 1) % every == 0:
                    good = step + 1, {n: t.clone() for n, t in self._weights().items()}
        finally:
            self.metrics.close()
        return Outcome(
            steps=len(losses) if finished else good[0],
            losses=losses,
            finished=finished,
            micro=self._micro,
            notes=tuple(self._notes),
        )

    def _resume(self) -> tuple[list[float], tuple[int, dict[str, torch.Tensor]]]:
        saved = self.checkpoints.load()
        losses: list[float] = []
        if saved is not None:
            put_back(self.network, self._optimizer, saved.tensors)
            losses = [float(loss) for loss in saved.facts["losses"]]
            self._micro = int(saved.facts["micro"])
            self._notes, self.seen = list(saved.facts["notes"]), saved.facts["seen"]
        return losses, (len(losses), {n: t.clone() for n, t in self._weights().items()})

    def _weights(self) -> dict[str, torch.Tensor]:
        trained = {id(p) for group in self.groups for p in group.parameters}
        found = {n: p.detach() for n, p in self.network.named_parameters() if id(p) in trained}
        return found | dict(self.network.named_buffers())

    def _back_to(self, good: tuple[int, dict[str, torch.Tensor]], step: int) -> None:
        now = self._weights()
        with torch.no_grad():
            for name, tensor in good[1].items():
                now[name].copy_(tensor)
        self._notes.append(
            f"the loss was not finite at step {step + 1} of {self.recipe.steps}: the weights after step "
            f"{good[0]} are kept; a smaller rate than {self.recipe.rate:g} may help"
        )

    def _keep(self, step: int, losses: Sequence[float]) -> None:
        self.metrics.add(step, "train", "loss", losses[-1])
        self.told(step, losses[-1])
        if self.look is not None and step == self.look[0]:
            self.seen = self.look[1]()
            self.modes()
        if self.checkpoints.due() and step < self.recipe.steps:
            facts = {"losses": list(losses), "micro": self._micro, "notes": self._notes, "seen": self.seen}
            tensors = state_of(self.network, self._optimizer)
            self.metrics.flush()
            self.checkpoints.save(Saved(step=step, tensors=tensors, facts=facts))

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
            return None
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._pull(step)
        self._optimizer.zero_grad(set_to_none=True)
        return loss

    def _set(self, step: int) -> None:
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
            torch.manual_seed(seed_for(self.seed, step, "dropout"))
            try:
                return self._accumulate(rows, views)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)

    def _accumulate(self, rows: Rows, views: Rows) -> float:
        total = torch.zeros((), device=self._device)
        for start in range(0, len(rows), self._micro):
            part = slice(start, start + self._micro)
            inputs = self.batch(rows[part], views[part])
            wanted = self.targets[torch.from_numpy(rows[part]).to(self._device)]
            with self._autocast():
                logits = self.network(inputs)
            loss = functional.cross_entropy(logits.float(), wanted, reduction="sum") / len(rows)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return float(total)

    def _halve(self, error: RuntimeError) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        if self._micro == 1:
            raise ResourceError(
                f"no memory on {self._device} to train on a single row",
                hint="train fewer blocks (last-block), take a smaller backbone, or another device",
            ) from error
        self._micro = -(-self._micro // 2)
        self._notes.append(
            f"memory was short: {self._micro} rows were computed at a time, {self.order.batch} still a step"
        )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self.precision)

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
