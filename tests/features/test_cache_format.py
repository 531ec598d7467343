"""The files are what docs/cache-format.md says: read and written here by a second implementation."""

import hashlib
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest as xxh3_64
from xxhash import xxh3_128_intdigest as xxh3_128

from tlengine.errors import CacheFormatError
from tlengine.features.cache import EmbeddingCache, blake3_hex

GOLDEN = Path(__file__).parents[1] / "data" / "cache" / "v1"
RECIPE = {"backbone": "golden", "scale": 0.5}
STORED = {1: "<f4", 2: "<f2", 3: "<u2"}


def expected() -> dict[bytes, list[float]]:
    """What the golden cache holds, per table."""
    return {hashlib.sha256(bytes([row])).digest(): [row + at / 4 for at in range(5)] for row in range(7)}


def check_sum(content: bytes, seed: int = 0) -> bytes:
    return xxh3_128(content, seed=seed).to_bytes(16, "little")


def read_segment(log: Path) -> dict[bytes, np.ndarray]:
    """The rows of a segment by key, every checksum compared."""
    content, rows = log.read_bytes(), log.with_suffix(".rows").read_bytes()
    found = {}
    for file, magic, length in ((content, b"TLELOG\0\0", 128), (rows, b"TLEROWS\0", 4096)):
        assert file[:8] == magic
        assert file[length - 16 : length] == check_sum(file[: length - 16])
    _, dtype, dim = struct.unpack_from("<IIQ", content, 8)
    segment, table = content[24:40], content[40:72]
    assert (segment.hex(), table.hex()) == (log.stem, log.parent.name)
    binding = xxh3_64(table + segment)
    stride = dim * np.dtype(STORED[dtype]).itemsize
    offset = 128
    while offset < len(content):
        header = content[offset : offset + 64]
        magic, flags, first, count, _ = struct.unpack_from("<4sIQQd", header)
        assert magic == b"TLCM"
        assert flags & 2
        assert header[48:] == check_sum(struct.pack("<Q", offset) + header[:48], binding)
        entries = content[offset + 64 : offset + 64 + 48 * count]
        assert header[32:48] == check_sum(struct.pack("<Q", offset + 64) + entries, binding)
        for row in range(count):
            key, check = entries[48 * row : 48 * row + 32], entries[48 * row + 32 : 48 * row + 48]
            start = 4096 + (first + row) * stride
            stored = rows[start : start + stride]
            assert check == check_sum(stored, xxh3_64(struct.pack("<Q", first + row) + key, seed=binding))
            found[key] = np.frombuffer(stored, STORED[dtype])
        offset += 64 + 48 * count
        assert not flags & 1 or offset == len(content)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_cache_of_version_1_is_read(dtype: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "cache")
    keys = list(expected())
    with EmbeddingCache(tmp_path / "cache", read_only=True, on_corrupt="raise") as cache:
        X, hit = cache.table({**RECIPE, "dtype": dtype}, dim=5, dtype=dtype).get(keys)
        assert hit.all()
        np.testing.assert_array_equal(X, list(expected().values()))
        assert all(report.is_sound for report in cache.verify())
        assert cache.stats().seconds == 3 * 3.5


def test_the_golden_files_are_what_is_written_today(tmp_path: Path) -> None:
    """Ids are random, so the bytes are compared after they were decoded."""
    write(tmp_path / "cache")
    old = {log.parent.name: read_segment(log) for log in sorted(GOLDEN.rglob("*.log"))}
    new = {log.parent.name: read_segment(log) for log in sorted((tmp_path / "cache").rglob("*.log"))}
    assert old.keys() == new.keys()
    assert len(old) == 3
    for table in old:
        assert list(old[table]) == list(new[table]) == list(expected())
        for key in old[table]:
            np.testing.assert_array_equal(old[table][key], new[table][key])


def write(path: Path) -> None:
    """A cache with a table of each dtype, in two commits."""
    keys, X = list(expected()), np.array(list(expected().values()), "f4")
    with EmbeddingCache(path) as cache:
        for dtype in ("float32", "float16", "bfloat16"):
            table = cache.table({**RECIPE, "dtype": dtype}, dim=5, dtype=dtype)
            for part in (slice(0, 3), slice(3, 7)):
                table.put(keys[part], X[part], seconds=0.5 * len(keys[part]))
                table.flush()


def test_the_manifest_is_as_documented() -> None:
    manifests = sorted(GOLDEN.rglob("table"))
    assert len(manifests) == 3
    for path in manifests:
        content = path.read_bytes()
        magic, version, dtype, dim, recipe, info, zero = struct.unpack_from("<8sIIQQQQ", content)
        assert (magic, version, dim, zero) == (b"TLETABLE", 1, 5, 0)
        assert dtype in STORED
        assert content[-16:] == check_sum(content[:-16])
        text = content[80 : 80 + recipe]
        assert content[48:80].hex() == blake3_hex([text]) == path.parent.name
        assert json.loads(text)["backbone"] == "golden"
        assert "tlengine" in json.loads(content[80 + recipe : 80 + recipe + info]) or info > 2


@pytest.mark.parametrize("pattern", ["*.log", "table"])
def test_a_newer_version_is_refused_and_left_alone(pattern: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "cache")
    for path in (tmp_path / "cache").rglob(pattern):
        content = bytearray(path.read_bytes())
        content[8:12] = struct.pack("<I", 9)
        end = 128 if pattern == "*.log" else len(content)
        content[end - 16 : end] = check_sum(bytes(content[: end - 16]))
        path.chmod(0o644)
        path.write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CacheFormatError, match="version 9, this tlengine reads up to 1") as caught:
        EmbeddingCache(tmp_path / "cache").table({**RECIPE, "dtype": "float32"}, dim=5).get(list(expected()))
    assert (caught.value.context["found"], caught.value.context["supported"]) == (9, 1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_segment_written_by_the_second_implementation_is_read(tmp_path: Path) -> None:
    """From the page alone: the rows of a foreign writer are found by key."""
    with EmbeddingCache(tmp_path) as cache:
        cache.table(RECIPE, dim=2).get([])
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    table, segment = bytes.fromhex(folder.name), bytes(range(16))
    binding = xxh3_64(table + segment)
    identity = struct.pack("<IIQ", 1, 1, 2) + segment + table
    key, row = b"k" * 32, struct.pack("<2f", 1.5, -2.5)
    entry = key + check_sum(row, xxh3_64(struct.pack("<Q", 0) + key, seed=binding))
    commit = struct.pack("<4sIQQd", b"TLCM", 2, 0, 1, 0.0) + check_sum(
        struct.pack("<Q", 192) + entry, binding
    )
    commit += check_sum(struct.pack("<Q", 128) + commit, binding)
    for suffix, magic, length, rest in (
        (".log", b"TLELOG\0\0", 128, commit + entry),
        (".rows", b"TLEROWS\0", 4096, row),
    ):
        header = (magic + identity).ljust(length - 16, b"\0")
        (folder / f"{segment.hex()}{suffix}").write_bytes(header + check_sum(header) + rest)
    with EmbeddingCache(tmp_path, on_corrupt="raise") as cache:
        assert cache.table(RECIPE, dim=2).get([key])[0].tolist() == [[1.5, -2.5]]
        assert all(report.is_sound for report in cache.verify())
