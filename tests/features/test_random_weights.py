"""Untrained copies of backbones: what is drawn, what is left alone, and that it can be repeated."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tlengine as tl
from tests.features.networks import PREPROCESS
from tlengine.errors import BackboneError, DecodeError, InputError
from tlengine.features import Backbone, ImagePreprocess, random_backbone
from tlengine.features.extraction import extract


class Patches(nn.Module):
    """A small transformer of patches, (n, 3, 16, 16) to (n, 8), with parameters that no module resets."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.cls_token = nn.Parameter(torch.ones(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.ones(1, 17, 8))
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
        self.gamma = nn.Parameter(torch.full((8,), 7.0))
        self.out_bias = nn.Parameter(torch.full((8,), 7.0))
        self.mix = nn.Parameter(torch.full((8, 8), 7.0))
        self.register_buffer("table", torch.arange(8.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.pos_embed
        out: torch.Tensor = self.attention(tokens, tokens, tokens)[0][:, 0] @ self.mix
        return out * self.gamma + self.out_bias + self.get_buffer("table")


def normalised() -> nn.Module:
    """Convolution, batch normalisation and dropout: (n, 3, 16, 16) to (n, 4)."""
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), *layers, nn.Flatten())


def trained(module: nn.Module, **options: Any) -> Backbone:
    """A backbone whose weights and statistics are those of no fresh network."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor += 3.0
    return Backbone(module, preprocess=PREPROCESS, modality="image", name="mine", **options)


def pictures(n: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 200, (20, 20, 3), dtype=np.uint8)) for _ in range(n)]


@pytest.mark.parametrize("network", [Patches, normalised])
def test_the_original_and_the_generators_are_left_alone(network: Callable[[], nn.Module]) -> None:
    bb = trained(network())
    before, mode = bb.fingerprint, bb.module.training
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    other = random_backbone(bb, seed=3, contents=pictures(4))
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # type: ignore[index]
    assert (bb.fingerprint, bb.module.training, bb.name) == (before, mode, "mine")
    assert all(parameter.requires_grad for parameter in bb.module.parameters())
    assert not other.module.training
    assert not any(parameter.requires_grad for parameter in other.module.parameters())
    assert other.fingerprints().structure == bb.fingerprints().structure, "momentum and settings are kept"
    theirs = dict(bb.module.named_parameters())
    assert not [name for name, one in other.module.named_parameters() if torch.equal(one, theirs[name])]


def test_seeds_names_and_fingerprints() -> None:
    bb = trained(Patches())
    found = [random_backbone(bb, seed=seed) for seed in (0, 0, 1)]
    assert [one.name for one in found] == ["mine~random", "mine~random", "mine~random1"]
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    assert random_backbone(trained(Patches())).fingerprint == found[0].fingerprint, "nothing trained is left"
    for seed in (-1, 1.0, True):
        with pytest.raises(InputError, match="seed is"):
            random_backbone(bb, seed=seed)  # type: ignore[arg-type]


def test_each_parameter_is_drawn_by_its_rule() -> None:
    drawn = dict(random_backbone(trained(Patches()), seed=1).module.named_parameters())
    for name in ("cls_token", "pos_embed"):
        assert 0 < drawn[name].abs().max() <= 0.04
    assert drawn["pos_embed"].std() == pytest.approx(0.02, abs=0.005)
    assert drawn["gamma"].tolist() == [1] * 8
    assert drawn["out_bias"].tolist() == [0] * 8
    assert 0.1 < drawn["mix"].abs().max() <= 8**-0.5, "as nn.Linear: uniform within 1 / sqrt(inputs)"
    assert drawn["attention.in_proj_weight"].abs().max() > 8**-0.5, "Xavier: within sqrt(6 / 32) = 0.43"
    assert drawn["attention.out_proj.bias"].tolist() == [0] * 8, "the outer module's reset has the last word"


def test_buffers_stay_but_for_the_statistics_of_frozen_normalisation() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("weight", "bias", "running_mean", "running_var", "table"):
                self.register_buffer(name, torch.full((3,), 5.0))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3)) * self.get_buffer("weight")

    frozen = dict(random_backbone(trained(Frozen())).module.named_buffers())
    found = {name: tensor[0].item() for name, tensor in frozen.items()}
    assert found == {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "table": 8}


class Odd(nn.Module):
    """Holds ``parameter`` under ``name``."""

    def __init__(self, name: str, parameter: nn.Parameter) -> None:
        super().__init__()
        self.register_parameter(name, parameter)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


class Packed(nn.Flatten):
    """Keeps what it has learned beside parameters and buffers."""

    def get_extra_state(self) -> dict[str, int]:
        return {"learned": 3}

    def set_extra_state(self, state: object) -> None:
        pass


class Failing(nn.Linear):
    """Can be built, not reset."""

    ready = False

    def reset_parameters(self) -> None:
        if self.ready:
            raise ValueError("only once")


def _failing() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), Failing(3 * 16 * 16, 2))
    module[1].ready = True  # type: ignore[assignment]
    return module


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: Odd("temperature", nn.Parameter(torch.ones(3))),
            "no rule for untrained values of temperature",
        ),
        (lambda: Odd("logits", nn.Parameter(torch.ones(()))), "no rule for untrained values of logits"),
        (
            lambda: Odd("codes", nn.Parameter(torch.ones(3).long(), requires_grad=False)),
            "no real numbers: codes",
        ),
        (Packed, "no real numbers: _extra_state"),
        (_failing, r"cannot be reset: 1\.reset_parameters\(\) raised ValueError: only once"),
    ],
    ids=["vector", "number", "whole", "packed", "failing"],
)
def test_what_cannot_be_drawn_is_named(network: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        random_backbone(Backbone(network(), preprocess=PREPROCESS, modality="image", name="odd"))
    assert caught.value.hint


def test_statistics_are_those_of_the_contents() -> None:
    images = pictures(30)
    other = random_backbone(trained(normalised()), contents=[*images, images[0]])
    X = np.stack([PREPROCESS(image) for image in images])
    first: Any = other.module[0]  # type: ignore[index]
    assert first.running_mean.numpy() == pytest.approx(X.mean(axis=(0, 2, 3)), rel=1e-4)
    assert first.running_var.numpy() == pytest.approx(X.var(axis=(0, 2, 3), ddof=1), rel=1e-3)
    assert first.momentum == 0.3
    rows = extract(tl.load_dataset(images), other, cache=None, progress=False).X
    assert 0 < rows.std() < 3


def test_statistics_are_averages_over_batches_of_the_same_contents_in_any_order() -> None:
    images = pictures(300)
    bb = trained(normalised())
    other = random_backbone(bb, contents=images)
    assert other.fingerprint == random_backbone(bb, contents=images[::-1]).fingerprint
    assert other.fingerprint != random_backbone(bb, contents=images[:200]).fingerprint
    assert other.module[0].num_batches_tracked == 4, "256 of them, 64 at a time"  # type: ignore[index]


def test_without_contents_statistics_are_those_of_a_fresh_network() -> None:
    first: Any = random_backbone(trained(normalised())).module[0]  # type: ignore[index]
    assert first.running_mean.tolist() == [0] * 3
    assert first.running_var.tolist() == [1] * 3


def test_contents_that_cannot_be_used(tmp_path: Path) -> None:
    bb = trained(normalised())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DecodeError, match="fewer than two contents"):
        random_backbone(bb, contents=[tmp_path / "broken.png", pictures(1)[0]])
    with pytest.raises(InputError, match="takes image, the contents are text"):
        random_backbone(bb, contents=tl.load_dataset(["a film", "a book"]))
    with pytest.raises(InputError, match="features have no contents"):
        random_backbone(bb, contents=tl.load_dataset((np.eye(3, dtype=np.float32), [0, 1, 1])))


def test_statistics_that_are_not_finite_are_the_networks_fault() -> None:
    class Exploding(nn.Flatten):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images)[:, :3] * torch.inf

    bb = Backbone(
        nn.Sequential(Exploding(), nn.BatchNorm1d(3)), preprocess=PREPROCESS, modality="image", name="x"
    )
    with pytest.raises(BackboneError, match="not finite on untrained weights"):
        random_backbone(bb, contents=pictures(3))


def test_a_network_without_normalisation_reads_no_content() -> None:
    class Closed(list[Any]):
        def __getitem__(self, _: Any) -> Any:
            raise AssertionError("read")

    assert random_backbone(trained(Patches()), contents=Closed([1, 2])).module is not None


AGAIN = """
import tests.features.test_random_weights as t
print(t.random_backbone(t.trained(t.normalised()), contents=t.pictures(70)).fingerprint)
"""


def test_other_processes_and_thread_counts_give_the_same_bytes() -> None:
    import tlengine

    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(tlengine.__file__).parents[1])])
    found = set()
    for threads in ("1", "2"):
        env = {**os.environ, "PYTHONPATH": path, "TLENGINE_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        done = subprocess.run(
            [sys.executable, "-c", AGAIN], env=env, capture_output=True, text=True, check=True
        )
        found.add(done.stdout.strip())
    found.add(random_backbone(trained(normalised()), contents=pictures(70)).fingerprint)
    assert len(found) == 1


def test_rows_are_cached_apart_from_the_trained_ones(cache: tl.EmbeddingCache) -> None:
    bb = trained(normalised())
    ds = tl.load_dataset(pictures(6))
    for backbone in (bb, random_backbone(bb, contents=ds), random_backbone(bb, seed=1, contents=ds)):
        found, again = (extract(ds, backbone, cache=cache, progress=False) for _ in range(2))
        assert found.stats is not None
        assert again.stats is not None
        assert (found.stats.embedded, again.stats.embedded) == (6, 0)
        assert np.array_equal(found.X, again.X)


def test_models_of_transformers_are_drawn_by_their_own_rule() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=90,
        initializer_range=0.1,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False)
    for parameter in model.parameters():
        parameter._is_hf_initialized = True  # as from_pretrained leaves them; a copy forgets it
    bb = trained(model, preprocess_name="ids", embedding_dim=32)
    drawn = dict(random_backbone(bb).module.named_parameters())
    assert drawn["embeddings.word_embeddings.weight"].std() == pytest.approx(0.1, rel=0.05)
    assert drawn["encoder.layer.0.intermediate.dense.weight"].std() == pytest.approx(0.1, rel=0.05)
    assert not drawn["encoder.layer.0.intermediate.dense.bias"].any()
    assert drawn["embeddings.LayerNorm.weight"].tolist() == [1] * 32


@pytest.mark.parametrize(
    ("name", "package"), [("efficientnet-lite0", "efficientnet_lite"), ("minilm", "minilm")]
)
def test_installed_backbones(name: str, package: str) -> None:
    pytest.importorskip(f"tlengine_{package}")
    bb = tl.load_backbone(name)
    contents: list[Any] = ["a good film", "wheat prices", "rain"] if bb.modality == "text" else pictures(3)
    one, again = (random_backbone(bb, contents=contents) for _ in range(2))
    assert one.fingerprint == again.fingerprint != bb.fingerprint
    theirs = dict(bb.module.named_parameters())
    assert not [name for name, tensor in one.module.named_parameters() if torch.equal(tensor, theirs[name])]
    X = extract(tl.load_dataset(contents), one, cache=None, progress=False).X
    assert np.isfinite(X).all()
    assert X.std(axis=0).mean() > 1e-3, "contents can be told apart"


def test_a_copy_is_the_callers(backbone: Backbone) -> None:
    backbone.module(torch.zeros(1, 3, 16, 16)).sum().backward()
    other = backbone.copy()
    assert other.fingerprint == backbone.fingerprint
    assert other.module.training == backbone.module.training
    assert [p.requires_grad for p in other.module.parameters()] == [True, True]
    assert all(p.grad is None for p in other.module.parameters())
    assert all(p.grad is not None for p in backbone.module.parameters())
    with torch.no_grad():
        other.module.conv.weight += 1  # type: ignore[operator, union-attr]
    assert other.fingerprint != backbone.fingerprint
    assert (other.name, other.embedding_dim, other.modality) == ("tiny", 8, "image")


def test_a_network_that_cannot_be_copied_says_so() -> None:
    module: Any = nn.Flatten()
    module.computed = torch.ones(1, requires_grad=True) * 2
    prep = ImagePreprocess(resize=2, crop=2)
    with pytest.raises(BackboneError, match="cannot be copied") as caught:
        Backbone(module, preprocess=prep, modality="image", name="mine").copy()
    assert "copy.deepcopy" in str(caught.value.hint)


def _sevens(module: nn.Module, seed: int) -> None:
    """Fills the attention's output and ``gamma`` alone."""
    for name, parameter in module.named_parameters():
        if name in ("attention.out_proj.weight", "gamma"):
            nn.init.normal_(parameter, mean=7.0 + seed)


