"""What a grid says at its end: a C at the edge of its grid, where more was to be gained."""

import warnings
from typing import ClassVar

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestCentroid

from tlengine.errors import GridEdgeWarning, RareClassWarning, ScoringWarning
from tlengine.probes import probe_grid
from tlengine.probes.grid_choice import choose
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_notes import say, warn_of_edges

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 8)).astype(np.float32)
EASY = X[:, 0] > 0
OPTIONS = {"seeds": 4, "cv": 3, "progress": False}


def test_a_chosen_c_at_the_edge_is_counted_once_and_at_the_callers_line(tmp_path):
    """Also of records that an earlier call has finished."""
    narrow = {"Cs": [1e-6, 1e-4, 1e-2], "resume": tmp_path / "g", **OPTIONS}
    match = r"edge of the grid in 4 of 4 records, .*: 0 at 1e-06, 4 at 0\.01; widen Cs"
    for _ in range(2):
        with pytest.warns(GridEdgeWarning, match=match) as told:
            probe_grid(X, EASY, **narrow)
        assert len(told) == 1
        assert told[0].filename == __file__


class Loud(NearestCentroid):
    """Warns at each fit, and is interrupted once."""

    stops: ClassVar[list[int]] = []

    def fit(self, X, y):
        if self.stops and len(self.stops) == self.stops[0]:
            self.stops.clear()
            raise KeyboardInterrupt
        if self.stops:
            self.stops.append(1)
        warnings.warn(f"{len(X)} rows", ConvergenceWarning, stacklevel=1)
        return super().fit(X, y)


def said(*args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe_grid(*args, progress=False, **options)
    assert {one.filename for one in caught} == {__file__}
    return [(one.category, str(one.message)) for one in caught]


def test_a_resumed_grid_warns_as_an_uninterrupted_one(tmp_path):
    """Of fits, and of a scorer without a number, in jobs that an earlier call has done."""
    options = {"probe": Loud(), "seeds": 4, "budgets": ["all", 5], "scoring": "f1"}
    three = EASY.astype(int) + (X[:, 1] > 1)
    whole = said(X, three, **options)
    assert [category for category, _ in whole] == [ScoringWarning, ConvergenceWarning]
    assert whole[1][1].startswith(
        "8 warnings of fits; first at features 'X', target 'y', seed 0, budget all: 1"
    )
    Loud.stops[:] = [5]
    with pytest.raises(KeyboardInterrupt):
        probe_grid(X, three, resume=tmp_path / "g", progress=False, **options)
    for _ in range(2):
        assert said(X, three, resume=tmp_path / "g", **options) == whole


def test_rare_labels_of_finished_jobs_are_named_again(tmp_path):
    Y = np.column_stack([EASY, X[:, 1] > 0, np.zeros(200, bool)]).astype(int)
    first, again = (said(X, Y, Cs=[0.1], seeds=1, resume=tmp_path / "g") for _ in range(2))
    assert [category for category, _ in first] == [RareClassWarning]
    assert again == first


def test_a_kind_of_warning_that_is_not_loaded_is_a_user_warning():
    note = {"fits": {"gone.errors:OddWarning": [2, "odd"]}}
    with pytest.warns(UserWarning, match="2 warnings of fits; first at features 'X'.*: odd"):
        say({Key("X", "y", 0, "all"): note}, 1)


def test_it_is_not_said_of_two_values_or_where_nothing_was_chosen():
    probe_grid(X, EASY, Cs=[1e-6, 1e-2], **OPTIONS)
    probe_grid(X, EASY, Cs=[1e-6, 1e-4, 1e-2], **{**OPTIONS, "cv": None})


def test_it_is_not_said_of_the_default_grid_at_a_few_labels():
    """There the loss is flat, and of separated classes it falls towards 0 for ever."""
    far = X + 20 * EASY[:, None]
    probe_grid({"noise": X[:, 1:], "far": far}, EASY, budgets=[3, 10], seeds=6, progress=False)


def test_it_is_not_said_of_a_few():
    Cs = np.array([0.1, 1.0, 10.0])
    warn_of_edges([0] * 20 + [1] * 4, Cs, 1)
    with pytest.warns(GridEdgeWarning, match="5 of 20 records, .*: 1 at 0.1, 4 at 10"):
        warn_of_edges([0] * 15 + [1, -1, 1, 1, 1], Cs, 1)


def test_of_equal_losses_the_smallest_c_is_taken_whatever_the_order():
    flat = np.ones((3, 4))
    assert choose(flat, np.array([10.0, 0.1, 1.0, 0.01])).kept == slice(3, 4)


def test_an_edge_is_the_smallest_or_the_largest_c_whatever_the_order():
    losses = np.array([[1.0, 5.0, 3.0], [1.1, 5.0, 3.0]])
    assert choose(losses, np.array([9.0, 0.1, 1.0])).edge == 1
    assert choose(losses, np.array([0.1, 9.0, 1.0])).edge == -1
    assert choose(losses, np.array([1.0, 9.0, 0.1])).edge == 0


def test_where_patience_ended_the_path_the_largest_solved_c_is_no_edge():
    losses = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.1]])
    Cs = np.array([100.0, 10.0, 0.1, 1.0])
    choice = choose(losses[:, [2, 0, 1]], Cs)
    assert (choice.Cs.tolist(), choice.edge) == ([10.0], 0)
    assert choose(np.array([[1.0]]), Cs).Cs.tolist() == [0.1]


def test_a_step_within_its_error_is_no_gain():
    losses = np.array([[3.0, 1.0, 0.5], [3.0, 1.0, 1.4], [3.0, 1.0, 0.9]])
    assert choose(losses, np.array([0.1, 1.0, 10.0])).edge == 0
