"""What can go wrong within a training costs a note, not the training, and never a wrong result."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.finetuning.networks import SIZE, Case, Cnn, Vit, assert_equal, weights_of
from tests.requirements import require_root, require_tools
from tlengine.errors import BackboneError, PluginError, ResourceError, TlengineWarning
from tlengine.features import Backbone, ImagePreprocess
from tlengine.finetuning.checkpoints import NAME, Checkpoints
from tlengine.finetuning.judging import rows_of

MOST = [10**9]
"""Rows that a ``Narrow`` network takes at a time."""


class Narrow(nn.Module):
    """A network that can take no more than some rows at a time."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > MOST[0]:
            raise torch.OutOfMemoryError(f"out of memory: {len(x)} rows")
        return self.inner(x)


@pytest.fixture
def most(request: pytest.FixtureRequest) -> Iterator[list[int]]:
    yield MOST
    MOST[0] = 10**9


def case_of(module: nn.Module, **facts: Any) -> Case:
    """The small data on a network of one's own."""
    case = Case.of("cnn")
    bb = Backbone(
        module.eval().requires_grad_(False), preprocess=ImagePreprocess(resize=SIZE, crop=SIZE),
        modality="image", name="own", embedding_dim=8, **facts,
    )  # fmt: skip
    object.__setattr__(case.view._view, "loaded", bb)
    return Case(bb, case.view, case.roles)


NARROW_BLOCKS = (("inner.stem", "inner.norm"), ("inner.one",), ("inner.two", "inner.last"))


def narrow(network: type[nn.Module] = Cnn) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Narrow(network(0.0))


@pytest.mark.parametrize("preset", ["finetune", "surgical"])
def test_short_memory_costs_smaller_parts_of_a_step_and_no_accuracy(preset: str, most: list[int]) -> None:
    whole = case_of(narrow(), blocks=NARROW_BLOCKS).train(preset, batch=16)
    scores, _ = rows_of(whole.network, whole.inputs, np.arange(24))
    most[0] = 4
    parts = case_of(narrow(), blocks=NARROW_BLOCKS).train(preset, batch=16)
    assert (whole.outcome.micro, parts.outcome.micro) == (16, 4)
    assert whole.facts["notes"] == []
    *frozen, note = parts.facts["notes"]
    assert note == "memory was short: 4 rows were computed at a time, 16 still a step"
    assert len(frozen) == (preset == "surgical")
    assert all("frozen blocks" in one for one in frozen)
    assert parts.outcome.losses == pytest.approx(whole.outcome.losses, abs=1e-6)
    for name, one in weights_of(parts).items():
        assert torch.allclose(one, weights_of(whole)[name], atol=1e-6), name
    again, _ = rows_of(parts.network, parts.inputs, np.arange(24))
    assert np.abs(again - scores).max() < 1e-5


def test_short_memory_of_a_network_that_learns_statistics(most: list[int]) -> None:
    """Batch normalisation cannot do with one row: no part may have a single one."""
    most[0] = 4
    found = case_of(narrow()).train("scratch", batch=7)
    assert found.outcome.micro == 4
    most[0] = 1
    with pytest.raises(ResourceError, match="no memory on cpu to train on 2 rows"):
        case_of(narrow()).train("scratch", batch=7)


def test_one_row_that_is_too_large_is_an_error(most: list[int]) -> None:
    most[0] = 0
    with pytest.raises(ResourceError, match="no memory on cpu to train on a single row") as raised:
        case_of(narrow()).train("finetune")
    assert "last-block" in str(raised.value)


