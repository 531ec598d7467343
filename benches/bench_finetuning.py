"""Steps of fine-tuning from kept outputs of the frozen part, beside a loop that computes it every time.

A batch of 32 rows that are at hand, AdamW, the last block trained: at best as many times faster as the whole
forward pass and the backward pass of the block take longer than the block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benches import features
from benches import peers_finetuning as peers
from benches.ratios import Ratio, grown, peer, take_turns, timed
from tlengine.evaluation.views import Ground, RunView, TaskView
from tlengine.features import Backbone, load_backbone, sample_key
from tlengine.finetuning import TrainSettings
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.determinism import deterministic
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.prefix import PrefixStore
from tlengine.finetuning.session import Session
from tlengine.plugins.contracts import Roles

STEPS = 10
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


def fit_of(
    backbone: Backbone,
    images: Sequence[Any],
    codes: npt.NDArray[np.intp],
    X: npt.NDArray[np.float32],
    roles: Roles,
) -> Fit:
    """A fit on pictures in memory, with the features of their rows."""
    rows = np.arange(len(codes))
    ground = Ground(
        codes=codes,
        classes=np.arange(codes.max() + 1),
        units=rows,
        digests=np.stack([np.frombuffer(sample_key(str(row)), np.uint8) for row in rows]),
        contents=images,
        rows=rows,
    )
    view = TaskView(RunView(name=backbone.name, X=X, loaded=backbone), ground, roles)
    return Fit(view=view, roles=roles, seed=0)


def steps_of(fit: Fit, settings: TrainSettings) -> tuple[Callable[[], float], ExitStack]:
    """What makes a step of a fit and returns its seconds; and what is to be closed at the end."""
    stack = ExitStack()
    stack.enter_context(deterministic(fit.view.threads))
    session = Session(fit, settings)
    training = session.training(None, lambda step, loss: None)
    stack.enter_context(session.frozen_statistics())
    session.modes(0)
    steps = count()
    return lambda: training.timed(next(steps)), stack


def whole_step(name: str) -> tuple[Callable[[], float], ExitStack]:
    """A step of ``finetune``: augmented, normalised, trained."""
    rows = np.arange(peers.PICTURES)
    X = np.random.default_rng(0).normal(size=(len(rows), 1280)).astype(np.float32)
    backbone, roles = load_backbone(name, image_size=peers.SIZE), Roles(train=rows, test=rows[:0])
    fit = fit_of(backbone, peers.pictures(), rows % peers.CLASSES, X, roles)
    return steps_of(fit, TrainSettings(augment="crop", batch=peers.ROWS))


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


def whole_work(name: str) -> Callable[[], float]:
    """The same in a process of its own, which is never closed."""
    step, stack = whole_step(name)
    stack.pop_all()
    return step


def grows(prepare: Callable[[str], Callable[[], Any]], name: str) -> Callable[[], int]:
    """Bytes that some steps need above what is there before the first."""
    step = prepare(name)
    return lambda: grown(lambda: [step() for _ in range(STEPS)])


def memory_ratios() -> Iterator[Ratio]:
    """The peak of a fresh process over its first steps."""
    name, found = "efficientnet-lite0", {}
    for who, prepare in (("ours", whole_work), ("theirs", peers.whole_loop)):
        with peer(grows, prepare, name) as process:
            process()
            found[who] = process.result() / 2**30
    yield Ratio(
        work=f"peak memory, {peers.ROWS} pictures of {peers.SIZE} px a step", peer="torch loop", **found,
        unit="GiB", floor=1 / 1.1, target=1.0,
    )  # fmt: skip


def start_of(fit: Fit) -> float:
    """Seconds of the probe that its head starts from."""
    return timed(lambda: fit.probe)()


def start_ratios() -> Iterator[Ratio]:
    """An epoch of ``lp-ft`` beside the probe that its head starts from, on 300 real pictures."""
    X, codes = features.image()
    kept = np.concatenate([np.flatnonzero(codes == code)[:100] for code in range(3)])
    rows, folds = np.arange(len(kept)), np.arange(len(kept)) % 5
    inner = tuple((rows[folds != fold], rows[folds == fold]) for fold in range(5))
    roles = Roles(train=rows, test=rows[:0], inner=inner)
    noise = np.random.default_rng(0)
    images = [Image.fromarray(noise.integers(0, 256, (256, 256, 3), dtype=np.uint8)) for _ in kept]
    whole = load_backbone("efficientnet-lite0"), images, codes[kept], X[kept], roles
    settings = TrainSettings(start="probe", augment="crop", batch=peers.ROWS)
    step, stack = steps_of(fit_of(*whole), settings)
    steps = -(-len(rows) // peers.ROWS)
    with stack:
        best = take_turns({"ours": lambda: start_of(fit_of(*whole)), "peer": lambda: steps * step()})
    yield Ratio(
        work=f"start of lp-ft, {len(rows)} pictures of 224 px", peer="an epoch of it", ours=best["ours"],
        theirs=best["peer"], floor=100, target=200,
    )  # fmt: skip


GROUPS = [prefix_ratios, whole_ratios, memory_ratios, start_ratios]
"""Everything that `make bench-check` asserts."""


@pytest.mark.parametrize("name", list(NETWORKS))
def test_cached_step(benchmark: Any, name: str) -> None:
    benchmark.group = NETWORKS[name][0]
    benchmark.pedantic(cached_step(name), rounds=5, warmup_rounds=1)
