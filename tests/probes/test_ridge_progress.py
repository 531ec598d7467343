"""Ridge solves are shown while they go on, and can be ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlengine as tl
from tlengine.errors import InputError, TimeLimitError
from tlengine.probes import RidgeProgress


def data() -> tuple[Any, Any]:
    """Work for some tenths of a second."""
    rng = np.random.default_rng(0)
    y = np.arange(20_000) % 50
    return (rng.normal(size=(20_000, 400)) + rng.normal(size=(50, 400))[y]).astype(np.float32), y


def test_a_callback_hears_how_much_is_done_and_changes_nothing() -> None:
    X, y = data()
    told: list[RidgeProgress] = []
    path = tl.ridge_path(X, np.eye(50)[y], [1.0, 10.0], callback=told.append, progress=False)
    parts = [progress.part for progress in told]
    assert parts == sorted(parts)
    assert 0 <= parts[0] < parts[-1] <= 1
    assert told[-1].seconds > 0
    np.testing.assert_array_equal(path.coef_, tl.ridge_path(X, np.eye(50)[y], [1.0, 10.0]).coef_)


@pytest.mark.parametrize("probe", [tl.RidgeProbeCV, tl.RidgeRegressor])
@pytest.mark.parametrize("options", [{"max_seconds": 1e-6}, {"callback": lambda progress: True}])
def test_an_ended_solve_is_an_error_that_says_how_far_it_was(probe: Any, options: dict[str, Any]) -> None:
    X, y = data()
    with pytest.raises(TimeLimitError, match="% done"):
        probe(**options).fit(X, y)
    with pytest.raises(TimeLimitError, match="% done"):
        tl.ridge_path(X, y, **options)


def test_an_error_in_a_callback_is_raised() -> None:
    X, y = data()

    def fail(progress: RidgeProgress) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        tl.ridge_path(X, y, callback=fail)


@pytest.mark.parametrize(
    ("options", "match"), [({"max_seconds": -1}, "max_seconds=-1"), ({"callback": 3}, "callback=3")]
)
def test_bad_options_are_refused(options: dict[str, Any], match: str) -> None:
    for fit in (tl.ridge_path, tl.RidgeProbeCV(**options).fit, tl.RidgeRegressor(**options).fit):
        extra = options if fit is tl.ridge_path else {}
        with pytest.raises(InputError, match=match):
            fit(np.eye(4), [0, 1, 0, 1], **extra)
