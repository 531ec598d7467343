"""Runs the command line in this process; small data on disk."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tlengine.cli import main


@pytest.fixture
def tl(capsys):
    """Calls a command; returns exit code, stdout (parsed with ``--json``) and stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(out) if "--json" in arguments and out else out, err

    return call


@pytest.fixture(scope="session")
def features(tmp_path_factory):
    """200 digits of three classes as an .npz."""
    X, y = load_digits(n_class=3, return_X_y=True)
    path = tmp_path_factory.mktemp("features") / "digits.npz"
    np.savez(path, X=X[:200].astype(np.float32), y=np.array(["zero", "one", "two"])[y[:200]])
    return path


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A table of 60 short texts on two topics, and one of three new ones."""
    rng = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "axe", "file", "drill"]}
    rows = ["text,topic"]
    for index in range(60):
        topic = ("fruit", "tool")[index % 2]
        rows.append(" ".join(rng.choice(words[topic], 3)) + f" {index},{topic}")
    folder = tmp_path_factory.mktemp("texts")
    (folder / "notes.csv").write_text("\n".join(rows) + "\n")
    (folder / "new.csv").write_text("text\nan apple and a pear\n=a saw and a drill\nplum fig plum\n")
    return folder / "notes.csv"
