"""A fine-tuned network as something to keep: saved with what was trained, applied to new data, exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tlengine.data import Dataset, load_dataset
from tlengine.errors import BackboneError, HeadFormatError
from tlengine.features import Backbone, extract
from tlengine.features.checking import largest_difference, other_backbone
from tlengine.finetuning.network import Network
from tlengine.finetuning.network_file import read_network, write_network
from tlengine.finetuning.restoring import (
    add_kept_adapters,
    fill,
    is_retold,
    network_of,
    origin_of,
    parts_of,
    pretrained,
)
from tlengine.probes.container import decode_labels, encode_labels
from tlengine.statistics import named, probabilities
from tlengine.types import CheckRows, Features

if TYPE_CHECKING:
    from tlengine.finetuning.fitting import Trained
    from tlengine.plugins.contracts import View

__all__ = ["NetworkModel"]

_EQUAL = 1e-4
"""How far logits of equal weights may be apart, relative to the largest of a row."""
_CHECKED, _CHECK_BYTES = 3, 8 << 20
_LABELS, _CHECK = "labels", "check."


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkModel:
    """A backbone that was fine-tuned, its head, and how its logits become probabilities.

    Attributes:
        network: backbone and head in evaluation mode, on the CPU.
        backbone: the preprocessing, and the module of ``network``.
        classes: (K,) the labels as the user wrote them, in the order of the logits.
        origin: ``name fingerprint weights preprocess structure image_size`` of the pretrained backbone.
        trained: names in the backbone's state dict whose values are not those of the pretrained backbone; the
            rest is not saved.
        head: ``name dim classes settings``, from which the head is built, and ``tokens``, the submodule whose
            output it reads, "" for a head that reads rows.
        adapters: ``rank alpha dropout`` of low-rank adapters; None without.
        calibration: ``{"kind": "logits", "value": temperature}``.
        metadata: plain JSON.
        check_rows: three samples as the network gets them, with their logits.

    >>> import tempfile, tlengine as tl
    >>> texts = ["good film", "bad film", "good book", "bad book"] * 3
    >>> data = tl.load_dataset((texts, ["yes", "no"] * 6))
    >>> model = tl.finetune(data, "raw", settings={"steps": 2}, progress=False).model
    >>> again = tl.from_pretrained(model.save_pretrained(tempfile.mkdtemp()))
    >>> bool((abs(again.logits(data) - model.logits(data)) < 1e-6).all()), again.classes.tolist()
    (True, ['no', 'yes'])
    """

    network: Network
    backbone: Backbone
    classes: npt.NDArray[Any]
    origin: Mapping[str, Any]
    trained: tuple[str, ...]
    head: Mapping[str, Any]
    adapters: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] = field(default_factory=lambda: {"kind": "logits", "value": 1.0})
    metadata: Mapping[str, Any] = field(default_factory=dict)
    check_rows: CheckRows | None = None
    reads: ClassVar[Literal["contents"]] = "contents"

    @classmethod
    def of(cls, trained: Trained, view: View, classes: npt.NDArray[Any]) -> NetworkModel:
        """The model of a training; its network is the training's own, moved to the CPU.

        Args:
            trained: the training.
            view: that it was made on; gives the pretrained backbone again.
            classes: (k,) the label behind each logit.
        """
        pristine = view.backbone("cpu")
        network = trained.network.to("cpu").eval().requires_grad_(False)
        before = pristine.module.state_dict()
        changed = tuple(
            name
            for name, now in network.backbone.state_dict().items()
            if not _is_as(now, before.get(name.replace(".base_layer.", ".")))
        )
        settings = trained.settings
        low_rank = {
            "rank": settings.lora_rank,
            "alpha": settings.lora_alpha,
            "dropout": settings.lora_dropout,
        }
        found = cls(
            network=network,
            backbone=trained.backbone,
            classes=classes,
            origin=origin_of(pristine),
            trained=changed,
            head={
                "name": trained.head.name,
                "dim": trained.head.dim,
                "classes": trained.head.classes,
                "settings": dict(trained.head.settings),
                "tokens": trained.backbone.tokens if network.tokens is not None else "",
            },
            adapters=low_rank if settings.train == "adapters" else None,
        )
        return replace(found, check_rows=_check_rows(found, trained))

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """``classes``, by the name that scikit-learn has for it."""
        return self.classes

    @property
    def fingerprint(self) -> str:
        """Of the pretrained backbone."""
        return str(self.origin["fingerprint"])

    def described(self, calibration: Mapping[str, Any], metadata: Mapping[str, Any]) -> NetworkModel:
        """The same model with another calibration and other metadata."""
        return replace(self, calibration=dict(calibration), metadata=dict(metadata))

    def logits(self, data: Any, **extraction: Any) -> npt.NDArray[np.float64]:
        """(n, K) of samples, before calibration; arguments and errors as :meth:`predict_proba`."""
        return self.scores(data, strict=True, **extraction).X.astype(np.float64)

    def predict_proba(self, data: Any, **extraction: Any) -> npt.NDArray[np.float64]:
        """(n, K) calibrated probabilities of samples.

        Args:
            data: a data set, or what :func:`tlengine.load_dataset` takes; labels are not read.
            **extraction: ``device batch_size workers precision max_pixels progress`` of
                :func:`tlengine.extract`.

        Raises:
            DecodeError: a sample cannot be read.
            InputError: data of another modality.
        """
        return self._probabilities(self.scores(data, strict=True, **extraction))

    def predict(self, data: Any, *, top_k: int = 3, **extraction: Any) -> list[dict[str, Any]]:
        """The most probable labels of every sample that can be read.

        Args:
            data: as for :meth:`predict_proba`, or what :meth:`scores` returned.
            top_k: how many labels to name, clamped to the number of classes.
            **extraction: as for :meth:`predict_proba`.

        Returns:
            Records ``{"id", "label", "probability", "top": [{"label", "probability"}, ...]}``.

        Raises:
            InputError: ``top_k`` below 1, data of another modality.
            BackboneError: features that are no scores of this model.
        """
        scored = data if isinstance(data, Features) else self.scores(data, **extraction)
        return named(scored.ids, self.classes, self._probabilities(scored), top_k)

    def scores(self, data: Any, **extraction: Any) -> Features:
        """The logits of the samples that can be read as ``X``, with ``ids``, ``failures`` and ``stats``."""
        dataset = data if isinstance(data, Dataset) else load_dataset(data, labels="ignore")
        options = {"cache": False, "progress": False, **extraction}
        return extract(dataset, self._scorer(), **options)

    def save_pretrained(
        self, directory: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write ``config.json`` and ``model.safetensors`` into ``directory``, which is made if missing.

        Kept are the weights that are not those of the pretrained backbone (all of them after full
        fine-tuning, a block, biases, or adapters), the head, and the fingerprint of the backbone, which
        :func:`tlengine.from_pretrained` loads by its name. An existing model is replaced in one step.

        Args:
            directory: where to.
            metadata: anything that JSON can hold, in place of the model's own.

        Raises:
            InputError: metadata or class labels that JSON cannot hold.
            OSError: the disk is full.
        """
        state = self.network.backbone.state_dict()
        tensors = {f"backbone.{name}": state[name] for name in self.trained}
        tensors |= {f"head.{name}": one for name, one in self.network.head.state_dict().items()}
        tensors[_LABELS] = torch.from_numpy(encode_labels(self.classes).copy())
        if self.check_rows is not None:
            for place, row in enumerate(self.check_rows.inputs):
                tensors[f"{_CHECK}{place}"] = torch.from_numpy(np.array(row))
            tensors[f"{_CHECK}logits"] = torch.from_numpy(np.array(self.check_rows.X))
        facts = {
            "backbone": dict(self.origin),
            "head": dict(self.head),
            "adapters": None if self.adapters is None else dict(self.adapters),
            "calibration": dict(self.calibration),
            "metadata": dict(self.metadata if metadata is None else metadata),
            "trained": {"tensors": len(self.trained), "of": len(state)},
        }
        return write_network(directory, facts, tensors)

    save = save_pretrained

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], *, backbone: Backbone | None = None
    ) -> NetworkModel:
        """The model that :meth:`save_pretrained` wrote; nothing in it is executed.

        Args:
            path: the folder, or the ``model.safetensors`` in it.
            backbone: the pretrained one, for a module of your own; None loads it by its name.

        Raises:
            FileNotFoundError: nothing is there.
            UnsafeArtifactError: a pickle or an archive; it is not opened further.
            HeadFormatError: anything else that is not a whole, undamaged network, or does not fit together.
            BackboneError: the backbone is another one than the model was trained from.
            UnknownNameError, MissingPackageError: no plugin here brings the backbone or the head; peft is
                not installed.
        """
        model, facts, tensors = read_network(path)
        origin, head = facts["backbone"], facts["head"]
        labels = tensors.pop(_LABELS, None)
        classes = decode_labels(None if labels is None else labels.numpy(), model)
        found = pretrained(origin, backbone)
        now = found.fingerprints()
        retold = is_retold(origin, now, found.name)
        if facts.get("adapters") is not None:
            add_kept_adapters(found, facts["adapters"], model)
        checked = {name: one for name, one in tensors.items() if name.startswith(_CHECK)}
        own = {name: one for name, one in tensors.items() if name.startswith("backbone.")}
        rest = {name: one for name, one in tensors.items() if name not in checked and name not in own}
        network = network_of(found, head, classes, model)
        fill(network.backbone, own, "backbone.", model, whole=False)
        fill(network.head, rest, "head.", model, whole=True)
        loaded = cls(
            network=network.eval().requires_grad_(False), backbone=found, classes=classes,
            origin={**origin, **parts_of(now)},
            trained=tuple(name.removeprefix("backbone.") for name in own), head=head,
            adapters=facts.get("adapters"), calibration=_calibration(facts["calibration"], model),
            metadata=facts["metadata"], check_rows=_kept_rows(checked),
        )  # fmt: skip
        if retold:
            loaded._verify(origin, now.digest)
        return loaded

    def export_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write the network as ONNX; see :func:`tlengine.finetuning.onnx.export_onnx`."""
        from tlengine.finetuning.onnx import export_onnx

        return export_onnx(self, path)

    def _probabilities(self, scored: Features) -> npt.NDArray[np.float64]:
        if scored.X.shape[1] != len(self.classes):
            raise BackboneError(
                f"the features have {scored.X.shape[1]} columns, the model has {len(self.classes)} classes",
                hint="a fine-tuned network takes samples, no features: predict(dataset)",
            )
        scores = np.asarray(scored.X, dtype=np.float64)
        return probabilities("logits", scores, float(self.calibration["value"]))

    def _scorer(self) -> Backbone:
        """The whole network in the place of the backbone: extraction then gives its logits."""
        return self.backbone.through(_Scorer(self.network), len(self.classes))

    def _verify(self, origin: Mapping[str, Any], found: str) -> None:
        """The kept samples have their logits, although the text of the structure is another one.

        Raises:
            BackboneError: they have others, or none was kept.
        """
        apart = np.inf
        if self.check_rows is not None:
            apart = largest_difference(self.check_rows, self._scorer(), precision="float32")
        if not apart <= _EQUAL:
            why = f"its structure changed, and the logits of kept samples differ by {apart:.1e}"
            raise other_backbone(found, self.backbone.name, str(origin["fingerprint"]), why)


class _Scorer(nn.Module):
    """A network as :class:`~tlengine.features.forward.Forward` calls it: with a tensor, or keywords."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> Any:
        return self.network(named or inputs[0])


