"""Estimators that a fresh process can import, and that do to it what they should not."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Kills(ClassifierMixin, BaseEstimator):
    """Ends its process from within: always, or until the file ``mark`` is there."""

    def __init__(self, mark: str | None = None) -> None:
        self.mark = mark

    def fit(self, X: Any, y: Any) -> "Kills":
        if self.mark is None or not Path(self.mark).exists():
            if self.mark is not None:
                Path(self.mark).touch()
            os._exit(3)
        self.classes_, self.means_ = np.unique(y), np.stack([X[y == c].mean(0) for c in np.unique(y)])
        return self

    def decision_function(self, X: Any) -> Any:
        return -((X[:, None] - self.means_) ** 2).sum(axis=2)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.decision_function(X).argmax(axis=1)]


class Sleeps(Kills):
    """Says in ``mark`` which process it is in, and takes its time."""

    def fit(self, X: Any, y: Any) -> "Sleeps":
        assert self.mark is not None
        with Path(self.mark).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(60)
        return self


class Opens:
    """Can be sent, and cannot be opened."""

    def __reduce__(self) -> Any:
        return _refuse, ()


class Closes:
    """Can be opened until the file ``mark`` is there: from then on it ends its process, or raises."""

    def __init__(self, mark: str, how: str) -> None:
        self.mark, self.how = mark, how

    def __reduce__(self) -> Any:
        return _close, (self.mark, self.how)


def _close(mark: str, how: str) -> Closes:
    if Path(mark).exists() and how == "exits":
        os._exit(4)
    if Path(mark).exists():
        raise MemoryError("no room")
    return Closes(mark, how)


def _refuse() -> Any:
    raise ValueError("not in this process")
