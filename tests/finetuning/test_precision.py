"""By autocast a frozen part that is computed once is that which is computed in every step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.finetuning.networks import Case as Fitted
from tests.finetuning.plain_loop import called
from tests.finetuning.test_prefix import Case, cnn, encoder, vit
from tlengine.features import EmbeddingCache
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.precision import computing
from tlengine.finetuning.prefix import PrefixStore
from tlengine.finetuning.session import Session
from tlengine.finetuning.settings import TrainSettings

SMALL = [cnn, vit, encoder]
ROWS = list(range(8))


def cut_of(case: Case, precision: str) -> Cut:
    cut = Cut(case.backbone.module, case.backbone.blocks, case.first)
    with computing(precision, "cpu", cached=False):
        cut.check(case.batch(ROWS[:2], [case.views[0]] * 2))
    return cut


def block_input(module: nn.Module, entry: str, run: Callable[[], Any]) -> torch.Tensor:
    """What a submodule is called with while the network is run as a whole."""
    seen: list[torch.Tensor] = []
    hook = module.get_submodule(entry).register_forward_pre_hook(
        lambda _, args, words: seen.append(words.get("x", args[0] if args else None)), with_kwargs=True
    )
    run()
    hook.remove()
    return seen[0].detach()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("make", SMALL)
def test_what_is_kept_is_what_the_block_gets_in_training(make: Callable[[], Case], precision: str) -> None:
    case = make()
    cut, views = cut_of(case, precision), [case.views[0]] * len(ROWS)
    hidden, lengths = case.store(cut, precision=precision).hidden(ROWS, views)
    whole = copy.deepcopy(case.backbone.module).requires_grad_(False)
    batch = case.batch(ROWS, views)
    with computing(precision, "cpu"):
        expected = block_input(whole, cut.entry, lambda: called(whole, batch))
    assert hidden.dtype == expected.dtype
    for i in range(len(ROWS)):
        length = None if lengths is None else int(lengths[i])
        one, other = hidden[i, :length].float(), expected[i, :length].float()
        assert float((one - other).abs().max()) <= (1e-6 if lengths is None else 2e-2) * float(
            other.abs().max()
        )
    with torch.no_grad(), computing(precision, "cpu"):
        loss, plain = cut.suffix(hidden.clone(), lengths).float().sum(), called(whole, batch).float().sum()
    assert float(loss) == pytest.approx(float(plain), rel=1e-6 if lengths is None else 1e-2)


def test_rows_of_another_precision_are_not_taken(tmp_path: Path) -> None:
    case = cnn()
    views = [case.views[0]] * len(ROWS)
    with EmbeddingCache(tmp_path) as cache:
        stores: list[PrefixStore] = []
        for precision in ("float32", "bf16", "bf16"):
            stores.append(case.store(cut_of(case, precision), cache=cache, precision=precision))
            stores[-1].hidden(ROWS, views)
        assert [store.read for store in stores] == [0, 0, len(ROWS)]


@pytest.mark.parametrize("kind", ["cnn", "vit", "bert"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_trainings_with_and_without_what_is_kept_agree(kind: str, precision: str) -> None:
    losses, inputs = [], []
    for prefix in ("auto", "never"):
        case = Fitted.of(kind, drop=0.0)
        fit = Fit(view=case.view, roles=case.roles, seed=0)
        given: dict[str, Any] = {"precision": precision, "prefix": prefix, "steps": 8, "batch": 6}
        settings = TrainSettings(train="last-block", augment="none", **given)
        session = Session(fit, settings)
        assert (session.frozen is None) == (prefix == "never")
        training = session.training(None, lambda step, loss: None)
        with session.frozen_statistics():
            session.modes(0)
            if kind == "cnn":
                norms = session.backbone.module.norm, session.backbone.module.two.norm
                assert ["forward" in vars(one) for one in norms] == [False, True], "what is folded"
            entry = {"cnn": "two", "vit": "layers.1", "bert": "encoder.encoder.layer.1"}[kind]
            at: list[float] = []
            inputs.append(
                block_input(
                    session.backbone.module, entry, lambda now=training, at=at: at.append(now._gradients(0))
                )
            )
            losses += at
    assert losses[0] == pytest.approx(losses[1], rel=1e-2 if precision == "bf16" else 1e-6)
    assert inputs[0].dtype == inputs[1].dtype
    one, other = (each.float() for each in inputs)
    if kind != "bert":  # whose rows are padded otherwise
        limit = 2.0**-7 if precision == "bf16" else 1e-6  # a number may be rounded the other way
        assert float((one - other).abs().max()) <= limit * float(other.abs().max())
