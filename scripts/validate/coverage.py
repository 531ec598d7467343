"""How often intervals hold the truth, at a nominal 95 %.

Run by ``python -m scripts.validate.coverage``. It calls the shipped functions, prints Markdown tables with
their Monte-Carlo errors, and exits 1 where a coverage is surely outside 93 to 97 %. Above 97 % is no fault
where :func:`cautious` says that an interval is longer than needed, and in the tables of few groups, of rare
classes and of few errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from unittest import mock

import numpy as np
from scripts.validate.size import percent, run_of
from scripts.validate.worlds import GROUP, GROUPS, LAYOUTS, TEST, Classes, Correctness, Design, mean_for

from tlengine.errors import InputError
from tlengine.statistics import (
    METRICS,
    Estimate,
    PairedTest,
    clustering,
    estimate,
    interval,
    intervals,
    paired_outcomes,
)
from tlengine.statistics.arrays import as_draws
from tlengine.statistics.clustering import Spread, quantile

DRAWS = (1, 3, 5, 10)
ROWS = (60, 200, 1_000, 5_000)
SPREADS = (0.1, 0.4)
MAIN = ("accuracy", "balanced_accuracy", "log_loss")
OTHER = ("macro_f1", "auroc", "average_precision", "brier")
LOW, HIGH = 0.93, 0.97
ERRORS = 3.0
"""Monte-Carlo standard errors by which a coverage must miss the limits."""
SHOWN = 0.2
"""Where an interval is shown in a smaller share of the runs, those are too odd a choice to be judged."""
FEW_UNITS = 30
"""Units of equal size, as good as which those of a test must be for their intervals not to be cautious."""


@dataclass(frozen=True)
class Cell:
    """A design and how much draws differ."""

    draws: int
    rows: int
    spread: float
    layout: str
    groups: str | int

    @property
    def design(self) -> Design:
        """Which rows are tested."""
        return Design(rows=self.rows, draws=self.draws, layout=self.layout, groups=self.groups)

    @property
    def place(self) -> str:
        """As the beginning of a line."""
        return f"{self.draws} | {self.rows} | {self.spread} | {self.layout} | {self.groups}"


def cells() -> list[Cell]:
    """A fixed fraction of all, 29 of them: every pair of levels of two dimensions occurs.

    Draws, rows and spread are crossed while layouts and groups go round; 5,000 rows cost most, and occur once
    with each number of draws from three on. One draw has one spread.
    """
    found = []
    for r, half in product(range(4), range(2)):
        found.append(Cell(1, ROWS[r], SPREADS[0], LAYOUTS[half], GROUPS[(r + half) % 3]))
    for j, r, s in product(range(1, 4), range(3), range(2)):
        layout, groups = LAYOUTS[(j + r // 2 + s) % 2], GROUPS[(j + r + s) % 3]
        found.append(Cell(DRAWS[j], ROWS[r], SPREADS[s], layout, groups))
    return [
        *found,
        Cell(3, 5_000, 0.4, "holdout", "none"),
        Cell(5, 5_000, 0.1, "folds", "equal"),
        Cell(10, 5_000, 0.4, "holdout", "unequal"),
    ]


def other_cells() -> list[Cell]:
    """For the metrics that need many units."""
    return [
        Cell(1, 400, 0.1, "folds", "none"),
        Cell(1, 1_000, 0.1, "folds", "none"),
        Cell(5, 1_000, 0.1, "folds", "none"),
        Cell(5, 1_000, 0.1, "holdout", "none"),
        Cell(10, 400, 0.4, "folds", "none"),
    ]


def cautious(cell: Cell) -> bool:
    """Whether intervals are longer than needed: two or three draws, four holdouts, few units in a test."""
    holdout, sizes = cell.layout == "holdout", np.bincount(cell.design.unit)
    tested = sizes.sum() ** 2 / (sizes**2).sum() * (TEST if holdout else 1)
    return 1 < cell.draws < (5 if holdout else 4) or tested < FEW_UNITS


class Held:
    """How many intervals held the truth, of how many, in how many runs."""

    def __init__(self) -> None:
        self.held = self.shown = self.runs = 0

    def note(self, found: Estimate | PairedTest, truth: float) -> None:
        """One run."""
        self.runs += 1
        if found.low is not None and found.high is not None:
            self.shown += 1
            self.held += found.low <= truth <= found.high

    @property
    def text(self) -> str:
        """Coverage where one is shown, and how often it is where that is not always."""
        if not self.shown:
            return "–"
        often = 100 * self.shown / self.runs
        note = "" if often > 99.5 else f" (shown in {often:.0f} %)"
        return percent(self.held / self.shown, self.shown) + note

    def outside(self, cautious: bool) -> bool:
        """Whether the coverage surely misses the limits, or wrong intervals are too many of all runs."""
        wrong = 1 - (self.shown - self.held) / max(1, self.runs)
        if outside(wrong, max(1, self.runs), cautious=True):
            return True
        return self.shown >= SHOWN * self.runs and outside(self.held / self.shown, self.shown, cautious)


def outside(share: float, n: int, cautious: bool) -> bool:
    """Whether a coverage surely misses the limits."""
    error = ERRORS * (share * (1 - share) / n + 1 / n**2) ** 0.5
    return share + error < LOW or (not cautious and share - error > HIGH)


def coverage(
    cell: Cell, metrics: Sequence[str], runs: int, seed: int, worlds: dict[tuple[float, bool], Classes]
) -> dict[str, Held]:
    """For each metric, and the difference of accuracies."""
    key = (cell.spread, cell.design.grouped)
    if key not in worlds:
        worlds[key] = Classes(spread=cell.spread, grouped=cell.design.grouped, seed=seed)
    return covered(
        worlds[key], cell.design, metrics, runs, [seed, cell.rows, cell.draws, int(10 * cell.spread)]
    )


def covered(
    world: Classes, design: Design, metrics: Sequence[str], runs: int, seed: Sequence[int]
) -> dict[str, Held]:
    """In any world; the difference where it has two strategies."""
    rng, two = np.random.default_rng(seed), len(world.gap) > 1
    held = {name: Held() for name in (*metrics, *(["difference"] if two else []))}
    for _ in range(runs):
        sides, picked = world.sample(design, rng)
        for name in metrics:
            truth = world.truth(METRICS[name], 0, picked)
            try:
                held[name].note(estimate(METRICS[name], sides[0], design.unit), truth)
            except InputError:  # a class is missing in this sample
                held[name].runs += 1
        if two:
            accuracy = METRICS["accuracy"]
            gap = world.truth(accuracy, 0, picked) - world.truth(accuracy, 1, picked)
            held["difference"].note(paired_outcomes(*sides, design.unit), gap)
    return held


def print_coverage(
    chosen: Sequence[Cell], metrics: Sequence[str], runs: int, seed: int, part: str
) -> list[str]:
    """The table; what is broken."""
    names = (*metrics, "difference")
    print(f"Coverage of 95 % intervals in %, {runs} runs a cell, seed {seed}{part}; – where there is none:\n")
    print(f"| draws | rows | spread | layout | groups | {' | '.join(names)} |")
    print("|" + "---|" * (5 + len(names)))
    broken, worlds = [], dict[tuple[float, bool], Classes]()
    for cell in chosen:
        found = coverage(cell, metrics, runs, seed, worlds)
        print(f"| {cell.place} | {' | '.join(held.text for held in found.values())} |", flush=True)
        for name, held in found.items():
            if held.outside(cautious(cell)):
                broken.append(f"{name} covers {held.text} % at {cell.place}")
    print()
    return broken


def print_skewed(runs: int, seed: int) -> None:
    """Draws of which a few are bad: shown, and not judged."""
    print(
        f"Coverage where few draws are much worse than others, 1,000 rows, folds, {runs} runs a cell, in %;"
    )
    print("the skewness is that of the accuracies of draws:\n")
    print(f"| draws | skewness | {' | '.join(MAIN)} |\n|" + "---|" * (2 + len(MAIN)))
    for spread in (0.2, 0.4):
        world = Classes(spread=spread, grouped=False, seed=seed, skewed=True, gap=(1.8,))
        for draws in DRAWS[1:]:
            found = covered(world, Design(rows=1_000, draws=draws), MAIN, runs, [seed, draws])
            texts = " | ".join(held.text for held in found.values())
            print(f"| {draws} | {world.skewness(METRICS['accuracy']):.1f} | {texts} |", flush=True)
    print()


@dataclass(frozen=True)
class Hard:
    """A world in which intervals are hard: its name, what is tested, and what it is made of."""

    name: str
    rows: int
    shares: tuple[float, ...] = (0.5, 0.5)
    gap: float = 1.8
    groups: str | int = "none"
    patients: bool = False

    def found(self, metrics: Sequence[str], runs: int, seed: int) -> dict[str, Held]:
        """Coverage of each metric, for one draw."""
        grouped = self.groups != "none"
        world = Classes(
            spread=0.0,
            grouped=grouped,
            seed=seed,
            gap=(self.gap,),
            shares=self.shares,
            patients=self.patients,
        )
        design = Design(rows=self.rows, draws=1, groups=self.groups)
        return covered(world, design, metrics, runs, [seed, self.rows, int(1_000 * self.shares[-1])])


RARE = (
    *[Hard(f"99 to 1, {n} rows", n, (0.99, 0.01)) for n in (500, 1_000, 2_000, 5_000)],
    Hard("99 to 1, 5,000 rows, hardly told apart", 5_000, (0.99, 0.01), gap=1.0),
    *[Hard(f"90 to 10, {n} rows", n, (0.9, 0.1)) for n in (100, 400)],
    Hard("ten classes, 100 rows", 100, (0.1,) * 10),
    *[
        Hard(f"{g} patients of 10 rows, each of one class", 10 * g, (0.7, 0.3), 1.8, g, True)
        for g in (20, 60, 200)
    ],
)
SURE = tuple(
    Hard(f"right in {name} of {n} rows", n, gap=gap)
    for name, gap in (("98 %", 2.904), ("99.5 %", 3.643))
    for n in (200, 500, 1_000, 2_000)
)
"""Of two classes a row is right where noise of variance 2 is below the gap: 98 % at 2.05 times its root."""


def print_hard(title: str, worlds: Sequence[Hard], metrics: Sequence[str], runs: int, seed: int) -> list[str]:
    """A table of such worlds; what is broken."""
    print(f"{title}, one draw, {runs} runs a line, in %; – where there is none:\n")
    print(f"| world | {' | '.join(metrics)} |\n|" + "---|" * (1 + len(metrics)))
    broken = []
    for world in worlds:
        found = world.found(metrics, runs, seed)
        print(f"| {world.name} | {' | '.join(held.text for held in found.values())} |", flush=True)
        broken += [
            f"{name} covers {held.text} % in {world.name}"
            for name, held in found.items()
            if held.outside(cautious=True)
        ]
    print()
    return broken


def right_or_wrong(cell: Cell, accuracy: float, group: float) -> Correctness:
    """One strategy."""
    means = (mean_for(accuracy, cell.spread),)
    return Correctness(design=cell.design, spread=(cell.spread,), means=means, group=group)


def print_few_groups(runs: int, seed: int) -> list[str]:
    """Few equal groups of 100 rows in a test, also fewer than an interval is printed with; what is broken."""
    least = intervals.INTERVAL_UNITS
    print(
        f"Coverage of accuracy with few groups of 100 rows in a test, {runs} runs a cell, in %; half of the"
    )
    print(
        "latent variance is theirs, or a fifth. Last: a tenth of the groups fails, others are right in 80 %."
    )
    print(f"Intervals are printed from {least:g} groups on:\n")
    print(
        "| groups in a test | one draw, 80 % | a fifth | one draw, 97 % | five draws | one holdout | fail |"
    )
    print("|---|---|---|---|---|---|---|")
    broken = []
    for units in (3, 4, 5, 7, 10, 20, 30):
        with mock.patch.object(intervals, "INTERVAL_UNITS", 0.0):
            found = few_groups(units, runs, np.random.default_rng([seed, units]))
        print(f"| {units} | {' | '.join(held.text for held in found)} |", flush=True)
        if units >= least:
            wrong = [held.text for held in found[:-1] if held.outside(cautious=True)]
            broken += [f"accuracy covers {text} % with {units} groups" for text in wrong]
    print()
    return broken


def few_groups(units: int, runs: int, rng: np.random.Generator) -> list[Held]:
    """The columns of a line."""
    whole, found = round(units / TEST), []
    folds = Cell(1, 100 * units, 0.0, "folds", units)
    for cell, accuracy, group in (
        (folds, 0.8, 0.5),
        (folds, 0.8, GROUP),
        (folds, 0.97, 0.5),
        (Cell(5, 100 * units, 0.15, "folds", units), 0.8, 0.5),
        (Cell(1, 100 * whole, 0.0, "holdout", whole), 0.8, 0.5),
    ):
        world, held = right_or_wrong(cell, accuracy, group), Held()
        for _ in range(runs):
            (values,), unit, draw = world.sample(rng)
            held.note(interval(values, units=unit, draws=draw), accuracy)
        found.append(held)
    return [*found, failing(units, runs, rng)]


def failing(units: int, runs: int, rng: np.random.Generator) -> Held:
    """A tenth of the groups is wrong throughout: good ones say nothing of them. Shown, and not judged."""
    held, unit = Held(), np.repeat(np.arange(units), 100)
    for _ in range(runs):
        right = (rng.random(units) > 0.1)[unit] & (rng.random(len(unit)) < 0.8)
        held.note(interval(right, units=unit), 0.9 * 0.8)
    return held


Rule = Callable[[Spread], float]


def alone(spread: Spread) -> float:
    """Half the length of Student's interval of the J values alone."""
    return float(quantile(spread.draws - 1, 0.95) * spread.between**0.5)


