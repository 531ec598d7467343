"""A grid is not taken up where the code of the user's own estimator, or of what it calls, has changed."""

import importlib
import sys

import numpy as np
import pytest

from tlengine.errors import InputError, RunFormatError
from tlengine.probes import RidgeProbeCV, own_code, probe_grid
from tlengine.probes.own_code import code_digest, version_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X[:, 0] > 0

MINE = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from m2_helpers import shrunk

class Mine(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(shrunk(X[:, 0]) > 0.0).astype(int)]
"""
HELPERS = """
def shrunk(x):
    return x / 2
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes the two modules, and gives the class of the first as a new process would see it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def loaded(mine=MINE, helpers=HELPERS):
        (tmp_path / "m2_mine.py").write_text(mine)
        (tmp_path / "m2_helpers.py").write_text(helpers)
        forget()
        importlib.invalidate_caches()
        return importlib.import_module("m2_mine").Mine

    def forget():
        for name in ("m2_mine", "m2_helpers"):
            sys.modules.pop(name, None)

    yield loaded
    forget()


@pytest.mark.parametrize(
    "change",
    [{"mine": MINE.replace("> 0.0", "> 0.5")}, {"helpers": HELPERS.replace("x / 2", "x - 2")}],
    ids=["class", "helper"],
)
def test_changed_code_is_another_probe(modules, tmp_path, change):
    options = {"seeds": 1, "resume": tmp_path / "g", "progress": False}
    first = probe_grid(X, Y, probe=modules()(), **options).records
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(X, Y, probe=modules(**change)(), **options)
    assert probe_grid(X, Y, probe=modules()(), **options).records == first


def test_code_inside_another_estimator_counts(modules, tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def call(kind):
        probe = make_pipeline(StandardScaler(), kind())
        return probe_grid(X, Y, probe=probe, seeds=1, resume=tmp_path / "g", progress=False)

    call(modules())
    with pytest.raises(RunFormatError, match="other data or settings"):
        call(modules(mine=MINE.replace("> 0.0", "> 0.5")))


def test_a_base_class_of_the_users_counts(modules):
    digests = set()
    for mine in (MINE, MINE.replace("> 0.0", "> 0.5")):
        kind = type("Child", (modules(mine),), {"__module__": "sklearn.base"})
        digests.add(code_digest(kind, "probe"))
    assert len(digests) == 2


def test_what_a_version_tells_has_no_digest():
    assert code_digest(RidgeProbeCV, "probe") == ""
    assert version_of("numpy.linalg") == np.__version__
    assert version_of("nowhere.to_be.found") == ""


def test_code_without_a_file_is_refused(modules, tmp_path):
    kind = modules()
    (tmp_path / "m2_helpers.py").unlink()
    with pytest.raises(
        InputError, match="probe has code in the module 'm2_helpers', whose file cannot be read"
    ):
        probe_grid(X, Y, probe=kind(), resume=tmp_path / "g", progress=False)
    assert not (tmp_path / "g").exists()
    assert len(probe_grid(X, Y, probe=kind(), seeds=1, progress=False).records) == 1


@pytest.mark.parametrize("inside", [True, False], ids=["package", "module"])
def test_packages_of_a_target_folder_are_installed(inside, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / ("m2_placed/__init__.py" if inside else "m2_placed.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("__version__ = '1.0'\n\nclass Placed:\n    pass\n")
    kind = importlib.import_module("m2_placed").Placed
    try:
        assert code_digest(kind, "probe") != "", "the user's own, whatever it says its version is"
        own_code._is_target.cache_clear()
        (tmp_path / "m2_placed-1.0.dist-info").mkdir()  # as pip install --target leaves it
        assert code_digest(kind, "probe") == ""
    finally:
        own_code._is_target.cache_clear()
        del sys.modules["m2_placed"]
