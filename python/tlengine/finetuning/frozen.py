"""The frozen part of a network in a training: computed once for each row and view, where that pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tlengine.errors import CutRefused
from tlengine.features import Backbone, EmbeddingCache
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.flops import count_flops
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.memory import SHORT, is_short
from tlengine.finetuning.precision import computing
from tlengine.finetuning.prefix import PrefixStore
from tlengine.plugins.contracts import Rows

__all__ = ["FrozenPart", "Hidden"]

_SHARE = 0.25
"""The frozen part is kept where it has at least this share of the operations of a forward pass."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """A batch in the middle of a network.

    Attributes:
        cut: where.
        values: (m, ...) the inputs of the first block that is trained.
        lengths: (m,) tokens of each text, or None.
    """

    cut: Cut
    values: torch.Tensor
    lengths: torch.Tensor | None


class FrozenPart:
    """What lies in front of the first block that is trained.

    Attributes:
        passes: batches that have to go through it.
    """

    def __init__(self, cut: Cut, store: PrefixStore, row_flops: float, passes: float) -> None:
        self._cut, self._store, self._row_flops, self.passes = cut, store, row_flops, passes

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        inputs: Inputs,
        rows: Rows,
        first: int,
        *,
        views: int,
        batch: int,
        steps: int,
        cache: Path | None,
        max_disk: int | None,
        half: bool,
        precision: str = "float32",
    ) -> tuple[FrozenPart | None, str]:
        """The part, or why it is computed anew in every step; "" where that is as well.

        Args:
            backbone: whose network is trained.
            inputs: its batches.
            rows: that are trained on.
            first: the first block that is trained.
            views: how many views of a row there are, 0 for the row as it is.
            batch: rows a step.
            steps: of the training.
            cache: the folder of the embedding cache, or None to keep rows in memory.
            max_disk: bytes that may be taken there.
            half: whether rows are kept in half precision.
            precision: in which the network is trained: what is frozen is computed in the same.
        """
        distinct = len(rows) * max(1, views)
        if batch * steps <= distinct:
            return None, ""
        try:
            cut = Cut(backbone.module, backbone.blocks, first)
            two, one = inputs.batch(rows[:2]), inputs.batch(rows[:1])
            with computing(precision, inputs.device, cached=False):
                cut.check(two)
            before = count_flops(lambda: cut.prefix(one)) or 0.0
            with torch.no_grad():
                whole = count_flops(lambda: _called(backbone, one)) or 1.0
            if before < _SHARE * whole:
                return None, ""
            store = PrefixStore(
                backbone,
                cut,
                rows=rows,
                views=range(views) if views else (-1,),
                load=inputs.sample,
                collate=inputs.collate,
                keys=inputs.keys,
                augmentation=inputs.augmentation.describe() if views else None,
                cache=None if cache is None else EmbeddingCache(cache),
                dtype="fp16" if half else "float32",
                precision=precision,
                max_disk=max_disk,
            )
        except CutRefused as error:
            return None, f"frozen blocks are computed in every step: {error.message}"
        except SHORT as error:
            if not is_short(error):
                raise
            return None, "memory was short for frozen blocks: they were computed in every step"
        return cls(cut, store, before, distinct / batch), ""

    def batch(self, rows: Rows, views: Rows) -> Hidden:
        """What the first trained block gets for these rows and views."""
        values, lengths = self._store.hidden(rows, views)
        return Hidden(self._cut, values, lengths)

    @property
    def flops(self) -> float:
        """Operations of what was computed."""
        return self._store.computed * self._row_flops

    @property
    def reused(self) -> Mapping[str, float]:
        """What was found in the cache: rows, and the seconds and operations that they took once."""
        store = self._store
        return {
            "rows": store.read,
            "seconds": store.seconds_saved,
            "flops": store.read * self._row_flops,
        }

    @property
    def notes(self) -> list[str]:
        """What the user should know of the disk that is taken."""
        return self._store.notes


def _called(backbone: Backbone, inputs: Any) -> Any:
    return backbone.module(**inputs) if isinstance(inputs, Mapping) else backbone.module(inputs)
