"""One fit from start to end: the network, its head, what is trained, the training, and what it tells."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from tlengine.errors import InputError, SingleClassError
from tlengine.features import Backbone
from tlengine.features.forward import PRECISIONS, choose_device
from tlengine.finetuning.augment import Augmentation
from tlengine.finetuning.checkpoints import Checkpoints
from tlengine.finetuning.determinism import deterministic, seed_generators
from tlengine.finetuning.flips import flips_are_safe
from tlengine.finetuning.folding import folded
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
from tlengine.finetuning.starting_probe import StartingProbe, starting_probe
from tlengine.plugins import registry
from tlengine.plugins.contracts import Codes, Roles, Rows, View

__all__ = ["Fit", "Trained"]

_STILL_FALLS, _DONE = 0.02, 0.01
"""A training is not over while its loss falls by more than this share in its last tenth, unless it is below
this share of that of guessing."""
_CACHED_VIEWS = 4


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


@dataclass(kw_only=True, eq=False)
class Fit:
    """One fit of one strategy; trains once, or several times where a rate is chosen.

    Attributes:
        view, roles, seed: of the task.
        folder: for checkpoints and metrics; None keeps nothing.
        stages: seconds by stage.
    """

    view: View
    roles: Roles
    seed: int
    folder: Path | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @cached_property
    def device(self) -> str:
        """The one that ``view.device`` comes to."""
        return choose_device(self.view.device)

    @cached_property
    def known(self) -> Codes:
        """(k,) the classes of the training rows."""
        return np.unique(self.view.codes(self.roles.train))

    @cached_property
    def targets(self) -> torch.Tensor:
        """(n,) classes of the training rows, without gaps."""
        codes = np.searchsorted(self.known, self.view.codes(self.roles.train))
        return torch.from_numpy(codes.astype(np.int64)).to(self.device)

    @cached_property
    def probe(self) -> StartingProbe:
        """The linear probe on the frozen features."""
        with self.stage("probe"):
            return starting_probe(self.view, self.roles, self.known)

    @cached_property
    def flip(self) -> bool:
        """Whether pictures may be mirrored, by the pretrained backbone."""
        probe = self.probe
        with self.stage("augmentation"):
            backbone = self.view.backbone(self.device)
            inputs = Inputs(self.view, backbone, None, self.device)
            return flips_are_safe(self.view, self.roles, backbone, inputs, probe, self.known)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Books the seconds of the body, without those that a stage inside it books."""
        start, before = time.perf_counter(), sum(self.stages.values())
        try:
            yield
        finally:
            inside = sum(self.stages.values()) - before
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - start - inside

    def add(self, stages: Mapping[str, float]) -> None:
        """Book what a fit inside this one took."""
        for name, seconds in stages.items():
            self.stages[name] = self.stages.get(name, 0.0) + seconds

    def recipe(self, settings: TrainSettings) -> Recipe:
        """The numbers that settings come to."""
        backbone = self.view.backbone(self.device)
        return recipe_for(settings, family_of(backbone.module, backbone.modality), len(self.roles.train))

    def train(self, settings: TrainSettings) -> Trained:
        """Train with these settings.

        Raises:
            InputError: the backbone cannot do it, or (``SingleClassError``) the rows are of one class.
            ResourceError: no memory for a single row.
            BackboneError, PluginError: a network or a preprocessing that fails.
        """
        if len(self.known) < 2:
            raise SingleClassError(
                f"all {len(self.roles.train)} training rows are of one class",
                hint="a network is trained to tell classes apart: give rows of two at least",
            )
        with deterministic(), self.stage("load"):
            found = _Session(self, settings)
        with deterministic():
            return found.run()


