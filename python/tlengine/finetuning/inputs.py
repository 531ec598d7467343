"""Rows of a run as batches for a network: decoded once, preprocessed, augmented, on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tlengine.errors import TlengineError
from tlengine.features import Backbone
from tlengine.finetuning.augment import Augmentation
from tlengine.plugins.containment import reason
from tlengine.plugins.contracts import Rows, View

__all__ = ["Inputs"]

_KEPT_BYTES = 1 << 30
"""Decoded pictures that are kept at hand; the rest is decoded again."""


class Inputs:
    """Batches of the rows of a view.

    Args:
        view: the rows.
        backbone: whose preprocessing.
        augmentation: of pictures, or None.
        device: where the batches are wanted.
    """

    def __init__(
        self, view: View, backbone: Backbone, augmentation: Augmentation | None, device: str
    ) -> None:
        self._view, self._backbone, self.device = view, backbone, torch.device(device)
        self.augmentation, self.augmented = augmentation or Augmentation(), augmentation is not None
        self._contents: dict[int, Any] = {}
        self._keys: dict[int, bytes] = {}
        self._plain: dict[int, npt.NDArray[Any]] = {}
        self._bytes = 0
        convolutions = any(isinstance(part, nn.Conv2d) for part in backbone.module.modules())
        self._channels_last = convolutions

    def batch(self, rows: Rows, views: Rows | None = None) -> Any:
        """What the network is called with: a tensor, or keywords.

        Args:
            rows: (m,) of the run.
            views: (m,) numbers of augmented views, -1 for a row as it is; None for all as they are.

        Raises:
            DecodeError: a sample cannot be read any more.
            BackboneError, PluginError: preprocessing that fails, or rows of different shapes.
        """
        numbers = np.full(len(rows), -1) if views is None else views
        return self.collate([self.sample(int(r), int(v)) for r, v in zip(rows, numbers, strict=True)])

    def sample(self, row: int, number: int = -1) -> npt.NDArray[Any]:
        """One sample, preprocessed: pixels (h, w, 3) uint8 of an ``ImagePreprocess``, else its own array."""
        if number < 0 and row in self._plain:
            return self._plain[row]
        content, key = self._content(row), self._key(row) if number >= 0 else b""
        try:
            if isinstance(content, str):
                found = np.asarray(self._backbone.preprocess(content))
            else:
                found = self.augmentation.view(content, self._backbone.preprocess, key, number)
        except (TlengineError, MemoryError):
            raise
        except Exception as error:
            raise self._backbone.fault(f"cannot preprocess a sample: {reason(error)}") from error
        if number < 0 and self._room(found.nbytes):
            self._plain[row] = found
        return found

    def collate(self, samples: Sequence[npt.NDArray[Any]]) -> Any:
        """Preprocessed samples as a batch on the device."""
        from tlengine.features.forward import batch_of

        return batch_of(self._backbone, samples, self.device, channels_last=self._channels_last)

    def _content(self, row: int) -> Any:
        if row not in self._contents:
            (found,) = self._view.contents(np.array([row]))
            size = len(found) if isinstance(found, str) else 3 * found.width * found.height
            if not self._room(size):
                return found
            self._contents[row] = found
        return self._contents[row]

    def keys(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """(m, 32) digests of the contents."""
        return self._view.keys(rows)

    def _key(self, row: int) -> bytes:
        if row not in self._keys:
            self._keys[row] = self._view.keys(np.array([row]))[0].tobytes()
        return self._keys[row]

    def _room(self, size: int) -> bool:
        if self._bytes + size > _KEPT_BYTES:
            return False
        self._bytes += size
        return True
