"""What a preprocessing depends on, as JSON: settings, files by their content, code by its source."""

from __future__ import annotations

import enum
import functools
import hashlib
import logging
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from tlengine.errors import TlengineError, UnhashableRecipeError
from tlengine.features.code import (
    codes_of,
    constants,
    is_library,
    is_library_callable,
    methods,
    references,
    source_digest,
)
from tlengine.features.filled import filled_by, value_at_first
from tlengine.features.libraries import told_by_library
from tlengine.features.paths import holds_code, names_a_file, path_content

__all__ = ["describe"]

_HINT = (
    "use a module-level function, a frozen dataclass or an object with describe(); "
    'tl.Backbone also takes preprocess_name="resize-64-v1", a name that you change when it does'
)
_RANDOM = (
    r"\bRandom|AutoAugment|RandAugment|TrivialAugment|AugMix|ColorJitter|ScaleJitter|ElasticTransform"
    r"|GaussianNoise|MixUp|CutMix"
)
_SILENT = (logging.Logger, type(re), type(Ellipsis), type(NotImplemented))
"""Globals that change no embedding: loggers and modules."""


def describe(what: Any, where: str = "preprocess") -> Any:
    """``what`` as JSON, if it says everything that matters about it.

    Described are: objects with a ``describe()`` method; frozen dataclasses, by their fields and code;
    functions of a module, by name, defaults, source, and the helpers and globals that the source names,
    however deep; bound methods and ``functools.partial`` of these; numbers, strings, lists, mappings;
    arrays, files and folders (a path), by the digest of their content; transforms of torchvision. Of
    installed libraries only names enter: their versions are recorded, not keyed.

    Raises:
        UnhashableRecipeError: anything else, and what only seems described: a lambda, a closure, a random
            step, an unknown object, code that reads a file which is named nowhere.

    >>> describe({"size": (2, 3)})
    {'size': [2, 3]}
    >>> describe(lambda image: image)
    Traceback (most recent call last):
    tlengine.errors.UnhashableRecipeError: preprocess: a lambda cannot be told apart from another one
    hint: use a module-level function, a frozen dataclass or an object with describe(); tl.Backbone also takes preprocess_name="resize-64-v1", a name that you change when it does
    """  # noqa: E501 - the message as it is
    seen = _Seen()
    described = _describe(what, where, seen)
    _check_calls(seen)
    return described


def _check_calls(seen: _Seen) -> None:
    for place, call in seen.unanswered or (seen.readers if not seen.files else ()):
        raise _unhashable(f"{place} calls {call}, and what that reads is in no field, argument or constant")


@dataclass
class _Seen:
    """What was met on the way: code (so that recursion ends), files, and calls that read some.

    Code is known by identity: two functions of the same text may find other values under the same names.
    """

    code: set[int] = field(default_factory=set)
    files: int = 0
    readers: list[tuple[str, str]] = field(default_factory=list)
    unanswered: list[tuple[str, str]] = field(default_factory=list)
    code_files: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    filled: set[tuple[str, str]] = field(default_factory=set)
    _entered: set[int] = field(default_factory=set)

    def enter(self, function: types.FunctionType) -> None:
        """Note where ``function`` lies, the texts in it, and what it and its helpers fill."""
        if id(function) in self._entered:
            return
        self._entered.add(id(function))
        self.code_files.add(function.__code__.co_filename)
        for code in codes_of(function.__code__):
            self.texts.update(one for one in code.co_consts if isinstance(one, str))
        self.filled |= filled_by(function)
        for value in references(function).values.values():
            for helper in _functions(value):
                if not is_library(helper, function.__module__):
                    self.enter(helper)


def _functions(value: Any) -> Iterable[types.FunctionType]:
    if isinstance(value, type):
        return methods(value)
    inner = getattr(value, "__wrapped__", value)
    return [inner] if isinstance(inner, types.FunctionType) else []


def _describe(what: Any, where: str, seen: _Seen) -> Any:
    if isinstance(what, np.generic):
        what = what.item()
    if isinstance(what, str):
        return _text(what, seen)
    if what is None or isinstance(what, bool | int | float):
        return what
    if isinstance(what, Mapping):
        return {str(key): _describe(value, f"{where}.{key}", seen) for key, value in what.items()}
    if isinstance(what, list | tuple) and not callable(what):
        return [_describe(value, f"{where}[{i}]", seen) for i, value in enumerate(what)]
    if isinstance(what, set | frozenset):
        return sorted((_describe(value, where, seen) for value in what), key=repr)
    if isinstance(what, bytes | bytearray):
        return {"bytes": hashlib.sha256(what).hexdigest()}
    if isinstance(what, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(what).tobytes()).hexdigest()
        return {"array": digest, "dtype": str(what.dtype), "shape": list(what.shape)}
    if isinstance(what, PurePath):
        return _path(Path(what), seen)
    return _described_callable(what, where, seen)


