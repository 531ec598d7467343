"""Arrays as the view of one fit, so that a strategy can be tried without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.plugins.contracts import Codes, Matrix, Roles, Rows
from tlengine.settings import num_threads

__all__ = ["ArrayView"]


class ArrayView:
    """A :class:`tlengine.plugins.contracts.View` of features and class numbers, for the tests of a strategy.

    Args:
        X: (n, d) features.
        codes: (n,) class numbers from 0.
        roles: of the fit; labels of other rows than its training, select and calibration rows are not given.
        contents: (n,) samples, for a strategy that reads them.

    >>> view = ArrayView(np.eye(3), [0, 1, 0], Roles(train=np.array([0, 1]), test=np.array([2])))
    >>> view.codes(np.array([1, 0])).tolist(), view.classes
    ([1, 0], 2)
    """

    def __init__(
        self, X: npt.ArrayLike, codes: npt.ArrayLike, roles: Roles, contents: Sequence[Any] | None = None
    ) -> None:
        self._X = np.array(X, dtype=np.float32)
        self._X.flags.writeable = False
        self._codes = np.array(codes, dtype=np.intp)
        self._labelled = roles.labelled
        self._contents = contents
        self.name = "arrays"
        self.classes = int(self._codes.max()) + 1
        self.units: Rows = np.arange(len(self._X))
        self.groups: npt.NDArray[np.str_] | None = None
        self.domains: npt.NDArray[np.str_] | None = None
        self.device = "cpu"
        self.cache: Path | None = None
        self.max_disk: int | None = None
        self.threads = num_threads()

    @property
    def scale(self) -> float:
        """The mean squared distance of the features from their mean."""
        return float(self._X.var(axis=0, dtype=np.float64).sum())

    def codes(self, rows: Rows) -> Codes:
        """(m,) class numbers.

        Raises:
            LookupError: the label of a row that the fit may not see.
        """
        if len(strange := np.setdiff1d(rows, self._labelled)):
            raise LookupError(f"the label of row {strange[0]} is not for this fit")
        return self._codes[rows]

    def features(self, rows: Rows) -> Matrix:
        """(m, d) float32, a copy."""
        return self._X[rows]

    def matrix(self) -> Matrix:
        """(n, d) float32, read-only."""
        return self._X

    def contents(self, rows: Rows) -> Sequence[Any]:
        """The samples of ``rows``.

        Raises:
            InputError: there are none.
        """
        if self._contents is None:
            raise InputError("the data are features, without contents", hint="pass contents= to ArrayView")
        return [self._contents[row] for row in rows]

    def keys(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """(m, 32) digests of the samples, or of the features where there are none."""
        from tlengine.features import sample_key

        rows = np.asarray(rows, dtype=np.intp)
        found = [self._X[row].tobytes() if self._contents is None else self._contents[row] for row in rows]
        digests = [sample_key(one) for one in found]
        return np.frombuffer(b"".join(digests), np.uint8).reshape(len(rows), 32)

    def backbone(
        self, device: str, *, weights: Literal["pretrained", "random"] = "pretrained", seed: int = 0
    ) -> Any:
        """There is none.

        Raises:
            InputError: always.
        """
        raise InputError("the data are features, without a backbone", hint="try it by tl.compare on samples")
