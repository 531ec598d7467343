"""Small runs made by hand: arrays, a plan, strategies, and what comes out of a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.data.resamples import make_resamples
from tlengine.data.units import content_digests
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.views import Ground, RunView
from tlengine.plugins.contracts import Budget, Record, Roles, Task

NUMBERS = ("labels", "kind", "chosen", "converged", "flops", "nbytes", "train_accuracy")


def clouds(
    n: int = 90, d: int = 8, classes: int = 3, apart: float = 1.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Classes as overlapping clouds: X (n, d) float32, codes (n,); the first 2K hold each class twice."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(2 * classes) % classes, rng.integers(0, classes, n - 2 * classes)])
    X = rng.normal(size=(n, d)) + apart * rng.normal(size=(classes, d))[codes]
    return X.astype(np.float32), codes


def folds_of(rows: np.ndarray, n: int = 3) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Every n-th row held out in turn."""
    return tuple((np.delete(rows, np.s_[i::n]), rows[i::n]) for i in range(n))


def roles_of(train: int, n: int, folds: int = 3) -> Roles:
    """The first rows train, the others are tested."""
    rows = np.arange(train)
    return Roles(train=rows, test=np.arange(train, n), inner=folds_of(rows, folds) if folds else ())


def setup_of(
    X: np.ndarray,
    y: np.ndarray,
    strategies: Mapping[str, Any],
    *,
    seeds: int = 1,
    groups: Any = None,
    splits: Any = None,
    controls: Mapping[str, np.ndarray] | None = None,
    view: Mapping[str, Any] | None = None,
    kind: Any = None,
    folder: Path | None = None,
    **ground: Any,
) -> Setup:
    """A run on the features ``net`` and on arrays for controls, each with the strategies that read it."""
    keys = content_digests(X)
    plan = make_resamples(y, seeds=seeds, keys=keys, groups=groups, splits=splits, kind=kind)
    views = {"net": RunView(name="net", X=X, backbone="net", **(view or {}))}
    views |= {name: RunView(name=name, X=array) for name, array in (controls or {}).items()}
    facts = {"units": plan.units, "digests": keys, "groups": groups, **ground}
    return Setup(
        ground=Ground(codes=plan.codes, classes=np.asarray(plan.classes), **facts),
        views=views,
        plan=plan,
        folder=folder,
        strategies={
            name: strategy if isinstance(strategy, Chosen) else Chosen(name=name, strategy=strategy)
            for name, strategy in strategies.items()
        },
    )


def tasks_for(setup: Setup, budgets: Sequence[Budget] = (5, "all")) -> list[Task]:
    """Every strategy on the view that it reads."""
    pairs: dict[str, list[str]] = {}
    for chosen in setup.strategies.values():
        pairs.setdefault("net" if chosen.view == "backbone" else chosen.view, []).append(chosen.name)
    return list(setup.plan.tasks(pairs, budgets))


def assert_same(one: Record, two: Record) -> None:
    """Bit for bit but for times and memory."""
    assert (one.task, one.key, one.error) == (two.task, two.key, two.error)
    for name in NUMBERS:
        assert getattr(one, name) == getattr(two, name), name
    for name in ("scores", "held_out"):
        mine, other = getattr(one, name), getattr(two, name)
        assert (mine is None) == (other is None), name
        assert mine is None or mine.tobytes() == other.tobytes(), name


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