def _described_callable(what: Any, where: str, seen: _Seen) -> Any:
    if isinstance(what, type):
        return _class(what, where, seen)
    if hasattr(what, "cache_parameters") and hasattr(what, "__wrapped__"):  # functools.lru_cache
        return _describe(what.__wrapped__, where, seen)
    if isinstance(what, functools.partial):
        return {
            "partial": _describe(what.func, where, seen),
            "args": _describe(what.args, where, seen),
            "keywords": _describe(what.keywords, where, seen),
        }
    if isinstance(what, types.MethodType):
        return {
            "method": _describe(what.__func__, where, seen),
            "of": _describe(what.__self__, f"{where}.__self__", seen),
        }
    if isinstance(what, types.FunctionType):
        return _function(what, where, seen)
    if is_library_callable(what, ""):
        return {"builtin": f"{what.__module__}.{what.__qualname__}"}
    if isinstance(what, types.BuiltinFunctionType | np.ufunc):
        owner = getattr(what, "__self__", None)
        if owner is None or isinstance(owner, types.ModuleType | type):
            return {"builtin": f"{getattr(what, '__module__', None) or 'builtins'}.{what.__name__}"}
    return _described_object(what, where, seen)


def _described_object(what: Any, where: str, seen: _Seen) -> Any:
    kind = type(what)
    if callable(getattr(what, "describe", None)):
        return _describe(_told(what, where), where, seen)
    if isinstance(what, enum.Enum):
        return f"{_qualified(kind)}.{what.name}"
    if isinstance(what, re.Pattern):
        return {"pattern": _describe(what.pattern, where, seen), "flags": what.flags}
    if isinstance(what, range | slice):
        return repr(what)
    if is_dataclass(kind) and not kind.__module__.startswith("transformers."):
        if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined] # not in the stub
            raise _unhashable(
                f"{where}: {_qualified(kind)} can change after it was described; say frozen=True"
            )
        return _record(what, [one.name for one in fields(kind)], where, seen)
    if isinstance(what, tuple):
        return _record(what, getattr(what, "_fields", ()), where, seen)
    return _described_by_library(what, where, seen)


def _described_by_library(what: Any, where: str, seen: _Seen) -> Any:
    if type(what).__module__.partition(".")[0] == "torchvision":
        return _transform(what, where)
    if (told := told_by_library(what)) is not None:
        return _describe(told, where, seen)
    raise _unhashable(f"{where}: a {_qualified(type(what))} does not describe itself")


def _told(what: Any, where: str) -> Any:
    try:
        return what.describe()
    except TlengineError:
        raise
    except Exception as error:
        raise _unhashable(f"{where}: describe() of {_qualified(type(what))} failed: {error!r}") from error


def _record(what: Any, names: Iterable[str], where: str, seen: _Seen) -> Any:
    """An object that cannot change: its fields, and its methods where it has any."""
    _enter_class(type(what), seen)
    values = {name: _describe(getattr(what, name), f"{where}.{name}", seen) for name in names}
    return {"type": _qualified(type(what)), **values, **_body(type(what), where, seen)}


def _enter_class(kind: type, seen: _Seen) -> None:
    for method in methods(kind):
        if not is_library(method, kind.__module__):
            seen.enter(method)


def _class(kind: type, where: str, seen: _Seen) -> Any:
    if is_library(kind, ""):
        return {"class": _qualified(kind)}
    if id(kind) in seen.code:
        return {"class": _qualified(kind)}
    seen.code.add(id(kind))
    _enter_class(kind, seen)
    try:
        source = source_digest(kind)
    except (OSError, TypeError):
        raise _unhashable(f"{where}: {_qualified(kind)} has no source to describe it") from None
    return {"class": _qualified(kind), "source": source, **_body(kind, where, seen)}


def _body(kind: type, where: str, seen: _Seen) -> dict[str, Any]:
    """The methods and constants of a class, where it has any of its own."""
    ours = [method for method in methods(kind) if not is_library(method, kind.__module__)]
    code = [_function(m, where, seen, of_class=True) for m in ours if id(m) not in seen.code]
    told = {name: _describe(value, f"{where}.{name}", seen) for name, value in constants(kind).items()}
    return {**({"code": code} if code else {}), **({"constants": told} if code and told else {})}


