"""Simulated worlds in which the truth is known: which rows are tested, and what strategies make of them.

Latent Gaussian: a row is right where its latent value is positive, or its class has the largest of K. The
latent variance of 1 is made of a part common to both strategies and their draws, of parts of a strategy's own
rows and groups, and of noise; draws of training rows move all of a strategy's values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tlengine.plugins.records import MetricSpec
from tlengine.statistics.metrics import score
from tlengine.statistics.outcomes import Outcome

COMMON, OWN, GROUP = 0.3, 0.3, 0.2
"""Shares of the latent variance: of rows for both strategies, of rows for one, of groups for one."""
TEST = 0.3
"""Share of the rows that a holdout tests."""
GROUPS = ("none", "equal", "unequal")
LAYOUTS = ("folds", "holdout")
FEW, GAIN = 0.2, 1.5
"""In an uneven world the first strategy is better in so many groups, by so much on the latent scale."""

Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Design:
    """Which rows are tested in which draw.

    Attributes:
        rows: how many.
        draws: how many training sets.
        layout: ``"folds"`` test every row in every draw, ``"holdout"`` a random 30 %, whole groups.
        groups: ``"none"``, ``"equal"`` (of 5 rows at 60, of 20 from 240 on) or ``"unequal"`` (30 groups or 15
            at 60 rows, the largest 20 times the smallest); or how many equal groups.
        unit: (rows,) the group of each row.
    """

    rows: int
    draws: int
    layout: str = "folds"
    groups: str | int = "none"
    unit: Rows = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", self._units())

    @property
    def grouped(self) -> bool:
        """Whether rows share a unit."""
        return self.groups != "none"

    def _units(self) -> Rows:
        if self.groups == "none":
            return np.arange(self.rows)
        if isinstance(self.groups, int):
            return np.arange(self.rows) * self.groups // self.rows
        if self.groups == "equal":
            return np.arange(self.rows) // max(5, min(20, self.rows // 12))
        weight = np.geomspace(20, 1, min(30, self.rows // 4))
        ends = np.round(np.cumsum(weight) / weight.sum() * self.rows)
        return np.searchsorted(ends, np.arange(self.rows), side="right")

    def tests(self, rng: np.random.Generator) -> list[Rows]:
        """The test rows of each draw."""
        return [self._test(rng) for _ in range(self.draws)]

    def _test(self, rng: np.random.Generator) -> Rows:
        if self.layout == "folds":
            return np.arange(self.rows)
        wanted = round(TEST * self.rows)
        if not self.grouped:
            return rng.permutation(self.rows)[:wanted]
        size = np.bincount(self.unit)
        order = rng.permutation(len(size))
        taken = np.cumsum(size[order])
        chosen = order[: max(1, int(np.abs(taken - wanted).argmin()) + 1)]
        return np.flatnonzero(np.isin(self.unit, chosen))


@dataclass(frozen=True, kw_only=True)
class Correctness:
    """Two or more strategies that are right or wrong on each row: for the size and the power of tests.

    Attributes:
        design: which rows are tested. spread: standard deviation of draws on the latent scale, of each
            strategy. means: latent mean of each; 0.84 is 80 % at no spread. group: share of groups in the
            latent variance. uneven: whether the first strategy is better in a few groups alone.
    """

    design: Design
    spread: tuple[float, ...]
    means: tuple[float, ...] = (0.84, 0.84)
    group: float = GROUP
    uneven: bool = False

    def sample(self, rng: np.random.Generator) -> tuple[list[Floats], Rows, Rows]:
        """For each strategy (N,) right or wrong; (N,) the unit and (N,) the draw of each."""
        d = self.design
        tests = d.tests(rng)
        draw = np.repeat(np.arange(d.draws), [len(t) for t in tests])
        row = np.concatenate(tests)
        left = ((1.0 - self.group) / (1.0 - GROUP)) ** 0.5 if d.grouped else 1.0
        common = rng.standard_normal(d.rows) * COMMON**0.5
        found = []
        for side, (mean, spread) in enumerate(zip(self.means, self.spread, strict=True)):
            fixed = common * left + rng.standard_normal(d.rows) * (OWN**0.5 * left)
            noise = 1.0 - COMMON - OWN
            if d.grouped:
                effects = rng.normal(size=d.unit.max() + 1) * self.group**0.5
                if self.uneven and side == 0:
                    effects += GAIN * (rng.random(len(effects)) < FEW)
                fixed += effects[d.unit]
                noise -= GROUP
            latent = mean + fixed[row] + (rng.normal(size=d.draws) * spread)[draw]
            latent += rng.standard_normal(len(row), dtype=np.float32) * (max(0.0, noise) ** 0.5 * left)
            found.append((latent > 0).astype(np.float64))
        return found, d.unit[row], draw


def mean_for(accuracy: float, spread: float, *, uneven: bool = False) -> float:
    """The latent mean whose expected accuracy this is."""
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    scale = (1 + spread**2) ** 0.5
    if not uneven:
        return float(ndtri(accuracy)) * scale

    def surplus(mean: float) -> float:
        return (1 - FEW) * ndtr(mean / scale) + FEW * ndtr((mean + GAIN) / scale) - accuracy

    return float(brentq(surplus, -5.0, 5.0))


class Classes:
    """Two strategies that give probabilities of classes: for the coverage of intervals.

    Draws of training rows come from a pool, and the truth of each is measured once on fresh rows, so that
    every interval has a truth: of its own draw where there is one, else of the pool. A draw that stands alone
    is one of the first ``ALONE``, measured on ``EXACT`` rows each (a standard error below 0.06 points); the
    mean of the pool is known as well from fewer rows of each.

    Args:
        spread: of draws on the latent scale: by how much more the true class is ahead, and where draws are
            ``skewed`` a preference for some classes, which can only harm. seed: of the pool.
        grouped: whether groups have effects.
        gap: by how much the true class is ahead, of each strategy. shares: of the classes.
        group: share of groups in the latent variance. patients: whether a group is of one class.
    """

    POOL, FRESH, ALONE, EXACT = 400, 5_000, 8, 400_000

    def __init__(
        self,
        *,
        spread: float,
        grouped: bool,
        seed: int,
        gap: tuple[float, ...] = (1.8, 1.5),
        shares: tuple[float, ...] = (0.5, 0.3, 0.2),
        group: float = GROUP,
        patients: bool = False,
        skewed: bool = False,
    ):
        self.spread, self.grouped, self.gap = spread, grouped, gap
        self.shares, self.group, self.patients = np.array(shares), group, patients
        rng = np.random.default_rng(seed)
        k = len(shares)
        self.moves = [rng.normal(size=(self.POOL, k, 1)) * np.eye(k) * spread for _ in gap]
        if skewed:
            self.moves = [np.tile(rng.normal(size=(self.POOL, 1, k)) * spread, (1, k, 1)) for _ in gap]
        self._seed = seed
        self._truth: dict[tuple[str, int, bool], Floats] = {}

    def truth(self, metric: MetricSpec, side: int, picked: Rows) -> float:
        """What a metric is for these draws of the pool, or for all of it where they are several."""
        alone = len(picked) == 1
        key = (metric.name, side, alone)
        if key not in self._truth:
            rng = np.random.default_rng([self._seed, side])
            moves, rows = (
                (self.moves[side][: self.ALONE], self.EXACT) if alone else (self.moves[side], self.FRESH)
            )
            if not self.spread:
                moves = moves[:1]
                rows = self.EXACT
            self._truth[key] = np.array([self._measured(metric, side, move, rows, rng) for move in moves])
        found = self._truth[key]
        return float(found[picked[0] % len(found)] if alone else found.mean())

    def skewness(self, metric: MetricSpec) -> float:
        """Of what a metric of the first strategy is in the draws of the pool."""
        self.truth(metric, 0, np.arange(2))
        each = self._truth[metric.name, 0, False]
        return float(((each - each.mean()) ** 3).mean() / each.std() ** 3)

    def _measured(
        self, metric: MetricSpec, side: int, move: Floats, n: int, rng: np.random.Generator
    ) -> float:
        truth = rng.choice(len(self.shares), n, p=self.shares)
        noise = rng.standard_normal((n, len(self.shares)), dtype=np.float32) + move[truth]
        return score(metric, self._outcome(np.arange(n), truth, noise, side))

    def _outcome(self, rows: Rows, truth: Rows, noise: Floats, side: int) -> Outcome:
        gap = self.gap[side]
        logits = gap * (noise + gap * np.eye(len(self.shares))[truth]) + np.log(self.shares)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return Outcome.of(rows, truth, p / p.sum(axis=1, keepdims=True), counts=self.shares)

    def sample(self, design: Design, rng: np.random.Generator) -> tuple[list[list[Outcome]], Rows]:
        """For each strategy the outcome of each draw; and (draws,) which of the pool they are."""
        picked = rng.choice(self.POOL if design.draws > 1 else self.ALONE, design.draws, replace=False)
        tests, k = design.tests(rng), len(self.shares)
        truth = rng.choice(k, design.rows, p=self.shares)
        if self.patients:
            truth = rng.choice(k, design.unit.max() + 1, p=self.shares)[design.unit]
        rest = ((1.0 - self.group) / (1.0 - GROUP)) ** 0.5 if self.grouped else 1.0
        common = rng.normal(size=(design.rows, k)) * (COMMON**0.5 * rest)
        left = (max(0.0, 1.0 - COMMON - OWN - (GROUP if self.grouped else 0.0))) ** 0.5 * rest
        found = []
        for side in range(len(self.gap)):
            fixed = common + rng.normal(size=(design.rows, k)) * (OWN**0.5 * rest)
            if self.grouped:
                fixed += (rng.normal(size=(design.unit.max() + 1, k)) * self.group**0.5)[design.unit]
            outcomes = []
            for test, draw in zip(tests, picked, strict=True):
                noise = (
                    fixed[test] + rng.normal(size=(len(test), k)) * left + self.moves[side][draw][truth[test]]
                )
                outcomes.append(self._outcome(test, truth[test], noise, side))
            found.append(outcomes)
        return found, picked
