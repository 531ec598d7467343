"""One training of a fit: its network, what is trained of it, and what the training tells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from tlengine.errors import InputError
from tlengine.features import Backbone
from tlengine.features.forward import PRECISIONS
from tlengine.finetuning.augment import Augmentation
from tlengine.finetuning.checkpoints import Checkpoints
from tlengine.finetuning.determinism import seed_generators
from tlengine.finetuning.flops import count_flops
from tlengine.finetuning.folding import folded
from tlengine.finetuning.frozen import FrozenPart
from tlengine.finetuning.grouping import (
    Choice,
    choose_parameters,
    frozen_parts,
    groups_of,
    refuse_unable,
    relative_gradients,
    waiting_blocks,
)
from tlengine.finetuning.heads import build_head, head_from_probe, start_from_means, tokens_of
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.judging import BATCH, parameters_of, settle_statistics, training_loss
from tlengine.finetuning.loop import Outcome, Training
from tlengine.finetuning.memory import SHORT, halved, is_short
from tlengine.finetuning.metrics import Metrics, thinned
from tlengine.finetuning.network import Network, family_of, is_batch_norm
from tlengine.finetuning.order import Order, seed_for
from tlengine.finetuning.progress import step_bar
from tlengine.finetuning.settings import Recipe, TrainSettings, recipe_for
from tlengine.plugins import registry
from tlengine.plugins.contracts import Codes, Rows

if TYPE_CHECKING:
    from tlengine.finetuning.fitting import Fit

__all__ = ["Session", "Trained"]

_STILL_FALLS, _DONE, _LEARNED = 0.02, 0.01, 0.5
"""A training is not over while its loss falls by more than the first share in its last tenth, unless it is
below the second share of that of guessing; nor while it is above the third, for at a rate of nothing a loss
stands still wherever it is."""
_FROZEN_VIEWS = 4
"""Of a picture, where blocks in front of the first that is trained are computed once."""
_COUNTED = 4
"""Rows by which operations are counted."""


@dataclass(kw_only=True, eq=False)
class Trained:
    """A trained network, and how it came about.

    Attributes:
        network: in evaluation mode, without gradients.
        backbone: whose module is that of the network.
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


