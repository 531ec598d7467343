"""Patience chooses as good a C as the whole path: ``scripts/validate/patience.py`` in short."""

import pytest
from scripts.validate import patience as validation
from scripts.validate.patience import Outcome, draw, lower_limit, outcomes

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
    found = [one for name in names for one in outcomes(name, way, (5, 10), 2, 2)]
    assert len(found) == 4 * len(names)
    assert sum(one.kept for one in found) >= len(found) - 1
    assert sum(one.passes[0] for one in found) > 1.3 * sum(one.passes[1] for one in found)


def test_the_defaults_are_those_that_are_validated():
    assert tl.LinearProbeCV().patience == tl.LinearSVMProbeCV().patience == 2


def outcome(same=False, loss=None, accuracy=(0.9, 0.9)):
    return Outcome(same=same, loss=loss, accuracy=accuracy, passes=(10, 5), cpu=(1.0, 0.5))


def test_what_counts_as_kept():
    assert outcome(loss=(1.0, 1.004)).kept
    assert not outcome(loss=(1.0, 1.006)).kept
    assert outcome(same=True, loss=(1.0, 2.0)).kept
    assert outcome(accuracy=(0.9, 0.896)).kept
    assert not outcome(accuracy=(0.9, 0.89)).kept


def test_no_row_is_on_both_sides():
    for budget in (5, 20, None):
        (X, y), (held, labels) = draw(validation.SOURCES["iris"](), budget, 0)
        assert len(y) + len(labels) == 150
        assert len(y) == (105 if budget is None else 3 * budget)
        assert len(X) == len(y)
        assert len(held) == len(labels)
    assert draw(validation.SOURCES["iris"](), 50, 0) is None


@pytest.mark.parametrize(("good", "code"), [(200, 0), (180, 1)])
def test_a_broken_limit_fails_the_run(monkeypatch, capsys, good, code):
    problems = [outcome(loss=(1.0, 1.0 if i < good else 2.0)) for i in range(200)]
    monkeypatch.setattr(validation, "outcomes", lambda *_: problems)
    monkeypatch.setattr("sys.argv", ["patience", "--ways", "log-loss", "--sources", "iris"])
    assert validation.main() == code
    out, err = capsys.readouterr()
    assert f"| log-loss | iris | 200 | 0 | {good} |" in out
    assert err.startswith("broken: log-loss") == bool(code)


def test_the_limit_is_that_of_clopper_and_pearson():
    assert lower_limit(60, 60) == pytest.approx(0.05 ** (1 / 60))
