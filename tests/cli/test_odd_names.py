"""Names of files and folders that no encoding takes, or that a terminal or a spreadsheet obeys."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlengine as tlengine_
from tlengine.data.filenames import as_name, as_text, inert, shown, writable

NAMES = {
    "latin-1": b"caf\xe9",
    "shift-jis": "写真".encode("shift_jis"),
    "utf-16 mark": b"\xff\xfe",
    "looks escaped": rb"caf\xe9",
    "backslash": rb"a\b",
    "line end": b"a\nb",
    "tab and quotes": b"a\t\"'b",
    "dash": b"-rf",
    "formula": b"=1+1",
    "apostrophe and formula": b"'=1+1",
    "terminal": b"a\x1b[31mb",
    "C1 control": "a\x9b31mb".encode(),
    "turned": "a\u202egpj.b".encode(),
    "separator": "a\u2028b".encode(),
    "composed": "é".encode(),
    "decomposed": "e\u0301".encode(),
    "markup": b"<script>alert(1)</script>".replace(b"/", b""),
    "template": b"{{1}}%s{0}",
    "long": b"x" * 248,
}
DANGER = ["\x1b", "\x9b", "\u202e"]


def photos(root: Path, classes: dict[bytes, int], names: list[bytes]) -> Path:
    rng = np.random.default_rng(0)
    for name, brightness in classes.items():
        folder = os.path.join(os.fsencode(root), name)
        os.makedirs(folder)
        for number, file in enumerate(names):
            pixels = rng.normal(brightness, 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(os.fsdecode(os.path.join(folder, b"%s%d.png" % (file, number))))
    return root


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one of them in Latin-1, with a picture of every name in each; one cannot be read."""
    root = photos(
        tmp_path_factory.mktemp("names") / "photos", {b"caf\xe9": 50, b"plain": 200}, list(NAMES.values())
    )
    (root / "plain" / os.fsdecode(b"bro\xe8ken\x1b[1m.png")).write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def run(messy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    tlengine("compare", messy, "--backbone", "raw", "--seeds", "1", "--strategies", "probe", "--out", out)
    return out


def tlengine(*arguments: object) -> str:
    """A command in a process of its own, whose streams take UTF-8 and nothing else."""
    told = subprocess.run(
        [sys.executable, "-m", "tlengine", *map(str, arguments)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict", "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.decode("utf-8")


def files(root: Path) -> set[bytes]:
    """The paths of all pictures that can be read, relative to ``root``, as bytes."""
    found = (path for path in root.rglob("*.png") if path.stat().st_size)
    return {os.fsencode(path.relative_to(root)) for path in found}


def back(ids: list[str]) -> set[bytes]:
    assert len(set(ids)) == len(ids)
    return {os.fsencode(as_name(id_)) for id_ in ids}


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back(name: str) -> None:
    given = os.fsdecode(NAMES[name])
    text = as_text(given)
    assert as_name(text) == given
    assert (text == given) == (name not in ("latin-1", "shift-jis", "utf-16 mark", "looks escaped"))
    text.encode("utf-8")
    assert json.loads(json.dumps(text, ensure_ascii=False)) == text


@pytest.mark.parametrize("name", NAMES)
def test_nothing_acts_on_a_terminal(name: str) -> None:
    line = shown(os.fsdecode(NAMES[name]))
    assert not any(danger in line for danger in [*DANGER, "\n", "\t", "\u2028"])
    assert line.isprintable()
    assert inert("a\n\tb") == "a\n\tb"
    line.encode("utf-8")


@pytest.mark.parametrize("half", [chr(0xDCE9), chr(0xD83D), f"a{chr(0xDFFF)}b"])
@pytest.mark.parametrize("column", ["ids", "y", "groups", "domains"])
def test_half_characters_of_any_source_are_escaped(half: str, column: str) -> None:
    columns = {"ids": np.array(["a", "b"]), column: np.array([half, "b"])}
    ds = tlengine_.data.Dataset(name="d", modality="text", contents=["x", "y"], **columns)
    assert getattr(ds, column).tolist() == [as_text(half), "b"]
    assert as_name(as_text(half)) == half
    assert writable(columns["ids"][1:]) is not None


def test_extract(messy: Path, tmp_path: Path) -> None:
    document = json.loads(
        tlengine("extract", messy, "--backbone", "raw", "--out", tmp_path / "f.npz", "--json")
    )
    assert (document["rows"], document["failed"]) == (2 * len(NAMES) + 1, 1)
    assert document["failures"][0]["id"] == "plain/bro\\xe8ken\x1b[1m.png"
    with np.load(tmp_path / "f.npz", allow_pickle=False) as saved:
        assert back(saved["ids"].tolist()) == files(messy)
        assert set(saved["y"].tolist()) == {"caf\\xe9", "plain"}


def test_compare_and_report(messy: Path, run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "run.json").read_bytes())
    assert document["dataset"]["classes"] == ["caf\\xe9", "plain"]
    tlengine("report", run, "--out", tmp_path / "again.html")
    for page in (run / "report.html", tmp_path / "again.html"):
        text = page.read_bytes().decode("utf-8")
        assert "caf\\xe9" in text
        assert not any(danger in text for danger in DANGER)
        assert "<script>" not in text


@pytest.mark.parametrize("suffix", ["csv", "stdout", "--json"])
def test_predict(messy: Path, run: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"p.{suffix}"
    extra = {"csv": ["--out", out], "stdout": [], "--json": ["--json"]}[suffix]
    told = tlengine("predict", run / "model", messy, *extra)
    if suffix == "--json":
        ids = [row["id"] for row in json.loads(told)["predictions"]]
    else:
        text = told if suffix == "stdout" else out.read_bytes().decode("utf-8")
        ids = [row["id"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert back(ids) == files(messy)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("extract", b"a\x1b[2Jb"),
        ("compare", "a\x9b2Jb".encode()),
        ("probe", "a\u202eb".encode()),
        ("extract", b"a\xffb"),
    ],
)
def test_an_error_is_one_harmless_line(command: str, name: bytes) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tlengine", command, os.fsdecode(b"/nowhere/" + name)],
        capture_output=True,
        check=False,
    )
    text = told.stderr.decode("utf-8")
    assert told.returncode == 1
    assert text.startswith("error: /nowhere/a\\")
    assert not any(danger in text for danger in DANGER)


def test_a_terminal_gets_the_predictions_escaped(messy: Path, run: Path) -> None:
    """What a file gets byte by byte, see above, is for the eye here."""
    ours, theirs = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "tlengine", "predict", run / "model", messy, "--top-k", "1", "--quiet"],
            stdout=theirs,
            check=True,
            capture_output=False,
        )
        text = os.read(ours, 1 << 16).decode("utf-8")
    finally:
        os.close(ours)
        os.close(theirs)
    assert "a\\x1b[31mb" in text
    assert not any(danger in text for danger in DANGER)


