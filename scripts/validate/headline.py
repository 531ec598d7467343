"""Whether the accuracy that a run tells is the one that fresh rows show, however many strategies compete.

Run by ``python -m scripts.validate.headline``. In each run some rows of a simulated world are judged as
``compare`` judges them; what was chosen in each resample is tested on 20,000 rows that had no part in it. It
prints a Markdown table, beside it how often the interval of 95 % holds that accuracy, and what would be told
if the best on the test rows were taken. It exits 1 where the mean difference is more than three Monte-Carlo
standard errors from 0, or fewer intervals than 93 % hold, by more than three such errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scripts.validate.size import percent

from tlengine.data.plans import Plan
from tlengine.data.resamples import make_resamples
from tlengine.evaluation.cells import Cell, cells_of
from tlengine.evaluation.executors import Here
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.strategies import RidgeStrategy
from tlengine.evaluation.verdict import judge
from tlengine.evaluation.views import Ground, RunView
from tlengine.plugins.contracts import Record

FRESH = 20_000
ROWS, COLUMNS, CLASSES = 150, 4, 2
SIGNAL = 0.4
"""Distance of a class's mean from 0 in every column: some 75 % can be right."""
CELLS = ((2, 1), (2, 5), (40, 1))
"""Candidates and seeds."""
COVERED = 0.93
ERRORS = 3.0
SIGNS = ("", "", "+", "+")


@dataclass(frozen=True)
class Found:
    """What one run tells, what fresh rows show of the same choice, and the best on the test rows.

    ``held`` is whether the interval of what is told holds what fresh rows show.
    """

    told: float
    fresh: float
    best: float
    held: bool


def world(candidates: int, fresh: int, rng: np.random.Generator) -> tuple[dict[str, RunView], np.ndarray]:
    """Views that are worth the same, each with noise of its own, and labels."""
    n = ROWS + fresh
    y = np.concatenate([rng.permutation(np.arange(ROWS) % CLASSES), rng.integers(0, CLASSES, fresh)])
    views = {}
    for number in range(candidates):
        X = rng.standard_normal((n, COLUMNS), dtype=np.float32) + np.float32(SIGNAL) * (2 * y[:, None] - 1)
        views[f"view{number}"] = RunView(name=f"view{number}", backbone=f"view{number}", X=X)
    return views, y


def run(candidates: int, seeds: int, fresh: int, rng: np.random.Generator) -> Found:
    """One run."""
    views, y = world(candidates, fresh, rng)
    plan = make_resamples(y[:ROWS], seeds=seeds)
    wide = _with_fresh(plan, y)
    setup = Setup(
        ground=_ground(wide),
        views=views,
        plan=wide,
        strategies={"ridge": Chosen(name="ridge", strategy=RidgeStrategy())},
    )
    tasks = tasks_of(setup, list(views), ["all"])
    records = {record.key: record for record in Here().run(setup, tasks)}
    cells = [_narrow(cell, plan) for cell in cells_of(setup, tasks, records)]
    verdict, choice = judge(cells, ["all"], plan.units, {})
    right, rows = 0.0, 0
    for place, cell in choice.picks.items():
        record = records[setup.key(cell.task(place))]
        tested = plan.resample(*place).test
        assert record.scores is not None
        answers = record.scores[len(tested) :].argmax(axis=1)
        right += len(tested) * float((answers == y[ROWS:]).mean())
        rows += len(tested)
    best = max(float(np.mean([draw.correct.mean() for draw in cell.draws])) for cell in cells)
    low, high = verdict.accuracy_low, verdict.accuracy_high
    assert low is not None
    assert high is not None
    return Found(told=verdict.accuracy, fresh=right / rows, best=best, held=low <= right / rows <= high)


def _with_fresh(plan: Plan, y: np.ndarray) -> Plan:
    """The same resamples, whose test parts have the fresh rows too, behind their own."""
    fresh = np.arange(ROWS, len(y))
    resamples = tuple(replace(r, test=np.concatenate([r.test, fresh])) for r in plan.resamples)
    return replace(plan, resamples=resamples, codes=y.astype(np.intp), units=np.arange(len(y)))


def _ground(plan: Plan) -> Ground:
    digests = np.zeros((len(plan.codes), 32), np.uint8)
    digests[:, :8] = np.arange(len(plan.codes), dtype="<u8").view(np.uint8).reshape(-1, 8)
    return Ground(codes=plan.codes, classes=plan.classes, units=plan.units, digests=digests)


def _narrow(cell: Cell, plan: Plan) -> Cell:
    """The cell as the run knows it, without the fresh rows."""
    setup = replace(cell.setup, plan=plan, ground=_ground(plan))
    return replace(
        cell, setup=setup, records={place: _cut(record, plan) for place, record in cell.records.items()}
    )


def _cut(record: Record, plan: Plan) -> Record:
    tested = len(plan.resample(record.task.seed, record.task.fold).test)
    assert record.scores is not None
    return replace(record, scores=record.scores[:tested])


def runs(candidates: int, seeds: int, count: int, fresh: int, seed: int) -> Iterator[Found]:
    """Runs of one cell of the table."""
    for number in range(count):
        yield run(candidates, seeds, fresh, np.random.default_rng([seed, candidates, number]))


def mean_error(values: np.ndarray) -> tuple[float, float]:
    """A mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def main() -> int:
    """Print the table; 1 where it is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--fresh", type=int, default=FRESH)
    parser.add_argument("--seed", type=int, default=20261130)
    options = parser.parse_args()
    print(
        f"Accuracy told by a run of {ROWS} rows, and of the same choice on {options.fresh:,} fresh rows; "
        f"{options.runs} runs a line, seed {options.seed}, in percent:\n"
    )
    print(
        "| candidates | seeds | told | on fresh rows | difference | if the best on the test were told "
        "| intervals that hold |\n|---|---|---|---|---|---|---|"
    )
    broken = []
    for candidates, seeds in CELLS:
        found = list(runs(candidates, seeds, options.runs, options.fresh, options.seed))
        told, fresh, best = (
            100 * np.array([getattr(f, n) for f in found]) for n in ("told", "fresh", "best")
        )
        columns = [mean_error(v) for v in (told, fresh, told - fresh, best - fresh)]
        shown = " | ".join(f"{m:{sign}.2f} ± {e:.2f}" for (m, e), sign in zip(columns, SIGNS, strict=True))
        held = np.mean([f.held for f in found])
        print(f"| {candidates} | {seeds} | {shown} | {percent(held, len(found))} |", flush=True)
        if held + ERRORS * (held * (1 - held) / len(found)) ** 0.5 < COVERED:
            broken.append(f"{candidates} candidates: the interval holds in {percent(held, len(found))} %")
        off, error = columns[2]
        if abs(off) > ERRORS * error:
            broken.append(f"{candidates} candidates: {off:+.2f} ± {error:.2f} points from the truth")
    print()
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
