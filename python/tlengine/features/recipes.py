"""Everything that determines an embedding, as digests: the weights, the preprocessing, the structure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tlengine.features.cache import Hasher, blake3_hex
from tlengine.features.descriptions import describe
from tlengine.features.structure import structure_text
from tlengine.features.weights import weights_digest

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Fingerprint", "describe", "fingerprint"]


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A backbone in three digests (64 hex digits each), so that it can be said which of them changed.

    Attributes:
        weights: names, dtypes, shapes and bytes of what was learned.
        preprocess: the description of the preprocessing, and the declared revision.
        structure: the text of ``repr(module)`` and what it hides. It may change with the version of a library
            where weights and results do not.

    >>> from torch import nn
    >>> one, other = (Fingerprint.of(nn.AvgPool2d(2, ceil_mode=mode), {}) for mode in (False, True))
    >>> one.weights == other.weights, one.structure == other.structure
    (True, False)
    """

    weights: str
    preprocess: str
    structure: str

    @classmethod
    def of(cls, module: nn.Module, preprocess: Mapping[str, Any], revision: str = "") -> Fingerprint:
        """The fingerprint of a network with the described preprocessing.

        Raises:
            BackboneError, UnhashableRecipeError: see :func:`.weights.weights_digest` and
                :func:`.structure.structure_text`.
        """
        module = getattr(module, "_orig_mod", module)  # torch.compile changes no result
        told = json.dumps([preprocess, revision], sort_keys=True, ensure_ascii=True, allow_nan=True)
        return cls(
            weights=weights_digest(module),
            preprocess=blake3_hex([told.encode()]),
            structure=blake3_hex([structure_text(module, revision)]),
        )

    @property
    def digest(self) -> str:
        """One digest over the three."""
        hasher = Hasher()
        for part in (self.weights, self.preprocess, self.structure):
            hasher.update_framed(bytes.fromhex(part))
        return str(hasher.digest().hex())

    def as_dict(self) -> dict[str, str]:
        """The three digests by name."""
        return asdict(self)


def fingerprint(module: nn.Module, preprocess: Mapping[str, Any], revision: str = "") -> str:
    """Hex digest (64 characters) of a backbone: equal exactly when its embeddings must be equal.

    Enters: names, dtypes, shapes and bytes of the weights; the text of ``repr(module)``, its submodules with
    their settings, traced code and forward hooks; the description of the preprocessing, and the declared
    revision. Device, memory layout and library versions do not.

    Not seen is what ``forward`` does with attributes that no argument of the constructor set, with tensors
    that are neither parameters nor buffers, or with globals: change ``revision`` when that changes.

    >>> from torch import nn
    >>> one = fingerprint(nn.Flatten(), {"kind": "image"})
    >>> len(one), one == fingerprint(nn.Flatten(), {"kind": "text"}), one == fingerprint(nn.Flatten(2), {"kind": "image"})
    (64, False, False)
    """  # noqa: E501 - one line of the example
    return Fingerprint.of(module, preprocess, revision).digest
