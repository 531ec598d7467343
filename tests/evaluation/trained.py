"""A strategy that trains on contents, as networks do: a softmax regression by SGD, drawn with a seed.

It needs no torch, so that fresh processes come soon.
"""

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.errors import InputError
from tlengine.plugins import StrategySpec
from tlengine.plugins.contracts import Fitted, Job, Roles, View

WORDS = 24


def sentences(n: int = 90, classes: int = 3, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of eight words, of which each class prefers its own: texts (n,), codes (n,)."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    chosen = np.where(rng.random((n, 8)) < 0.25, codes[:, None] * 4 + rng.integers(0, 4, (n, 8)),
                      rng.integers(0, WORDS, (n, 8)))  # fmt: skip
    return [f"{' '.join(f'w{word}' for word in row)} t{i}" for i, row in enumerate(chosen)], codes


def seen(content: Any) -> np.ndarray:
    """A text as counts of words, an image as 8 x 8 grey pixels."""
    if isinstance(content, str):
        places = [zlib.crc32(word.encode()) % 64 for word in content.split() if word[0] == "w"]
        return np.bincount(places, minlength=64) / 4.0
    return np.asarray(content.convert("L").resize((8, 8)), dtype=np.float64).ravel() / 255


class Trained:
    """See above.

    Args:
        steps, rate: of the training.
        inner_tasks: how many inner folds are tasks of their own.
        seconds: what a step is said to take, by one that can say it.
        refuses: part of the names of views that it cannot be used on.
        under_trained: what it says of its fits.
        dies: a file; the process ends in the first fit, which makes it, or in every one where it is "".
        breaks: part of the tasks that fail, told by how many rows they train on.
    """

    reads = "contents"
    seeded = True

    def __init__(
        self,
        *,
        steps: float = 60,
        rate: float = 1.0,
        inner_tasks: int = 3,
        seconds: float = 0.0,
        refuses: str | None = None,
        under_trained: bool | None = None,
        dies: str | None = None,
        breaks: int | None = None,
    ) -> None:
        self.steps, self.rate, self.inner_tasks, self.seconds = steps, rate, inner_tasks, seconds
        self.refuses, self.under_trained, self.dies, self.breaks = refuses, under_trained, dies, breaks

    def settings(self) -> Mapping[str, Any]:
        return {"steps": self.steps, "rate": self.rate}

    def check(self, view: View) -> None:
        if self.refuses is not None and self.refuses in view.name:
            raise InputError(f"{view.name} has no blocks", hint="name another backbone")

    def fit(self, view: View, roles: Roles, *, seed: int, folder: Path | None = None) -> Fitted:
        if self.dies is not None and not (self.dies and Path(self.dies).exists()):
            if self.dies:
                Path(self.dies).touch()
            os._exit(3)
        if self.breaks == len(roles.train):
            raise InputError(f"{self.breaks} rows are too many")
        X, codes = np.stack([seen(c) for c in view.contents(roles.train)]), view.codes(roles.train)
        rng = np.random.default_rng(seed)
        W = rng.normal(size=(X.shape[1], view.classes)) * 0.01
        for _ in range(int(self.steps)):
            rows = rng.integers(0, len(X), 16)
            p = np.exp(X[rows] @ W)
            p /= p.sum(axis=1, keepdims=True)
            W -= self.rate * X[rows].T @ (p - np.eye(view.classes)[codes[rows]]) / 16
        facts: dict[str, Any] = {"steps": int(self.steps), "threads": view.threads}
        if self.under_trained is not None:
            facts["under_trained"] = self.under_trained
        return _Fit(10 * W, facts)

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        for job in jobs:
            yield self.fit(job.view, job.roles, seed=job.seed, folder=job.folder)


class Timed(Trained):
    """One that says how long it takes, and can train for less."""

    def estimate(self, view: View, roles: Roles) -> float:
        assert len(view.contents(roles.train[:1])) == 1
        return self.seconds * self.steps

    def scaled(self, fraction: float) -> "Timed":
        return Timed(steps=fraction * self.steps, rate=self.rate, inner_tasks=self.inner_tasks,
                     seconds=self.seconds)  # fmt: skip


class Borrows(Trained):
    """One that trains on what its own copy of the backbone makes of the contents."""

    def fit(self, view: View, roles: Roles, *, seed: int, folder: Path | None = None) -> Fitted:
        module = view.backbone(view.device).module
        weights = [p.detach().numpy().copy() for p in module.parameters()]
        found = super().fit(view, roles, seed=seed, folder=folder)
        found.facts = {**found.facts, "weights": [float(w.sum()) for w in weights]}  # type: ignore[attr-defined]
        for parameter in module.parameters():  # its own to spoil
            parameter.data.zero_()
        return found


class _Fit:
    kind, chosen, held_out, converged, flops, nbytes = "logits", {}, None, True, None, None

    def __init__(self, W: np.ndarray, facts: Mapping[str, Any]) -> None:
        self.W, self.facts = W, facts

    def scores(self, view: View, rows: Any) -> np.ndarray:
        return np.stack([seen(c) for c in view.contents(rows)]) @ self.W

    def estimator(self, view: View, rows: Any, labels: Any) -> Any:
        raise InputError("it is not kept")


def spec(name: str, strategy: Any, role: Any = "strategy") -> StrategySpec:
    """The record of a strategy for images."""
    return StrategySpec(name=name, make=lambda: strategy, modalities=("image",), role=role)