@pytest.mark.parametrize(
    "error", [MemoryError(), np._core._exceptions._ArrayMemoryError((9,), np.dtype("f4"))]
)
def test_memory_that_is_short_while_rows_are_prepared(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case.of("cnn")
    from tlengine.finetuning.inputs import Inputs

    collate = Inputs.collate

    def short(self: Inputs, samples: list[Any]) -> Any:
        if len(samples) > 3:
            raise error
        return collate(self, samples)

    monkeypatch.setattr(Inputs, "collate", short)
    assert case.train("finetune").outcome.micro == 3


def test_memory_that_is_short_for_the_optimiser_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", short)
    with pytest.raises(ResourceError, match="moments"):
        Case.of("cnn").train("finetune")


def test_other_errors_of_a_network_are_not_taken_for_short_memory() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Parameter(torch.zeros(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        case_of(Broken()).train("finetune")


class Steep(nn.Module):
    """A network whose loss is NaN once one of its weights is beyond 0.7."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x.mean(dim=(2, 3)).repeat(1, 3)[:, :8] + self.own
        return torch.where(self.own.abs() > 0.7, torch.nan, out)


@pytest.mark.parametrize(("steps", "rate"), [(10, 0.4), (30, 0.2)])
def test_a_loss_that_is_nan_ends_the_training_at_the_last_good_state(steps: int, rate: float) -> None:
    trained = case_of(Steep()).train("finetune", rate=rate, steps=steps, warmup=0.0, layer_decay=1.0)
    assert not trained.outcome.finished
    assert 0 < trained.outcome.steps == len(trained.outcome.losses) < steps
    assert f"the weights after step {trained.outcome.steps} are kept" in trained.facts["notes"][0]
    assert np.isfinite(rows_of(trained.network, trained.inputs, np.arange(24))[0]).all()
    assert np.isfinite(trained.loss)
    shorter = case_of(Steep()).train("finetune", rate=rate, steps=steps, warmup=0.0, layer_decay=1.0)
    assert_equal(weights_of(trained), weights_of(shorter))


def test_a_last_step_that_leaves_no_numbers_is_noticed() -> None:
    """Nobody sees the loss after it."""
    with pytest.MonkeyPatch.context() as patch:
        from tlengine.finetuning.loop import Training

        pull = Training._pull

        def broken(self: Training, step: int) -> None:
            pull(self, step)
            if step == self.recipe.steps - 1:
                with torch.no_grad():
                    self.groups[0].parameters[0].fill_(torch.inf)

        patch.setattr(Training, "_pull", broken)
        trained = Case.of("cnn").train("finetune")
    assert not trained.outcome.finished
    assert all(bool(torch.isfinite(one).all()) for one in trained.network.parameters())


def test_the_fitted_strategy_says_that_it_did_not_converge() -> None:
    from tlengine.finetuning import FineTuning

    case = case_of(Steep())
    given = {"rate": 0.2, "steps": 20, "augment": "none", "warmup": 0.0, "layer_decay": 1.0}
    fitted = FineTuning("finetune", **given).fit(case.view, case.roles, seed=0)
    assert fitted.converged is False
    assert np.isfinite(fitted.scores(case.view, case.roles.test)).all()


def test_a_network_of_nan_is_named_before_anything_is_trained() -> None:
    class Nan(Steep):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * torch.nan

    with pytest.raises(BackboneError, match="the loss is nan before anything was trained"):
        case_of(Nan()).train("finetune")


def interrupted(case: Case, folder: Path, at: int, kind: type[BaseException], **settings: Any) -> None:
    """Train until a step, and raise there, in the middle of its forward pass."""
    from tlengine.finetuning.loop import Training

    whole = Training._accumulate

    def stop(self: Training, rows: Any, views: Any) -> float:
        self.steps_seen = getattr(self, "steps_seen", 0) + 1
        if self.steps_seen > at:
            raise kind
        return whole(self, rows, views)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_accumulate", stop)
        with pytest.raises(kind):
            case.train("finetune", folder=folder, checkpoint_seconds=0.0, **settings)


def test_after_ctrl_c_a_training_goes_on_where_it_was(tmp_path: Path) -> None:
    expected = weights_of(Case.of("cnn").train("finetune", steps=8))
    interrupted(Case.of("cnn"), tmp_path, 5, KeyboardInterrupt, steps=8)
    (folder,) = tmp_path.iterdir()
    assert (folder / NAME).is_file()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "split": "tr')
    trained = Case.of("cnn").train("finetune", steps=8, folder=tmp_path)
    assert_equal(weights_of(trained), expected)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not (folder / NAME).exists()


@pytest.mark.parametrize("kind", ["vit", "cnn"])
def test_a_training_in_half_precision_goes_on_with_its_scale(kind: str, tmp_path: Path) -> None:
    settings = {"steps": 8, "precision": "fp16"}
    expected = weights_of(Case.of(kind).train("finetune", **settings))
    interrupted(Case.of(kind), tmp_path, 5, KeyboardInterrupt, **settings)
    assert_equal(weights_of(Case.of(kind).train("finetune", folder=tmp_path, **settings)), expected)


def test_a_loss_that_becomes_nan_after_a_resume_falls_back_to_the_same_weights(tmp_path: Path) -> None:
    settings = {"rate": 0.2, "steps": 30, "warmup": 0.0, "layer_decay": 1.0}
    expected = case_of(Steep()).train("finetune", **settings)
    interrupted(case_of(Steep()), tmp_path, expected.outcome.steps + 1, KeyboardInterrupt, **settings)
    found = case_of(Steep()).train("finetune", folder=tmp_path, **settings)
    assert found.facts["notes"] == expected.facts["notes"]
    assert found.outcome.steps == expected.outcome.steps
    assert_equal(weights_of(found), weights_of(expected))


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif how == "zeroed":
        path.write_bytes(bytes(len(data)))
    elif how == "no numbers":  # a power cut: the header is there, the pages are not
        start = 8 + int.from_bytes(data[:8], "little")
        path.write_bytes(bytes(data[:start]) + bytes(len(data) - start))
    elif how == "one bit":
        data[-5] ^= 1
        path.write_bytes(data)
    elif how == "foreign":
        path.write_bytes(b"PK\x03\x04 a zip of pickles")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["torn", "zeroed", "no numbers", "one bit", "foreign", "empty", "folder"])
def test_a_damaged_checkpoint_is_left_out(how: str, tmp_path: Path) -> None:
    expected = weights_of(Case.of("cnn").train("finetune", steps=4))
    interrupted(Case.of("cnn"), tmp_path, 3, KeyboardInterrupt, steps=4)
    (folder,) = tmp_path.iterdir()
    damage(folder / NAME, how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        trained = Case.of("cnn").train("finetune", steps=4, folder=tmp_path)
    assert_equal(weights_of(trained), expected)


OTHERS = {
    "settings": ("cnn", {"weight_decay": 0.5}, 0),
    "seed": ("cnn", {}, 1),
    "model": ("vit", {}, 0),
    "weights": ("cnn", {}, 0),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_training_is_left_alone(other: str, tmp_path: Path) -> None:
    kind, settings, seed = OTHERS[other]
    facts = {"seed": 5} if other == "weights" else {}
    given = {"steps": 4, "rate": 1e-3, **settings}
    expected = weights_of(Case.of(kind, **facts).train("finetune", seed=seed, **given))
    interrupted(Case.of("cnn"), tmp_path, 3, KeyboardInterrupt, steps=4, rate=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["rate-0.001"]
    trained = Case.of(kind, **facts).train("finetune", seed=seed, folder=tmp_path, **given)
    assert_equal(weights_of(trained), expected)


def test_the_inner_folds_of_a_probe_belong_to_what_a_checkpoint_is_for(tmp_path: Path) -> None:
    """They decide its penalty, and with it where a training starts."""
    from tlengine.finetuning.loop import Training

    ends = []
    for folds in (0, 3):
        case = Case.of("vit", folds=folds)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "run", lambda self: ends.append(self.checkpoints._identity))
            with pytest.raises(AttributeError):
                case.train("lp-ft")
    assert ends[0] != ends[1]


def test_tied_buffers_can_be_kept(tmp_path: Path) -> None:
    class Tied(Vit):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.arange(6.0))
            self.register_buffer("part", self.table[2:4])

    checkpoints = Checkpoints(tmp_path, "id", 0.0)
    from tlengine.finetuning.checkpoints import Saved, state_of

    network = Tied()
    tensors = state_of(network, torch.optim.AdamW(network.parameters()))
    assert checkpoints.save(Saved(step=1, tensors=tensors, facts={}))
    loaded = checkpoints.load()
    assert loaded is not None
    assert_equal(dict(sorted(loaded.tensors.items())), dict(sorted(tensors.items())))


def test_a_preprocessing_that_fails_is_named() -> None:
    case = Case.of("cnn")

    class Fails(ImagePreprocess):
        def pixels(self, image: Any) -> Any:
            raise KeyError("no such colour")

    bb = Backbone(
        Cnn().eval(), preprocess=Fails(resize=16, crop=16), modality="image", name="own", embedding_dim=8
    )
    object.__setattr__(case.view._view, "loaded", bb)
    with pytest.raises((BackboneError, PluginError), match="cannot preprocess a sample: KeyError"):
        case.train("finetune")


def test_a_convolution_whose_weight_is_computed_is_trained() -> None:
    class Spectral(Cnn):
        def __init__(self) -> None:
            super().__init__(0.0)
            self.stem = nn.utils.parametrizations.spectral_norm(self.stem)

    assert case_of(Spectral()).train("finetune").outcome.finished


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    require_root()
    require_tools("mount")
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(point)], check=True)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def test_a_full_disk_costs_the_checkpoint_not_the_training(small_disk: Path) -> None:
    expected = weights_of(Case.of("cnn").train("finetune", steps=3))
    with pytest.warns(TlengineWarning, match="No space left on device.*the training goes on"):
        trained = Case.of("cnn").train("finetune", steps=3, folder=small_disk, checkpoint_seconds=0.0)
    assert_equal(weights_of(trained), expected)
    (folder,) = small_disk.iterdir()
    assert {path.name for path in folder.iterdir()} <= {"metrics.jsonl"}
