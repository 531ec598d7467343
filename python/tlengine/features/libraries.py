"""Objects of libraries that say what they hold, told by their module: none is imported for that."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["settings_told", "told_by_library"]

_STATE = ("truncation", "padding")
"""What a tokenizer of transformers sets anew at every call."""

_PLACES = {"_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "processor_class"}
"""Where a configuration came from, and when: the same settings may lie elsewhere tomorrow."""

_SETTINGS = ("model_max_length", "padding_side", "truncation_side", "model_input_names", "special_tokens_map")


def told_by_library(what: Any) -> Any:
    """``what`` as JSON, arrays and nested objects included; None for an object that is not known here."""
    modules = {base.__module__.partition(".")[0] for base in type(what).__mro__}
    if "tokenizers" in modules and hasattr(what, "to_str"):
        return {"tokenizer": _sha(what.to_str())}
    if "transformers" in modules:
        return _of_transformers(what)
    if "torch" in modules and hasattr(what, "named_parameters") and hasattr(what, "extra_repr"):
        from tlengine.features.recipes import Fingerprint

        return {"module": Fingerprint.of(what, {}).digest}
    if "torch" in modules and hasattr(what, "detach") and hasattr(what, "numpy"):
        return what.detach().float().cpu().numpy()
    if "torch" in modules and type(what).__name__ in ("dtype", "device"):
        return repr(what)
    return None


def _of_transformers(what: Any) -> Any:
    if (trained := getattr(what, "backend_tokenizer", None)) is not None and hasattr(trained, "to_str"):
        told = {key: value for key, value in json.loads(trained.to_str()).items() if key not in _STATE}
        settings = {name: str(getattr(what, name, None)) for name in _SETTINGS}
        return {"tokenizer": _sha(json.dumps(told, sort_keys=True)), **settings}
    if (tokenizer := getattr(what, "tokenizer", None)) is not None:  # a processor of several kinds of data
        parts = {name: getattr(what, name, None) for name in ("image_processor", "feature_extractor")}
        return {"tokenizer": tokenizer, **{name: part for name, part in parts.items() if part is not None}}
    return settings_told(what)


def settings_told(what: Any) -> dict[str, Any] | None:
    """What ``to_dict()`` of a configuration or a processor returns, without the places it came from."""
    if not callable(getattr(what, "to_dict", None)):
        return None
    try:
        told = what.to_dict()
    except Exception:  # another method of that name, which asks for more
        return None
    if not isinstance(told, dict):
        return None
    kept = {str(key): value for key, value in told.items() if key not in _PLACES}
    return {"type": type(what).__qualname__, **kept}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