class _Session:
    """One training of a fit."""

    def __init__(self, fit: Fit, settings: TrainSettings) -> None:
        self.fit, self.settings = fit, settings
        self.scratch = settings.weights == "random"
        view, device = fit.view, fit.device
        self.backbone = (
            view.backbone(device, weights="random", seed=fit.seed) if self.scratch else view.backbone(device)
        )
        refuse_unable(settings, self.backbone)
        if settings.train == "adapters":
            from tlengine.finetuning.adapters import add_adapters

            add_adapters(self.backbone, settings, seed_for(fit.seed, "adapters"))
        self.recipe = recipe_for(
            settings, family_of(self.backbone.module, self.backbone.modality), len(fit.roles.train)
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

    def run(self) -> Trained:
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
        fell = before is not None and before - loss > _STILL_FALLS * before
        under = fell and loss > _DONE * float(np.log(max(2, len(fit.known))))
        self.network.eval().requires_grad_(False)
        facts = {**self._facts(outcome, trained), "loss": loss, "under_trained": under}
        return Trained(
            network=self.network, backbone=self.backbone, inputs=self.inputs, rows=fit.roles.train,
            settings=self.settings, known=fit.known, recipe=recipe, choice=self.choice, outcome=outcome,
            loss=loss, facts=facts,
        )  # fmt: skip

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
        fit, recipe, settings = self.fit, self.recipe, self.settings
        network, rows = self.network, fit.roles.train
        groups = groups_of(network, self.choice, settings, recipe)
        folder = None if fit.folder is None else fit.folder / self._name()
        checkpoints = Checkpoints(folder, self._identity(), settings.checkpoint_seconds)
        with step_bar(recipe.steps, fit.view.name) as told:
            training = Training(
                network=network,
                groups=groups,
                batch=lambda places, numbers: self.inputs.batch(rows[places], numbers),
                targets=fit.targets,
                recipe=recipe,
                order=self._order(),
                seed=fit.seed,
                modes=self._modes,
                checkpoints=checkpoints,
                metrics=Metrics(folder),
                precision=self._precision(),
                told=told,
                least=2 if self.learns_statistics else 1,
                look=(max(1, round(0.9 * recipe.steps)), self._loss) if self.scratch else None,
            )
            with self._frozen_statistics():
                outcome = training.run()
        checkpoints.forget()
        return outcome, training.seen

    def _modes(self, step: int) -> None:
        """Dropout where something is trained at this step; statistics are learned from scratch alone."""
        waiting = waiting_blocks(self.settings, self.recipe, self.choice, step)
        frozen = frozen_parts(self.backbone, self.choice, waiting=waiting)
        self.network.set_training(frozen, statistics=self.scratch)

    @contextmanager
    def _frozen_statistics(self) -> Iterator[None]:
        with ExitStack() as stack:
            if not self.scratch:
                try:
                    stack.enter_context(folded(self.network, self.inputs.batch(self.fit.roles.train[:1])))
                except SHORT as error:
                    if is_short(error):
                        halved(1, error, self.fit.device, "train on")
                    raise
            yield

    def _order(self) -> Order:
        seed, rows = seed_for(self.fit.seed, "order"), len(self.fit.roles.train)
        views = self.settings.views if self.inputs.augmented else 0
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
        notes = list(outcome.notes)
        if self.recipe.cut:
            notes.append(f"cut to {self.recipe.steps} steps for want of time")
        found: dict[str, Any] = {
            "steps": outcome.steps,
            "rate": self.recipe.rate,
            "batch": self.recipe.batch,
            "micro": outcome.micro,
            "parameters": trained,
            "pretrained": not self.scratch,
            "device": self.fit.device,
            "curve": thinned(outcome.losses),
            "augmentation": dict(self.inputs.augmentation.describe()) if self.inputs.augmented else None,
            "stages": self.fit.stages,
            "notes": notes,
        }
        if self.surgical is not None:
            found["block"] = self.surgical
            found["block_parts"] = list(self.backbone.blocks[self.surgical])
        if self.settings.start == "probe":
            found["probe"] = {"C": self.fit.probe.C, "temperature": self.fit.probe.temperature}
        return found
