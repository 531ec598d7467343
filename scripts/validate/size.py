"""How often the paired test, and the outcome of a choice, err where nothing differs; and the power beside it.

Run by ``python -m scripts.validate.size``. It calls the shipped functions, prints Markdown tables with their
Monte-Carlo errors, and exits 1 where a limit is broken: no cell of the test above 7.4 % (at 4,000 nulls: the
99 % limit of 6.0 % over 60 cells), their mean at most 5.5 %, and no outcome shown too often.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from unittest import mock

import numpy as np
from scripts.validate.worlds import GROUP, GROUPS, LAYOUTS, TEST, Correctness, Design, mean_for

from tlengine.statistics import decide, paired, paired_test

DRAWS = (1, 3, 5, 10)
ROWS = (60, 300, 1_000, 5_000)
BUDGETS = {"all": 0.0, "50": 0.15, "20": 0.3, "5": 0.5}
"""Labels per class, and what they are in this world: the standard deviation of draws on the latent scale, 0
and some 6, 11 and 18 points of difference. Nothing else of a budget is simulated."""
SPREADS = tuple(BUDGETS.values())
WORLDS = ("even", "uneven", "97 %")
ALPHA = 0.05
MEAN_LIMIT = 0.055


def limit(nulls: int, rate: float = 0.06, cells: int = 60) -> float:
    """The greatest share that a true rate shows in one of so many cells, but for 1 % of the times.

    >>> round(limit(4_000), 4)
    0.074
    """
    from scipy.stats import binom

    return float(binom.ppf(1 - 0.01 / cells, nulls, rate)) / nulls


@dataclass(frozen=True)
class Cell:
    """A design, how much draws differ, and the world.

    It is ``"even"``; or ``"uneven"``: the first strategy is a little worse in most groups and much better in
    few, and the second varies half as much between draws; or ``"97 %"``: both are right so often.
    """

    draws: int
    rows: int
    spread: float
    layout: str
    groups: str | int
    kind: str = "even"
    group: float = GROUP

    @property
    def budget(self) -> str:
        """The name of its spread."""
        return next(name for name, spread in BUDGETS.items() if spread == self.spread)

    def world(self, gain: float = 0.0, strategies: int = 2) -> Correctness:
        """The first strategy is right more often than the others by ``gain``."""
        design = Design(rows=self.rows, draws=self.draws, layout=self.layout, groups=self.groups)
        uneven, accuracy = self.kind == "uneven", 0.97 if self.kind == "97 %" else 0.8
        other = self.spread / 2 if uneven else self.spread
        first = mean_for(accuracy + gain, self.spread, uneven=uneven)
        return Correctness(
            design=design,
            spread=(self.spread, *[other] * (strategies - 1)),
            means=(first, *[mean_for(accuracy, other)] * (strategies - 1)),
            group=self.group,
            uneven=uneven,
        )


def cells() -> list[Cell]:
    """A fixed fraction of all, 64 of them: every pair of levels of two dimensions occurs.

    From three draws on each pair of rows and budget occurs once with each number of draws, while layouts and
    groups go round. One draw is judged for its own training rows, so its spread is none. Eight are of other
    worlds.
    """
    found = []
    for j, r, b in product(range(1, 4), range(4), range(4)):
        layout, groups = LAYOUTS[(j + r + b) % 2], GROUPS[(j + r + 2 * b + r // 3) % 3]
        found.append(Cell(DRAWS[j], ROWS[r], SPREADS[b], layout, groups))
    for r, half in product(range(4), range(2)):
        found.append(Cell(1, ROWS[r], 0.0, LAYOUTS[half], GROUPS[(r + 2 * half) % 3]))
    found += [
        Cell(1, 300, 0.0, "folds", "equal", "uneven"),
        Cell(3, 1_000, 0.5, "folds", "equal", "uneven"),
        Cell(5, 5_000, 0.3, "holdout", "unequal", "uneven"),
        Cell(10, 1_000, 0.15, "holdout", "equal", "uneven"),
        Cell(1, 60, 0.0, "folds", "none", "97 %"),
        Cell(3, 300, 0.3, "holdout", "none", "97 %"),
        Cell(5, 1_000, 0.15, "folds", "unequal", "97 %"),
        Cell(10, 5_000, 0.5, "folds", "equal", "97 %"),
    ]
    return found


def rejections(world: Correctness, nulls: int, rng: np.random.Generator) -> tuple[float, float]:
    """The share of p < .05, and the mean standard deviation between draws."""
    rejected, between = 0, []
    for _ in range(nulls):
        (first, second), unit, draw = world.sample(rng)
        test = paired_test(first, second, units=unit, draws=draw)
        rejected += test.p_value < ALPHA
        between.append(test.draw_sd or 0.0)
    return rejected / nulls, float(np.mean(between))


def seeded(seed: int, cell: Cell) -> np.random.Generator:
    """The generator of a cell, whatever other cells are run."""
    groups = 100 + cell.groups if isinstance(cell.groups, int) else GROUPS.index(cell.groups)
    places = [LAYOUTS.index(cell.layout), groups, WORLDS.index(cell.kind), int(100 * cell.group)]
    return np.random.default_rng([seed, cell.draws, cell.rows, int(1_000 * cell.spread), *places])


def sizes(chosen: Sequence[Cell], nulls: int, seed: int) -> Iterator[tuple[Cell, float, float]]:
    """Each cell with its size and the spread between draws."""
    for cell in chosen:
        yield (cell, *rejections(cell.world(), nulls, seeded(seed, cell)))


def outcomes(cell: Cell, controls: int, gain: float, runs: int, rng: np.random.Generator) -> dict[str, float]:
    """How often each outcome is the answer for a choice that gains so much over each control."""
    world = cell.world(gain, controls + 1)
    found = {"positive": 0, "negative": 0, "none": 0, "undecided": 0}
    for _ in range(runs):
        sides, unit, draw = world.sample(rng)
        tests = [paired_test(sides[0], other, units=unit, draws=draw) for other in sides[1:]]
        found[decide(tests).outcome] += 1
    return {name: count / runs for name, count in found.items()}


def percent(share: float, n: int) -> str:
    """With its Monte-Carlo error."""
    return f"{100 * share:.1f} ± {100 * (share * (1 - share) / n) ** 0.5:.1f}"


def place(cell: Cell) -> str:
    """A cell as the beginning of a line."""
    return f"{cell.draws} | {cell.rows} | {cell.budget} | {cell.layout} | {cell.groups} | {cell.kind}"


def run_of(chosen: Sequence[object], every: Sequence[object]) -> str:
    """What a table says where only a part of the cells was run."""
    return "" if len(chosen) == len(every) else f"; ONLY {len(chosen)} OF {len(every)} CELLS"


def print_sizes(chosen: Sequence[Cell], nulls: int, seed: int) -> list[str]:
    """The table of the test's size; what is broken."""
    print(
        f"Size of `paired_test` at 5 %, {nulls} nulls a cell (seed {seed}{run_of(chosen, cells())}), in %:\n"
    )
    print("| draws | rows | budget | layout | groups | world | points between draws | size |")
    print("|---|---|---|---|---|---|---|---|")
    found, most = [], limit(nulls)
    for cell, size, between in sizes(chosen, nulls, seed):
        found.append(size)
        print(f"| {place(cell)} | {100 * between:.1f} | {percent(size, nulls)} |", flush=True)
    mean, top = float(np.mean(found)), max(found)
    print(f"\n{len(found)} cells: mean {100 * mean:.2f} %, greatest {100 * top:.2f} %.\n")
    broken = [f"a size of {100 * top:.1f} % is above {100 * most:.1f} %"] if top > most else []
    return broken + ([f"the mean size {100 * mean:.2f} % is above 5.5 %"] if mean > MEAN_LIMIT else [])


