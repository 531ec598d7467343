"""Which cache: one rule for ``extract``, ``compare`` and the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import tlengine as tl
from tlengine.errors import CacheReadOnlyWarning, InputError
from tlengine.features import EmbeddingCache, ImagePreprocess
from tlengine.features.images import DECODING

ROWS = [np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(24)]
LABELS = ["ab"[i % 2] for i in range(24)]


def backbone() -> tl.Backbone:
    prep = ImagePreprocess(resize=8, crop=8)
    return tl.Backbone(nn.Flatten(), preprocess=prep, modality="image", name="flat", embedding_dim=192)


def counts(run: Any) -> dict[str, int]:
    return {entry["backbone"]: entry["embedded"] for entry in run.document["costs"]["extraction"]}


@pytest.mark.parametrize("first", [{}, {"cache": True}, {"cache": "usual"}])
@pytest.mark.filterwarnings("ignore::tlengine.errors.TlengineWarning")
def test_compare_embeds_nothing_that_extract_cached(first: dict[str, Any]) -> None:
    ds = tl.load_dataset((ROWS, LABELS))
    options = {"cache": EmbeddingCache()} if first.get("cache") == "usual" else first
    tl.extract(ds, backbone(), progress=False, **options)
    run = tl.compare(ds, backbone(), strategies=["centroid"], budgets=[5], seeds=1, progress=False)
    assert counts(run) == {"flat": 0, "raw": 24, "rcf": 24, "stats": 24}
    again = tl.compare(ds, backbone(), strategies=["centroid"], budgets=[5], seeds=1, progress=False)
    assert counts(again) == {"flat": 0, "raw": 0, "rcf": 0, "stats": 0}


@pytest.mark.parametrize("none", [None, False])
def test_none_keeps_nothing(none: Any, tmp_path: Path) -> None:
    ds = tl.load_dataset(ROWS)
    embedded = [
        tl.extract(ds, backbone(), cache=none, progress=False).stats.embedded  # type: ignore[union-attr]
        for _ in range(2)
    ]
    assert embedded == [24, 24]
    assert EmbeddingCache().tables() == []


@pytest.mark.parametrize("spelling", [str, Path, EmbeddingCache])
def test_a_cache_somewhere_else(spelling: Any, tmp_path: Path) -> None:
    ds = tl.load_dataset(ROWS)
    tl.extract(ds, backbone(), cache=spelling(tmp_path / "here"), progress=False)
    again = tl.extract(ds, backbone(), cache=tmp_path / "here", progress=False)
    assert again.stats is not None
    assert again.stats.embedded == 0
    assert EmbeddingCache().tables() == []


@pytest.mark.parametrize("wrong", [3, b"cache", {"path": "x"}])
def test_what_is_no_cache_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="pass an EmbeddingCache"):
        tl.extract(tl.load_dataset(ROWS), backbone(), cache=wrong, progress=False)


def test_a_usual_place_that_cannot_be_had_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "file"))
    with pytest.warns(CacheReadOnlyWarning, match="not kept: .*TLENGINE_HOME"):
        feats = tl.extract(tl.load_dataset(ROWS), backbone(), progress=False)
    assert feats.X.shape == (24, 192)


def test_tables_of_the_old_kind_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tlengine.cli import main

    old = {"backbone": "old", "fingerprint": "00" * 32, "precision": "float32"}
    with EmbeddingCache(tmp_path) as cache:
        name = cache.table(old, dim=4).name
        cache.table({"weights": "mine"}, dim=4).flush()
        tl.extract(tl.load_dataset(ROWS), backbone(), cache=cache, progress=False)

    def call(*arguments: str) -> tuple[str, str]:
        with pytest.raises(SystemExit):
            main(["cache", "ls", "--cache-dir", str(tmp_path), *arguments])
        return capsys.readouterr()

    out, err = call()
    assert [line.endswith("[old kind]") for line in out.splitlines()].count(True) == 1
    assert f"tlengine cache clear {name[:16]} --cache-dir {tmp_path}" in err
    tables = json.loads(call("--json")[0])["tables"]
    assert [table["name"] for table in tables if table["outdated"]] == [name]


def test_the_way_from_file_to_pixels_is_in_the_key_of_pictures_alone() -> None:
    """16-bit pictures came out otherwise once: a later change must not find rows of the earlier one."""
    assert backbone().recipe()["decoding"] == DECODING
    text = tl.Backbone(
        nn.Identity(), preprocess=str.split, preprocess_name="x", modality="text", name="a", embedding_dim=2
    )
    assert "decoding" not in text.recipe()


def test_the_recipe_says_layer_pooling_and_width() -> None:
    recipe = backbone().recipe()
    assert (recipe["layer"], recipe["pooling"], recipe["dim"], recipe["precision"]) == (
        "",
        "",
        192,
        "float32",
    )
    assert {"weights", "preprocess", "structure", "fingerprint", "backbone"} < recipe.keys()
