"""Every exception of tlengine: one tree, each also of the built-in type that users already catch.

A message says what was wrong (the value and its place) and the limit; ``hint`` says how to mend it.

>>> try:
...     raise LabelError("label column 'species' not found", hint="columns are: id, text", column="species")
... except ValueError as error:
...     print(error.code, error.context)
label {'column': 'species'}
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "BackboneError",
    "CacheClosedError",
    "CacheCorruptionError",
    "CacheCorruptionWarning",
    "CacheError",
    "CacheFormatError",
    "CacheFullError",
    "CacheIOError",
    "CacheLockTimeout",
    "CacheReadOnlyError",
    "CacheReadOnlyWarning",
    "CutRefused",
    "DatasetError",
    "DecodeError",
    "DtypeError",
    "EmptyInputError",
    "FeatureScaleWarning",
    "GridEdgeWarning",
    "HeadFormatError",
    "ImageTooLargeError",
    "InputError",
    "InternalError",
    "KeyConflictWarning",
    "LabelError",
    "MissingPackageError",
    "NonFiniteError",
    "PluginError",
    "PluginWarning",
    "RangeError",
    "RareClassWarning",
    "ResourceError",
    "RunFormatError",
    "ScoringWarning",
    "ShapeMismatchError",
    "SingleClassError",
    "TimeLimitError",
    "TimeLimitWarning",
    "TlengineError",
    "TlengineWarning",
    "UnhashableRecipeError",
    "UnknownNameError",
    "UnknownOptionError",
    "UnsafeArtifactError",
]


class TlengineError(Exception):
    """Base of all errors; ``code`` is a stable name, ``context`` the facts, ``hint`` the way out."""

    code: ClassVar[str] = "error"
    usual_hint: ClassVar[str | None] = None
    """The way out where the place that raises knows none better."""

    def __init__(self, message: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.context)


def _rebuild(
    kind: type[TlengineError], message: str, hint: str | None, context: dict[str, Any]
) -> TlengineError:
    return kind(message, hint=hint, **context)


class CacheError(TlengineError):
    """Something about the embedding cache."""

    code = "cache"


class CacheCorruptionError(CacheError):
    """Bytes on disk are not the bytes that were written."""

    code = "cache-corruption"
    usual_hint = "run: tlengine cache repair"


class CacheFormatError(CacheError):
    """A cache file of another version, or no cache file at all."""

    code = "cache-format"


class CacheFullError(CacheError, OSError):
    """No space, quota or file size left; rows committed earlier are intact."""

    code = "cache-full"
    usual_hint = "free some space, or point TLENGINE_HOME at another disk; committed rows are kept"


class CacheIOError(CacheError, OSError):
    """The operating system refused a read or a write."""

    code = "cache-io"
    usual_hint = "check the disk and the permissions of the cache folder, or set TLENGINE_HOME"


class CacheReadOnlyError(CacheError):
    """A write to a cache that was opened read-only or lies on a read-only place."""

    code = "cache-read-only"


class CacheLockTimeout(CacheError, TimeoutError):  # noqa: N818 - named after TimeoutError
    """Another process holds a maintenance lock for too long."""

    code = "cache-lock-timeout"


class CacheClosedError(CacheError):
    """The cache was closed."""

    code = "cache-closed"


class UnhashableRecipeError(TlengineError, TypeError):
    """A recipe or sample that cannot be described in bytes; a key is never guessed."""

    code = "unhashable-recipe"


class InputError(TlengineError, ValueError):
    """Data or parameters outside their limits."""

    code = "input"


class NonFiniteError(InputError):
    """NaN or infinity where only finite numbers make sense."""

    code = "non-finite"
    usual_hint = "drop or impute such rows first"


class EmptyInputError(InputError):
    """Nothing to work on."""

    code = "empty"


class ShapeMismatchError(InputError):
    """Arrays whose shapes do not fit together."""

    code = "shape"
    usual_hint = "give each row one entry in every column"


class DtypeError(InputError, TypeError):
    """An array of a type that cannot be used."""

    code = "dtype"


class RangeError(InputError):
    """A finite number that the storage type cannot hold."""

    code = "range"


class SingleClassError(InputError):
    """Fewer than two classes to tell apart."""

    code = "single-class"


class LabelError(InputError):
    """Labels that are missing, mixed or not classes."""

    code = "label"


class DatasetError(InputError):
    """A folder, table or array source that cannot be read as a dataset."""

    code = "dataset"


class DecodeError(InputError):
    """One sample whose content cannot be read."""

    code = "decode"


class ImageTooLargeError(DecodeError):
    """An image whose header announces more pixels than the limit."""

    code = "image-too-large"


class UnknownNameError(InputError, LookupError):
    """A name that nothing is registered under."""

    code = "unknown-name"


class UnknownOptionError(InputError, TypeError):
    """A keyword argument that a function does not have."""

    code = "unknown-option"


class HeadFormatError(TlengineError, ValueError):
    """A saved model whose files are not what they should be."""

    code = "head-format"
    usual_hint = "use a folder that save_pretrained or compare --out wrote"


class UnsafeArtifactError(TlengineError, ValueError):
    """A file that could execute code when loaded; it was not loaded."""

    code = "unsafe-artifact"
    usual_hint = "ask for it as safetensors; a pickle can run any code"


class RunFormatError(TlengineError, ValueError):
    """A run document that tlengine did not write, or wrote in another version."""

    code = "run-format"
    usual_hint = "use a run.json that compare --out wrote, with this version"


class BackboneError(TlengineError, ValueError):
    """A backbone that cannot be loaded or is not the one that is needed."""

    code = "backbone"


class CutRefused(TlengineError):  # noqa: N818 - an answer, after which training goes on without the cut
    """What a frozen part gives cannot be computed once, or not be kept: each step computes it anew."""

    code = "cut-refused"


class MissingPackageError(TlengineError, ImportError):
    """An optional package that is not installed; the hint is the install line."""

    code = "missing-package"


class PluginError(TlengineError):
    """A plugin that breaks its contract."""

    code = "plugin"


class ResourceError(TlengineError, MemoryError):
    """Memory ran out."""

    code = "resource"
    usual_hint = "close other programs, or use fewer rows at a time"


class TimeLimitError(TlengineError, TimeoutError):
    """Nothing was done within the time that was given."""

    code = "time_limit"


class InternalError(TlengineError, RuntimeError):
    """A fault of tlengine itself."""

    code = "internal"
    usual_hint = "this is a bug in tlengine: please report it with the output of tlengine doctor"


class TlengineWarning(UserWarning):
    """Base of all warnings."""


class CacheCorruptionWarning(TlengineWarning):
    """Damaged rows were found in the cache; they are computed anew."""


class CacheReadOnlyWarning(TlengineWarning):
    """Rows are computed but cannot be kept."""


class KeyConflictWarning(TlengineWarning):
    """The same key was put twice with different vectors."""


class PluginWarning(TlengineWarning):
    """A plugin was skipped."""


class TimeLimitWarning(TlengineWarning):
    """The time that was given ended before everything was done."""


class GridEdgeWarning(TlengineWarning):
    """The chosen value of a hyper-parameter is the smallest or largest that was tried."""


class FeatureScaleWarning(TlengineWarning):
    """A column of features is larger than the others by orders of magnitude."""


class RareClassWarning(TlengineWarning):
    """Held-out rows of classes, or labels, that a fold cannot learn do not count in the choice."""


class ScoringWarning(TlengineWarning):
    """A scorer gave no number for some held-out rows or classes, so they do not count in the choice."""
