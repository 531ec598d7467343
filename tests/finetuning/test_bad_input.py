"""What cannot be trained is refused in words, and before anything is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tlengine as tl
from tests.finetuning.networks import Case, backbone, roles_of, texts, view_of
from tests.finetuning.test_loop import case_of
from tlengine.errors import DecodeError, InputError, SingleClassError
from tlengine.finetuning import PRESETS, FineTuning, TrainSettings
from tlengine.finetuning.loop import Training
from tlengine.plugins.contracts import Roles

WRONG: dict[str, tuple[Any, ...]] = {
    "rate": ("1e-3", -1.0, 0, math.inf, -math.inf, math.nan, True, [1e-3], 10**400),
    "steps": ("10", -1, 0, 1.5, math.inf, math.nan, True),
    "batch": (0, -4, 2.0, False, "16"),
    "views": (0, -1, 1.0, True),
    "weight_decay": (-1e-9, math.inf, math.nan, "no", False),
    "layer_decay": (0.0, 1.1, math.nan),
    "warmup": (-0.1, 1.1, math.nan, True),
    "mix": (-0.1, 1.5, math.inf),
    "clip": (0, math.nan, math.inf),
    "lora_rank": (0, 1.5, True),
    "anchor_strength": (-1, math.inf, math.nan),
    "checkpoint_seconds": (-1.0, math.nan, math.inf),
    "stretch": (0, math.inf),
    "fraction": (-0.5, 2.0, math.nan),
    "tune": (1, "true", None),
    "train": ("everything", None, 1, ["all"]),
    "precision": ("float16", 32),
    "head": (3, None),
    "head_settings": (3, None, "hidden=4", ["hidden"], {1: 2}, {"hidden": (4,)}, {"dropout": math.nan}),
}


@pytest.mark.parametrize("name", WRONG)
def test_settings_of_a_wrong_kind_or_size_are_named(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(InputError, match=f"{name} is ") as raised:
            TrainSettings(**{name: value})
        assert raised.value.hint
        with pytest.raises(InputError):
            FineTuning("finetune", **{name: value})


def test_a_setting_or_preset_of_no_such_name() -> None:
    with pytest.raises(InputError, match="no setting 'learning_rate'"):
        FineTuning("finetune", learning_rate=1.0)
    with pytest.raises(InputError, match="no preset 'full'"):
        FineTuning("full")


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which a step is made."""

    def never(*_: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(Training, "_step", never)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("preset", ["last-block", "gradual", "surgical", "lora"])
def test_what_a_backbone_does_not_tell_is_missed_before_anything_is_trained(preset: str) -> None:
    case = Case.of("cnn", blocks=(), lora_targets=())
    with pytest.raises(InputError, match="does not tell") as raised:
        case.train(preset)
    assert "BackboneSpec" in str(raised.value.hint)


@pytest.mark.parametrize("preset", ["finetune", "lp-ft", "bitfit", "l2-sp", "wise"])
def test_the_other_presets_need_no_blocks(preset: str) -> None:
    assert Case.of("cnn", blocks=(), lora_targets=()).train(preset, steps=1).outcome.finished


@pytest.mark.usefixtures("untrained")
def test_adapters_beside_what_takes_none() -> None:
    pytest.importorskip("peft")
    with pytest.raises(InputError, match="takes no adapters beside norm"):
        Case.of("cnn", lora_targets=("norm",)).train("lora")


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("preset", PRESETS)
def test_rows_of_one_class(preset: str) -> None:
    case = Case.of("cnn")
    roles = Roles(train=np.arange(0, 18, 3), test=case.roles.test)
    view = view_of(case.backbone, roles, np.arange(24) % 3)
    with pytest.raises(SingleClassError, match="all 6 training rows are of one class"):
        FineTuning(preset).fit(view, roles, seed=0)


@pytest.mark.parametrize("preset", ["finetune", "lp-ft", "last-block", "scratch", "surgical"])
@pytest.mark.parametrize("train", [2, 3])
def test_one_label_of_each_class(preset: str, train: int) -> None:
    """Nothing can be held out; the third class of the run is not among two labels."""
    case = Case.of("cnn", train=train, folds=0)
    fitted = FineTuning(preset, steps=2, augment="auto").fit(case.view, case.roles, seed=0)
    scores = fitted.scores(case.view, case.roles.test)
    assert scores.shape == (24 - train, 3)
    assert (np.isfinite(scores) == (np.arange(3) < train)).all()
    assert fitted.scores(case.view, np.zeros(0, dtype=np.intp)).shape == (0, 3)


def test_a_batch_beyond_all_rows_is_all_rows() -> None:
    trained = Case.of("cnn").train("finetune", batch=1000)
    assert trained.recipe.batch == 18


@pytest.mark.usefixtures("untrained")
def test_batch_normalisation_cannot_learn_from_single_rows() -> None:
    with pytest.raises(InputError, match="batch is 1"):
        Case.of("cnn").train("scratch", batch=1)


def test_networks_without_batch_normalisation_can() -> None:
    assert Case.of("vit").train("scratch", batch=1, steps=1).outcome.finished


@pytest.mark.parametrize("name", PRESETS)
def test_features_have_nothing_to_fine_tune(name: str) -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    role = {"controls": [name]} if PRESETS[name].role == "control" else {"strategies": [name]}
    with pytest.raises(InputError, match="features"):
        tl.compare((X, y), **role, budgets=[4], seeds=1, progress=False)


def test_a_picture_that_vanished_after_the_extraction_is_named(tmp_path: Path) -> None:
    codes, paths = np.arange(24) % 3, []
    for i in range(24):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(
            paths[-1]
        )
    case = Case.of("cnn")
    object.__setattr__(case.view._ground, "contents", paths)
    case.train("finetune")
    paths[4].unlink()
    with pytest.raises(DecodeError, match=r"4\.png"):
        case.train("finetune")
    assert codes[4] == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2)])
