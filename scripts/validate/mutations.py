"""One line of ``evaluation`` or ``statistics`` spoilt at a time, in a copy: which test notices?

Run by ``python -m scripts.validate.mutations [NAME ...]``. Prints a Markdown table; exits 1 where no test
notices a mutation, and 2 where a line to be spoilt is not there (the code has moved: mend the table below) or
the tests fail without any.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--benchmark-disable")


@dataclass(frozen=True)
class Mutation:
    """A line and what it is made of.

    Attributes:
        name: what is wrong then. file: below ``python/tlengine``. old, new: the text, which occurs once.
        tests: files that are run, below ``tests/ROOM``.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """The tests, from the root."""
        room = self.file.partition("/")[0]
        return [f"tests/{room}/test_{name}.py" for name in self.tests]


MUTATIONS = (
    Mutation(
        "a fit may see labels of test rows",
        "evaluation/views.py",
        "self._allowed[roles.labelled] = True",
        "self._allowed[:] = True",
        ("views",),
    ),
    Mutation(
        "the choice looks at the test",
        "evaluation/choice.py",
        "min(found, key=lambda cell: cell.inner[place].log_loss)",
        "max(able, key=lambda cell: cell.outcome(place).correct.mean())",
        ("choice",),
    ),
    Mutation(
        "the recommended strategy alone is reported, not the way of choosing",
        "evaluation/choice.py",
        "outcomes = {place: picked.outcome(place) for place, picked in self.picks.items()}",
        "outcomes = {place: cell.outcome(place) for place in self.picks}",
        ("choice",),
    ),
    Mutation(
        "a given split counts once for every seed",
        "evaluation/cells.py",
        "places = setup.draws(budget) & set(outcomes)",
        "places = set(outcomes)",
        ("cells",),
    ),
    Mutation(
        "a strategy meets the random networks of other backbones",
        "evaluation/comparisons.py",
        'and other.backbone in ("", cell.backbone)',
        "",
        ("comparisons",),
    ),
    Mutation(
        "intervals are shown at 95 %, whatever decided",
        "evaluation/comparisons.py",
        "**numbers(test, level),",
        "**numbers(test, 0.95),",
        ("comparisons",),
    ),
    Mutation(
        "labels needed follow the class shares",
        "evaluation/verdict.py",
        "curve = [(b, estimate(BALANCED_ACCURACY,",
        "curve = [(b, estimate(ACCURACY,",
        ("verdict",),
    ),
    Mutation(
        "probabilities are not calibrated",
        "evaluation/cells.py",
        "probabilities(record.kind, record.scores, record.calibration)",
        "probabilities(record.kind, record.scores, 1.0)",
        ("cells",),
    ),
    Mutation(
        "the refit sees one training part",
        "evaluation/refit.py",
        'part="refit")',
        'part="fit")',
        ("refit",),
    ),
    Mutation(
        "a model takes features of any backbone",
        "evaluation/model.py",
        "if found != self.fingerprint:",
        "if found is None:",
        ("model", "check_rows"),
    ),
    Mutation(
        "an exit in a refit ends the run",
        "evaluation/assembly.py",
        "        except BaseException as error:  # a plugin may even exit",
        "        except OSError as error:",
        ("lost_runs",),
    ),
    Mutation(
        "a key does not digest the labels",
        "evaluation/setup.py",
        "return _told(rows) + _told(self.ground.codes[rows])",
        "return _told(rows)",
        ("setup",),
    ),
    Mutation(
        "an edited line of a journal is believed",
        "evaluation/journal.py",
        'whole = found["sum"] == _sum(json.dumps(facts, sort_keys=True))',
        "whole = True",
        ("journal",),
    ),
    Mutation(
        "a control that failed does not count",
        "evaluation/verdict.py",
        'return "undecided" if self.missing or self.ruling.outcome == "negative"',
        'return "undecided" if self.ruling.outcome == "negative"',
        ("verdict",),
    ),
    Mutation(
        "a fit may change the rows of others",
        "evaluation/worker.py",
        "self.fitted.scores(self.job.view, rows.copy())",
        "self.fitted.scores(self.job.view, rows)",
        ("worker",),
    ),
    Mutation(
        "the code of a strategy is not told",
        "evaluation/identity.py",
        '{"its class": type(strategy), "settings": settings}',
        '{"settings": settings}',
        ("identity",),
    ),
    Mutation(
        "distances to class means are divided by the class shares",
        "evaluation/cells.py",
        "counts = np.minimum(counts, 1)",
        "pass",
        ("cells",),
    ),
    Mutation(
        "a gain over one control is enough",
        "statistics/decisions.py",
        "if all(test.p_value < alpha and test.effect > 0 for test in tests):",
        "if any(test.p_value < alpha and test.effect > 0 for test in tests):",
        ("decisions",),
    ),
    Mutation(
        "p-values are not adjusted",
        "statistics/multiplicity.py",
        "* np.arange(len(order), 0, -1)",
        "* np.ones(len(order))",
        ("multiplicity",),
    ),
    Mutation(
        "draws of training rows do not vary",
        "statistics/clustering.py",
        "return self.unit + self.draw",
        "return self.unit",
        ("clustering", "paired"),
    ),
    Mutation(
        "few draws count as many",
        "statistics/clustering.py",
        "return 1 < self.draws <= FEW_DRAWS",
        "return False",
        ("clustering", "paired", "validation"),
    ),
    Mutation(
        "rows of a group are independent",
        "statistics/intervals.py",
        "own = [units[outcome.rows] for outcome in seeds]",
        "own = [outcome.rows for outcome in seeds]",
        ("intervals",),
    ),
    Mutation(
        "few pairs that differ are certainty",
        "statistics/paired.py",
        "spread = replace(spread, unit=max(spread.unit, _agresti_min(cells, rows, spread)))",
        "pass",
        ("paired",),
    ),
    Mutation(
        "rows are paired by place",
        "statistics/paired.py",
        "place[by_a] = by_b",
        "place[by_b] = by_b",
        ("paired",),
    ),
)


