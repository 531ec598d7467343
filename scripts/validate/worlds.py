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
            at 60 rows, the largest 20 times the smallest).
        unit: (rows,) the group of each row.
    """

    rows: int
    draws: int
    layout: str = "folds"
    groups: str = "none"
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
        design: which rows are tested. spread: standard deviation of draws on the latent scale. means: latent
        mean of each strategy; 0.84 is 80 % at no spread.
    """

    design: Design
    spread: float
    means: tuple[float, ...] = (0.84, 0.84)

    def sample(self, rng: np.random.Generator) -> tuple[list[Floats], Rows, Rows]:
        """For each strategy (N,) right or wrong; (N,) the unit and (N,) the draw of each."""
        d = self.design
        tests = d.tests(rng)
        draw = np.repeat(np.arange(d.draws), [len(t) for t in tests])
        row = np.concatenate(tests)
        common = rng.normal(size=d.rows) * COMMON**0.5
        found = []
        for mean in self.means:
            fixed = common + rng.normal(size=d.rows) * OWN**0.5
            noise = 1.0 - COMMON - OWN
            if d.grouped:
                fixed += (rng.normal(size=d.unit.max() + 1) * GROUP**0.5)[d.unit]
                noise -= GROUP
            latent = mean + fixed[row] + (rng.normal(size=d.draws) * self.spread)[draw]
            latent += rng.standard_normal(len(row), dtype=np.float32) * noise**0.5
            found.append((latent > 0).astype(np.float64))
        return found, d.unit[row], draw


def mean_for(accuracy: float, spread: float) -> float:
    """The latent mean whose expected accuracy this is."""
    from scipy.special import ndtri

    return float(ndtri(accuracy)) * (1 + spread**2) ** 0.5


class Classes:
    """Two strategies that give probabilities of three classes: for the coverage of intervals.

    Draws of training rows come from a pool, and the truth of each is measured once on 20,000 rows, so that
    every interval has a truth: of its own draw where there is one, else of the pool.
    """

    SHARES = np.array([0.5, 0.3, 0.2])
    POOL, FRESH = 150, 20_000

    def __init__(self, *, spread: float, grouped: bool, seed: int, gap: tuple[float, float] = (1.8, 1.5)):
        self.spread, self.grouped, self.gap = spread, grouped, gap
        rng = np.random.default_rng(seed)
        self.moves = [rng.normal(size=(self.POOL, 3)) * spread for _ in gap]
        self._seed = seed
        self._truth: dict[tuple[str, int], Floats] = {}

    def truth(self, metric: MetricSpec, side: int) -> Floats:
        """(POOL,) what a metric is for each draw of the pool."""
        if (metric.name, side) not in self._truth:
            rng = np.random.default_rng([self._seed, side])
            found = []
            for move in self.moves[side]:
                truth = rng.choice(3, self.FRESH, p=self.SHARES)
                z = rng.normal(size=(self.FRESH, 3))
                found.append(score(metric, self._outcome(np.arange(self.FRESH), truth, z + move, side)))
            self._truth[metric.name, side] = np.array(found)
        return self._truth[metric.name, side]

    def _outcome(self, rows: Rows, truth: Rows, noise: Floats, side: int) -> Outcome:
        gap = self.gap[side]
        logits = gap * (noise + gap * np.eye(3)[truth]) + np.log(self.SHARES)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return Outcome.of(rows, truth, p / p.sum(axis=1, keepdims=True), counts=self.SHARES)

    def sample(
        self, design: Design, rng: np.random.Generator
    ) -> tuple[list[list[Outcome]], npt.NDArray[np.intp]]:
        """For each strategy the outcome of each draw; and (draws,) which of the pool they are."""
        picked = rng.choice(self.POOL, design.draws, replace=False)
        tests = design.tests(rng)
        truth = rng.choice(3, design.rows, p=self.SHARES)
        common = rng.normal(size=(design.rows, 3)) * COMMON**0.5
        found = []
        for side in range(len(self.gap)):
            fixed = common + rng.normal(size=(design.rows, 3)) * OWN**0.5
            left = 1.0 - COMMON - OWN
            if self.grouped:
                fixed += (rng.normal(size=(design.unit.max() + 1, 3)) * GROUP**0.5)[design.unit]
                left -= GROUP
            outcomes = []
            for test, draw in zip(tests, picked, strict=True):
                noise = fixed[test] + rng.normal(size=(len(test), 3)) * left**0.5 + self.moves[side][draw]
                outcomes.append(self._outcome(test, truth[test], noise, side))
            found.append(outcomes)
        return found, picked
