"""What a grid says at its end: a C at the edge of its grid, where more was to be gained."""

import numpy as np
import pytest

from tlengine.errors import GridEdgeWarning
from tlengine.probes import probe_grid
from tlengine.probes.grid_choice import choose
from tlengine.probes.grid_notes import warn_of_edges

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
