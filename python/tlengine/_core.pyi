"""The compiled core. Private: the public functions and classes of ``tlengine`` wrap it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__version__: str
build_profile: str

def solve_paths(
    x: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    tasks: Sequence[
        tuple[str, int, npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float64] | None]
    ],
    cs: Sequence[float],
    *,
    tol: float,
    max_iter: int,
    fit_intercept: bool,
    threads: int,
) -> list[dict[str, npt.NDArray[Any]]]: ...
