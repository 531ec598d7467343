"""The tokenizer of text backbones: rows and key belong to the file that was read."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tlengine as tl
from tlengine.errors import BackboneError, InputError
from tlengine.features import Tokenizer
from tlengine.features.descriptions import describe

WORDS = {"[UNK]": 0, "good": 1, "film": 2, "bad": 3}


def write(path: Path, words: dict[str, int] = WORDS) -> Path:
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    path.write_text(json.dumps({"version": "1.0", "model": model, "pre_tokenizer": {"type": "Whitespace"}}))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "tokenizer.json")


class Mean(nn.Module):
    """Word vectors, averaged over the mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(4, 5)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.unsqueeze(-1)
        mean: torch.Tensor = (self.table(input_ids) * mask).sum(1) / mask.sum(1)
        return mean


def backbone(file: Any, **options: Any) -> tl.Backbone:
    return tl.Backbone(Mean(), preprocess=Tokenizer(file, **options), modality="text", name="words")


def test_texts_become_ids(file: Path) -> None:
    tokenizer = Tokenizer(file, max_tokens=3, pad_id=2)
    assert tokenizer("good film said nobody").tolist() == [1, 2, 0]
    assert tokenizer("").tolist() == [2]
    assert tokenizer("bad").dtype == np.int64
    assert pickle.loads(pickle.dumps(tokenizer))("bad film").tolist() == [3, 2]  # noqa: S301 - our own bytes


@pytest.mark.parametrize("spelling", [str, Path, lambda file: lambda: file])
def test_another_file_is_another_key_and_the_rows_follow(spelling: Any, file: Path, tmp_path: Path) -> None:
    """B3 of the newcomer's notes: 240 of 240 rows came from the cache, off by 1.1."""
    ds = tl.load_dataset(["good film", "bad film", "bad"])
    first = tl.extract(ds, backbone(spelling(file)), cache=tmp_path / "cache", progress=False)
    again = tl.extract(ds, backbone(spelling(file)), cache=tmp_path / "cache", progress=False)
    write(file, {"[UNK]": 0, "good": 3, "film": 2, "bad": 1})
    second = tl.extract(ds, backbone(spelling(file)), cache=tmp_path / "cache", progress=False)
    assert [f.stats.embedded for f in (first, again, second)] == [3, 0, 3]  # type: ignore[union-attr]
    assert np.abs(first.X - second.X).max() > 0.1
    expected = tl.extract(ds, backbone(spelling(file)), cache=None, progress=False)
    assert np.array_equal(second.X, expected.X)


def test_a_file_that_is_replaced_meanwhile_changes_neither_key_nor_rows(file: Path) -> None:
    tokenizer = Tokenizer(file)
    before = describe(tokenizer)
    write(file, {"[UNK]": 0, "good": 3})
    assert tokenizer("good").tolist() == [1]
    assert describe(tokenizer) == before
    assert describe(Tokenizer(file)) != before


def test_settings_enter_and_the_place_of_the_file_does_not(file: Path, tmp_path: Path) -> None:
    told = describe(Tokenizer(file))
    assert describe(Tokenizer(write(tmp_path / "elsewhere.json"))) == told
    assert describe(Tokenizer(file, max_tokens=8)) != told
    assert describe(Tokenizer(file, pad_id=1)) != told


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read: No such file"), ("{}", "no tokenizer.json")]
)
def test_what_is_no_tokenizer_is_told(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "t.json").write_text(content)
    with pytest.raises(BackboneError, match=message) as caught:
        Tokenizer(tmp_path / "t.json")("a")
    assert caught.value.hint
    with pytest.raises(InputError, match="max_tokens is 0"):
        Tokenizer(tmp_path / "t.json", max_tokens=0)


def test_ids_of_any_length_without_a_pad_id_are_told_the_way() -> None:
    bb = tl.Backbone(Mean(), preprocess=letters, modality="text", name="letters", embedding_dim=5)
    with pytest.raises(BackboneError, match=r"different shapes(.|\n)*pad_id"):
        tl.extract(tl.load_dataset(["a", "bb"]), bb, cache=None, progress=False)


def letters(text: str) -> Any:
    return np.arange(len(text))
