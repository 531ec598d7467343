"""``tlengine cache`` as people and scripts use it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import tlengine as tl
from tlengine.cli.cache import command
from tlengine.features.cache import EmbeddingCache

RECIPE = {"backbone": "demo", "weights": "00"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    keys = np.repeat(np.arange(10, dtype=np.uint8), 32).reshape(10, 32)
    with EmbeddingCache(tmp_path / "cache") as opened:
        opened.table(RECIPE, dim=4).put(keys, np.ones((10, 4), "f4"), seconds=90.0)
    return tmp_path / "cache"


def call(cache: Path, *args: str) -> Result:
    return CliRunner().invoke(command, [*args, "--dir", str(cache)])


def damage(cache: Path) -> None:
    rows = next(cache.rglob("*.rows"))
    rows.chmod(0o644)
    data = bytearray(rows.read_bytes())
    data[4096 + 16 * 3] ^= 1
    rows.write_bytes(data)


def test_ls_shows_each_table_in_one_line(cache: Path) -> None:
    result = call(cache, "ls")
    assert result.exit_code == 0
    assert "10 rows" in result.stdout
    assert "1 min 30 s to compute" in result.stdout
    assert "demo" in result.stdout
    (table,) = json.loads(call(cache, "ls", "--json").stdout)["tables"]
    assert (table["rows"], table["dim"], table["recipe"]) == (10, 4, RECIPE)
    assert "tlengine" in table["libraries"] or "numpy" in table["libraries"]


def test_ls_of_an_empty_cache_says_so(tmp_path: Path) -> None:
    assert "empty" in call(tmp_path / "none", "ls").stderr


def test_stats(cache: Path) -> None:
    stats = json.loads(call(cache, "stats", "--json").stdout)
    assert (stats["tables"], stats["rows"], stats["seconds"], stats["durability"]) == (1, 10, 90.0, "batch")
    assert "rows         10 in 1 segments" in call(cache, "stats").stdout


def test_verify_repair_gc(cache: Path) -> None:
    assert call(cache, "verify").exit_code == 0
    damage(cache)
    result = call(cache, "verify", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["sound"], report["bad_rows"]) == (1, False, 1)
    assert "rows 3" in call(cache, "verify").stdout
    planned = json.loads(call(cache, "repair", "--dry-run", "--json").stdout)["repaired"]
    done = json.loads(call(cache, "repair", "--json").stdout)["repaired"]
    assert [(r["rows"], r["lost"]) for r in planned] == [(r["rows"], r["lost"]) for r in done] == [(9, 1)]
    assert call(cache, "verify").exit_code == 0
    assert len(list(cache.rglob("*.bad"))) == 2
    assert "would free" in call(cache, "gc", "--dry-run").stdout
    assert len(list(cache.rglob("*.bad"))) == 2
    assert json.loads(call(cache, "gc", "--json").stdout)["files"] == 2
    assert not list(cache.rglob("*.bad"))


def test_repair_of_a_sound_cache_does_nothing(cache: Path) -> None:
    before = sorted(cache.rglob("*"))
    assert "nothing to repair" in call(cache, "repair").stderr
    assert sorted(path for path in cache.rglob("*") if path.name != "lock") == before


def test_gc_by_size_and_age(cache: Path) -> None:
    assert (
        json.loads(call(cache, "gc", "--max-bytes", "1GB", "--unused-for", "1d", "--json").stdout)["tables"]
        == []
    )
    planned = json.loads(call(cache, "gc", "--max-bytes", "1k", "--dry-run", "--json").stdout)
    assert len(planned["tables"]) == 1
    assert EmbeddingCache(cache).stats().rows == 10
    removed = json.loads(call(cache, "gc", "--unused-for", "0s", "--json").stdout)
    assert removed["tables"] == planned["tables"]
    assert EmbeddingCache(cache).tables() == []


@pytest.mark.parametrize(
    "option", [["--max-bytes", "lots"], ["--unused-for", "5 years"], ["--max-bytes", "-1"]]
)
def test_gc_explains_its_units(cache: Path, option: list[str]) -> None:
    result = call(cache, "gc", *option)
    assert result.exit_code == 2
    assert "unit, such as" in result.stderr


def test_clear_asks_first(cache: Path) -> None:
    refused = CliRunner().invoke(command, ["clear", "--dir", str(cache)], input="n\n")
    assert refused.exit_code == 1
    assert "would free" in call(cache, "clear", "--dry-run").stdout
    assert EmbeddingCache(cache).stats().rows == 10
    name = EmbeddingCache(cache).tables()[0].name
    assert call(cache, "clear", name[:6], "--yes").exit_code == 0
    assert EmbeddingCache(cache).tables() == []


def test_export(cache: Path, tmp_path: Path) -> None:
    name = EmbeddingCache(cache).tables()[0].name
    target = tmp_path / "out.npy"
    assert json.loads(call(cache, "export", name[:8], str(target), "--json").stdout)["rows"] == 10
    np.testing.assert_array_equal(np.load(target, allow_pickle=False), np.ones((10, 4), "f4"))


def test_recomputed_rows_are_compared(tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text("text,label\n" + "".join(f"a text about {word},x\n" for word in ("tea", "rain", "bread")))
    cache = tmp_path / "cache"
    EmbeddingCache(cache).close()
    recompute = ("verify", "--recompute", "3", "--data", str(data), "--backbone", "raw", "--json")
    assert json.loads(call(cache, *recompute).stdout)["compared"] == 0
    with EmbeddingCache(cache) as opened:
        features = tl.extract(tl.load_dataset(data), "raw", cache=opened, progress=False)
    result = call(cache, *recompute)
    assert (result.exit_code, json.loads(result.stdout)["compared"]) == (0, 3)
    assert json.loads(result.stdout)["largest"] < 1e-6
    with EmbeddingCache(cache) as opened:
        opened.clear()
        opened.table(features.recipe, dim=features.dim).put(features.keys, features.X * 1.01)
    drifted = call(cache, *recompute)
    assert drifted.exit_code == 1
    assert json.loads(drifted.stdout)["largest"] == pytest.approx(0.01 / 1.01, rel=1e-3)


def test_recompute_needs_the_samples(cache: Path) -> None:
    result = call(cache, "verify", "--recompute", "3")
    assert result.exit_code == 2
    assert "--data" in result.stderr


@pytest.mark.parametrize("command", ["ls", "stats", "verify", "gc"])
def test_a_cache_that_is_not_there_is_no_sound_one(command: str, tmp_path: Path) -> None:
    for place in (tmp_path / "typo", tmp_path / "file"):
        (tmp_path / "file").touch()
        done = subprocess.run(
            [sys.executable, "-m", "tlengine", "cache", command, "--cache-dir", str(place)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 2
        assert str(place) in done.stderr