FEW_UNITS = (2, 3, 4, 5, 7, 10)


def few_cells(units: int) -> list[Cell]:
    """So many equal groups of 100 rows in a test, half of the latent variance theirs, or a fifth."""
    whole = round(units / TEST)
    return [
        Cell(1, 100 * units, 0.0, "folds", units, group=0.5),
        Cell(5, 100 * units, 0.15, "folds", units),
        Cell(5, 100 * units, 0.15, "folds", units, group=0.5),
        Cell(1, 100 * whole, 0.0, "holdout", whole, group=0.5),
        Cell(5, 100 * whole, 0.15, "holdout", whole, group=0.5),
    ]


def print_few(nulls: int, seed: int) -> list[str]:
    """The size with few groups, also with fewer than a test is made with; what is broken."""
    least = paired.TEST_UNITS
    print(f"Size of `paired_test` with few equal groups of 100 rows in a test, {nulls} nulls a cell, in %;")
    print(f"a test is made from units on that are as good as {least} of equal size:\n")
    print("| groups in a test | one draw, share 0.5 | five draws, 0.2 | 0.5 | one holdout, 0.5 | five, 0.5 |")
    print("|---|---|---|---|---|---|")
    broken = []
    for units in FEW_UNITS:
        with mock.patch.object(paired, "TEST_UNITS", 0.0):
            found = [size for _, size, _ in sizes(few_cells(units), nulls, seed)]
        print(f"| {units} | {' | '.join(percent(size, nulls) for size in found)} |", flush=True)
        if units >= least and max(found) > limit(nulls):
            broken.append(f"a size of {100 * max(found):.1f} % with {units} groups")
    print()
    return broken


