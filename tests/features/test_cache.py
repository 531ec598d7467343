"""The embedding cache as its callers see it."""

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.errors import (
    CacheClosedError,
    CacheFormatError,
    CacheIOError,
    CacheReadOnlyError,
    DtypeError,
    InputError,
    KeyConflictWarning,
    RangeError,
    ShapeMismatchError,
    UnhashableRecipeError,
)
from tlengine.features.cache import EmbeddingCache, Table

RECIPE = {"backbone": "test", "weights": "0123"}
DIM = 8


def rows_of(keys: np.ndarray, dim: int = DIM) -> np.ndarray:
    """Self-checking rows: the vector follows from the key."""
    seeds = keys[:, :8].copy().view("<u8").ravel()
    return np.stack([np.random.default_rng(int(seed)).standard_normal(dim) for seed in seeds]).astype("f4")


def some_keys(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32)).astype(np.uint8)


def filled(path: Path, n: int = 20, **options: object) -> tuple[np.ndarray, np.ndarray]:
    keys = some_keys(n)
    with EmbeddingCache(path, **options) as cache:
        table = cache.table(RECIPE, dim=DIM)
        assert table.put(keys, rows_of(keys)) == n
        table.flush()
    return keys, rows_of(keys)


def test_rows_come_back_in_the_order_asked(tmp_path: Path) -> None:
    keys, X = filled(tmp_path)
    order = np.random.default_rng(1).permutation(len(keys))
    got, hit = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM).get(keys[order])
    assert hit.all()
    np.testing.assert_array_equal(got, X[order])
    assert got.dtype == np.float32


def test_missing_rows_are_zeros_and_no_hits(tmp_path: Path) -> None:
    keys, X = filled(tmp_path)
    asked = np.concatenate([some_keys(3, seed=9), keys[:2], some_keys(1, seed=8)])
    got, hit = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM).get(asked)
    assert hit.tolist() == [False] * 3 + [True] * 2 + [False]
    np.testing.assert_array_equal(got[3:5], X[:2])
    assert not got[~hit].any()


def test_a_key_asked_for_twice_is_answered_twice(tmp_path: Path) -> None:
    keys, X = filled(tmp_path)
    got, hit = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM).get(keys[[4, 4, 0, 4]])
    assert hit.all()
    np.testing.assert_array_equal(got, X[[4, 4, 0, 4]])


def test_put_counts_only_what_is_new(tmp_path: Path) -> None:
    keys = some_keys(10)
    X = rows_of(keys)
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    assert table.put(keys[:6], X[:6]) == 6
    assert table.put(keys[4:8], X[4:8]) == 2
    table.flush()
    assert table.put(keys, X) == 2
    assert table.put(keys[[0, 0]], X[[0, 0]]) == 0


def test_keys_may_be_a_list_of_digests(tmp_path: Path) -> None:
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=2)
    assert table.put([b"a" * 32, b"b" * 32], np.array([[1, 2], [3, 4]], "f4")) == 2
    assert table.get([b"b" * 32])[0].tolist() == [[3.0, 4.0]]


def test_nothing_asked_nothing_answered(tmp_path: Path) -> None:
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    assert table.put(np.empty((0, 32), np.uint8), np.empty((0, DIM), "f4")) == 0
    X, hit = table.get([])
    assert X.shape == (0, DIM)
    assert hit.shape == (0,)


def test_another_handle_sees_what_was_flushed_while_both_are_open(tmp_path: Path) -> None:
    keys = some_keys(4)
    reader = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    writer = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    assert not reader.get(keys)[1].any()
    writer.put(keys, rows_of(keys))
    assert not reader.get(keys)[1].any()  # not published yet
    assert writer.get(keys)[1].all()  # but one's own
    writer.flush()
    assert reader.get(keys)[1].all()


def test_a_commit_lists_what_the_rows_cost(tmp_path: Path) -> None:
    keys = some_keys(4)
    cache = EmbeddingCache(tmp_path)
    table = cache.table(RECIPE, dim=DIM)
    assert table.seconds_per_row == 0.0
    table.put(keys, rows_of(keys), seconds=2.0)
    table.flush()
    assert table.seconds_per_row == pytest.approx(0.5)
    assert cache.stats().seconds == pytest.approx(2.0)


