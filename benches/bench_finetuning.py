"""Steps of fine-tuning from kept outputs of the frozen part, beside a loop that computes it every time.

A batch of 32 rows that are at hand, AdamW, the last block trained: at best as many times faster as the whole
forward pass and the backward pass of the block take longer than the block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import numpy as np
import pytest

from benches import peers_finetuning as peers
from benches.ratios import Ratio, peer, take_turns, timed
from tlengine.evaluation.views import Ground, RunView, TaskView
from tlengine.features import Backbone, load_backbone, sample_key
from tlengine.finetuning import TrainSettings
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.determinism import deterministic
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.prefix import PrefixStore
from tlengine.finetuning.session import Session
from tlengine.plugins.contracts import Roles

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


def whole_step(name: str) -> tuple[Callable[[], float], ExitStack]:
    """A step of ``finetune``: augmented, normalised, trained; and what is to be closed at the end."""
    images = peers.pictures()
    rows = np.arange(peers.PICTURES)
    roles = Roles(train=rows, test=rows[:0])
    ground = Ground(
        codes=rows % peers.CLASSES,
        classes=np.arange(peers.CLASSES),
        units=rows,
        digests=np.stack([np.frombuffer(sample_key(str(row)), np.uint8) for row in rows]),
        contents=images,
        rows=rows,
    )
    X = np.random.default_rng(0).normal(size=(len(rows), 1280)).astype(np.float32)
    backbone = load_backbone(name, image_size=peers.SIZE)
    view = TaskView(RunView(name=name, X=X, loaded=backbone), ground, roles)
    fit, settings = Fit(view=view, roles=roles, seed=0), TrainSettings(augment="crop", batch=peers.ROWS)
    stack = ExitStack()
    stack.enter_context(deterministic(view.threads))
    session = Session(fit, settings)
    training = session.training(None, lambda step, loss: None)
    stack.enter_context(session.frozen_statistics())
    session.modes(0)
    steps = count()
    return lambda: training.timed(next(steps)), stack


def whole_ratios() -> Iterator[Ratio]:
    """Pictures a second of ``finetune`` beside a loop that is written by hand."""
    name = "efficientnet-lite0"
    ours, stack = whole_step(name)
    with stack, peer(peers.whole_loop, name) as theirs:
        best = take_turns({"ours": timed(ours), "peer": theirs})
    yield Ratio(
        work=f"fine-tuning, {peers.ROWS} pictures of {peers.SIZE} px a step", peer="torch loop",
        ours=best["ours"], theirs=best["peer"], floor=0.9, target=1.1,
    )  # fmt: skip


GROUPS = [prefix_ratios, whole_ratios]
"""Everything that `make bench-check` asserts."""


@pytest.mark.parametrize("name", list(NETWORKS))
def test_cached_step(benchmark: Any, name: str) -> None:
    benchmark.group = NETWORKS[name][0]
    benchmark.pedantic(cached_step(name), rounds=5, warmup_rounds=1)
