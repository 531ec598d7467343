"""A run stops only where no result of the seeds that remain could change the outcome."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brute
from scipy.stats import t as student

from tests.evaluation.made import Named, ground_of
from tests.evaluation.pictures import tiny
from tests.evaluation.trained import Trained, spec
from tlengine.data import load_dataset
from tlengine.data.dataset import Dataset
from tlengine.data.resamples import make_resamples
from tlengine.evaluation import compare, foregone
from tlengine.evaluation.foregone import Foregone, _least_p, surely_undecided
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.views import RunView
from tlengine.plugins.contracts import HeldOut, Record, Task
from tlengine.statistics import decide, paired_test

ROWS = 60


def draws(rng: np.random.Generator, n: int, center: float, spread: float) -> np.ndarray:
    """n draws of right (1) and wrong (0) on the same rows, of one side and of the other: (2, n, rows)."""
    low = np.clip(0.5 - (center + spread * rng.normal(size=n)) / 2, 0, 1)
    luck = rng.random((n, ROWS))
    return np.stack([luck < 1 - low[:, None], luck < low[:, None]]).astype(float)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 3), st.sampled_from([0, 0.05, 0.2]))
def test_no_completion_has_another_outcome_where_it_says_so(
    seed: int, k: int, left: int, center: float
) -> None:
    """By the tests that judge a run, completions drawn to be good, bad and equal among them."""
    left = min(left, 5 - k)
    rng = np.random.default_rng(seed)
    known = [draws(rng, k, center, 0.15) for _ in range(2)]
    differences = [(a - b).mean(axis=1) for a, b in known]
    if left < 1 or not surely_undecided(differences, left, counts=[True, True]):
        return
    assert outcome(known) == "undecided", "as it stands, too"
    for _ in range(8):
        rest = [draws(rng, left, rng.uniform(-1, 1), rng.choice([0, 0.02, 0.5])) for _ in known]
        assert (
            outcome([np.concatenate(pair, axis=1) for pair in zip(known, rest, strict=True)]) == "undecided"
        )


def outcome(sides: list[np.ndarray]) -> str:
    return decide([paired_test(a, b) for a, b in sides]).outcome


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(-0.5, 0.5).map(lambda x: round(x, 3)), min_size=2, max_size=4),
    st.integers(1, 2), st.sampled_from([0.0, 0.02]),
)  # fmt: skip
def test_the_smallest_p_value_is_that_of_a_search(values: list[float], left: int, shift: float) -> None:
    known = np.array(values)

    def p(rest: Any) -> float:
        w = np.concatenate([known, np.atleast_1d(rest)]) + shift
        sd, mean = w.std(ddof=1), w.mean()
        alike = np.sign(mean) * np.inf if mean else 0.0  # equal values: a gain for sure, a loss, or nothing
        return float(student.sf(alike if sd == 0 else mean / (sd / len(w) ** 0.5), len(w) - 1))

    grid = tuple(slice(-1, 1.001, 0.1 if left == 2 else 0.02) for _ in range(left))
    place, found, *_ = brute(p, grid, finish=None, full_output=True)
    if left == 1:  # its neighbourhood once more, finely
        near = tuple(slice(max(-1.0, x - 0.02), min(1.0, x + 0.02), 0.0005) for x in np.atleast_1d(place))
        found = min(found, brute(p, near, finish=None, full_output=True)[1])
    least = _least_p(known, left, shift=shift)
    assert least <= found + 1e-9
    if left == 1:
        assert least >= found - 0.02, "and it is reached"


def test_a_gain_or_a_loss_in_four_of_five_is_never_sure() -> None:
    for sign in (1, -1):
        assert not surely_undecided([sign * np.array([0.5, 0.5, 0.5, 0.5])], 1, counts=[True])
    assert surely_undecided([[0.1, -0.1]], 3, counts=[True])


def test_only_controls_that_are_sure_to_count_rule_a_gain_out() -> None:
    """One that may be set aside as not trained to the end does not; nor do gains over others."""
    wild, tame = [0.2, -0.2, 0.1, -0.1], [0.2, 0.2, 0.21, 0.2]
    assert surely_undecided([wild, tame], 1, counts=[True, True])
    assert not surely_undecided([wild, tame], 1, counts=[False, True])
    assert surely_undecided([tame], 1, counts=[True], missing=True), "a control without a result"
    assert not surely_undecided([[-v for v in tame]], 1, counts=[True], missing=True)


@pytest.fixture(scope="module")
def noise(digit_images: Dataset) -> Dataset:
    """Pictures whose labels say nothing."""
    pictures = np.stack([np.asarray(content) for content in digit_images.contents])
    return load_dataset((pictures, np.arange(120) % 3), name="noise")


def ran(noise: Dataset, **options: Any) -> Any:
    chosen = {"controls": ["raw"], "strategies": [spec("net", Trained(inner_tasks=0))], **options}
    return compare(noise, tiny(), budgets=["all"], progress=False, **chosen)


def test_a_run_that_nothing_can_settle_stops_and_says_so(noise: Dataset, tmp_path: Path) -> None:
    short, whole = ran(noise, out=tmp_path), ran(noise, all_seeds=True)
    after = short.document["time"]["seeds_enough"]
    assert after in (2, 3, 4)
    assert {fit["seed"] for fit in short.document["fits"]} == set(range(after))
    assert {fit["seed"] for fit in whole.document["fits"]} == set(range(5))
    assert short.verdict.outcome == whole.verdict.outcome == "undecided"
    note = f"Stopped after {after} of 5 seeds: whatever the others showed, the outcome would be undecided"
    assert short.verdict.answer.endswith(f" {note}.")
    assert (whole.document["time"]["seeds_enough"], whole.document["time"]["notes"]) == (None, [])
    again = ran(noise, out=tmp_path)
    assert again.document["journal"] == {"fits": 2 * after, "taken_up": 2 * after}
    assert again.verdict.answer == short.verdict.answer


def test_it_does_not_stop_without_controls_nor_where_nothing_trains(noise: Dataset) -> None:
    for options in ({"controls": ()}, {"strategies": ["centroid"]}):
        found = ran(noise, **options)
        assert found.document["time"]["seeds_enough"] is None
        assert {fit["seed"] for fit in found.document["fits"]} == set(range(5))


WILD, SURE, EVEN = (0.9, 0.4, 0.9, 0.5), (0.95, 0.95, 0.96, 0.95), (0.6, 0.7, 0.61, 0.69)


def halfway(
    rights: dict[str, tuple[float, ...]],
    *,
    held: dict[str, float],
    controls: tuple[str, ...] = ("raw",),
    lost: tuple[str, ...] = (),
    done: tuple[str, ...] = (),
) -> Foregone:
    """A run of five seeds, four of them whole, right in a share of the test rows by seed, ``raw`` in 65 %.

    Args:
        rights: of strategies and controls, by seed.
        held: the accuracy of the rows that each strategy held out; the best is chosen.
        controls: which of them are controls.
        lost: what failed in the first seed.
        done: what has its fits of the last seed already, right as in the first.
    """
    plan = make_resamples(np.arange(400) % 2, seeds=5, kind="holdout")
    rights = {"raw": (0.65, 0.65, 0.65, 0.65), **rights}
    chosen = {
        name: Chosen(
            name=name, strategy=Named(seeded=True), role="control" if name in controls else "strategy"
        )  # type: ignore[arg-type]
        for name in rights
    }
    views = {"net": RunView(name="net", backbone="net", X=np.zeros((400, 1), np.float32))}
    setup = Setup(ground=ground_of(plan), views=views, plan=plan, strategies=chosen)
    tasks, records = tasks_of(setup, ["net"], ["all"]), dict[str, Record]()
    for task in tasks:
        if task.seed < 4 or task.strategy in done:
            key = setup.key(task)
            failed = task.strategy in lost and task.seed == 0
            right = rights[task.strategy][task.seed % 4]
            records[key] = (
                Record(task=task, key=key, error="no memory")
                if failed
                else made(setup, task, right, held.get(task.strategy))
            )
    return Foregone(setup, tasks, records)


def made(setup: Setup, task: Task, right: float, held: float | None) -> Record:
    """The record of a fit that is right in the first so many test rows."""
    rows = setup.plan.roles(task).test
    codes = setup.ground.codes[rows] ^ (np.arange(len(rows)) >= right * len(rows))
    shown = None if held is None else HeldOut(rows=320, accuracy=held, log_loss=1 - held)
    scores = (3 * np.eye(2)[codes]).astype(np.float32)
    return Record(task=task, key=setup.key(task), labels=320, scores=scores, held=shown)


def test_a_strategy_that_may_yet_fail_is_not_counted_on() -> None:
    """What is chosen leaves it open; without it the other would be tested, and may win against everything."""
    both = {"net": WILD, "other": SURE}
    held = {"net": 0.9, "other": 0.5}
    assert halfway({"net": WILD}, held=held)(), "whatever the last seed shows"
    assert not halfway(both, held=held)(), "the fit of what is chosen may fail in the last seed"
    assert halfway(both, held=held, done=("net",))(), "it has not"
    assert halfway({"net": WILD, "other": EVEN}, held=held)(), "the other would leave it open as well"
    assert halfway(both, held=held, lost=("other",))(), "the other has no result whatever comes"


def test_a_control_that_may_yet_fail_decides_nothing() -> None:
    """It would be missing, where it could only have taken a gain away; a loss may come from any other."""
    held = {"net": 0.9}
    controls = ("raw", "stats")
    for missing in ("raw", "stats"):
        found = halfway({"net": WILD, "stats": EVEN}, held=held, controls=controls, lost=(missing,))
        assert found(), "still open without it"
    worse = {"net": EVEN, "stats": SURE}
    assert not halfway(worse, held=held, controls=controls, lost=("raw",))(), "a loss to the other one"


def test_of_many_strategies_that_may_fail_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rights = {"net": WILD, "other": EVEN}
    assert halfway(rights, held={"net": 0.9, "other": 0.5})()
    monkeypatch.setattr(foregone, "MOST", 1)
    assert not halfway(rights, held={"net": 0.9, "other": 0.5})()