def null_cells() -> list[Cell]:
    """A fraction of :func:`cells`, 16 of them, in which every level of each dimension occurs."""
    several = [16 * j + 4 * r + (2 * r + j + r // 2) % 4 for j, r in product(range(3), range(4))]
    return [cells()[i] for i in (*several, 48, 53, 59, 62)]


def print_outcomes(nulls: int, seed: int) -> list[str]:
    """The tables of outcomes where the truth is known; what is broken."""
    broken = []
    print(f"Outcome of a choice that equals all of 3 controls, {nulls} runs a row (seed {seed}), in %:\n")
    print("| draws | rows | budget | layout | groups | world | positive | negative | none | undecided |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for cell in null_cells():
        found = outcomes(cell, 3, 0.0, nulls, seeded(seed + 1, cell))
        print(
            f"| {place(cell)} | {' | '.join(percent(rate, nulls) for rate in found.values())} |", flush=True
        )
        broken += wrong_ones(found, {"positive", "negative"}, nulls, place(cell))
    runs = max(200, nulls // 2)
    print(f"\nOutcome of a choice that gains or loses (5 draws, folds, even), {runs} runs a row, in %:\n")
    print("| rows | budget | controls | true gain | positive | negative | none | undecided |")
    print("|---|---|---|---|---|---|---|---|")
    for rows, controls, gain in product((300, 1_000, 5_000), (1, 3), (-0.02, 0.02)):
        cell = Cell(5, rows, BUDGETS["50" if rows < 5_000 else "all"], "folds", "none")
        found = outcomes(cell, controls, gain, runs, np.random.default_rng([seed, rows, controls, gain > 0]))
        rates = " | ".join(percent(rate, runs) for rate in found.values())
        print(f"| {rows} | {cell.budget} | {controls} | {100 * gain:+.0f} | {rates} |", flush=True)
        wrong = {"none", "negative" if gain > 0 else "positive"}
        broken += wrong_ones(found, wrong, runs, f"a gain of {gain}")
    print()
    return broken


def wrong_ones(found: dict[str, float], wrong: set[str], runs: int, where: str) -> list[str]:
    """The outcomes that are not true and too frequent."""
    return [
        f"{name} at {where} in {100 * found[name]:.1f} % of the runs"
        for name in sorted(wrong)
        if found[name] > limit(runs)
    ]


def print_power(runs: int, seed: int) -> None:
    """How often a gain is found."""
    rng = np.random.default_rng([seed, 2])
    print(f"Power of `paired_test` at 600 rows, folds, {runs} runs a cell, in %:\n")
    print("| draws | points between draws | +2 | +4 | +6 | +10 |\n|---|---|---|---|---|---|")
    for draws, spread in product((1, 3, 5, 10), (0.0, 0.15, 0.3)):
        if draws == 1 and spread:
            continue
        cell = Cell(draws, 600, spread, "folds", "none")
        found = [rejections(cell.world(gain), runs, rng) for gain in (0.02, 0.04, 0.06, 0.1)]
        rates = " | ".join(percent(rate, runs) for rate, _ in found)
        print(f"| {draws} | {100 * found[0][1]:.1f} | {rates} |", flush=True)
    print()


def main() -> int:
    """Print the tables; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nulls", type=int, default=4_000, help="simulations a cell")
    parser.add_argument("--cells", default="1/1", help="part of the cells, such as 2/4")
    parser.add_argument("--seed", type=int, default=20261130)
    options = parser.parse_args()
    part, parts = map(int, options.cells.split("/"))
    broken = print_sizes(cells()[part - 1 :: parts], options.nulls, options.seed)
    if part == parts:
        broken += print_few(max(200, options.nulls // 2), options.seed)
        broken += print_outcomes(options.nulls, options.seed)
        print_power(max(100, options.nulls // 8), options.seed)
    else:
        print("NOT RUN: few groups, outcomes, power.\n")
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
