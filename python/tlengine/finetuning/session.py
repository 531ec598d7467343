"""One training of a fit: put together, run or taken up, and timed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tlengine.errors import InputError
from tlengine.finetuning.checkpoints import Checkpoints
from tlengine.finetuning.finished import Finished, FinishedFile
from tlengine.finetuning.flops import count_flops
from tlengine.finetuning.folding import folded
from tlengine.finetuning.frozen import FrozenPart
from tlengine.finetuning.grouping import (
    choose_parameters,
    frozen_parts,
    groups_of,
    refuse_unable,
    waiting_blocks,
)
from tlengine.finetuning.heads import tokens_of
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.judging import parameters_of, settle_statistics, training_loss
from tlengine.finetuning.loop import Outcome, Training
from tlengine.finetuning.memory import SHORT, halved, is_short
from tlengine.finetuning.metrics import Metrics
from tlengine.finetuning.network import Network, family_of, is_batch_norm
from tlengine.finetuning.order import Order, seed_for
from tlengine.finetuning.parts import (
    augmentation_of,
    built_head,
    head_config,
    reads_tokens,
    surgical_block,
)
from tlengine.finetuning.precision import computing, precision_on
from tlengine.finetuning.progress import step_bar
from tlengine.finetuning.settings import TrainSettings, recipe_for
from tlengine.finetuning.trained import Trained, facts_of, is_under_trained, learned_nothing
from tlengine.plugins.contracts import Rows

if TYPE_CHECKING:
    from tlengine.finetuning.fitting import Fit

__all__ = ["Session"]

_FROZEN_VIEWS = 4
"""Of a picture, where blocks in front of the first that is trained are computed once."""
_COUNTED = 4
"""Rows by which operations are counted."""


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
        self.inputs = Inputs(view, self.backbone, augmentation_of(fit, settings, self.backbone), device)
        self.head = head_config(fit, settings, self.backbone, self.inputs)
        tokens = partial(tokens_of, self.backbone) if reads_tokens(settings) else None
        self.network = Network(self.backbone.module, built_head(fit, settings, self.head), tokens).to(device)
        if any(isinstance(part, nn.Conv2d) for part in self.network.modules()):
            self.network.to(memory_format=torch.channels_last)
        self.surgical = surgical_block(fit, settings, self.backbone, self.network, self.inputs)
        self.choice = choose_parameters(settings, self.backbone, surgical=self.surgical)
        self.groups = groups_of(self.network, self.choice, settings, self.recipe)
        self.precision = precision_on(settings.precision, device)
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

    def run(self, *, keep: bool = False) -> Trained:
        """Train, and tell how it went.

        Args:
            keep: whether what was trained is kept in the folder of the fit, and taken up where it is there
                already.
        """
        fit = self.fit
        folder = None if fit.folder is None else fit.folder / self._name()
        kept = FinishedFile(folder if keep else None, self.identity)
        finished = kept.take_up(self.network)
        if finished is None:
            finished = self._train(folder)
            kept.save(finished, self.network, (one for group in self.groups for one in group.parameters))
        Checkpoints(folder, self.identity, self.settings.checkpoint_seconds).forget()
        self.network.eval().requires_grad_(False)
        return Trained(
            network=self.network, backbone=self.backbone, head=self.head, inputs=self.inputs,
            rows=fit.roles.train, settings=self.settings, known=fit.known, recipe=self.recipe,
            choice=self.choice, outcome=finished.outcome, loss=finished.loss,
            facts={**finished.facts, "stages": fit.stages}, flops=finished.flops,
        )  # fmt: skip

    def _train(self, folder: Path | None) -> Finished:
        """All steps, and what is done to the weights and measured after them."""
        fit = self.fit
        start = self._start() if self.settings.average == "wise" else {}
        with fit.stage("train"), step_bar(self.recipe.steps, fit.view.name) as told:
            training = self.training(folder, told)
            self.row_flops = self._count()
            with self.frozen_statistics():
                outcome = training.run()
        with fit.stage("evaluate"):
            self._average(start)
            parameters = parameters_of(self.network)
            if self.scratch:
                settle_statistics(self.network, self.inputs, fit.roles.train, self.recipe.batch)
            last = outcome.losses[-5:]
            moved = self.scratch or self.settings.average != "none"  # since its last step
            loss = self._loss() if moved or not last else sum(last) / len(last)
        facts = {**facts_of(self, outcome, parameters), "loss": loss}
        if vain := learned_nothing(loss, len(fit.known)):
            facts["notes"] = [*facts["notes"], vain]
        if training.seen is not None:
            facts["under_trained"] = is_under_trained(training.seen, loss, len(fit.known))
        return Finished(outcome=outcome, loss=loss, facts=facts, flops=self._flops(outcome))

    def _tenth_from_last(self) -> int:
        """The step before the last tenth; with few of them the one before the last."""
        steps = self.recipe.steps
        return max(1, min(steps - 1, round(0.9 * steps)))

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
            checkpoints=Checkpoints(folder, self.identity, self.settings.checkpoint_seconds),
            metrics=Metrics(folder),
            precision=self.precision,
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
        possible = inside and not self.scratch and not reads_tokens(self.settings)
        if self.settings.prefix == "never" or not possible:
            return None
        view, order = self.fit.view, self._order()
        with self.fit.stage("frozen part"):
            found, note = FrozenPart.of(
                self.backbone, self.inputs, self.fit.roles.train, self.choice.first, views=order.views or 0,
                batch=order.batch, steps=self.recipe.steps, cache=view.cache, max_disk=view.max_disk,
                half=self.settings.prefix_dtype == "fp16", precision=self.precision,
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
            with computing(self.precision, self.fit.device):
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
        """While a network is trained whose batch normalisation stands still, it is part of convolutions.

        Blocks in front of the first that is trained keep to their own operations, whether they are computed
        once or in every step: they give the same either way, and others may share what is kept of them. So
        does the part whose output the head reads.
        """
        with ExitStack() as stack:
            if not self.scratch:
                try:
                    one = self.inputs.batch(self.fit.roles.train[:1])
                    before = [n for block in self.backbone.blocks[: self.choice.first] for n in block]
                    read = [self.backbone.tokens] if reads_tokens(self.settings) else []
                    stack.enter_context(folded(self.network, one, without=[*before, *read]))
                except SHORT as error:
                    if is_short(error):
                        halved(1, error, self.fit.device, "train on")
                    raise
            yield

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

    @cached_property
    def identity(self) -> str:
        """Of all that determines the training beside what names the folder; taken before the first step."""
        facts = [self.settings.told(), self.fit.seed, self.fit.roles.train.tolist(), self.fit.known.tolist()]
        facts += [self.surgical, self.backbone.fingerprint, torch.get_num_threads()]
        facts += [self.fit.device.partition(":")[0]]
        facts += [self.inputs.augmentation.describe() if self.inputs.augmented else None]
        digest = hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=16)
        for name, tensor in self.network.head.state_dict().items():  # a probe depends on the inner folds
            digest.update(
                name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
        digest.update(self.fit.view.keys(self.fit.roles.train).tobytes())
        digest.update(self.fit.targets.cpu().numpy().tobytes())
        return digest.hexdigest()
