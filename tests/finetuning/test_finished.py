"""A fit of several trainings that is cut off trains the rest alone, to the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.finetuning.networks import CHEAP, Case, assert_equal, weights_of
from tlengine.finetuning import FineTuning
from tlengine.finetuning.finished import NAME
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.loop import Training
from tlengine.finetuning.strategy import FineTuned


class Killed(BaseException):
    """As sudden as SIGKILL: nothing of ours catches it."""


@contextmanager
def trainings(stop: int | None = None) -> Iterator[list[float]]:
    """The rates that are trained meanwhile; the ``stop``-th training is killed in its second step."""
    ran: list[float] = []
    whole, step = Training.run, Training._step

    def run(self: Training) -> Any:
        ran.append(self.recipe.rate)
        return whole(self)

    def made(self: Training, number: int) -> float | None:
        if len(ran) == stop and number == 1:
            raise Killed
        return step(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "run", run)
        patch.setattr(Training, "_step", made)
        yield ran


def fitted(preset: str, folder: Path | None, kind: str = "cnn", **settings: Any) -> tuple[FineTuned, Any]:
    """The fit of a strategy, and its scores."""
    case = Case.of(kind)
    found = FineTuning(preset, **{**CHEAP, **settings}).fit(case.view, case.roles, seed=0, folder=folder)
    assert isinstance(found, FineTuned)
    return found, found.scores(case.view, case.roles.test)


def assert_same(one: tuple[FineTuned, Any], other: tuple[FineTuned, Any]) -> None:
    assert_equal(weights_of(one[0].trained), weights_of(other[0].trained))
    assert np.array_equal(one[1], other[1])
    told = [{name: fact for name, fact in each[0].facts.items() if name != "stages"} for each in (one, other)]
    assert told[0] == told[1]
    assert (one[0].chosen, one[0].converged, one[0].flops) == (
        other[0].chosen,
        other[0].converged,
        other[0].flops,
    )


@pytest.mark.parametrize("stop", [2, 3])
def test_scratch_trains_only_the_rates_that_were_not_finished(stop: int, tmp_path: Path) -> None:
    with trainings() as rates:
        expected = fitted("scratch", None)
    with trainings(stop), pytest.raises(Killed):
        fitted("scratch", tmp_path)
    assert len(list(tmp_path.glob(f"*/{NAME}"))) == stop - 1
    with trainings() as ran:
        found = fitted("scratch", tmp_path)
    assert ran == rates[stop - 1 :]
    assert_same(found, expected)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"metrics.jsonl"}, "no weights stay behind"


@pytest.mark.parametrize("stop", [5, 10])
def test_tuning_trains_only_what_was_not_finished(stop: int, tmp_path: Path) -> None:
    """Three rates by three folds, and the rate that was chosen."""
    with trainings() as rates:
        expected = fitted("lp-ft", None, "vit", tune=True)
    assert len(rates) == 10
    with trainings(stop), pytest.raises(Killed):
        fitted("lp-ft", tmp_path, "vit", tune=True)
    with trainings() as ran:
        found = fitted("lp-ft", tmp_path, "vit", tune=True)
    assert ran == rates[stop - 1 :]
    assert_same(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == [f"rate-{found[0].chosen['rate']:g}"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("preset", "kind"),
    [("scratch", "cnn"), ("finetune", "vit"), ("last-block", "cnn"), ("wise", "cnn"), ("bitfit", "bert")],
)
def test_what_is_taken_up_is_what_was_trained(preset: str, kind: str, tmp_path: Path) -> None:
    """Buffers that were learned, averaged weights and frozen parts as well."""
    case = Case.of(kind)
    settings = FineTuning(preset, **CHEAP).train_settings

    def trained() -> tuple[FineTuned, Any]:
        fit = Fit(view=case.view, roles=case.roles, seed=0, folder=tmp_path)
        found = FineTuned(fit.train(settings, keep=True), fit, [])
        return found, found.scores(case.view, case.roles.test)

    first = trained()
    with trainings() as ran:
        second = trained()
    assert ran == []
    assert_same(second, first)
    assert second[0].trained.outcome == first[0].trained.outcome
    assert not any(one.requires_grad for one in second[0].trained.network.parameters())


@pytest.mark.parametrize("other", ["seed", "setting", "damage"])
def test_what_another_training_left_is_not_taken_up(other: str, tmp_path: Path) -> None:
    case = Case.of("cnn")
    settings = FineTuning("finetune", **{**CHEAP, "rate": 1e-3}).train_settings
    Fit(view=case.view, roles=case.roles, seed=0, folder=tmp_path).train(settings, keep=True)
    if other == "damage":
        (path,) = tmp_path.glob(f"*/{NAME}")
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    seed = 1 if other == "seed" else 0
    given = settings.with_settings({"weight_decay": 0.5}) if other == "setting" else settings
    with trainings() as ran:
        Fit(view=case.view, roles=case.roles, seed=seed, folder=tmp_path).train(given, keep=True)
    assert ran == [1e-3]


def test_one_training_alone_keeps_nothing(tmp_path: Path) -> None:
    fitted("finetune", tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["metrics.jsonl"]