def spoil(mutation: Mutation, package: Path) -> None:
    """Make the mutation in a copy of the package.

    Raises:
        SystemExit: the line is not there once.
    """
    file = package / mutation.file
    text = file.read_text()
    if (count := text.count(mutation.old)) != 1:
        print(f"broken: {mutation.file} has {mutation.old!r} {count} times", file=sys.stderr)
        raise SystemExit(2)
    file.write_text(text.replace(mutation.old, mutation.new))


def first_failure(mutation: Mutation | None, paths: Sequence[str]) -> str | None:
    """The first test that fails in a copy of the package, with the mutation if there is one; or None.

    Raises:
        SystemExit: the tests could not be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "tlengine"
        shutil.copytree(ROOT / "python" / "tlengine", package, ignore=shutil.ignore_patterns("__pycache__"))
        if mutation is not None:
            spoil(mutation, package)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS, *paths],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 or found is None:
        print(f"broken: the tests could not be run\n{done.stdout}{done.stderr}", file=sys.stderr)
        raise SystemExit(2)
    return found[1]


def main() -> int:
    """Print the table; 1 where a mutation goes unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="words of the mutations to try; default: all")
    names = parser.parse_args().names
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    paths = sorted({path for mutation in chosen for path in mutation.paths})
    if failing := first_failure(None, paths):
        print(f"broken: {failing} fails as the code stands", file=sys.stderr)
        return 2
    print("| what is wrong | file | noticed by |\n|---|---|---|")
    missed = 0
    for mutation in chosen:
        found = first_failure(mutation, mutation.paths)
        missed += found is None
        shown = "**nothing**" if found is None else f"`{found.removeprefix('tests/').replace('.py::', ' ')}`"
        print(f"| {mutation.name} | {mutation.file} | {shown} |", flush=True)
    print(f"\n{len(chosen) - missed} of {len(chosen)} are noticed.")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
