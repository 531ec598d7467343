"""Steps of fine-tuning from kept outputs of the frozen part, beside a loop that computes it every time.

A batch of 32 rows that are at hand, AdamW, the last block trained: at best as many times faster as the whole
forward pass and the backward pass of the block take longer than the block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benches import peers_finetuning as peers
from benches.ratios import Ratio, peer, take_turns, timed
from tlengine.features import Backbone, sample_key
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.prefix import PrefixStore

NETWORKS = {
    "efficientnet-lite0": ("EfficientNet-Lite0's last stage, 224 px", 2.5, 3.3),
    "vit": ("ViT-S/16's last block, 224 px", 3.5, 4.7),
    "minilm": ("MiniLM's last layer, 128 tokens", 2.0, 2.7),
}
"""What is trained, the floor, and the ratio by counts of multiplications (forward once, backward twice)."""


def cached_step(name: str) -> Callable[[], float]:
    """A step from what the frozen part gave."""
    made = peers.made(name)
    backbone = Backbone(
        made.module,
        preprocess=print,
        preprocess_name="bench",
        modality=made.modality,  # type: ignore[arg-type]
        name=name,
        embedding_dim=made.dim,
        blocks=made.blocks,
        revision="1",
    )
    cut = Cut(made.module, made.blocks, len(made.blocks) - 1)
    cut.check(made.collate(made.samples[:2]))
    store = PrefixStore(
        backbone,
        cut,
        rows=range(peers.BATCH),
        load=lambda row, view: made.samples[row],
        collate=made.collate,
        keys=lambda rows: np.stack([np.frombuffer(sample_key(str(row)), np.uint8) for row in rows]),
    )
    rows = np.arange(peers.BATCH)
    return peers.step_of(made, lambda: cut.suffix(*store.hidden(rows)))


def prefix_ratios() -> Iterator[Ratio]:
    """Every network beside the loop, which has the same losses."""
    for name, (work, floor, target) in NETWORKS.items():
        ours = cached_step(name)
        with peer(peers.torch_loop, name) as theirs:
            first = ours()
            theirs()
            assert abs(first - theirs.result()) <= 1e-4 * first
            best = take_turns({"ours": timed(ours), "peer": theirs}, warm_up=False)
        yield Ratio(
            work=work, peer="torch loop", ours=best["ours"], theirs=best["peer"], floor=floor, target=target
        )


GROUPS = [prefix_ratios]
"""Everything that `make bench-check` asserts."""


@pytest.mark.parametrize("name", list(NETWORKS))
def test_cached_step(benchmark: Any, name: str) -> None:
    benchmark.group = NETWORKS[name][0]
    benchmark.pedantic(cached_step(name), rounds=5, warmup_rounds=1)
