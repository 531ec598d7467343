"""Features: datasets through backbones, each content embedded once, ever.

In: a :class:`~tlengine.data.Dataset` and a backbone (by name, or a module of your own). Out:
:class:`~tlengine.types.Features`, and rows in the embedding cache. Importing this room loads no torch;
using a backbone does.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlengine.features.images import ImagePreprocess, decode_image
from tlengine.features.raw import RAW_DIM, RawPreprocess, load_raw
from tlengine.features.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tlengine.features.backbone import Backbone, default_backbone, load_backbone
    from tlengine.features.cache import EmbeddingCache, opened, sample_key
    from tlengine.features.checking import with_check_rows
    from tlengine.features.extraction import extract
    from tlengine.features.forward import available_devices

__all__ = [
    "RAW_DIM",
    "Backbone",
    "EmbeddingCache",
    "ImagePreprocess",
    "RawPreprocess",
    "Tokenizer",
    "available_devices",
    "decode_image",
    "default_backbone",
    "extract",
    "load_backbone",
    "load_raw",
    "opened",
    "sample_key",
    "with_check_rows",
]

# OpenMP threads that spin while they wait for each other make a busy machine slow: two threads on two cores
# that others use as well took ten times as long. torch reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "Backbone": "backbone",
    "EmbeddingCache": "cache",
    "available_devices": "forward",
    "default_backbone": "backbone",
    "extract": "extraction",
    "load_backbone": "backbone",
    "opened": "cache",
    "sample_key": "cache",
    "with_check_rows": "checking",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