def test_initialise_comes_before_the_general_rules_which_fill_the_rest() -> None:
    one, other = (random_backbone(trained(Patches(), initialise=_sevens), seed=seed) for seed in (0, 5))
    drawn = dict(one.module.named_parameters())
    assert drawn["attention.out_proj.weight"].mean() == pytest.approx(7, abs=0.6)
    assert dict(other.module.named_parameters())["gamma"].mean() == pytest.approx(12, abs=1.5)
    assert drawn["mix"].abs().max() <= 8**-0.5
    assert one.how_drawn == {
        "initialise": ("gamma", "attention.out_proj.weight"),
        "reset": (
            "patches.weight",
            "patches.bias",
            "attention.in_proj_weight",
            "attention.in_proj_bias",
            "attention.out_proj.bias",
        ),
        "name": ("cls_token", "pos_embed", "out_bias", "mix"),
    }
    again = random_backbone(trained(Patches(), initialise=_sevens))
    assert again.fingerprint == one.fingerprint


def test_how_weights_were_drawn_is_told() -> None:
    bb = trained(Patches())
    assert not bb.how_drawn
    drawn = random_backbone(bb).how_drawn
    assert set(drawn) == {"reset", "name"}
    names = [name for name, _ in bb.module.named_parameters()]
    assert sorted(name for found in drawn.values() for name in found) == sorted(names)
    assert drawn["name"] == ("cls_token", "pos_embed", "gamma", "out_bias", "mix")


