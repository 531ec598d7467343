"""Ctrl-C loses no step that was made, and never keeps half of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.finetuning.networks import Case, Cnn, assert_equal, weights_of
from tests.finetuning.test_loop import case_of
from tlengine.finetuning.checkpoints import NAME
from tlengine.finetuning.loop import Metrics, Training

NEVER = 1e9
"""Seconds between checkpoints: what is kept is kept by Ctrl-C."""


@contextmanager
def ctrl_c_in(place: str, at: int) -> Iterator[None]:
    """Ctrl-C when ``at`` steps were made: behind the pass of the next one, or amid its update."""
    made = [0]
    accumulate, update = Training._accumulate, torch.optim.AdamW.step

    def passed(self: Training, rows: Any, views: Any) -> float:
        loss = accumulate(self, rows, views)
        made[0] += 1
        if place == "pass" and made[0] > at:
            raise KeyboardInterrupt
        return loss

    def updated(self: torch.optim.AdamW, *given: Any) -> Any:
        if place == "update" and made[0] > at:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(7.0)
            raise KeyboardInterrupt
        return update(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_accumulate", passed)
        patch.setattr(torch.optim.AdamW, "step", updated)
        with pytest.raises(KeyboardInterrupt):
            yield


@contextmanager
def begun() -> Iterator[list[int]]:
    """The steps from which trainings go on."""
    steps: list[int] = []
    begin = Metrics.begin

    def told(self: Metrics, step: int) -> None:
        steps.append(step)
        begin(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Metrics, "begin", told)
        yield steps


@pytest.mark.parametrize(
    ("preset", "kind", "settings"),
    [
        ("finetune", "cnn", {}),
        ("scratch", "cnn", {}),  # each pass changes the statistics
        ("gradual", "vit", {}),
        ("last-block", "cnn", {}),
        ("finetune", "vit", {"precision": "fp16"}),
    ],
)
def test_a_training_goes_on_at_the_step_that_was_interrupted(
    preset: str, kind: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    given = {"steps": 8 if preset != "scratch" else 3, **settings}
    expected = Case.of(kind).train(preset, **given)
    with ctrl_c_in("pass", 5):
        Case.of(kind).train(preset, folder=tmp_path, checkpoint_seconds=NEVER, **given)
    with begun() as steps:
        found = Case.of(kind).train(preset, folder=tmp_path, **given)
    assert steps == [5]
    assert_equal(weights_of(found), weights_of(expected))
    assert found.outcome == expected.outcome
    assert found.facts.get("under_trained") == expected.facts.get("under_trained")
    (folder,) = tmp_path.iterdir()
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == len(expected.outcome.losses)


class Counting(Cnn):
    """Its output depends on how often it was called in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
        return super().forward(x) * (1.0 + 0.1 * self.calls)


def test_a_pass_that_was_in_vain_leaves_nothing_behind(tmp_path: Path) -> None:
    def train(**settings: Any) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return case_of(Counting()).train("finetune", steps=8, **settings)

    with ctrl_c_in("pass", 5):
        train(folder=tmp_path, checkpoint_seconds=NEVER)
    with begun() as steps:
        found = train(folder=tmp_path)
    assert steps == [5]
    assert_equal(weights_of(found), weights_of(train()))
    assert float(found.backbone.module.calls) == 8


@pytest.mark.parametrize("seconds", [0.0, NEVER])
def test_half_an_update_is_not_kept(seconds: float, tmp_path: Path) -> None:
    expected = weights_of(Case.of("cnn").train("finetune", steps=8))
    with ctrl_c_in("update", 5):
        Case.of("cnn").train("finetune", folder=tmp_path, steps=8, checkpoint_seconds=seconds)
    with begun() as steps:
        found = Case.of("cnn").train("finetune", folder=tmp_path, steps=8)
    assert steps == [5 if seconds == 0.0 else 0], "the last checkpoint stays"
    assert_equal(weights_of(found), expected)


def test_what_is_measured_on_the_way_is_whole_or_not_kept(tmp_path: Path) -> None:
    """Else a training from scratch would go on without the loss by which it is judged."""
    expected = Case.of("cnn").train("scratch")
    from tlengine.finetuning.session import Session

    def interrupted(self: Session) -> float:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Case.of("cnn").train("scratch", folder=tmp_path, checkpoint_seconds=NEVER)
    assert not list(tmp_path.glob(f"*/{NAME}"))
    found = Case.of("cnn").train("scratch", folder=tmp_path)
    assert found.facts["under_trained"] == expected.facts["under_trained"]
    assert_equal(weights_of(found), weights_of(expected))


def test_before_the_first_step_nothing_is_kept(tmp_path: Path) -> None:
    with ctrl_c_in("pass", 0):
        Case.of("cnn").train("finetune", folder=tmp_path, checkpoint_seconds=NEVER)
    assert not list(tmp_path.glob(f"*/{NAME}"))


def test_a_signal_in_the_middle_of_a_network(tmp_path: Path) -> None:
    class Signalled(Cnn):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                type(self).calls += 1
                if type(self).calls == 4:
                    signal.raise_signal(signal.SIGINT)
            return super().forward(x)

    def train(**settings: Any) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return case_of(Signalled()).train("finetune", steps=8, **settings)

    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, checkpoint_seconds=NEVER)
    with begun() as steps:
        found = train(folder=tmp_path)
    assert steps == [3]
    assert_equal(weights_of(found), weights_of(train()))
