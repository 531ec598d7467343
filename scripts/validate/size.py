"""How often the paired test, and the outcome of a choice, err where nothing differs; and the power beside it.

Run by ``python -m scripts.validate.size``. It calls the shipped functions, prints Markdown tables with their
Monte-Carlo errors, and exits 1 where a limit is broken: no cell of the test above 7.4 % (at 4,000 nulls: the
99 % limit of 6.0 % over 60 cells), their mean at most 5.5 %, and no outcome shown too often.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scripts.validate.worlds import GROUPS, LAYOUTS, Correctness, Design, mean_for

from tlengine.statistics import decide, paired_test

DRAWS = (1, 3, 5, 10)
ROWS = (60, 300, 1_000, 5_000)
SPREADS = (0.0, 0.15, 0.5)
"""Standard deviation of draws on the latent scale: 0, some 6 and some 18 points of difference."""
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
    """A design and how much draws differ."""

    draws: int
    rows: int
    spread: float
    layout: str
    groups: str

    def world(self, gain: float = 0.0, strategies: int = 2) -> Correctness:
        """The first strategy is right more often than the others by ``gain``."""
        design = Design(rows=self.rows, draws=self.draws, layout=self.layout, groups=self.groups)
        first, other = mean_for(0.8 + gain, self.spread), mean_for(0.8, self.spread)
        return Correctness(design=design, spread=self.spread, means=(first, *[other] * (strategies - 1)))


def cells() -> list[Cell]:
    """All of them; one draw is judged for its own training rows, so its spread is none."""
    every = (Cell(*values) for values in product(DRAWS, ROWS, SPREADS, LAYOUTS, GROUPS))
    return [cell for cell in every if cell.draws > 1 or (cell.spread == 0 and cell.layout == "folds")]


def rejections(world: Correctness, nulls: int, rng: np.random.Generator) -> tuple[float, float]:
    """The share of p < .05, and the mean standard deviation between draws."""
    rejected, between = 0, []
    for _ in range(nulls):
        (first, second), unit, draw = world.sample(rng)
        test = paired_test(first, second, units=unit, draws=draw)
        rejected += test.p_value < ALPHA
        between.append(test.draw_sd or 0.0)
    return rejected / nulls, float(np.mean(between))


def sizes(chosen: list[Cell], nulls: int, seed: int) -> Iterator[tuple[Cell, float, float]]:
    """Each cell with its size and the spread between draws."""
    for cell in chosen:
        key = [seed, cell.draws, cell.rows, int(1_000 * cell.spread)]
        rng = np.random.default_rng([*key, LAYOUTS.index(cell.layout), GROUPS.index(cell.groups)])
        yield (cell, *rejections(cell.world(), nulls, rng))


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


def print_sizes(chosen: list[Cell], nulls: int, seed: int) -> list[str]:
    """The table of the test's size; what is broken."""
    print(f"Size of `paired_test` at 5 %, {nulls} nulls a cell (seed {seed}), in percent:\n")
    print("| draws | rows | points between draws | layout | groups | size |\n|---|---|---|---|---|---|")
    found, most = [], limit(nulls)
    for cell, size, between in sizes(chosen, nulls, seed):
        found.append(size)
        print(
            f"| {cell.draws} | {cell.rows} | {100 * between:.1f} | {cell.layout} | {cell.groups} "
            f"| {percent(size, nulls)} |",
            flush=True,
        )
    mean, top = float(np.mean(found)), max(found)
    print(f"\n{len(found)} cells: mean {100 * mean:.2f} %, greatest {100 * top:.2f} %.\n")
    broken = [f"a size of {100 * top:.1f} % is above {100 * most:.1f} %"] if top > most else []
    return broken + ([f"the mean size {100 * mean:.2f} % is above 5.5 %"] if mean > MEAN_LIMIT else [])


def print_outcomes(runs: int, seed: int) -> list[str]:
    """The table of outcomes where the truth is known; what is broken."""
    rng, broken = np.random.default_rng([seed, 1]), []
    print(f"Outcome of a choice (5 draws, folds, spread 0.15), {runs} runs a row, in percent:\n")
    print("| rows | controls | true gain | positive | negative | none | undecided |")
    print("|---|---|---|---|---|---|---|")
    for rows, controls, gain in product((300, 1_000, 5_000), (1, 3), (-0.02, 0.0, 0.02)):
        spread = 0.15 if rows < 5_000 else 0.0
        found = outcomes(Cell(5, rows, spread, "folds", "none"), controls, gain, runs, rng)
        wrong = {"negative"} if gain > 0 else {"positive"} if gain < 0 else {"positive", "negative"}
        wrong |= {"none"} if gain else set()
        rates = " | ".join(percent(found[name], runs) for name in found)
        print(f"| {rows} | {controls} | {100 * gain:+.0f} | {rates} |", flush=True)
        for name in wrong:
            if found[name] > limit(runs):
                broken.append(f"{name} at a gain of {gain} in {100 * found[name]:.1f} % of the runs")
    print()
    return broken


def print_power(runs: int, seed: int) -> None:
    """How often a gain is found."""
    rng = np.random.default_rng([seed, 2])
    print(f"Power of `paired_test` at 600 rows, folds, {runs} runs a cell, in percent:\n")
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
        broken += print_outcomes(max(200, options.nulls // 2), options.seed)
        print_power(max(100, options.nulls // 8), options.seed)
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