def test_an_initialise_that_reaches_all_calls_no_reset() -> None:
    def ones(module: nn.Module, seed: int) -> None:
        for parameter in module.parameters():
            parameter.fill_(1.0)

    bb = Backbone(_failing(), preprocess=PREPROCESS, modality="image", name="mine", initialise=ones)
    other = random_backbone(bb)
    assert all(bool((one == 1).all()) for one in other.module.parameters())
    assert set(other.how_drawn) == {"initialise"}


def test_an_initialise_that_does_nothing_leaves_nothing_trained() -> None:
    bb = trained(normalised(), initialise=lambda module, seed: None)
    other = random_backbone(bb)
    assert other.fingerprint == random_backbone(trained(normalised())).fingerprint
    assert set(other.how_drawn) == {"reset"}


def test_statistics_are_reset_after_initialise() -> None:
    first: Any = random_backbone(trained(normalised(), initialise=_sevens)).module[0]  # type: ignore[index]
    assert first.running_mean.tolist() == [0] * 3


def _raises(module: nn.Module, seed: int) -> None:
    raise ValueError("no scheme")


def _widens(module: nn.Module, seed: int) -> None:
    module.register_parameter("mix", nn.Parameter(torch.zeros(9, 9)))


@pytest.mark.parametrize(
    ("initialise", "message"),
    [
        (_raises, "cannot be initialised: ValueError: no scheme"),
        (_widens, "another network after initialise: mix changed"),
    ],
)
def test_an_initialise_that_fails_is_named(
    initialise: Callable[[nn.Module, int], None], message: str
) -> None:
    with pytest.raises(BackboneError, match=message):
        random_backbone(trained(Patches(), initialise=initialise))
