"""Saved indexes: the same neighbours from a mapped file, and no wrong one from a file that is not whole."""

import copy
import os
import pickle
import resource
import subprocess
import sys

import joblib
import numpy as np
import pytest

import tlengine as tl
from tlengine.errors import HeadFormatError, InputError, TlengineError

PRECISIONS = ("auto", "float", "float32", "bfloat16", "int8")


def made(dtype=np.float32, rows=300, columns=24):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns)).astype(dtype)
    X[7] = X[rows - 5]
    return X, rng.normal(size=(20, columns)).astype(dtype)


def same(one, other, Q, k=5):
    for queries in (Q, None):
        for mine, theirs in zip(one.search(queries, k), other.search(queries, k), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", ["cosine", "inner", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_opened_index_finds_the_same(tmp_path, dtype, metric, precision):
    X, Q = made(dtype)
    index = tl.NeighborIndex(X, metric, precision=precision)
    index.save(tmp_path / "index")
    again = tl.NeighborIndex.open(tmp_path / "index", n_jobs=1)
    assert again.shape == X.shape
    same(index, again, Q)
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "index").read_bytes()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_rows_of_any_size(tmp_path, size):
    X, Q = made(np.float64)
    index = tl.NeighborIndex(size * X, "euclidean")
    index.save(tmp_path / "index")
    same(index, tl.NeighborIndex.open(tmp_path / "index"), size * Q)


def test_codes_are_those_of_the_file(tmp_path, monkeypatch):
    X, Q = made()
    tl.NeighborIndex(X).save(tmp_path / "index")
    again = tl.NeighborIndex.open(tmp_path / "index")
    assert not again._rows.flags.owndata
    assert not again._rows.flags.writeable
    made_anew = []
    build = tl.NeighborIndex.__init__.__globals__["_core"].NeighborIndex

    class Core:
        restore = staticmethod(build.restore)

        def __new__(cls, *arguments):
            made_anew.append(arguments)
            return build(*arguments)

    monkeypatch.setattr("tlengine.probes.neighbor_index._core.NeighborIndex", Core)
    found = again.search(Q)
    assert not made_anew
    # What this machine would not take as its own is made again.
    again._file.options["precision"] = again._options["precision"] = "bfloat16"
    again._codes = None
    np.testing.assert_array_equal(again.search(Q)[0], found[0])
    assert len(made_anew) == 1


@pytest.mark.parametrize("how", [pickle.dumps, "copy", "deepcopy", "joblib"])
def test_copies_go_by_the_data(tmp_path, how):
    X, Q = made()
    index = tl.NeighborIndex(X, "euclidean", precision="float32", n_jobs=1)
    if how == "joblib":
        joblib.dump(index, tmp_path / "index.joblib")
        again = joblib.load(tmp_path / "index.joblib", mmap_mode="r")
    else:
        again = pickle.loads(how(index)) if callable(how) else getattr(copy, how)(index)  # noqa: S301 - our own
    assert again._options == index._options
    same(index, again, Q)


def test_an_opened_index_is_pickled_by_its_data(tmp_path):
    X, Q = made()
    tl.NeighborIndex(X).save(tmp_path / "index")
    text = pickle.dumps(tl.NeighborIndex.open(tmp_path / "index"))
    (tmp_path / "index").unlink()
    same(tl.NeighborIndex(X), pickle.loads(text), Q)  # noqa: S301 - our own


def test_another_process_opens_it(tmp_path):
    X, Q = made()
    index = tl.NeighborIndex(X)
    index.save(tmp_path / "index")
    np.save(tmp_path / "Q.npy", Q)
    code = (
        "import numpy as np, tlengine as tl; "
        "print(tl.NeighborIndex.open('index').search(np.load('Q.npy'), 3)[0].tolist())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == str(index.search(Q, 3)[0].tolist())


def test_every_flipped_byte_is_noticed(tmp_path):
    X, Q = made(rows=40, columns=6)
    file = tmp_path / "index"
    tl.NeighborIndex(X).save(file)
    whole = file.read_bytes()
    padding = {at for at in range(len(whole)) if not any(whole[at - at % 512 : at - at % 512 + 512])}
    expected = tl.NeighborIndex(X).search(Q, 3)[0]
    for at in [*range(64), *range(64, len(whole), 97)]:
        if at in padding:
            continue
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            found = tl.NeighborIndex.open(file).search(Q, 3)[0]
        except HeadFormatError:
            continue
        # Nothing but the zeros between the parts may change.
        assert whole[at] == 0
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("part", [0, 5, 16, 100, 0.5, -1])
def test_a_file_cut_off_is_refused_as_it_is_opened(tmp_path, part):
    file = tmp_path / "index"
    tl.NeighborIndex(made()[0]).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part) if isinstance(part, float) else part])
    with pytest.raises(HeadFormatError):
        tl.NeighborIndex.open(file)


def test_a_longer_file_is_refused(tmp_path):
    file = tmp_path / "index"
    tl.NeighborIndex(made()[0]).save(file)
    with file.open("ab") as end:
        end.write(b"\0" * 4096)
    with pytest.raises(HeadFormatError, match="bytes instead of"):
        tl.NeighborIndex.open(file)


def test_another_version_is_named(tmp_path):
    file = tmp_path / "index"
    tl.NeighborIndex(made()[0]).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:7] + b"\2" + whole[8:])
    with pytest.raises(HeadFormatError, match="version 2"):
        tl.NeighborIndex.open(file)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(os.getcwd), b"\x93NUMPY" + bytes(100)])
def test_foreign_files(tmp_path, content):
    file = tmp_path / "index"
    file.write_bytes(content)
    with pytest.raises(HeadFormatError, match="not a saved index"):
        tl.NeighborIndex.open(file)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        tl.NeighborIndex.open(tmp_path / "nothing")
    with pytest.raises(HeadFormatError, match="folder"):
        tl.NeighborIndex.open(tmp_path)
    with pytest.raises(InputError):
        tl.NeighborIndex(made()[0]).save(tmp_path, overwrite=True)
    with pytest.raises(FileNotFoundError):
        tl.NeighborIndex(made()[0]).save(tmp_path / "nowhere" / "index")


def test_nothing_is_replaced_unasked(tmp_path):
    X, Q = made()
    file = tmp_path / "index"
    file.write_text("mine")
    index = tl.NeighborIndex(X)
    with pytest.raises(InputError, match="exists") as error:
        index.save(file)
    assert "overwrite=True" in str(error.value)
    assert file.read_text() == "mine"
    index.save(file, overwrite=True)
    opened = tl.NeighborIndex.open(file)
    tl.NeighborIndex(X[::-1].copy()).save(file, overwrite=True)
    same(index, opened, Q)


def test_a_full_disk_keeps_the_old_file(tmp_path):
    X, Q = made()
    file = tmp_path / "index"
    tl.NeighborIndex(X[:50]).save(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            tl.NeighborIndex(X).save(file, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    same(tl.NeighborIndex(X[:50]), tl.NeighborIndex.open(file), Q)


def test_damage_of_rows_is_said_by_the_first_search(tmp_path):
    X, Q = made()
    file = tmp_path / "index"
    tl.NeighborIndex(X).save(file)
    with file.open("r+b") as whole:
        whole.seek(4096 + 100)
        whole.write(b"damage")
    index = tl.NeighborIndex.open(file)
    for _ in range(2):
        with pytest.raises(TlengineError, match="the rows from byte 0 on"):
            index.search(Q)