class Session:
    """One training of a fit.

    Args:
        fit: what is trained on.
        settings: how.

    Raises:
        InputError: the backbone cannot do it.
    """

    def __init__(self, fit: Fit, settings: TrainSettings) -> None:
        self.fit, self.settings = fit, settings
        self.scratch = settings.weights == "random"
        view, device = fit.view, fit.device
        self.backbone = (
            view.backbone(device, weights="random", seed=fit.seed) if self.scratch else view.backbone(device)
        )
        self.backbone.module.eval()  # a user's module may come in training mode
        refuse_unable(settings, self.backbone)
        if settings.train == "adapters":
            from tlengine.finetuning.adapters import add_adapters

            add_adapters(self.backbone, settings, seed_for(fit.seed, "adapters"))
        self.recipe = recipe_for(
            settings,
            family_of(self.backbone.module, self.backbone.modality),
            len(fit.roles.train),
            fit.spread,
        )
        self.learns_statistics = self.scratch and any(map(is_batch_norm, self.backbone.module.modules()))
        if self.learns_statistics and self.recipe.batch == 1:
            raise InputError(
                "batch is 1, and batch normalisation learns from two rows at least", hint="set a larger batch"
            )
        self.inputs = Inputs(view, self.backbone, self._augmentation(), device)
        tokens = partial(tokens_of, self.backbone) if self._reads_tokens else None
        self.network = Network(self.backbone.module, self._head(), tokens).to(device)
        if any(isinstance(part, nn.Conv2d) for part in self.network.modules()):
            self.network.to(memory_format=torch.channels_last)
        self.surgical = self._surgical()
        self.choice = choose_parameters(settings, self.backbone, surgical=self.surgical)
        self.groups = groups_of(self.network, self.choice, settings, self.recipe)
        self.notes: list[str] = []
        self.frozen = self._frozen_part()

    def seconds(self) -> float:
        """What :meth:`run` will take, by its last step, made twice; the network is of no use afterwards.

        All blocks are trained by then, and the frozen part of its rows is there the second time.
        """
        training = self.training(None, lambda step, loss: None)
        with self.frozen_statistics():
            last = self.recipe.steps - 1
            self.modes(last)
            first, second = training.timed(last), training.timed(last)
        once = 0.0 if self.frozen is None else max(0.0, first - second) * self.frozen.passes
        return once + second * self.recipe.steps

    def run(self) -> Trained:
        """Train, and tell how it went."""
        fit, recipe = self.fit, self.recipe
        start = self._start() if self.settings.average == "wise" else {}
        with fit.stage("train"):
            outcome, before = self._train()
        with fit.stage("evaluate"):
            self._average(start)
            trained = parameters_of(self.network)
            if self.scratch:
                settle_statistics(self.network, self.inputs, fit.roles.train, recipe.batch)
            last = outcome.losses[-5:]
            loss = sum(last) / len(last) if last and not self.scratch else self._loss()
        self.network.eval().requires_grad_(False)
        facts = {**self._facts(outcome, trained), "loss": loss}
        if before is not None:
            facts["under_trained"] = self._is_under_trained(before, loss)
        flops = self._flops(outcome)
        return Trained(
            network=self.network, backbone=self.backbone, inputs=self.inputs, rows=fit.roles.train,
            settings=self.settings, known=fit.known, recipe=recipe, choice=self.choice, outcome=outcome,
            loss=loss, facts=facts, flops=flops,
        )  # fmt: skip

    def _tenth_from_last(self) -> int:
        """The step before the last tenth; with few of them the one before the last."""
        steps = self.recipe.steps
        return max(1, min(steps - 1, round(0.9 * steps)))

    def _is_under_trained(self, before: float, loss: float) -> bool:
        """Whether the loss still fell in the last tenth, or the training rows are hardly learned at all."""
        guessing = float(np.log(max(2, len(self.fit.known))))
        still = before - loss > _STILL_FALLS * before and loss > _DONE * guessing
        return still or loss > _LEARNED * guessing

    def _augmentation(self) -> Augmentation | None:
        wanted = self.settings.augment
        if self.backbone.modality == "text" or wanted == "none":
            return None
        if isinstance(self.fit.view.contents(self.fit.roles.train[:1])[0], str):
            return None
        return Augmentation(flip=wanted == "crop-flip" or (wanted == "auto" and self.fit.flip))

    @property
    def _reads_tokens(self) -> bool:
        return registry.resolve_head(self.settings.head).input == "tokens"

    def _dim(self) -> int | tuple[int | None, int]:
        """What the head reads: columns, or tokens and columns, by one sample."""
        if not self._reads_tokens:
            return self.backbone.embedding_dim
        with torch.no_grad():
            tokens = tokens_of(self.backbone, self.inputs.batch(self.fit.roles.train[:1]))
        _, number, columns = tokens.values.shape
        return (number if tokens.mask is None else None), columns

    def _head(self) -> nn.Module:
        dim, classes = self._dim(), len(self.fit.known)
        seed_generators(seed_for(self.fit.seed, "head"), self.fit.device)
        if self.settings.start == "probe":
            probe = self.fit.probe
            return head_from_probe(self.settings.head, probe.coef, probe.intercept)
        head = build_head(self.settings.head, dim, classes)
        if self.settings.start == "means":
            start_from_means(head, self.settings.head, self._means())
        return head

    def _means(self) -> npt.NDArray[np.float64]:
        """(K, d) class means of the frozen features of the training rows."""
        view, rows = self.fit.view, self.fit.roles.train
        X, codes = view.features(rows), view.codes(rows)
        return np.stack([X[codes == code].mean(axis=0, dtype=np.float64) for code in self.fit.known])

    def _surgical(self) -> int | None:
        """The block with the largest relative gradient, by one pass over the training rows as they are."""
        if self.settings.train != "surgical":
            return None
        everything = choose_parameters(self.settings.with_settings({"train": "all"}), self.backbone)
        network, rows = self.network, self.fit.roles.train
        network.eval()
        for parameter in network.backbone.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        size = BATCH
        while True:
            try:
                self._add_gradients(rows, size)
                break
            except SHORT as error:
                if not is_short(error):
                    raise
                size = halved(min(size, len(rows)), error, self.fit.device, "train on")
            network.zero_grad(set_to_none=True)
        ratios = relative_gradients(network, everything.depth, everything.blocks)
        network.zero_grad(set_to_none=True)
        return int(np.argmax(ratios))

    def _add_gradients(self, rows: Rows, size: int) -> None:
        """Of the mean loss over all rows, so many at a time."""
        for start in range(0, len(rows), size):
            logits = self.network(self.inputs.batch(rows[start : start + size]))
            wanted = self.fit.targets[start : start + size]
            loss = functional.cross_entropy(logits.float(), wanted, reduction="sum") / len(rows)
            loss.backward()  # type: ignore[no-untyped-call]

    def _train(self) -> tuple[Outcome, float | None]:
        fit = self.fit
        folder = None if fit.folder is None else fit.folder / self._name()
        with step_bar(self.recipe.steps, fit.view.name) as told:
            training = self.training(folder, told)
            self.row_flops = self._count()
            with self.frozen_statistics():
                outcome = training.run()
        training.checkpoints.forget()
        return outcome, training.seen

    def training(self, folder: Path | None, told: Callable[[int, float], None]) -> Training:
        """The loop, with checkpoints and metrics in a folder where there is one."""
        recipe = self.recipe
        return Training(
            network=self.network,
            groups=self.groups,
            batch=self._batch,
            targets=self.fit.targets,
            recipe=recipe,
            order=self._order(),
            seed=self.fit.seed,
            modes=self.modes,
            checkpoints=Checkpoints(folder, self._identity(), self.settings.checkpoint_seconds),
            metrics=Metrics(folder),
            precision=self._precision(),
            told=told,
            least=2 if self.learns_statistics else 1,
            look=(self._tenth_from_last(), self._loss) if self.scratch else None,
        )

    def _batch(self, places: Rows, views: Rows) -> Any:
        rows = self.fit.roles.train[places]
        if self.frozen is not None:
            try:
                return self.frozen.batch(rows, views)
            except SHORT as error:
                if not is_short(error):
                    raise
                self._leave_frozen()
        return self.inputs.batch(rows, views)

    def _leave_frozen(self) -> None:
        """Frozen blocks are computed with the others, in parts as small as memory asks for."""
        self.frozen = None
        self.notes.append("memory was short for frozen blocks: they were computed in every step")

    def _frozen_part(self) -> FrozenPart | None:
        """What lies in front of the first trained block, computed once; None where that does not pay."""
        inside = 0 < self.choice.first < len(self.backbone.blocks)
        possible = inside and not self.scratch and not self._reads_tokens
        if self.settings.prefix == "never" or not possible:
            return None
        view, order = self.fit.view, self._order()
        with self.fit.stage("frozen part"):
            found, note = FrozenPart.of(
                self.backbone, self.inputs, self.fit.roles.train, self.choice.first, views=order.views or 0,
                batch=order.batch, steps=self.recipe.steps, cache=view.cache, max_disk=view.max_disk,
                half=self.settings.prefix_dtype == "fp16",
            )  # fmt: skip
        if note:
            self.notes.append(note)
        return found

    def _count(self) -> float | None:
        """Operations of a training step for each row; None where memory is short for a single one."""
        for rows in (_COUNTED, 1):
            try:
                return self._counted(min(len(self.fit.roles.train), rows))
            except SHORT as error:
                self.network.zero_grad(set_to_none=True)
                if not is_short(error):
                    raise
        return None

    def _counted(self, rows: int) -> float | None:
        places = np.arange(rows)
        views = np.full(len(places), 0 if self.inputs.augmented else -1)
        self.network.eval()
        inputs = self._batch(places, views)  # what is computed once for it is counted by itself

        def run() -> None:
            logits = self.network(inputs)
            functional.cross_entropy(logits.float(), self.fit.targets[: len(places)]).backward()  # type: ignore[no-untyped-call]

        found = count_flops(run)
        self.network.zero_grad(set_to_none=True)
        return None if found is None else found / len(places)

    def _flops(self, outcome: Outcome) -> float | None:
        if self.row_flops is None:
            return None
        once = 0.0 if self.frozen is None else self.frozen.flops
        return self.row_flops * self.recipe.batch * outcome.steps + once

    def modes(self, step: int) -> None:
        """Dropout where something is trained at this step; statistics are learned from scratch alone."""
        waiting = waiting_blocks(self.settings, self.recipe, self.choice, step)
        frozen = frozen_parts(self.backbone, self.choice, waiting=waiting)
        self.network.set_training(frozen, statistics=self.scratch)

    @contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        """While a network is trained whose batch normalisation stands still, it is part of convolutions."""
        with ExitStack() as stack:
            if not self.scratch:
                try:
                    one = self.inputs.batch(self.fit.roles.train[:1])
                    stack.enter_context(folded(self.network, one, without=self._frozen_names()))
                except SHORT as error:
                    if is_short(error):
                        halved(1, error, self.fit.device, "train on")
                    raise
            yield

    def _frozen_names(self) -> list[str]:
        """What is computed once keeps to its own operations: others may share what is kept of it."""
        return [] if self.frozen is None else frozen_parts(self.backbone, self.choice)

    def _order(self) -> Order:
        """Where something is frozen there are few views of a picture, whether it is computed once or not."""
        seed, rows = seed_for(self.fit.seed, "order"), len(self.fit.roles.train)
        few = _FROZEN_VIEWS if self.choice.first > 0 else None
        views = (self.settings.views or few) if self.inputs.augmented else 0
        return Order(rows=rows, batch=self.recipe.batch, seed=seed, views=views)

    def _loss(self) -> float:
        """The training loss; from scratch with the statistics of batches, by which it learns."""
        batch = self.recipe.batch if self.scratch else None
        fit = self.fit
        return training_loss(self.network, self.inputs, fit.roles.train, fit.targets, batch=batch)

    def _precision(self) -> torch.dtype | None:
        name = self.settings.precision
        if name == "auto":
            able = self.fit.device.startswith("cuda") and torch.cuda.is_bf16_supported()
            name = "bf16" if able else "float32"
        return None if name == "float32" else PRECISIONS[name]

    def _start(self) -> dict[str, torch.Tensor]:
        return {name: one.detach().clone() for name, one in self.network.named_parameters()}

    def _average(self, start: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name in start:
                    parameter.lerp_(start[name], 1.0 - self.settings.mix)

    def _name(self) -> str:
        """A folder for each training of a fit."""
        return f"rate-{self.recipe.rate:g}"

    def _identity(self) -> str:
        """Of all that determines the training beside what names the folder."""
        facts = [self.settings.told(), self.fit.seed, self.fit.roles.train.tolist(), self.fit.known.tolist()]
        facts += [self.surgical, self.backbone.fingerprint, torch.get_num_threads(), self.fit.device]
        facts += [self.inputs.augmentation.describe() if self.inputs.augmented else None]
        digest = hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=16)
        for name, tensor in self.network.head.state_dict().items():  # a probe depends on the inner folds
            digest.update(
                name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
        digest.update(self.fit.view.keys(self.fit.roles.train).tobytes())
        digest.update(self.fit.targets.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _facts(self, outcome: Outcome, trained: int) -> dict[str, Any]:
        kept = [] if self.frozen is None else self.frozen.notes
        notes = [*self.notes, *kept, *outcome.notes]
        if self.recipe.cut:
            notes.append(f"cut to {self.recipe.steps} steps for want of time")
        found: dict[str, Any] = {
            "steps": outcome.steps,
            "rate": self.recipe.rate,
            "head_rate": self.recipe.head_rate,
            "batch": self.recipe.batch,
            "micro": outcome.micro,
            "parameters": trained,
            "device": self.fit.device,
            "pretrained": not self.scratch,
            "curve": thinned(outcome.losses),
            "augmentation": dict(self.inputs.augmentation.describe()) if self.inputs.augmented else None,
            "stages": self.fit.stages,
            "notes": notes,
        }
        if self.frozen is not None:
            found["reused"] = self.frozen.reused
        if self.surgical is not None:
            found["block_number"] = self.surgical
            found["block"] = ", ".join(self.backbone.blocks[self.surgical])
        if self.settings.start == "probe":
            found["probe"] = {"C": self.fit.probe.C, "temperature": self.fit.probe.temperature}
        return found
