"""Bad input, as a user meets it on the command line.

Each case ends with one ``error:`` line that names the place and a ``hint:``, exit code 1 (2 for usage),
or, where the rest of the data is fine, with a warning, a count and exit code 0. Never a traceback, never a
wrong number.
"""

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.requirements import require_root, require_tools
from tlengine.cli import main

Run = Callable[..., tuple[int, str, str]]
Case = Callable[[Path], list[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def _jpeg(seed: int, size: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index in range(12):
        name = folder / ("bright" if index % 2 else "dark") / f"{index}.jpg"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(_jpeg(index))
    return folder


def _file(tmp_path: Path, name: str, content: bytes) -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def _npz(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "f.npz", **arrays)
    return tmp_path / "f.npz"


def _features(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b"], n // 2)
    return (rng.normal(size=(n, 3)) + (y == "a")[:, None]).astype(np.float32), y


def _table(rows: str) -> bytes:
    return ("text,label\n" + rows).encode()


ROWS = "".join(f"some text number {i},{'ab'[i % 2]}\n" for i in range(20))


def _with_nan(tmp_path: Path, where: str) -> list[str]:
    X, y = _features()
    X[3, 1] = np.nan if where == "nan" else np.inf
    return ["probe", str(_npz(tmp_path, X=X, y=y))]


def _lengths(tmp_path: Path) -> list[str]:
    X, y = _features()
    return ["probe", str(_npz(tmp_path, X=X, y=y[:-1]))]


def _label_nan(tmp_path: Path) -> list[str]:
    X, y = _features()
    numbers = (y == "a").astype(float)
    numbers[5] = np.nan
    return ["probe", str(_npz(tmp_path, X=X, y=numbers))]


def _npz_pickle(tmp_path: Path) -> list[str]:
    np.savez(tmp_path / "p.npz", X=np.array([{"a": 1}], dtype=object), y=np.array(["a"]))
    return ["probe", str(tmp_path / "p.npz")]


def _bare_pickle(tmp_path: Path) -> list[str]:
    return ["probe", str(_file(tmp_path, "q.npz", pickle.dumps({"X": 1})))]


def _empty_folder(tmp_path: Path) -> list[str]:
    (tmp_path / "empty").mkdir()
    return ["compare", str(tmp_path / "empty")]


def _one_class(tmp_path: Path) -> list[str]:
    return ["compare", str(_file(tmp_path, "t.csv", _table("x one,a\nx two,a\nx three,a\n")))]


def _csv(content: bytes, *options: str) -> Case:
    return lambda tmp_path: ["compare", str(_file(tmp_path, "t.csv", content)), "--backbone", "raw", *options]


def _continuous(tmp_path: Path) -> list[str]:
    rows = "".join(f"text number {i},{i * 0.37 + 0.01}\n" for i in range(60))
    return ["compare", str(_file(tmp_path, "t.csv", _table(rows))), "--backbone", "raw"]


def _foreign_run(tmp_path: Path) -> list[str]:
    return ["report", str(_file(tmp_path, "run.json", b'{"hello": 1}'))]


def _not_json_run(tmp_path: Path) -> list[str]:
    return ["report", str(_file(tmp_path, "run.json", b"\x80\x04not json"))]


def _named(name: str, content: str | bytes, *options: str) -> Case:
    data = content.encode() if isinstance(content, str) else content
    return lambda tmp_path: ["compare", str(_file(tmp_path, name, data)), "--backbone", "raw", *options]


FAIL: dict[str, tuple[Case, str]] = {
    "quotes that swallow rows": (_csv(_table('" big,a\nx,b\nsay ",a\n')), "line 2"),
    "quotes that swallow rows of a TSV": (_named("t.tsv", 'text\tlabel\n"a\tb\nc"\td\n'), "line 2"),
    "one unknown word among splits": (_csv(b"text,label,split\na,x,train\nb,y,tets\n"), "tets"),
    "1 beside '1'": (_named("t.jsonl", '{"text":"a","label":1}\n{"text":"b","label":"1"}\n'), "line 2"),
    "several labels in a row": (_named("t.jsonl", '{"text":"a","label":["x","y"]}\n'), "MultiLabelBinarizer"),
    "paths of Windows": (_named("t.csv", "image,label\nC:\\img\\1.jpg,a\n"), "Windows"),
    "paths that are URLs": (_named("t.tsv", "image\tlabel\nhttps://x.org/1.jpg\ta\n"), "URL"),
    "paths called text": (_named("t.csv", "text,label\na/1.jpg,x\nb/2.png,y\n"), "--image text"),
    "UTF-16 without a mark": (_named("t.csv", "text,label\na,b\n".encode("utf-16-le")), "UTF-16LE"),
    "a column that is misspelt": (_csv(_table(ROWS), "--label", "lable"), "did you mean 'label'"),
    "a column of a source without": (lambda t: [*_lengths(t), "--group", "g"], "group"),
    "missing folder": (lambda t: ["extract", str(t / "nowhere")], "nowhere"),
    "empty folder": (_empty_folder, "empty"),
    "no label column": (_csv(b"text,kind\nx,a\n", "--label", "species"), "species"),
    "ragged table": (_csv(_table("one,a\ntwo,b,c,d\n")), "3"),
    "NUL bytes": (_csv(_table("one,a\ntw\0o,b\n")), "NUL"),
    "wrong encoding": (_csv(_table("caf").replace(b"caf", b"caf\xe9,a\n" * 3)), "UTF-8"),
    "empty table": (_csv(b""), "empty"),
    "header only": (_csv(b"text,label\n"), "t.csv"),
    "one class": (_one_class, "class"),
    "NaN features": (lambda t: _with_nan(t, "nan"), "row 3"),
    "infinite features": (lambda t: _with_nan(t, "inf"), "row 3"),
    "X and y of different length": (_lengths, "39"),
    "labels with NaN": (_label_nan, "label"),
    "continuous labels": (_continuous, "regression"),
    "npz that is a pickle": (_npz_pickle, "pickle"),
    "pickle named npz": (_bare_pickle, "q.npz"),
    "foreign run.json": (_foreign_run, "run.json"),
    "run.json that is no JSON": (_not_json_run, "run.json"),
    "unknown backbone": (_csv(_table(ROWS), "--backbone", "minilmm"), "minilm"),
    "unknown strategy": (_csv(_table(ROWS), "--strategies", "prob"), "probe"),
}


@pytest.mark.parametrize("name", FAIL)
def test_one_line_and_a_hint(name: str, tmp_path: Path, run: Run) -> None:
    case, word = FAIL[name]
    code, out, err = run(*case(tmp_path))
    lines = err.strip().splitlines()
    assert code == 1, err
    assert out == ""
    assert "Traceback" not in err
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, err
    assert word in err
    assert lines[-1].startswith("hint: "), err


@pytest.mark.parametrize("options", [["--budgets", "0"], ["--budgets", "5,-1"], ["--seeds", "0"]])
def test_counts_below_one_are_refused(options: list[str], tmp_path: Path, run: Run) -> None:
    table = _file(tmp_path, "t.csv", _table(ROWS))
    code, out, err = run("compare", table, "--backbone", "raw", *options)
    assert code in (1, 2)
    assert out == ""
    assert options[1].split(",")[-1] in err


def test_missing_plugin_package_names_the_install_line(photos: Path) -> None:
    environment = {**os.environ, "TLENGINE_LOAD_PLUGINS": "builtin"}
    command = [sys.executable, "-m", "tlengine", "extract", str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "hint: " in done.stderr
    assert "pip install ./plugins/" in done.stderr


@pytest.mark.parametrize("kind", ["garbage", "pickle", "empty"])
def test_model_folder_that_is_no_model(kind: str, tmp_path: Path, photos: Path, run: Run) -> None:
    model = tmp_path / "model"
    model.mkdir()
    canary = tmp_path / "canary"
    if kind != "empty":
        payload = pickle.dumps(_Bomb(str(canary))) if kind == "pickle" else os.urandom(300)
        (model / "model.safetensors").write_bytes(payload)
        (model / "config.json").write_bytes(payload)
    code, _, err = run("predict", model, photos)
    assert code == 1
    assert "Traceback" not in err
    assert "hint: " in err
    assert not canary.exists(), "the pickle was executed"


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (self.path,)


# ---- the rest of the data is fine: a warning, a count, exit 0 ----


def _png_header(width: int, height: int) -> bytes:
    """A PNG whose header announces ``width`` x ``height``; one bit a pixel, really that large."""
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["truncated", "text", "bomb"])
def test_unreadable_images_are_counted_never_replaced(kind: str, photos: Path, run: Run) -> None:
    content = {
        "truncated": _jpeg(99, 64)[:-400],
        "text": b"not an image",
        "bomb": _png_header(13_000, 13_000),
    }
    bad = photos / "dark" / "bad.png"
    bad.write_bytes(content[kind])
    code, out, err = run("extract", photos, "--backbone", "raw", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["rows"], document["failed"], document["embedded"]) == (13, 1, 12)
    assert "bad.png" in document["failures"][0]["id"]
    assert "warning" in err
    if kind == "bomb":
        assert "169" in document["failures"][0]["reason"]
    code, _, _ = run("extract", photos, "--backbone", "raw", "--strict")
    assert code == 1


def test_only_unreadable_images_is_a_failure(tmp_path: Path, run: Run) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / "bad" / name).parent.mkdir(parents=True)
        (tmp_path / "bad" / name).write_bytes(b"no")
    code, _, err = run("extract", tmp_path / "bad", "--backbone", "raw")
    assert code == 1
    assert "error: " in err


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, run: Run) -> None:
    table = _file(tmp_path, "t.csv", b"\xef\xbb\xbf" + _table(ROWS))
    code, out, _ = run("extract", table, "--backbone", "raw", "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 20


def test_read_only_cache_serves_hits_and_computes_misses(photos: Path, run: Run) -> None:
    require_root()
    require_tools("mount", "umount")
    assert run("extract", photos, "--backbone", "raw")[0] == 0
    (photos / "dark" / "new.jpg").write_bytes(_jpeg(77))
    home = Path(os.environ["TLENGINE_HOME"])
    subprocess.run(["mount", "--bind", home, home], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        assert not os.access(home, os.W_OK), "the injection did not fire"
        code, out, err = run("extract", photos, "--backbone", "raw", "--json")
    finally:
        subprocess.run(["umount", home], check=True)
    document = json.loads(out)
    assert code == 0, err
    assert (document["cached"], document["embedded"]) == (12, 1)
    assert "read-only" in err


def test_garbage_segment_is_quarantined_and_its_rows_recomputed(
    photos: Path, tmp_path: Path, run: Run
) -> None:
    assert run("extract", photos, "--backbone", "raw", "--out", tmp_path / "a.npz")[0] == 0
    home = Path(os.environ["TLENGINE_HOME"])
    files = [p for p in home.rglob("*") if p.is_file() and p.stat().st_size > 2_000]
    assert files, "no segment found"
    for file in files:
        file.chmod(0o644)
        file.write_bytes(os.urandom(file.stat().st_size))
    code, out, err = run("extract", photos, "--backbone", "raw", "--json", "--out", tmp_path / "b.npz")
    assert code == 0, err
    assert json.loads(out)["embedded"] > 0
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert np.array_equal(a["X"], b["X"])


def test_full_disk_keeps_committed_rows(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    require_root()
    require_tools("mount", "umount")
    rng = np.random.default_rng(0)
    for index in range(600):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        name = tmp_path / "many" / "ab"[index % 2] / f"{index}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(name)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", small], check=True)
    monkeypatch.setenv("TLENGINE_HOME", str(small / "home"))
    extract = ("extract", tmp_path / "many", "--backbone", "raw", "--batch-size", "32", "--json")
    try:
        code, _, err = run(*extract)
        assert code == 1, "the injection did not fire: 600 rows fit into 700 kB"
        assert "error: " in err
        assert "hint: " in err
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        code, out, err = run(*extract)
    finally:
        subprocess.run(["umount", small], check=True)
    document = json.loads(out)
    assert code == 0, err
    assert document["cached"] > 0, "rows committed before the disk was full are gone"
    assert document["cached"] + document["embedded"] == 600
