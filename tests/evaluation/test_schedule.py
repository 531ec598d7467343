"""Time in hand: what is expected, what is cut and in which order, and that a cut run says so."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.evaluation.machinery import setup_of
from tests.evaluation.pictures import tiny
from tests.evaluation.trained import Timed, Trained, sentences, spec
from tlengine.data.dataset import Dataset
from tlengine.errors import InputError, PluginError, TimeLimitError, TlengineWarning
from tlengine.evaluation import compare
from tlengine.evaluation.executors import Here
from tlengine.evaluation.inner import is_inner
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.running import run_all, tasks_of
from tlengine.evaluation.schedule import Schedule, make_schedule
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.strategies import CentroidStrategy
from tlengine.settings import thread_limit

TEXTS, CODES = sentences()
X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)


def made(folder: Path | None = None, **strategies: Any) -> tuple[Setup, list[Any]]:
    """Two seeds, two budgets: 4 fits of each strategy, 6 inner folds."""
    found = setup_of(
        X, CODES, strategies, seeds=2, kind="holdout", contents=TEXTS, rows=np.arange(90), folder=folder
    )
    return found, tasks_of(found, ["net"], [5, "all"])


def scheduled(setup: Setup, tasks: Any, minutes: float | None, **options: Any) -> Schedule:
    return make_schedule(setup, tasks, lambda key: False, minutes=minutes, **options)


def test_an_estimate_is_of_all_fits_of_those_who_can_say() -> None:
    """60 steps of one second: 4 fits and 6 inner folds are ten minutes."""
    setup, tasks = made(net=Timed(seconds=1), centroid=CentroidStrategy(), silent=Trained())
    found = scheduled(setup, tasks, None)
    assert (found.seconds, found.whole_seconds, found.asked) == (600, 600, ("net",))
    assert found.announcement == "about 10 min for the fits of net"
    assert (found.tasks, found.setup, found.fraction, found.notes) == (tasks, setup, 1, [])


def test_what_controls_that_nobody_named_take_is_said_and_how_to_do_without() -> None:
    """Four fits and no inner fold: four minutes of fourteen; a fraction of the steps of both is the same."""
    trained = {name: Timed(seconds=1, inner_tasks=0) for name in ("scratch", "named")}
    controls = {
        name: Chosen(name=name, strategy=one, role="control", asked=name == "named")  # type: ignore[arg-type]
        for name, one in trained.items()
    }
    setup, tasks = made(net=Timed(seconds=1), **controls)
    found = scheduled(setup, tasks, None)
    assert (found.seconds, found.unasked, found.unasked_seconds) == (1080, ("scratch",), 240)
    assert found.announcement == (
        "about 18 min for the fits of net, scratch, named; 4 min of it for scratch "
        "(a control by default: --controls named leaves it out)"
    )
    cut = scheduled(setup, tasks, 6)
    assert (cut.fraction, cut.seconds, cut.unasked_seconds) == (0.5, 360, 120)
    only, tasks = made(net=Timed(seconds=1), scratch=controls["scratch"])
    assert (
        "(a control by default: --controls none leaves it out)" in scheduled(only, tasks, None).announcement
    )


def test_each_is_asked_once_for_a_view_and_budget() -> None:
    class Counts(Timed):
        asked: ClassVar[Counter[int]] = Counter()

        def estimate(self, view: Any, roles: Any) -> float:
            self.asked[len(roles.train)] += 1
            return 1.0

    setup, tasks = made(net=Counts())
    scheduled(setup, tasks, 0.1)
    assert Counts.asked == {15: 1, 63: 1}


def test_two_at_a_time_take_half_as_long_each_with_its_share_of_the_threads() -> None:
    class Threads(Timed):
        seen: ClassVar[set[int]] = set()

        def estimate(self, view: Any, roles: Any) -> float:
            self.seen.add(view.threads)
            return super().estimate(view, roles)

    setup, tasks = made(net=Threads(seconds=1))
    with thread_limit(4):
        found = scheduled(setup, tasks, None, at_once=2)
        assert (found.seconds, found.at_once, Threads.seen) == (300, 2, {2})
        assert scheduled(setup, tasks, None, at_once=16).seconds == 60, "no less than the longest fit"
        Threads.seen.clear()
        assert scheduled(setup, tasks, None, at_once=4, here=1).seconds == 150
        assert Threads.seen == {4}, "the others are on other machines"
    assert found.announcement == "about 5 min for the fits of net, 2 at a time"


def test_what_has_a_record_takes_no_time() -> None:
    setup, tasks = made(net=Timed(seconds=1))
    done = {setup.key(task) for task in tasks if task.seed == 0}
    assert make_schedule(setup, tasks, done.__contains__).seconds == 300


def test_where_nobody_can_say_there_is_no_estimate() -> None:
    setup, tasks = made(centroid=CentroidStrategy(), silent=Trained())
    found = scheduled(setup, tasks, 0.001)
    assert (found.seconds, found.announcement, found.tasks) == (None, "", tasks)


def test_what_fits_is_not_cut() -> None:
    setup, tasks = made(net=Timed(seconds=1))
    found = scheduled(setup, tasks, 10)
    assert (found.tasks, found.fraction, found.notes) == (tasks, 1, [])


def test_inner_folds_go_first() -> None:
    """Those of the strategies that take long; four minutes of fits are left of ten."""
    setup, tasks = made(net=Timed(seconds=1), silent=Trained())
    found = scheduled(setup, tasks, 5)
    assert (found.seconds, found.whole_seconds, found.fraction, found.bare) == (240, 600, 1, ("net",))
    assert {task.strategy for task in found.tasks if is_inner(task)} == {"silent"}
    assert [task for task in found.tasks if not is_inner(task)] == [t for t in tasks if not is_inner(t)]
    assert found.notes == ["Judged, but not chosen from, to fit in 5 minutes: net"]
    assert scheduled(setup, tasks, 10, spent=301).bare == ("net",), "what is spent counts"


def test_then_all_train_for_the_same_fraction_of_their_steps() -> None:
    setup, tasks = made(net=Timed(seconds=1), other=Timed(steps=30, seconds=1))
    found = scheduled(setup, tasks, 3)
    assert (found.fraction, found.seconds) == (0.5, 180)
    assert {n: c.strategy.steps for n, c in found.setup.strategies.items()} == {"net": 30, "other": 15}  # type: ignore[attr-defined]
    assert found.notes[0] == "Networks were trained for 50 % of their steps, to fit in 3 minutes"
    one = found.tasks[0]
    assert found.setup.key(one) != setup.key(one), "another fit than that of all steps"
    assert found.setup.strategies["net"].name == "net"


def test_what_cannot_train_for_less_keeps_its_time() -> None:
    class Fixed(Trained):
        def estimate(self, view: Any, roles: Any) -> float:
            return 30.0

    setup, tasks = made(net=Timed(seconds=1), fixed=Fixed(inner_tasks=0))
    found = scheduled(setup, tasks, 4)
    assert (found.fraction, found.seconds) == (0.5, 240)
    assert found.setup.strategies["fixed"] is setup.strategies["fixed"]


def test_less_than_a_tenth_of_the_steps_is_refused_and_the_minutes_are_named() -> None:
    setup, tasks = made(net=Timed(seconds=10))
    with pytest.raises(TimeLimitError, match=r"3\.9 minutes are too few.* takes 5") as said:
        scheduled(setup, tasks, 3.9, spent=30)
    assert "give 5 minutes or more" in str(said.value.hint)
    assert scheduled(setup, tasks, 5, spent=30).fraction == 0.11


def test_an_estimate_that_fails_is_said_and_counts_as_nothing() -> None:
    class Fails(Timed):
        def estimate(self, view: Any, roles: Any) -> float:
            raise SystemExit("no")

    class Endless(Timed):
        def estimate(self, view: Any, roles: Any) -> float:
            return float("nan")

    for strategy in (Fails(), Endless()):
        setup, tasks = made(net=strategy, other=Timed(seconds=1))
        with pytest.warns(TlengineWarning, match="nobody knows how long net on net takes"):
            assert scheduled(setup, tasks, None).seconds == 600


def test_what_says_it_can_be_scaled_and_cannot_is_named() -> None:
    class Fails(Timed):
        def scaled(self, fraction: float) -> Any:
            raise RuntimeError("not today")

    setup, tasks = made(net=Fails(seconds=1))
    with pytest.raises(PluginError, match="'net' cannot train for 50% of its steps: RuntimeError: not today"):
        scheduled(setup, tasks, 2)


def test_the_same_call_goes_on_with_the_same_cut(tmp_path: Path) -> None:
    """Whatever a step takes by then; another limit, or what was begun anew, is decided anew."""
    setup, tasks = made(tmp_path, net=Timed(seconds=1))
    assert scheduled(setup, tasks, 2).fraction == 0.5
    slower, _ = made(tmp_path, net=Timed(seconds=2))
    again = scheduled(slower, tasks, 2)
    assert (again.fraction, again.seconds, again.bare) == (0.5, 240, ("net",))
    assert scheduled(slower, tasks, 2, fresh=True).fraction == 0.25
    assert scheduled(setup, tasks, 3).fraction == 0.75


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"digest": 1, "fraction": 7}', '{"fraction": "x"}', "\xff"]
)
def test_a_memory_that_is_damaged_is_none(tmp_path: Path, text: str) -> None:
    setup, tasks = made(tmp_path, net=Timed(seconds=1))
    scheduled(setup, tasks, 2)
    (tmp_path / "cut.json").write_text(text, encoding="latin-1")
    assert scheduled(setup, tasks, 3).fraction == 0.75


class Clock:
    """Runs out after so many records."""

    def __init__(self, records: int) -> None:
        self.left = records

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_when_time_is_over_no_other_fit_begins(tmp_path: Path) -> None:
    setup, tasks = made(net=Timed())
    closed = []

    class Watched(Here):
        def run(self, setup: Any, tasks: Any) -> Any:
            try:
                yield from super().run(setup, tasks)
            finally:
                closed.append(True)

    journal = FileJournal(tmp_path)
    run_all(setup, tasks, journal, Watched(), Ledger(), progress=False, over=Clock(3))
    assert (len(journal.records), closed) == (3, [True])
    assert not any(record.failed for record in journal.records.values())
    journal.close()
    journal = FileJournal(tmp_path)
    assert run_all(setup, tasks, journal, Here(), Ledger(), progress=False) == 3
    journal.close()
    nothing = Journal()
    run_all(setup, tasks, nothing, Here(), Ledger(), progress=False, over=lambda: True)
    assert not nothing.records


def test_a_cut_run_says_so_everywhere(
    digit_images: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """4 fits of 60 steps, 10 seconds each: 40 minutes, which shall fit in 20."""
    net = spec("net", Timed(seconds=10))
    run = compare(
        digit_images, tiny(), strategies=["centroid", net], controls=["raw"], budgets=[5, "all"], seeds=2,
        max_minutes=20, out=tmp_path,
    )  # fmt: skip
    time = run.document["time"]
    assert time["steps"] == pytest.approx(0.5, abs=0.02)
    assert (time["max_minutes"], time["without_inner_folds"], time["unrun"]) == (20, ["net"], 0)
    assert time["whole_seconds"] == 6000
    note = f"Networks were trained for {100 * time['steps']:.0f} % of their steps, to fit in 20 minutes"
    assert run.verdict.answer.endswith(f" {note}. Judged, but not chosen from, to fit in 20 minutes: net.")
    assert f"for the fits of net. {note}" in capsys.readouterr().err
    steps = {fit["steps"] for fit in map(facts_of, journal_lines(tmp_path)) if "steps" in fit}
    assert steps == {int(60 * time["steps"])}
    assert list(run.verdict.judged_only) == [{"backbone": "tiny", "strategy": "net"}]
    again = compare(
        digit_images, tiny(), strategies=["centroid", net], controls=["raw"], budgets=[5, "all"], seeds=2,
        max_minutes=20, out=tmp_path, progress=False,
    )  # fmt: skip
    assert again.document["journal"] == {"fits": 12, "taken_up": 12}
    assert again.verdict.answer == run.verdict.answer
    assert capsys.readouterr().err == ""


def journal_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["record"] for line in (folder / "journal.jsonl").read_text().splitlines()]


def facts_of(record: dict[str, Any]) -> dict[str, Any]:
    return dict(record["facts"])


def test_a_run_without_networks_has_no_estimate(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = compare(digits, strategies=["centroid"], controls=(), budgets=[5], seeds=1, max_minutes=60)
    assert run.document["time"]["estimated_seconds"] is None
    assert run.document["time"]["notes"] == []
    assert "about" not in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True, "5", [1]])
def test_minutes_that_are_none_are_refused(digits: Any, wrong: Any) -> None:
    with pytest.raises(InputError, match="max_minutes="):
        compare(digits, max_minutes=wrong)
