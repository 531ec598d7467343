"""``tlengine extract``: the document, the file, labels that are none."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlengine.cli import main
from tlengine.data import load_dataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["extract", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("id,text,label,patient_id,split\nx,one,a,p,train\ny,two,b,q,test\nz,one,a,p,train\n")
    return path


def test_the_document(table: Path, run: Run) -> None:
    code, out, err = run(table, "--backbone", "raw", "--json")
    document = json.loads(out)
    assert code == 0
    assert {name: document[name] for name in ("rows", "embedded", "cached", "failed", "backbone", "dim")} == {
        "rows": 3,
        "embedded": 2,
        "cached": 1,
        "failed": 0,
        "backbone": "raw",
        "dim": 3072,
    }
    assert document["failures"] == []
    assert document["seconds"] > 0
    assert len(document["fingerprint"]) == 64
    assert "columns: text 'text', label 'label', group 'patient_id', split 'split'" in err
    assert json.loads(run(table, "--backbone", "raw", "--json")[1])["embedded"] == 0


def test_the_file_holds_the_dataset_in_its_order(table: Path, tmp_path: Path, run: Run) -> None:
    code, out, _ = run(table, "--backbone", "raw", "--out", tmp_path / "new" / "f.npz")
    assert code == 0
    assert "3 rows by raw into 3072 columns: 2 embedded, 1 cached, 0 failed" in out
    with np.load(tmp_path / "new" / "f.npz", allow_pickle=False) as arrays:
        assert arrays["X"].shape == (3, 3072)
        assert arrays["ids"].tolist() == ["x", "y", "z"]
        assert arrays["y"].tolist() == ["a", "b", "a"]
        assert np.array_equal(arrays["keys"][0], arrays["keys"][2])
    ds = load_dataset(tmp_path / "new" / "f.npz")
    assert ds.groups is not None
    assert ds.splits is not None
    assert (ds.groups.tolist(), ds.splits.tolist()) == (["p", "q", "p"], ["train", "test", "train"])
    assert ds.metadata["backbone"] == "raw"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["f.npz"]


def test_labels_that_are_none_are_left_out_with_a_word(tmp_path: Path, run: Run) -> None:
    (tmp_path / "t.csv").write_text("text,label\none,\ntwo,b\n")
    code, out, err = run(tmp_path / "t.csv", "--backbone", "raw", "--json", "--out", tmp_path / "f.npz")
    assert code == 0
    assert "warning: labels are left out" in err
    assert json.loads(out)["rows"] == 2
    assert load_dataset(tmp_path / "f.npz").y is None


def test_failures_are_listed_and_strict_is_an_error(tmp_path: Path, run: Run) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    code, out, err = run(tmp_path, "--backbone", "raw", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["rows"], document["embedded"], document["failed"]) == (2, 1, 1)
    assert document["failures"][0]["id"] == "bad.png"
    assert "warning: 1 of 2 samples cannot be read: bad.png (not a JPEG" in err
    code, out, err = run(tmp_path, "--backbone", "raw", "--strict", "--json")
    assert (code, out) == (1, "")
    assert "error: 1 of 2" in err


def test_the_default_backbone_is_named_on_stderr(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("tlengine_efficientnet_lite")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    code, out, err = run(tmp_path, "--json", "--num-threads", "1")
    assert code == 0
    assert json.loads(out)["backbone"] == "efficientnet-lite0"
    assert "efficientnet-lite0" in err
    assert "backbone:" not in run(tmp_path, "--json", "--quiet")[2]


def test_features_are_refused(tmp_path: Path, run: Run) -> None:
    np.savez(tmp_path / "f.npz", X=np.eye(3))
    code, _, err = run(tmp_path / "f.npz", "--backbone", "raw")
    assert code == 1
    assert "holds features already" in err


def test_ctrl_c_ends_it_without_a_traceback_and_keeps_what_was_done(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(1500):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    options = [photos, "--backbone", "raw", "--batch-size", "1", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tlengine", "extract", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    home = Path(os.environ["TLENGINE_HOME"])
    while sum(file.stat().st_size for file in home.rglob("*") if file.is_file()) < 40 * 3072 * 4:
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    document = json.loads(run(photos, "--backbone", "raw", "--json")[1])
    assert document["cached"] > 0
    assert document["cached"] + document["embedded"] == 1500


@pytest.mark.parametrize("name", ["f.txt", "f", "f.npz.gz"])
def test_a_file_that_no_command_would_read_is_not_written(
    table: Path, tmp_path: Path, run: Run, name: str
) -> None:
    code, _, err = run(table, "--backbone", "raw", "--out", tmp_path / name)
    assert (code, (tmp_path / name).exists()) == (2, False)
    assert ".npz" in err
