"""Fine-tuning as a strategy: a preset with settings, fitted like any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import inner_folds
from tlengine.data.plans import INNER_FOLDS
from tlengine.errors import InputError
from tlengine.finetuning.presets import PRESETS
from tlengine.plugins.contracts import Fitted, Job, Kind, Roles, Rows, Scores, View
from tlengine.statistics import calibrate, log_loss, probabilities

if TYPE_CHECKING:
    from tlengine.features import Backbone
    from tlengine.finetuning.fitting import Fit, Trained
    from tlengine.finetuning.model import NetworkModel
    from tlengine.finetuning.settings import TrainSettings

__all__ = ["FineTuned", "FineTuning"]

VERSION = 2
"""Of the recipe: raised whenever equal settings would train otherwise."""
TUNED = (1.0, 1 / 3, 3.0)
TUNING_FOLDS = 3


class FineTuning:
    """A way to fine-tune, by the name of a preset.

    Args:
        preset: one of ``PRESETS``.
        settings: any of :class:`TrainSettings`, in place of what the preset has.

    Raises:
        InputError: no such preset or setting, or a value that is not allowed.

    >>> FineTuning("lp-ft", rate=1e-5).settings()["rate"]
    1e-05
    """

    reads: Literal["features", "contents"] = "contents"
    seeded = True

    def __init__(self, preset: str, **settings: Any) -> None:
        if preset not in PRESETS:
            raise InputError(f"no preset {preset!r}", hint=f"there are {', '.join(PRESETS)}")
        self.preset = PRESETS[preset]
        self.name = preset
        self.train_settings = self.preset.settings.with_settings(settings)
        self._rates = () if "rate" in settings else self.preset.rates
        self.inner_tasks = 0 if self.preset.role == "control" else 3

    def settings(self) -> Mapping[str, Any]:
        """All numbers, the version of the recipe, and whose the head is."""
        told = self.train_settings.told()
        return {"version": VERSION, "rates": list(self._rates), "head_plugin": _plugin(told["head"]), **told}

    def check(self, view: View) -> None:
        """Whether the backbone can do it, before anything is trained.

        Raises:
            InputError: it does not tell its blocks, or no layers for adapters; a head that cannot start as it
                is asked to, or a setting of it outside its limits.
            UnknownNameError: an unknown head.
            UnknownOptionError: a setting that the head does not have.
            BackboneError, PluginError: a head that reads tokens, of a backbone that names none.
            MissingPackageError: adapters without peft.
        """
        from tlengine.finetuning.grouping import refuse_unable

        backbone = view.backbone("cpu")
        refuse_unable(self.train_settings, backbone)
        _refuse_head(self.train_settings, backbone, view.classes)
        if self.train_settings.train == "adapters":
            from tlengine.finetuning.adapters import require_peft

            require_peft()

    def estimate(self, view: View, roles: Roles) -> float:
        """Seconds of a fit, by a step that is timed."""
        from tlengine.finetuning.fitting import Fit

        seconds = Fit(view=view, roles=roles, seed=0).seconds(self.train_settings)
        if self._rates:
            return seconds * len(self._rates)
        folds = len(TUNED) * TUNING_FOLDS  # of fewer rows, but the steps have a least number
        return seconds * (1.0 + folds) if self.train_settings.tune else seconds

    def scaled(self, fraction: float) -> FineTuning:
        """The same with a fraction of the steps, marked as cut."""
        other = FineTuning(self.name)
        other.train_settings = replace(self.train_settings, fraction=fraction)
        other._rates = self._rates
        return other

    def fit(self, view: View, roles: Roles, *, seed: int, folder: Path | None = None) -> Fitted:
        """See the contract; no row is held out: that is for tasks of their own.

        Where several trainings make up the fit, those that are done are kept in ``folder`` until all are: a
        fit that was cut off takes them up.
        """
        from tlengine.finetuning.fitting import Fit

        fit = Fit(view=view, roles=roles, seed=seed, folder=folder)
        if self._rates:
            trained, tried = self._by_training_loss(fit)
        elif self.train_settings.tune:
            trained, tried = self._tuned(fit)
        else:
            trained, tried = fit.train(self.train_settings), []
        fit.forget()
        return FineTuned(trained, fit, tried)

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        """One after the other."""
        for job in jobs:
            yield self.fit(job.view, job.roles, seed=job.seed, folder=job.folder)

    def _by_training_loss(self, fit: Fit) -> tuple[Trained, list[dict[str, float]]]:
        """The rate with the least training loss: no label beside those of the budget has a say."""
        best: Trained | None = None
        tried = []
        for rate in self._rates:
            found = fit.train(replace(self.train_settings, rate=rate), keep=True)
            tried.append({"rate": rate, "loss": found.loss})
            if found.outcome.finished and (best is None or found.loss < best.loss):
                best = found
        if best is None:
            raise InputError(
                f"no rate of {', '.join(map(str, self._rates))} trains to a finite loss",
                hint=f"set a smaller one: --set {self.name}.rate=1e-4",
            )
        return best, tried

    def _tuned(self, fit: Fit) -> tuple[Trained, list[dict[str, float]]]:
        """The rate with the least log-loss over folds of the budget.

        A fold is fitted as a task of its own would be: its probe, and with it the start of a head, whether
        pictures are mirrored and the rate of a new head, are those of its own rows. A start that had seen the
        rows held out would choose the rate by what it remembers. The rate that is chosen is then used with
        the probe of all labels.
        """
        view, rows = fit.view, fit.roles.train
        folds = [fit.fold(number, roles) for number, roles in enumerate(_folds(view, rows))]
        if not folds:
            raise InputError(
                "tune needs at least two labels of each class",
                hint=f"set a rate: --set {self.name}.rate=1e-4",
            )
        codes = np.concatenate([view.codes(fold.roles.test) for fold in folds])
        rate = fit.recipe(self.train_settings).rate
        tried = []
        for factor in TUNED:
            settings = replace(self.train_settings, rate=rate * factor)
            scores = [
                FineTuned(fold.train(settings, keep=True), fold, []).scores(view, fold.roles.test)
                for fold in folds
            ]
            tried.append({"rate": rate * factor, "loss": _loss(np.concatenate(scores), codes, view.classes)})
        for fold in folds:
            fit.add(fold.stages, fold.flops)
        best = min(tried, key=lambda one: one["loss"])["rate"]
        return fit.train(replace(self.train_settings, rate=best)), tried


def _folds(view: View, rows: Rows) -> list[Roles]:
    """Parts of the rows to fit, the others tested, each with inner folds of its own."""
    return [
        Roles(train=part, test=held, inner=tuple(_pairs(view, part, INNER_FOLDS)))
        for part, held in _pairs(view, rows, TUNING_FOLDS)
    ]


def _pairs(view: View, rows: Rows, folds: int) -> list[tuple[Rows, Rows]]:
    pairs = inner_folds(view.codes(rows), view.units[rows], folds)
    return [(rows[fit], rows[held]) for fit, held in pairs]


def _refuse_head(settings: TrainSettings, backbone: Backbone, classes: int) -> None:
    import torch

    from tlengine.finetuning.heads.building import HeadConfig, refuse_settings
    from tlengine.plugins import registry

    spec = registry.resolve_head(settings.head)
    ways = {"a probe": spec.from_probe, "class means": spec.from_means, "random weights": spec.build}
    way = {"probe": "a probe", "means": "class means", "random": "random weights"}[settings.start]
    if ways[way] is None:
        raise InputError(f"head {spec.name!r} cannot start from {way}", hint="set another head")
    if spec.input == "tokens" and not backbone.tokens:
        raise backbone.fault(
            f"names no tokens, and head {spec.name!r} reads them",
            hint="give it tokens='name of a submodule', or use a head that reads rows, such as linear",
        )
    refuse_settings(spec, settings.head_settings)
    if spec.input == "row":  # how wide tokens are, a forward pass says
        dim = backbone.embedding_dim
        config = HeadConfig(name=spec.name, dim=dim, classes=classes, settings=settings.head_settings)
        with torch.random.fork_rng(devices=[]):
            config.build()


def _plugin(head: str) -> str | None:
    """Which plugin, of which version, brings a head; None where none does: the fit says more."""
    from tlengine.plugins import registry

    try:
        return registry.origin(head, "head")
    except KeyError:
        return None


def _loss(scores: Scores, codes: npt.NDArray[np.intp], classes: int) -> float:
    value = calibrate("logits", scores, codes, labels=len(codes), classes=classes)
    return log_loss(codes, probabilities("logits", scores, value))


class FineTuned:
    """A fine-tuned network as the contract wants it.

    Args:
        trained: the network.
        fit: what it was trained on.
        tried: rates with their losses, where one was chosen.
    """

    kind: Kind = "logits"
    held_out: Scores | None = None

    def __init__(self, trained: Trained, fit: Fit, tried: Sequence[Mapping[str, float]]) -> None:
        self.trained, self._test = trained, fit.roles.test
        self._moves = fit.view if trained.facts.get("pretrained", True) else None
        self.chosen: Mapping[str, Any] = {"rate": trained.recipe.rate, "steps": trained.outcome.steps}
        self.converged, self.flops = trained.outcome.finished, fit.flops
        self.nbytes: int | None = sum(
            tensor.numel() * tensor.element_size() for tensor in trained.network.state_dict().values()
        )
        self.facts: dict[str, Any] = {**trained.facts, **({"tried": list(tried)} if tried else {})}

    def scores(self, view: View, rows: Rows) -> Scores:
        """(m, K) logits; of the test rows it is also told how far their features moved."""
        from tlengine.finetuning.determinism import deterministic
        from tlengine.finetuning.judging import drift, rows_of

        found = np.full((len(rows), view.classes), -np.inf)
        if not len(rows):
            return found
        with deterministic(view.threads):
            logits, features = rows_of(self.trained.network, self.trained.inputs, rows)
        if self._moves is not None and np.array_equal(rows, self._test):
            self.facts["drift"] = drift(self._moves.features(rows), features)
        found[:, self.trained.known] = logits
        return found

    def estimator(self, view: View, rows: Rows, labels: npt.NDArray[Any]) -> NetworkModel:
        """The network as a model of contents; see the contract.

        Raises:
            InputError: other rows than it was trained on.
        """
        from tlengine.finetuning.model import NetworkModel

        if not np.array_equal(rows, self.trained.rows):
            raise InputError(
                f"{len(rows)} rows, the network was trained on {len(self.trained.rows)} others",
                hint="fit on the rows that the model is to learn",
            )
        first = np.searchsorted(np.sort(codes := view.codes(rows)), self.trained.known)
        classes = np.asarray(labels)[np.argsort(codes, kind="stable")[first]]
        return NetworkModel.of(self.trained, view, classes)