def without(spread: Spread) -> float:
    """The interval without what the J values alone say."""
    with mock.patch.object(clustering, "FEW_DRAWS", 1):
        return spread.reach(0.95)


RULES: dict[str, Rule] = {"shipped": lambda s: s.reach(0.95), "no floor": without, "draws alone": alone}


def print_few_draws(runs: int, seed: int) -> list[str]:
    """Why an interval of few draws cannot be shorter: each part of the rule alone misses somewhere."""
    print(f"Coverage of a difference of accuracies with few draws of 600 rows, {runs} runs a cell, in %: as")
    print("shipped; without what the draws' own values say; and by those alone (Student's at J - 1):\n")
    print(f"| draws | layout | spread | {' | '.join(RULES)} |\n|---|---|---|" + "---|" * len(RULES))
    broken, worst = [], dict.fromkeys(RULES, 1.0)
    for draws, layout, spread in product((3, 5), LAYOUTS, (0.0, *SPREADS)):
        cell, rng = (
            Cell(draws, 600, spread, layout, "none"),
            np.random.default_rng([seed, draws, int(10 * spread)]),
        )
        means = (mean_for(0.8, spread),) * 2
        world, held = (
            Correctness(design=cell.design, spread=(spread,) * 2, means=means),
            dict.fromkeys(RULES, 0),
        )
        for _ in range(runs):
            (first, second), unit, draw = world.sample(rng)
            found, _ = as_draws(first - second, units=unit, draws=draw)
            own = Spread.of(found)
            for name, rule in RULES.items():
                held[name] += abs(found.value) <= rule(own)
        rates = {name: count / runs for name, count in held.items()}
        worst = {name: min(worst[name], rate) for name, rate in rates.items()}
        shown = " | ".join(percent(rate, runs) for rate in rates.values())
        print(f"| {draws} | {layout} | {spread} | {shown} |", flush=True)
        if outside(rates["shipped"], runs, cautious=True):
            broken.append(f"{draws} draws, {layout}, {spread}: {percent(rates['shipped'], runs)} %")
    print(f"\nLeast: {', '.join(f'{name} {100 * rate:.1f}' for name, rate in worst.items())}.\n")
    return broken


def main() -> int:
    """Print the tables; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nulls", type=int, default=4_000, help="twice the simulations a cell")
    parser.add_argument("--cells", default="1/1", help="part of the cells, such as 2/4")
    parser.add_argument("--seed", type=int, default=20261130)
    options = parser.parse_args()
    part, parts = map(int, options.cells.split("/"))
    runs, seed = options.nulls // 2, options.seed
    chosen = cells()[part - 1 :: parts]
    broken = print_coverage(chosen, MAIN, runs, seed, run_of(chosen, cells()))
    if part == parts:
        broken += print_coverage(other_cells(), OTHER, runs, seed, "")
        broken += print_hard(
            "Coverage with rare classes", RARE, ("balanced_accuracy", *OTHER[:3]), runs, seed
        )
        broken += print_hard("Coverage of losses with few errors", SURE, ("log_loss", "brier"), runs, seed)
        broken += print_few_groups(runs, seed)
        broken += print_few_draws(runs, seed)
        print_skewed(runs, seed)
    else:
        print("NOT RUN: other metrics, rare classes, few errors, few groups, few draws, skewed draws.\n")
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