def test_the_first_row_of_a_key_stays_and_the_other_is_told(tmp_path: Path) -> None:
    keys, X = filled(tmp_path)
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    with pytest.warns(KeyConflictWarning, match="2 keys were put again with other vectors"):
        assert table.put(keys[:2], X[:2] + 1) == 0
    np.testing.assert_array_equal(table.get(keys[:2])[0], X[:2])
    with pytest.warns(KeyConflictWarning, match=keys[5].tobytes().hex()[:16]):
        table.put(keys[[5, 5]], np.stack([X[5], X[5] + 1]))


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision_rounds_to_nearest(tmp_path: Path, dtype: str, error: float) -> None:
    keys = some_keys(50)
    X = rows_of(keys)
    with EmbeddingCache(tmp_path) as cache:
        table = cache.table(RECIPE, dim=DIM, dtype=dtype)
        table.put(keys, X)
        np.testing.assert_allclose(table.get(keys)[0], X, rtol=error)
        assert table.put(keys, X) == 0  # rounds to what is there: no conflict
    if dtype == "float16":
        np.testing.assert_array_equal(
            EmbeddingCache(tmp_path).table(RECIPE, dim=DIM, dtype=dtype).get(keys)[0],
            X.astype("f2").astype("f4"),
        )


@pytest.mark.parametrize(("dtype", "value"), [("float16", 70000.0), ("bfloat16", 3.4e38)])
def test_a_number_too_large_for_the_storage_is_refused(tmp_path: Path, dtype: str, value: float) -> None:
    X = np.zeros((3, DIM), "f4")
    X[2, 5] = -value
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM, dtype=dtype)
    with pytest.raises(RangeError, match="row 2, column 5") as caught:
        table.put(some_keys(3), X)
    assert caught.value.context["row"] == 2
    X[2, 5] = np.inf  # infinity is not a rounding accident
    assert table.put(some_keys(3), X) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda X: X[:, ::-1][:, ::-1],
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X.astype(">f4"),
        lambda X: X[::-1].copy()[::-1],
    ],
    ids=["negative strides", "fortran", "every second", "big-endian", "reversed"],
)
def test_any_memory_layout_is_stored_right_and_left_alone(tmp_path: Path, make: object) -> None:
    keys = some_keys(6)
    X = make(rows_of(keys))
    before = X.copy()
    X.flags.writeable = False
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    table.put(np.asfortranarray(keys), X)
    np.testing.assert_array_equal(table.get(keys)[0], before.astype("f4"))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("X", "error"),
    [
        (np.zeros((3, DIM)), DtypeError),
        (np.zeros((3, DIM), int), DtypeError),
        (np.zeros((3, DIM), object), DtypeError),
        (np.ma.zeros((3, DIM), "f4"), DtypeError),
        (np.zeros((3, DIM + 1), "f4"), ShapeMismatchError),
        (np.zeros(3 * DIM, "f4"), ShapeMismatchError),
        (np.float32(1), ShapeMismatchError),
        (np.zeros((2, DIM), "f4"), ShapeMismatchError),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, X: object, error: type[Exception]) -> None:
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    with pytest.raises(error):
        table.put(some_keys(3), X)
    assert not table.get(some_keys(3))[1].any()


@pytest.mark.parametrize(
    "keys",
    [
        np.zeros((3, 31), np.uint8),
        np.zeros((3, 32), np.int64),
        [b"short"],
        ["text" * 8],
        np.zeros(32, np.uint8),
    ],
)
def test_keys_that_are_no_digests_are_refused(tmp_path: Path, keys: object) -> None:
    with pytest.raises(ShapeMismatchError, match="key"):
        EmbeddingCache(tmp_path).table(RECIPE, dim=DIM).get(keys)


