"""A network as ONNX, for programs that have no torch; checked against torch before it is called done."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tlengine.documents import replace_file
from tlengine.errors import BackboneError, InputError, MissingPackageError
from tlengine.finetuning.heads import tokens_of
from tlengine.finetuning.network import Network
from tlengine.plugins.containment import reason

if TYPE_CHECKING:
    from tlengine.finetuning.model import NetworkModel

__all__ = ["export_onnx"]

_EQUAL = 1e-4
OPSET = 18
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(model: NetworkModel, path: str | os.PathLike[str]) -> Path:
    """Write the network as ONNX, and check it by onnxruntime against torch.

    Inputs are what the network takes: ``pixels`` (batch, channels, height, width) float32, resized, cropped
    and normalised as the metadata ``preprocess`` says; or ``input_ids`` and ``attention_mask``, (batch,
    tokens) int64, as the tokenizer of the backbone gives them. Batch and tokens may be of any length.

    Outputs are ``logits`` (batch, classes) and ``probabilities``, which are calibrated. The metadata
    ``classes`` lists the labels as JSON, ``backbone`` and ``fingerprint`` say what was fine-tuned. Adapters
    are merged into the weights beside which they lie.

    Args:
        model: what is exported; it has samples that it was trained on.
        path: the file, or where to make it.

    Returns:
        The path.

    Raises:
        MissingPackageError: onnx, onnxscript or onnxruntime is not installed.
        InputError: a network that cannot be exported, or a model without kept samples.
        BackboneError: onnxruntime gives other numbers than torch, by more than 1e-4; nothing is written.
    """
    _require_packages()
    whole, inputs = _Exported(model), _inputs(model)
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        _write(whole, inputs, model, draft)
        _require_open(draft, model)
        _label(draft, model)
        for rows in (2, 1, 3):
            _compare(whole, draft, _batch(inputs, rows), model)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = draft.read_bytes()
    replace_file(target, lambda file: file.write(data))
    return target


class _Exported(nn.Module):
    """The network with its temperature: logits and probabilities of named inputs."""

    def __init__(self, model: NetworkModel) -> None:
        super().__init__()
        self.network = _plain(model)
        self.temperature = float(model.calibration["value"])

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        whole = dict(zip(("input_ids", "attention_mask"), inputs, strict=True)) if len(inputs) > 1 else None
        logits = self.network(inputs[0] if whole is None else whole)
        return logits, torch.softmax(logits / self.temperature, dim=1)


def _plain(model: NetworkModel) -> Network:
    """A copy without adapters, in the usual layout of memory."""
    from tlengine.finetuning.adapters import merge_adapters

    backbone = model.backbone.copy()
    tokens = None if model.network.tokens is None else partial(tokens_of, backbone)
    found = Network(backbone.module, copy.deepcopy(model.network.head), tokens).eval()
    merge_adapters(found)
    return found.to(memory_format=torch.contiguous_format)


def _require_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"ONNX needs the package{'s' * (len(missing) > 1)} {', '.join(missing)}",
            hint="pip install 'tlengine[onnx]'",
        )


def _inputs(model: NetworkModel) -> dict[str, torch.Tensor]:
    """Two kept samples as a batch, by the names that the inputs get."""
    from tlengine.features.forward import batch_of

    if model.check_rows is None:
        raise InputError(
            "the model has no kept samples to check its export by",
            hint="they were larger than 8 MiB: use smaller pictures",
        )
    rows = model.check_rows.inputs
    batch = batch_of(model.backbone, [rows[0], rows[-1]], torch.device("cpu"))
    if not isinstance(batch, Mapping):
        return {"pixels" if batch.ndim == 4 else "inputs": batch}
    if set(batch) != {"input_ids", "attention_mask"}:
        raise InputError(
            f"backbone {model.backbone.name!r} takes {', '.join(batch)}",
            hint="what can be exported takes one tensor, or input_ids and attention_mask",
        )
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def _batch(inputs: Mapping[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """So many rows, the first ones again; where there are 3, of texts a token more, which the mask hides."""
    index = torch.arange(rows) % 2
    found = {name: one[index] for name, one in inputs.items()}
    if "input_ids" in found and rows == 3:
        found["input_ids"] = torch.nn.functional.pad(found["input_ids"], (0, 1), value=0)
        found["attention_mask"] = torch.nn.functional.pad(found["attention_mask"], (0, 1), value=0)
    return found


def _write(whole: _Exported, inputs: Mapping[str, torch.Tensor], model: NetworkModel, draft: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    tokens = torch.export.Dim("tokens", min=1, max=1 << 16)
    shape = {0: batch, 1: tokens} if "input_ids" in inputs else {0: batch}
    try:
        with _silent():
            program = torch.onnx.export(
                whole,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=["logits", "probabilities"],
                dynamic_shapes={"inputs": tuple(shape for _ in inputs)},
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            assert program is not None, "with dynamo a program comes back"
            program.save(str(draft), external_data=False)
    except Exception as error:
        raise InputError(
            f"backbone {model.backbone.name!r} ({model.backbone.origin}) cannot be exported: "
            f"{reason(error)[:300]}",
            hint="torch.export must be able to trace its forward: no Python that depends on values",
        ) from error


def _require_open(draft: Path, model: NetworkModel) -> None:
    """Refuse a graph for one number of rows, or of tokens, alone.

    Raises:
        InputError: the network's forward settled it.
    """
    import onnx

    for one in onnx.load(draft, load_external_data=False).graph.input:
        axes = one.type.tensor_type.shape.dim
        fixed = [axis.dim_value for axis in (axes[:1] if len(axes) > 2 else axes) if axis.dim_value]
        if one.name in ("input_ids", "attention_mask", "pixels") and fixed:
            raise InputError(
                f"backbone {model.backbone.name!r} ({model.backbone.origin}) as ONNX takes {one.name} of "
                f"{fixed[0]} rows or tokens alone",
                hint="its forward settles the number, such as by len(x): use x.shape[0]",
            )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The exporter tells its own story on stdout and in warnings; ours is the check afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _label(draft: Path, model: NetworkModel) -> None:
    import onnx

    proto = onnx.load(draft)
    told = {
        "classes": json.dumps([str(label) for label in model.classes]),
        "backbone": str(model.origin["name"]),
        "fingerprint": model.fingerprint,
        "temperature": repr(float(model.calibration["value"])),
        "preprocess": json.dumps(model.backbone.described_preprocess(), default=str),
    }
    for name, text in told.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, text
    proto.doc_string = "logits and calibrated probabilities of a network fine-tuned by tlengine"
    onnx.checker.check_model(proto)
    onnx.save(proto, draft)


def _compare(whole: _Exported, draft: Path, batch: Mapping[str, torch.Tensor], model: NetworkModel) -> None:
    with torch.no_grad():
        wanted = [one.numpy() for one in whole(*batch.values())]
    found = _run(draft, {name: one.numpy() for name, one in batch.items()})
    for name, one, other in zip(("logits", "probabilities"), wanted, found, strict=True):
        scale = max(1.0, float(np.abs(one).max()))
        apart = float(np.abs(one - other).max()) / scale if one.shape == other.shape else float("inf")
        if not apart <= _EQUAL:
            raise BackboneError(
                f"backbone {model.backbone.name!r} as ONNX gives {name} that differ by {apart:.1e}, limit "
                f"{_EQUAL:g}, on {len(one)} rows",
                hint="it was not written; tell the versions that tlengine doctor shows in a bug report",
            )


def _run(draft: Path, batch: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(draft), options, providers=["CPUExecutionProvider"])
    found: list[npt.NDArray[Any]] = session.run(["logits", "probabilities"], dict(batch))
    return found
