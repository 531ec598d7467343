"""Patience chooses as good a C as the whole path: ``scripts/validate/patience.py`` in short."""

import numpy as np
import pytest
from scripts.validate import patience as validation
from scripts.validate.patience import Outcome, draw, outcomes, summary

import tlengine as tl

pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


@pytest.fixture(autouse=True)
def _quietly():
    """The largest C of a whole path are not always certified."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize(
    ("way", "names"),
    [
        ("log-loss", ("digits with noise", "wine", "breast cancer", "iris")),
        ("SVM", ("breast cancer", "iris")),
    ],
)
def test_the_chosen_c_is_kept_and_passes_are_saved(way, names):
    found = [one for name in names for one in outcomes(name, validation.WAYS[way], (5, 10), 2, 2)]
    assert len(found) == 4 * len(names)
    assert sum(one.kept for one in found) >= len(found) - 1
    assert sum(one.passes[0] for one in found) > 1.3 * sum(one.passes[1] for one in found)


def test_the_defaults_are_those_that_are_validated():
    assert tl.LinearProbeCV().patience == tl.LinearSVMProbeCV().patience == 2


def outcome(same=False, loss=None, accuracy=(0.9, 0.9), cpu=(1.0, 0.5), said=False):
    return Outcome(same=same, loss=loss, accuracy=accuracy, passes=(10, 5), cpu=cpu, said=said)


def test_what_counts_as_kept():
    assert outcome(loss=(1.0, 1.004)).kept
    assert not outcome(loss=(1.0, 1.006)).kept
    assert outcome(same=True, loss=(1.0, 2.0)).kept
    assert outcome(accuracy=(0.9, 0.896)).kept
    assert not outcome(accuracy=(0.9, 0.89)).kept


def test_no_row_is_on_both_sides():
    for budget in (5, 20, None):
        (X, y), (held, labels) = draw(validation.SOURCES["iris"][1](), budget, 0)
        assert len(y) + len(labels) == 150
        assert len(y) == (105 if budget is None else 3 * budget)
        assert len(X) == len(y)
        assert len(held) == len(labels)
    assert draw(validation.SOURCES["iris"][1](), 50, 0) is None


@pytest.mark.parametrize(("good", "code"), [(200, 0), (180, 1)])
def test_a_broken_limit_fails_the_run(monkeypatch, capsys, good, code):
    problems = [outcome(loss=(1.0, 1.0 if i < good else 2.0)) for i in range(200)]
    monkeypatch.setattr(validation, "outcomes", lambda *_: problems)
    monkeypatch.setattr("sys.argv", ["patience", "--ways", "log-loss", "--sources", "iris"])
    assert validation.main() == code
    out, err = capsys.readouterr()
    assert f"| log-loss | iris | 200 | 0 | {good} |" in out
    assert err.startswith("broken: log-loss") == bool(code)


def test_the_weakest_source_and_the_range_of_times_are_told():
    """A mean over sources would hide both; a warning is no claim where it did not come."""
    bad = [outcome(loss=(1.0, 2.0), said=True), outcome(loss=(1.0, 2.0)), outcome(loss=(1.0, 1.0))]
    told = summary({"iris": [outcome(same=True, cpu=(8.0, 2.0))] * 7, "wine": bad})
    assert told == (
        "8 of 10 kept (80.0 %), 1 of the 2 others with a GridEdgeWarning; wine: 33 %; "
        "CPU time by source 2.0 to 4.0 times less"
    )


def test_the_settings_of_grid_and_strategy_are_those_of_their_defaults():
    from inspect import signature

    from tlengine.evaluation.strategies.logistic import GRID, PATIENCE, ROUGH

    grid = signature(tl.probe_grid).parameters
    X = validation.SOURCES["iris"][1]()[0]
    made = {name: way.make(way.patience, X) for name, way in validation.WAYS.items()}
    assert (made["grid"].Cs, made["grid"].patience) == (grid["Cs"].default, grid["patience"].default)
    assert (made["compare"].patience, made["compare"].tol, len(made["compare"].Cs)) == (
        PATIENCE,
        ROUGH,
        len(GRID),
    )


@pytest.mark.parametrize(
    ("name", "classes"), [("pairs of digits, 20 classes", 20), ("synthetic, 100 classes", 100)]
)
def test_problems_of_many_classes_have_them(name, classes):
    X, y = validation.SOURCES[name][1]()
    assert len(np.unique(y)) == classes
    assert len(np.unique(X, axis=0)) == len(X)