@pytest.mark.parametrize("place", [b"caf\xe9", b"a\nb", b"a\x1b[1mb"])
def test_folders_of_such_names(place: bytes, tmp_path: Path) -> None:
    root = photos(tmp_path / os.fsdecode(place), {b"a": 50, b"b": 200}, [b"1", b"2", b"3"])
    feats = tlengine_.extract(tlengine_.load_dataset(root), "raw", progress=False)
    assert (len(feats), feats.dataset) == (6, shown(os.fsdecode(place)))
    feats.dataset.encode("utf-8")


@pytest.mark.parametrize(
    "names", [("caf\u00e9", "cafe\u0301"), ("\u00c5", "A\u030a"), ("\uac00", "\u1100\u1161")]
)
def test_one_name_composed_and_decomposed_is_one_class(names: tuple[str, str], tmp_path: Path) -> None:
    root = photos(tmp_path, {names[0].encode(): 50, names[1].encode(): 60, b"dog": 200}, [b"1", b"2"])
    assert len(list(root.iterdir())) == 3
    with pytest.warns(tlengine_.errors.TlengineWarning, match="is '"):
        ds = tlengine_.load_dataset(root)
    assert sorted(set(ds.labels().tolist())) == sorted([names[0], "dog"])
    assert len(set(ds.ids.tolist())) == 6


@pytest.mark.parametrize("names", [("cat", "Cat"), ("cat", "CAT"), ("my cat", "My  Cat")])
def test_names_that_look_alike_are_told_of(names: tuple[str, str], tmp_path: Path) -> None:
    root = photos(tmp_path, {names[0].encode(): 50, names[1].encode(): 60}, [b"1", b"2"])
    with pytest.warns(tlengine_.errors.TlengineWarning, match="look alike"):
        assert len(set(tlengine_.load_dataset(root).labels().tolist())) == 2


@pytest.mark.parametrize("name", ["cat ", " cat", "cat\u00a0", "cat\u200b"])
def test_blanks_make_no_class(name: str, tmp_path: Path) -> None:
    root = photos(tmp_path, {b"cat": 50, name.encode(): 60, b"dog": 200}, [b"1", b"2"])
    with pytest.warns(tlengine_.errors.TlengineWarning, match="cat"):
        assert set(tlengine_.load_dataset(root).labels().tolist()) == {"cat", "dog"}


@pytest.mark.parametrize("name", [" ", "\u200b", "\u3000"])
def test_a_class_needs_a_name(name: str, tmp_path: Path) -> None:
    root = photos(tmp_path, {b"cat": 50, name.encode(): 60}, [b"1"])
    with pytest.raises(tlengine_.errors.LabelError, match="nothing can be seen"):
        tlengine_.load_dataset(root)