def test_recipes_are_compared_by_meaning(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    name = cache.table({"a": 1, "b": (1.5, None)}, dim=2).name
    assert cache.table({"b": [1.5, None], "a": np.int64(1)}, dim=2).name == name
    others = [{"a": 1}, {"a": 1, "b": [1.5]}, {"a": "1", "b": [1.5, None]}, {"a": True, "b": [1.5, None]}]
    assert len({cache.table(other, dim=2).name for other in others} | {name}) == 5


@pytest.mark.parametrize(
    ("recipe", "place"),
    [
        ({"f": lambda x: x}, r"recipe\['f'\] is a function"),
        ({"a": [1, {"b": object()}]}, r"recipe\['a'\]\[1\]\['b'\] is a object"),
        ({"x": float("nan")}, r"recipe\['x'\] is nan"),
        ({1: "a"}, "has the key 1"),
        ({"b": b"raw"}, r"recipe\['b'\] is a bytes"),
    ],
)
def test_a_recipe_that_cannot_be_described_is_an_error(tmp_path: Path, recipe: object, place: str) -> None:
    with pytest.raises(UnhashableRecipeError, match=place):
        EmbeddingCache(tmp_path).table(recipe, dim=2)


def test_a_table_keeps_its_shape(tmp_path: Path) -> None:
    filled(tmp_path)
    cache = EmbeddingCache(tmp_path)
    with pytest.raises(ShapeMismatchError, match="holds dim=8 float32, asked for dim=9 float32"):
        cache.table(RECIPE, dim=9)
    with pytest.raises(ShapeMismatchError, match="float16"):
        cache.table(RECIPE, dim=DIM, dtype="float16")
    with pytest.raises(InputError, match="dim=0"):
        cache.table(RECIPE, dim=0)
    with pytest.raises(InputError, match="dtype"):
        cache.table(RECIPE, dim=DIM, dtype="int8")


@pytest.mark.parametrize("option", ["durability", "on_corrupt"])
def test_unknown_options_are_named(tmp_path: Path, option: str) -> None:
    with pytest.raises(InputError, match=f"{option}='often'"):
        EmbeddingCache(tmp_path, **{option: "often"})


def test_a_closed_cache_says_so(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    table = cache.table(RECIPE, dim=DIM)
    cache.close()
    cache.close()
    with pytest.raises(CacheClosedError):
        table.get(some_keys(1))
    with pytest.raises(CacheClosedError):
        cache.table(RECIPE, dim=DIM)


def test_read_only_serves_hits_and_refuses_rows(tmp_path: Path) -> None:
    keys, X = filled(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    cache = EmbeddingCache(tmp_path, read_only=True)
    assert cache.read_only
    table = cache.table(RECIPE, dim=DIM)
    np.testing.assert_array_equal(table.get(keys)[0], X)
    with pytest.raises(CacheReadOnlyError):
        table.put(some_keys(1, seed=5), X[:1])
    cache.table({"never": "seen"}, dim=3).get(some_keys(1))
    cache.close()
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_read_only_cache_that_is_not_there_is_empty(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "nowhere", read_only=True)
    assert not cache.table(RECIPE, dim=DIM).get(some_keys(2))[1].any()
    assert cache.tables() == []
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_place_of_the_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheIOError, match="file") as caught:
        EmbeddingCache(tmp_path / "file")
    assert isinstance(caught.value, OSError)


def test_a_newer_table_is_refused_untouched(tmp_path: Path) -> None:
    filled(tmp_path)
    manifest = next(tmp_path.rglob("table"))
    content = bytearray(manifest.read_bytes()[:-16])
    content[8:12] = (2).to_bytes(4, "little")
    before = bytes(content) + xxhash.xxh3_128_intdigest(bytes(content)).to_bytes(16, "little")
    manifest.chmod(0o644)
    manifest.write_bytes(before)
    with pytest.raises(CacheFormatError, match="version 2, this tlengine reads up to 1"):
        EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    assert manifest.read_bytes() == before


def test_handles_travel_to_other_processes(tmp_path: Path) -> None:
    keys, X = filled(tmp_path, durability="process")
    table = EmbeddingCache(tmp_path, durability="process").table(RECIPE, dim=DIM)
    again: Table = pickle.loads(pickle.dumps(table))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.get(keys)[0], X)
    assert again.cache.durability == "process"


def test_rows_are_published_at_exit_even_if_nobody_closes(tmp_path: Path) -> None:
    code = f"""
        import numpy as np
        from tlengine.features.cache import EmbeddingCache
        table = EmbeddingCache({str(tmp_path)!r}).table({RECIPE!r}, dim=2)
        table.put([b"k" * 32], np.ones((1, 2), np.float32))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert EmbeddingCache(tmp_path).table(RECIPE, dim=2).get([b"k" * 32])[1].all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "get", "flush", "reopen", "compact"]), st.integers(0, 2**31)),
        max_size=20,
    )
)
def test_behaves_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("model")
    known: dict[bytes, np.ndarray] = {}
    pool = some_keys(30)
    cache = EmbeddingCache(path)
    table = cache.table(RECIPE, dim=DIM)
    for step, seed in steps:
        chosen = pool[np.random.default_rng(seed).integers(0, len(pool), seed % 12)]
        if step == "put":
            new = {key.tobytes() for key in chosen} - known.keys()
            assert table.put(chosen, rows_of(chosen) if len(chosen) else np.empty((0, DIM), "f4")) == len(new)
            known |= {key.tobytes(): rows_of(key[None])[0] for key in chosen}
        elif step == "get":
            X, hit = table.get(chosen)
            assert hit.tolist() == [key.tobytes() in known for key in chosen]
            for key, row in zip(chosen[hit], X[hit], strict=True):
                np.testing.assert_array_equal(row, known[key.tobytes()])
        elif step == "flush":
            table.flush()
        elif step == "compact":
            table.compact()
        else:
            cache.close()
            cache = EmbeddingCache(path)
            table = cache.table(RECIPE, dim=DIM)
    X, hit = table.get(pool)
    assert hit.tolist() == [key.tobytes() in known for key in pool]


@pytest.mark.parametrize(
    ("dtype", "rounding", "real"),
    [("float32", 3e-6, 1e-4), ("float16", 5e-4, 4e-3), ("bfloat16", 4e-3, 3e-2)],
)
def test_rounding_is_no_conflict(dtype: str, rounding: float, real: float, tmp_path: Path) -> None:
    table = EmbeddingCache(tmp_path).table({"r": 1}, dim=16, dtype=dtype)
    keys = np.random.default_rng(0).integers(0, 256, (50, 32)).astype(np.uint8)
    X = np.random.default_rng(1).uniform(-1, 1, (50, 16)).astype("f4")
    largest = np.abs(X).max(axis=1, keepdims=True)
    table.put(keys, X)
    table.flush()
    assert table.put(keys, X + rounding * largest) == 0  # pytest turns a warning into an error
    with pytest.warns(KeyConflictWarning, match="1 keys were put again"):
        table.put(keys[:1], X[:1] + real * largest[:1])
    with pytest.warns(KeyConflictWarning, match="50 keys"):
        table.put(keys, np.full_like(X, 0.5) - X)


def test_rows_are_read_into_an_array_that_is_there(tmp_path: Path) -> None:
    table = EmbeddingCache(tmp_path).table({"r": 1}, dim=3)
    keys = np.random.default_rng(0).integers(0, 256, (700, 32)).astype(np.uint8)
    rows = np.arange(2100, dtype="f4").reshape(700, 3)
    table.put(keys[:600], rows[:600])
    out = np.full((700, 3), 9, "f4")
    X, hit = table.get(keys, out=out)
    assert X is out
    np.testing.assert_array_equal(out, np.where(hit[:, None], rows, 0))
    assert hit.sum() == 600
    frozen = np.empty((700, 3), "f4")
    frozen.flags.writeable = False
    for wrong in (out[:5], out.astype("f8"), np.empty((3, 700), "f4").T, frozen, np.empty((700, 4), "f4")):
        with pytest.raises(ShapeMismatchError, match="out is"):
            table.get(keys, out=wrong)