@pytest.mark.parametrize("grey", [True, False])
def test_grey_and_tiny_pictures(size: tuple[int, int], grey: bool) -> None:
    rng = np.random.default_rng(0)
    shape = size if grey else (*size, 3)
    case = Case.of("cnn")
    contents = [rng.integers(0, 255, shape, dtype=np.uint8) for _ in range(24)]
    object.__setattr__(case.view._ground, "contents", contents)
    assert case.train("finetune", augment="crop-flip", steps=2).outcome.finished


def test_texts_of_one_word_and_of_none() -> None:
    codes = np.arange(24) % 2
    contents = texts(codes)
    contents[0], contents[5], contents[20] = "", "w1", "   "
    bb, roles = backbone("bert"), roles_of(18, 24)
    view = view_of(bb, roles, codes, contents)
    for preset in ("finetune", "last-block", "scratch"):
        fitted = FineTuning(preset, steps=3, batch=1).fit(view, roles, seed=0)
        assert np.isfinite(fitted.scores(view, roles.test)).all()


def test_a_backbone_for_any_kind_of_data_takes_pictures() -> None:
    from tests.finetuning.networks import Cnn
    from tlengine.features import Backbone, ImagePreprocess

    case = case_of(Cnn())
    bb = Backbone(
        Cnn().eval(), preprocess=ImagePreprocess(resize=16, crop=16), modality="any", name="any",
        embedding_dim={"image": 8, "text": 4},
    )  # fmt: skip
    object.__setattr__(case.view._view, "loaded", bb.for_modality("image"))
    assert case.train("finetune", augment="auto").outcome.finished


def test_a_rate_at_which_no_training_from_scratch_ends_is_named() -> None:
    case = case_of(Cnn_that_breaks())
    with pytest.raises(InputError, match=r"no rate of 0\.0003, 0\.001, 0\.003 trains to a finite loss"):
        FineTuning("scratch", steps=4, augment="none").fit(case.view, case.roles, seed=0)


def Cnn_that_breaks() -> Any:  # noqa: N802 - a class by its use
    import torch

    from tests.finetuning.networks import Cnn

    class Breaks(Cnn):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                self.calls += 1
            return super().forward(x) * (torch.nan if self.calls > 3 else 1.0)

    return Breaks()
