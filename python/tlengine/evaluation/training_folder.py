"""The folder of one network that is trained: whose it is, what is found in it, and what is left there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlengine.documents import lock_file, replace_text
from tlengine.errors import InputError, TlengineError
from tlengine.evaluation.arguments import check_out
from tlengine.evaluation.card import card_of_training
from tlengine.evaluation.model import from_pretrained

if TYPE_CHECKING:
    from tlengine.features import Backbone
    from tlengine.finetuning import NetworkModel

__all__ = ["found_in", "held_folder", "keep"]

_DOCUMENT, _METRICS = "finetune.json", "metrics.jsonl"


@contextmanager
def held_folder(out: Any) -> Iterator[Path | None]:
    """The folder, this process's alone; None where nothing is kept.

    Raises:
        InputError: no path, a file, or a folder that another run writes to.
    """
    check_out(out)
    if out is None:
        yield None
        return
    folder = Path(out).absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a directory", hint="choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        lock_file(file, str(folder), "--out")
        yield folder


def found_in(folder: Path, key: str, backbone: Any) -> tuple[Mapping[str, Any], NetworkModel] | None:
    """The document and the model that an earlier call finished; None where there is nothing whole.

    Args:
        folder: of both.
        key: of the training.
        backbone: of the model, for one that is no registered one; else its name.
    """
    try:
        document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
        if document["key"] != key:
            return None
        own: Backbone | None = None if isinstance(backbone, str) else backbone
        return document, from_pretrained(folder / "model", backbone=own)
    except (OSError, ValueError, KeyError, TypeError, TlengineError):
        return None


def keep(document: Mapping[str, Any], model: NetworkModel, folder: Path, checkpoints: Path | None) -> None:
    """The model, its card and the document, the document last: where it is, all of it is.

    Args:
        document: of the training.
        model: the network.
        folder: for both.
        checkpoints: the folder of this training's, which end here; its metrics stay.
    """
    (folder / _DOCUMENT).unlink(missing_ok=True)
    model.save(folder / "model")
    replace_text(folder / "model" / "README.md", card_of_training(document))
    if checkpoints is not None and (metrics := _metrics_of(checkpoints, document["chosen"].get("rate"))):
        replace_text(folder / _METRICS, metrics.read_text(encoding="utf-8"))
    replace_text(folder / _DOCUMENT, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if checkpoints is not None:
        shutil.rmtree(checkpoints.parent, ignore_errors=True)


def _metrics_of(checkpoints: Path, rate: Any) -> Path | None:
    """Those of the training at ``rate``, or the only ones."""
    found = {path.parent.name: path for path in sorted(checkpoints.glob(f"*/{_METRICS}"))}
    if isinstance(rate, float) and f"rate-{rate:g}" in found:
        return found[f"rate-{rate:g}"]
    return next(iter(found.values())) if len(found) == 1 else None
