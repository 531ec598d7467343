"""One fit from start to end: what all of its trainings share."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from tlengine.errors import SingleClassError
from tlengine.features.forward import choose_device
from tlengine.finetuning.determinism import deterministic
from tlengine.finetuning.finished import forget_finished
from tlengine.finetuning.flips import flips_are_safe
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.network import family_of
from tlengine.finetuning.session import Session
from tlengine.finetuning.settings import Recipe, TrainSettings, recipe_for
from tlengine.finetuning.starting_probe import StartingProbe, starting_probe
from tlengine.finetuning.trained import Trained
from tlengine.plugins.contracts import Codes, Roles, View

__all__ = ["Fit", "Trained"]

_FOLD = "fold-"


@dataclass(kw_only=True, eq=False)
class Fit:
    """One fit of one strategy; trains once, or several times where a rate is chosen.

    Attributes:
        view, roles, seed: of the task.
        folder: for checkpoints and metrics; None keeps nothing.
        stages: seconds by stage.
        flops: of all trainings; None where none could be counted.
    """

    view: View
    roles: Roles
    seed: int
    folder: Path | None = None
    stages: dict[str, float] = field(default_factory=dict)
    flops: float | None = None

    def fold(self, number: int, roles: Roles) -> Fit:
        """A fit of fewer rows by which this one chooses: a fold, with a folder of its own in that of this."""
        folder = None if self.folder is None else self.folder / f"{_FOLD}{number}"
        return Fit(view=self.view, roles=roles, seed=self.seed, folder=folder)

    @cached_property
    def device(self) -> str:
        """The one that ``view.device`` comes to."""
        return choose_device(self.view.device)

    @cached_property
    def known(self) -> Codes:
        """(k,) the classes of the training rows."""
        return np.unique(self.view.codes(self.roles.train))

    @cached_property
    def spread(self) -> float:
        """The mean L1 distance of the frozen features of the training rows from their mean."""
        X = self.view.features(self.roles.train).astype(np.float64)
        return float(np.abs(X - X.mean(axis=0)).sum(axis=1).mean())

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

    def add(self, stages: Mapping[str, float], flops: float | None) -> None:
        """Book what a training, or a fit inside this one, took."""
        for name, seconds in stages.items():
            self.stages[name] = self.stages.get(name, 0.0) + seconds
        if flops is not None:
            self.flops = (self.flops or 0.0) + flops

    def recipe(self, settings: TrainSettings) -> Recipe:
        """The numbers that settings come to."""
        backbone = self.view.backbone(self.device)
        family = family_of(backbone.module, backbone.modality)
        return recipe_for(settings, family, len(self.roles.train), self.spread)

    def train(self, settings: TrainSettings, *, keep: bool = False) -> Trained:
        """Train with these settings.

        Args:
            settings: of the training.
            keep: whether what was trained stays in the folder until :meth:`forget`: a fit that was cut off
                takes it up then, and does not train it again.

        Raises:
            InputError: the backbone cannot do it, or (``SingleClassError``) the rows are of one class.
            ResourceError: no memory for a single row.
            BackboneError, PluginError: a network or a preprocessing that fails.
        """
        with deterministic(self.view.threads):
            found = self._session(settings).run(keep=keep)
        self.add({}, found.flops)
        return found

    def forget(self) -> None:
        """The fit is whole: what was kept of its trainings, and of its folds, goes."""
        if self.folder is not None:
            forget_finished(self.folder)
            for folder in self.folder.glob(f"{_FOLD}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def seconds(self, settings: TrainSettings) -> float:
        """How long a training with these settings will take: a step is made, and the next one timed.

        Raises:
            InputError, ResourceError, BackboneError, PluginError: as :meth:`train`.
        """
        quick = replace(settings, augment="crop") if settings.augment == "auto" else settings
        with deterministic(self.view.threads):
            return self._session(quick).seconds()

    def _session(self, settings: TrainSettings) -> Session:
        if len(self.known) < 2:
            raise SingleClassError(
                f"all {len(self.roles.train)} training rows are of one class",
                hint="a network is trained to tell classes apart: give rows of two at least",
            )
        with self.stage("load"):
            return Session(self, settings)