def _function(function: types.FunctionType, where: str, seen: _Seen, of_class: bool = False) -> Any:
    name = _qualified(function)
    if function.__name__ == "<lambda>":
        raise _unhashable(f"{where}: a lambda cannot be told apart from another one")
    if function.__closure__ and not (of_class and function.__code__.co_freevars == ("__class__",)):
        raise _unhashable(f"{where}: {function.__qualname__} is a closure, which hides what it depends on")
    if id(function) in seen.code or (not of_class and _is_of_a_known_library(function)):
        return {"function": name}
    seen.code.add(id(function))
    seen.enter(function)
    try:
        source = source_digest(function.__code__)
    except (OSError, TypeError):
        raise _unhashable(f"{where}: {function.__qualname__} has no source to describe it") from None
    extras = {
        "defaults": _describe(function.__defaults__, where, seen),
        "keywords": _describe(function.__kwdefaults__, where, seen),
        "attributes": _describe(vars(function), where, seen),
        "uses": _uses(function, where, seen),
    }
    return {"function": name, "source": source, **{key: value for key, value in extras.items() if value}}


def _uses(function: types.FunctionType, where: str, seen: _Seen) -> dict[str, Any]:
    """The globals and helpers that the code names; of libraries, names are in the source already."""
    found = references(function)
    place = f"{where}: {function.__qualname__}"
    seen.readers += [(place, call) for call in found.readers]
    seen.unanswered += [(place, call) for call in found.unanswered]
    if found.draws:
        call = found.draws[0]
        raise _unhashable(f"{place} draws by chance ({call}) and names no seed; embeddings are computed once")
    uses: dict[str, Any] = {}
    for name, value in sorted(found.values.items()):
        is_code = isinstance(value, type) or callable(value) or isinstance(value, types.ModuleType)
        if isinstance(value, _SILENT) or (is_code and _names_library(value, function.__module__)):
            continue
        if (function.__module__, name) in seen.filled:
            uses[name] = {"filled by the code": value_at_first(function.__module__, name)}
            continue
        uses[name] = _describe(value, f"{place} uses {name}", seen)
    return uses


def _names_library(value: Any, home: str) -> bool:
    """Whether a name stands for code of a library, and not for an object that was made from it."""
    is_code = isinstance(
        value, type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType | np.ufunc
    )
    return is_library(value, home) if is_code else is_library_callable(value, home)


_KNOWN = sys.stdlib_module_names | {
    *("torch", "torchvision", "torchaudio", "numpy", "scipy", "pandas", "PIL", "cv2", "skimage", "sklearn"),
    *("timm", "kornia", "albumentations", "transformers", "tokenizers", "sentence_transformers", "nltk"),
}
"""Libraries whose functions enter by name. Others that are installed may be the plugin itself."""


def _is_of_a_known_library(function: types.FunctionType) -> bool:
    return function.__module__.partition(".")[0] in _KNOWN - {"__main__"} and is_library(function, "")


def _text(text: str, seen: _Seen) -> Any:
    """A string, or the content of the file that it names; a folder is named by a ``Path``."""
    is_path = names_a_file(text) or holds_code(text, seen.code_files)
    return _path(Path(text), seen) if is_path else text


def _path(path: Path, seen: _Seen) -> Any:
    """A file or folder by its content, wherever it lies; a path to nothing is its text."""
    content = path_content(path, seen.code_files, seen.texts)
    if content is None:
        return str(path)
    seen.files += content != {"code": {}}
    return content


def _transform(what: Any, where: str) -> str:
    """A torchvision transform by its repr, which lists its settings."""
    text = repr(what)
    if " at 0x" in text or "Lambda" in text:
        raise _unhashable(f"{where}: {_first_line(text)} contains a function")
    if re.search(_RANDOM, text):
        raise _unhashable(f"{where}: {_first_line(text)} is random; embeddings are computed once")
    return text


def _first_line(text: str) -> str:
    return " ".join(text.split())[:80]


def _qualified(what: type[Any] | types.FunctionType) -> str:
    """Its full name; in a spawned worker, the main module has another one."""
    return f"{what.__module__}.{what.__qualname__}".replace("__mp_main__.", "__main__.", 1)


def _unhashable(message: str) -> UnhashableRecipeError:
    return UnhashableRecipeError(message, hint=_HINT)
