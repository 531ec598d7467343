"""A backbone's own collate makes its batches, and what it does belongs to the key."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tlengine as tl
from tlengine.errors import BackboneError, UnhashableRecipeError
from tlengine.features import Backbone, ImagePreprocess

WORDS = ["a", "of course", "c d e f"]


def lengths(text: str) -> np.ndarray[Any, Any]:
    """The lengths of the words, of any number."""
    return np.array([len(word) for word in text.split()], dtype=np.float32)


class Sums(nn.Module):
    """(n, longest) numbers and their counts to (n, 2)."""

    def forward(self, numbers: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        return torch.stack([numbers.sum(1), counts.float()], dim=1)


def padded(samples: Sequence[Any]) -> dict[str, torch.Tensor]:
    numbers = nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in samples], batch_first=True)
    return {"numbers": numbers, "counts": torch.tensor([len(one) for one in samples])}


def doubled(samples: Sequence[Any]) -> dict[str, torch.Tensor]:
    batch = padded(samples)
    return {**batch, "numbers": 2 * batch["numbers"]}


def sums(collate: Any) -> Backbone:
    return Backbone(
        Sums(), preprocess=lengths, modality="text", name="sums", embedding_dim=2, collate=collate
    )


def test_batches_are_what_collate_makes_of_the_samples(cache: tl.EmbeddingCache) -> None:
    ds = tl.load_dataset(WORDS)
    assert tl.extract(ds, sums(padded), cache=cache, progress=False).X.tolist() == [[1, 1], [8, 2], [4, 4]]
    found = tl.extract(ds, sums(doubled), cache=cache, progress=False)
    assert found.X.tolist() == [[2, 1], [16, 2], [8, 4]], "another collate has its own rows"
    assert sums(padded).fingerprint == sums(padded).fingerprint != sums(doubled).fingerprint


def test_the_key_of_a_backbone_without_collate_does_not_know_of_it() -> None:
    bb = Backbone(nn.Flatten(), preprocess=PREPROCESS, modality="image", name="flat")
    from tlengine.features.descriptions import describe
    from tlengine.features.recipes import fingerprint

    assert bb.fingerprint == fingerprint(bb.module, describe(PREPROCESS), "")


def test_a_collate_that_cannot_be_described_is_refused() -> None:
    with pytest.raises(UnhashableRecipeError, match="collate"):
        sums(lambda samples: padded(samples))
    named = Backbone(
        Sums(), preprocess=lengths, preprocess_name="lengths-1", modality="text", name="sums",
        embedding_dim=2, collate=lambda samples: padded(samples),
    )  # fmt: skip
    assert tl.extract(tl.load_dataset(WORDS), named, cache=None, progress=False).X.shape == (3, 2)


PREPROCESS = ImagePreprocess(resize=6, crop=6)
SEEN: list[Any] = []


def stacked(samples: Sequence[Any]) -> torch.Tensor:
    SEEN[:] = samples
    return torch.from_numpy(np.stack(samples))


def test_images_reach_collate_as_preprocess_returns_them() -> None:
    """Decoding sends 8 bits a channel; what collate gets is normalised."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(3)]
    plain, own = (
        Backbone(nn.Flatten(), preprocess=PREPROCESS, modality="image", name="flat", collate=collate)
        for collate in (None, stacked)
    )
    rows = [tl.extract(tl.load_dataset(images), bb, cache=None, progress=False).X for bb in (plain, own)]
    assert np.array_equal(*rows)
    assert [one.dtype for one in SEEN] == [np.float32] * 3
    assert np.abs(SEEN[0] - PREPROCESS(images[0])).max() < 1e-6


def raises(samples: Sequence[Any]) -> Any:
    raise ValueError("ragged")


def arrays(samples: Sequence[Any]) -> Any:
    return {"numbers": np.zeros(3)}


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (raises, "cannot collate 3 samples: ValueError: ragged"),
        (arrays, "collates samples to a ndarray, not to tensors"),
    ],
)
def test_a_collate_that_fails_is_the_backbones_fault(collate: Any, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        tl.extract(tl.load_dataset(WORDS), sums(collate), cache=None, progress=False)
