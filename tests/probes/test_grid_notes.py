"""What a grid says at its end: a C at the edge of its grid."""

import numpy as np
import pytest

from tlengine.errors import GridEdgeWarning
from tlengine.probes import probe_grid

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 8)).astype(np.float32)
EASY = X[:, 0] > 0
OPTIONS = {"seeds": 4, "cv": 3, "progress": False}


def test_a_chosen_c_at_the_edge_is_counted_once_and_at_the_callers_line(tmp_path):
    for _ in range(2):
        with pytest.warns(
            GridEdgeWarning, match=r"edge of the grid in 4 of 4 records \(0 at 1e-06, 4 at 0\.01\)"
        ) as told:
            probe_grid(X, EASY, Cs=[1e-6, 1e-4, 1e-2], resume=tmp_path / "g", **OPTIONS)
        assert len(told) == 1
        assert told[0].filename == __file__


def test_it_is_not_said_of_two_values_or_where_nothing_was_chosen():
    probe_grid(X, EASY, Cs=[1e-6, 1e-2], **OPTIONS)
    probe_grid(X, EASY, Cs=[1e-6, 1e-4, 1e-2], **{**OPTIONS, "cv": None})


def test_it_is_not_said_of_a_few():
    noisy = X[:, 0] + 2 * RNG.normal(size=200) > 0
    found = probe_grid(X, noisy, Cs=[1e-9, 1e-3, 1e-2, 1e-1, 1e9], **OPTIONS)
    assert {record["C"] for record in found.records} <= {1e-3, 1e-2, 1e-1}
