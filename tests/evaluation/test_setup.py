"""A key changes with all that can change a result, and with nothing else."""

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tlengine.evaluation.setup as module
from tests.evaluation.machinery import clouds, setup_of
from tlengine.errors import TlengineWarning
from tlengine.evaluation.running import warn_untold
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.strategies import CentroidStrategy, EstimatorStrategy
from tlengine.evaluation.views import RunView
from tlengine.evaluation.worker import Worker, run_tasks
from tlengine.plugins import ProbeSpec
from tlengine.plugins.contracts import Budget, Task
from tlengine.settings import thread_limit

X, CODES = clouds(80, 4, 2)
SPLIT = np.array(["train"] * 40 + ["select"] * 10 + ["calibrate"] * 10 + ["test"] * 20)
RECIPE = {"fingerprint": "f" * 8, "recipe": {"fingerprint": "f" * 8, "layer": "head"}}


class Given(CentroidStrategy):
    """With settings, and a seed if it is seeded."""

    def __init__(self, seeded: bool = False, **settings: Any) -> None:
        self.seeded, self._settings = seeded, settings

    def settings(self) -> dict[str, Any]:
        return self._settings


def setup(
    X: np.ndarray = X, y: np.ndarray = CODES, *, seeds: int = 2, strategy: Any = None, **facts: Any
) -> Setup:
    facts = {"splits": SPLIT, **facts}
    return setup_of(X, y, {"a": Given() if strategy is None else strategy}, seeds=seeds, **facts)


def task(budget: Budget = "all", seed: int = 0, **words: Any) -> Task:
    return Task(**{"view": "net", "strategy": "a", "budget": budget, "seed": seed, "fold": 0, **words})


def changed(row: int, by: float = 1.0) -> np.ndarray:
    other = X.copy()
    other[row] += by
    return other


def relabelled(*rows: int) -> np.ndarray:
    other = CODES.copy()
    other[list(rows)] = 1 - other[list(rows)]
    return other


BASE = setup().key(task())


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: setup(changed(0)), id="content of a training row"),
        pytest.param(lambda: setup(changed(45)), id="content of a selection row"),
        pytest.param(lambda: setup(changed(79)), id="content of a test row"),
        pytest.param(lambda: setup(y=relabelled(3)), id="label of a training row"),
        pytest.param(lambda: setup(y=relabelled(45)), id="label of a selection row"),
        pytest.param(lambda: setup(y=relabelled(55)), id="label of a calibration row"),
        pytest.param(lambda: setup(y=np.array(["cat", "dog"])[CODES]), id="names of the classes"),
        pytest.param(lambda: setup(splits=np.roll(SPLIT, 1)), id="roles"),
        pytest.param(
            lambda: setup(splits=np.where(SPLIT == "select", "calibrate", SPLIT)), id="calibrate for select"
        ),
        pytest.param(lambda: setup(groups=np.repeat(np.arange(40), 2).astype(str)), id="units"),
        pytest.param(lambda: setup(domains=np.array(["here"] * 80)), id="domains"),
        pytest.param(lambda: setup(strategy=Given(C=1)), id="settings"),
        pytest.param(lambda: setup(strategy=CentroidStrategy()), id="strategy"),
        pytest.param(lambda: setup(view=RECIPE), id="recipe"),
        pytest.param(lambda: setup_of(X, CODES, {"a": Given()}, seeds=2), id="split"),
    ],
)
def test_the_key_changes_with_what_changes_a_result(other: Any) -> None:
    assert other().key(task()) != BASE


def test_the_key_changes_with_budget_fold_and_part() -> None:
    drawn = setup_of(X, CODES, {"a": Given()}, seeds=2)
    tasks = [task(b, fold=f, seed=s) for b in (5, 10, "all") for f in range(3) for s in (0, 1)]
    tasks += [task(part="refit"), task(part="inner:0")]
    keys = [drawn.key(one) for one in tasks]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


def test_the_key_changes_with_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__version__", "999")
    assert setup().key(task()) != BASE


@pytest.mark.parametrize("part", ["recipe", "layer"])
def test_the_key_changes_with_recipe_or_rows(part: str) -> None:
    """A recipe stands for the rows where there is one; else the rows stand for themselves."""
    known = setup(view=RECIPE).key(task())
    other = {"fingerprint": "f" * 8, "recipe": {"fingerprint": "f" * 8, part: "other"}}
    assert setup(view=other).key(task()) != known
    narrow = setup()
    narrow = replace(narrow, views={"net": RunView(name="net", X=np.ascontiguousarray(X[:, ::-1]))})
    assert narrow.key(task()) != BASE


@pytest.mark.parametrize("part", ["blocks", "tokens", "lora_targets"])
def test_the_parts_that_a_backbone_names_count_for_who_trains_it(part: str) -> None:
    """They enter no fingerprint of a backbone, and say which weights a last block is."""

    def key(reads: str, **parts: Any) -> str:
        strategy = Given()
        strategy.reads = reads  # type: ignore[assignment]
        network = SimpleNamespace(**{"blocks": (), "tokens": "", "lora_targets": (), **parts})
        return setup(strategy=strategy, view={**RECIPE, "loaded": network}).key(task())

    assert key("contents", **{part: "other"}) != key("contents")
    assert key("features", **{part: "other"}) == key("features")


def started(by: Any, reads: str = "contents", **options: Any) -> Setup:
    """A run on a backbone whose untrained weights are drawn by a function."""
    strategy = Given()
    strategy.reads = reads  # type: ignore[assignment]
    network = SimpleNamespace(blocks=(), tokens="", lora_targets=(), initialise=by)
    return setup(strategy=strategy, view={**RECIPE, "loaded": network}, **options)