def _is_as(now: torch.Tensor, before: torch.Tensor | None) -> bool:
    return before is not None and now.dtype == before.dtype and torch.equal(now.cpu(), before.cpu())


def _check_rows(model: NetworkModel, trained: Trained) -> CheckRows | None:
    """Some of the training rows as the network gets them, with their logits, as far as they fit."""
    from tlengine.features.forward import Forward

    rows = trained.rows[np.unique(np.linspace(0, len(trained.rows) - 1, _CHECKED).astype(int))]
    samples = [np.ascontiguousarray(trained.inputs.sample(int(row))) for row in rows]
    if sum(sample.nbytes for sample in samples) > _CHECK_BYTES:
        return None
    with Forward(model._scorer(), "cpu", "float32") as forward:
        logits = np.concatenate([forward([sample]) for sample in samples])
    return CheckRows(inputs=tuple(samples), X=logits)


def _kept_rows(tensors: dict[str, torch.Tensor]) -> CheckRows | None:
    logits = tensors.pop(f"{_CHECK}logits", None)
    if logits is None:
        return None
    inputs = tuple(tensors[name].numpy() for name in sorted(tensors))
    return CheckRows(inputs=inputs, X=logits.numpy())


def _calibration(found: Mapping[str, Any], model: Path) -> Mapping[str, Any]:
    value = found.get("value")
    if found.get("kind") != "logits" or not isinstance(value, int | float) or not value > 0:
        raise HeadFormatError(f"{model}: a calibration that is none: {found!r:.80}")
    return found