def test_the_code_that_gives_a_network_untrained_weights_counts_for_who_trains_it() -> None:
    """A user's own function has no version, and no fingerprint of pretrained weights shows it."""
    narrow, again, wide = (
        lambda m, s: [m, s, 0.02], lambda m, s: [m, s, 0.02], lambda m, s: [m, s, 0.5]
    )  # fmt: skip
    key = started(narrow).key(task())
    assert started(again).key(task()) == key
    assert len({key, started(wide).key(task()), started(None).key(task())}) == 3
    assert started(wide, "features").key(task()) == started(narrow, "features").key(task())


def test_what_cannot_be_told_of_a_backbone_is_told_apart_from_every_other_run(tmp_path: Path) -> None:
    (tmp_path / "noise").touch()
    with (tmp_path / "noise").open("rb") as file:

        def draw(module: Any, seed: int, source: Any = file) -> None:
            source.read()

        found = started(draw, folder=tmp_path)
        key = found.key(task())
        assert started(draw).key(task()) != key
        assert replace(found).key(task()) == key
        with pytest.warns(TlengineWarning, match="takes up the fits of networks on net, .*BufferedReader"):
            warn_untold(found, [task()])
    sent = replace(found, views={"net": replace(found.views["net"], loaded=None)})
    assert pickle.loads(pickle.dumps(sent)).network("net") == found.network("net")  # noqa: S301 - our own bytes


def test_a_row_of_no_role_in_a_small_budget_counts_too() -> None:
    """The grid of the linear probe hangs on the scale of all rows, and so does its result."""
    plain = setup(view=RECIPE)
    used = plain.plan.roles(task(5))
    spare = int(np.setdiff1d(np.arange(40), used.train)[0])
    assert setup(changed(spare, 5.0), view=RECIPE).key(task(5)) != plain.key(task(5))


def test_the_key_does_not_change_with_labels_of_test_rows() -> None:
    assert setup(y=relabelled(60, 79)).key(task()) == BASE


def test_small_budgets_do_not_hang_on_labels_that_they_do_not_use() -> None:
    plain = setup()
    unused = np.setdiff1d(np.arange(40), plain.plan.roles(task(5)).train)
    pair = [int(unused[CODES[unused] == c][0]) for c in (0, 1)]
    other = setup(y=relabelled(45))
    assert other.key(task(5)) == plain.key(task(5)), "selection rows are left alone below all"
    assert setup(y=relabelled(*pair)).key(task()) != BASE


def test_the_seed_counts_for_seeded_strategies_alone() -> None:
    for seeded in (True, False):
        found = setup(strategy=Given(seeded))
        assert (found.key(task(seed=0)) == found.key(task(seed=1))) != seeded
        assert found.key(task(5, seed=0)) != found.key(task(5, seed=1)), "other rows are drawn"


def test_threads_order_and_processes_do_not_count() -> None:
    tasks = [task(b, seed=s) for b in (5, "all") for s in (0, 1)]
    plain = [setup().key(one) for one in tasks]
    with thread_limit(2):
        assert [setup().key(one) for one in tasks] == plain
    backwards = setup()
    assert [backwards.key(one) for one in reversed(tasks)] == plain[::-1]
    sent = pickle.loads(pickle.dumps(backwards))  # noqa: S301 - our own bytes
    assert [sent.key(one) for one in tasks] == plain


def test_no_address_of_an_object_enters() -> None:
    """No key would ever fit again."""
    first, again = (setup(strategy=Given(by=object(), call=len)).key(task()) for _ in range(2))
    assert first == again
    assert setup(strategy=Given(by={}, call=len)).key(task()) != first


def test_candidates_of_a_probe_count() -> None:
    def key(*candidates: dict[str, Any]) -> str:
        spec = ProbeSpec(name="a", estimator=CentroidProbe, candidates=candidates)
        return setup(strategy=EstimatorStrategy(spec)).key(task())

    assert key({"metric": "cosine"}) == key({"metric": "cosine"})
    assert key({"metric": "cosine"}) != key({"metric": "cosine"}, {"metric": "euclidean"})


def CentroidProbe(**options: Any) -> Any:  # noqa: N802 - stands for the class
    from tlengine.probes import NearestCentroidProbe

    return NearestCentroidProbe(**options)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("nothing to tell"), "ValueError: nothing to tell"),
        (SystemExit("no licence"), "SystemExit: no licence"),
    ],
)
def test_settings_that_raise_cost_their_own_tasks(error: BaseException, says: str) -> None:
    class Broken(CentroidStrategy):
        def settings(self) -> dict[str, Any]:
            raise error

    found = setup_of(X, CODES, {"a": Chosen(name="a", strategy=Broken()), "b": CentroidStrategy()})
    tasks = [task(5), task(5, strategy="b")]
    one, two = run_tasks(Worker(found), tasks)
    assert one.error == says
    assert not two.failed
    assert one.key != two.key


def test_what_cannot_be_told_has_one_key_in_all_processes_of_a_run() -> None:
    """And another one in the next run."""
    given = Given(rows=(x for x in "ab"))
    found = setup(strategy=given)
    key = found.key(task())
    assert setup(strategy=given).key(task()) != key
    given._settings = {}  # a generator cannot be sent
    assert pickle.loads(pickle.dumps(replace(found))).key(task()) == key  # noqa: S301 - our own bytes
