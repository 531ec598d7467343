"""A fit is taken up where its strategy is the same, in any process, and never where it may be another."""

import functools
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import tlengine.evaluation.identity as module
from tlengine.evaluation.identity import Identity, identity_of
from tlengine.evaluation.strategies import CentroidStrategy, EstimatorStrategy
from tlengine.features import code, filled
from tlengine.plugins import HeadSpec, PluginInfo, ProbeSpec, SimpleStrategy, as_probe_spec

Load = Callable[[str], types.ModuleType]

CODE = """
from dataclasses import dataclass
from functools import cache, cached_property, partial, partialmethod

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from tlengine.plugins import SimpleStrategy

WEIGHT = 2.0
_MEMO = {}


def middle(X):
    return np.median(X, axis=0) if str(len(X)) in {"3", "5", "7"} else WEIGHT * X.mean(axis=0)


@cache
def root(x, power=2):
    return x ** power


def scaled(by):
    return lambda x: x * by


class Base(SimpleStrategy):
    def shrink(self, x):
        return x * 0.5


@dataclass
class Mine(Base):
    power: float = 2.0
    words: frozenset = frozenset({"a", "b", "c"})

    limit = 7
    half = partialmethod(lambda self, by: by, by=2)

    def learn(self, view, rows, seed):
        from math import sqrt
        _MEMO[seed] = rows
        self.by = scaled(3)
        return lambda view, rows: self.shrink(middle(rows)) + root(2) + self.bound + len(_MEMO)

    @cached_property
    def bound(self):
        return [x + 1 for x in range(3)]

    @property
    def twice(self):
        return 2

    @staticmethod
    def plus(x):
        return x + 10


class Holder:
    def __init__(self, trees):
        self.model = RandomForestClassifier(trees)
        self.itself = self
        self.scale, self.raised = scaled(3), partial(middle, k=4)

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X


def tell():
    from tlengine.evaluation.identity import identity_of
    from tlengine.evaluation.strategies import EstimatorStrategy
    from tlengine.plugins import as_probe_spec

    return [
        identity_of(Mine()), identity_of(EstimatorStrategy(as_probe_spec(("x", lambda: Holder(10)))))
    ]
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A module of the text, as a user's script has it; each lies in a file of its own."""
    count = 0

    def write(text: str) -> types.ModuleType:
        nonlocal count
        count += 1
        path = tmp_path / f"mine{count}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("mine", path)
        assert spec is not None
        assert spec.loader is not None
        filled._tree.cache_clear()  # by the name of the module, which is loaded once in real life
        sys.modules["mine"] = made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    yield write
    sys.modules.pop("mine", None)


def digests(told: list[Identity]) -> list[str]:
    assert [one.untold for one in told] == [""] * len(told)
    return [one.digest for one in told]


STRATEGY, ESTIMATOR = 0, 1


@pytest.mark.parametrize(
    ("which", "old", "new"),
    [
        pytest.param(STRATEGY, "np.median(X", "np.mean(X", id="a function that a method names"),
        pytest.param(STRATEGY, '{"3", "5", "7"}', '{"3", "5"}', id="a constant in it"),
        pytest.param(STRATEGY, "WEIGHT = 2.0", "WEIGHT = 3.0", id="a global that it names"),
        pytest.param(STRATEGY, "_MEMO = {}", "_MEMO = {0: 1}", id="the first value of a memo"),
        pytest.param(STRATEGY, "x ** power", "x + power", id="a cached function"),
        pytest.param(STRATEGY, "power=2)", "power=3)", id="a default"),
        pytest.param(STRATEGY, "x * 0.5", "x * 0.25", id="a method of a base"),
        pytest.param(STRATEGY, "limit = 7", "limit = 8", id="a constant of the class"),
        pytest.param(STRATEGY, "by=2", "by=3", id="a partial method"),
        pytest.param(STRATEGY, "x + 1 ", "x + 2 ", id="a cached property"),
        pytest.param(STRATEGY, "return 2\n", "return 3\n", id="a property"),
        pytest.param(STRATEGY, "x + 10", "x + 11", id="a static method"),
        pytest.param(STRATEGY, "+ len(_MEMO)", "- len(_MEMO)", id="a function inside a method"),
        pytest.param(STRATEGY, "power: float = 2.0", "power: float = 2.5", id="a field"),
        pytest.param(STRATEGY, '"b", "c"}', '"b"}', id="an item of a set"),
        pytest.param(ESTIMATOR, "Holder(10)", "Holder(500)", id="an estimator inside an estimator"),
        pytest.param(ESTIMATOR, "scaled(3), partial", "scaled(4), partial", id="a closure"),
        pytest.param(ESTIMATOR, "k=4", "k=5", id="a partial"),
        pytest.param(ESTIMATOR, "return X\n", "return -X\n", id="a method of an estimator"),
    ],
)
def test_what_changes_a_result_changes_the_digest(load: Load, which: int, old: str, new: str) -> None:
    assert CODE.count(old) == 1
    before, after = (digests(load(text).tell()) for text in (CODE, CODE.replace(old, new)))
    assert before[which] != after[which]


def test_what_changes_no_result_does_not(load: Load) -> None:
    """Lines and comments; what a run has filled; another object of equal state."""
    first = load(CODE)
    before = digests(first.tell())
    first._MEMO[3] = object()
    first.root(3)
    for _ in range(100):  # the interpreter rewrites code that is called often
        first.middle(first.np.ones((3, 2)))
    assert digests(first.tell()) == before
    assert (
        digests(load("# a comment\n\n" + CODE.replace("return x ** power", "return x ** power  # so")).tell())
        == before
    )


def test_fresh_interpreters_agree(tmp_path: Path) -> None:
    """The order of a set, and every address, is another one in each."""
    (tmp_path / "mine.py").write_text(CODE)
    script = (
        "import json, sys, mine; from tlengine.evaluation.setup import Chosen\n"
        "from tlengine.evaluation.participants import participants\n"
        "from tlengine.evaluation.identity import identity_of\n"
        "named = participants(None, None, 'image') | participants(['svm', 'preval'], (), 'image')\n"
        "own = [identity_of(one.strategy, one.plugin) for one in named.values()]\n"
        "print(json.dumps([[one.digest, one.untold] for one in mine.tell() + own]))"
    )
    told = []
    for seed in ("1", "2"):
        paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment
        )
        assert run.returncode == 0, run.stderr
        told.append(json.loads(run.stdout))
    assert told[0] == told[1]
    assert len({digest for digest, _ in told[0]}) >= 7
    assert not any(untold for _, untold in told[0])


def of(estimator: Any, plugin: PluginInfo | None = None) -> Identity:
    return identity_of(EstimatorStrategy(as_probe_spec(("x", estimator))), plugin)


def test_functions_in_a_pipeline_are_told_by_their_code() -> None:
    def power(X: Any, k: int) -> Any:
        return X**k

    steps = [lambda X: X**2, lambda X: X**3, *(functools.partial(power, k=k) for k in (3, 4))]
    told = [of(make_pipeline(FunctionTransformer(step), LogisticRegression())) for step in steps]
    assert len(set(digests(told))) == 4
    again = of(make_pipeline(FunctionTransformer(steps[0]), LogisticRegression()))
    assert of(make_pipeline(FunctionTransformer(steps[0]), LogisticRegression())) == again == told[0]


def test_the_version_of_every_library_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one whose class is a step deep inside, or that a function imports when it is called."""

    def make() -> Any:
        import pandas  # noqa: F401 - the version is asked for, not the module

        return make_pipeline(LogisticRegression())

    before = of(make)
    assert before == of(make)
    real = module.library_version
    for package in ("sklearn", "pandas"):
        monkeypatch.setattr(
            module, "library_version", lambda name, p=package: "0" if name == p else real(name)
        )
        assert of(make).digest != before.digest, package


def test_plugin_and_version_count() -> None:
    told = [
        identity_of(
            CentroidStrategy(), PluginInfo(name="a", distribution=name, version=version, module="mine")
        )
        for name, version in (("mine", "1"), ("mine", "2"), ("other", "1"))
    ]
    assert len(set(digests([*told, identity_of(CentroidStrategy())]))) == 4


def test_the_code_of_an_installed_plugin_is_told(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what another plugin brings, name and version are."""
    monkeypatch.setattr(code, "_is_installed", lambda file: True)
    code._is_library_name.cache_clear()
    mine, other = (PluginInfo(name="x", distribution="x", version="1", module=m) for m in ("mine", "else"))
    strategies = [load(text).Mine() for text in (CODE, CODE.replace("np.median(X", "np.mean(X"))]
    try:
        for plugin, same in ((mine, False), (other, True)):
            one, two = (identity_of(strategy, plugin) for strategy in strategies)
            assert (one.digest == two.digest) == same
    finally:
        code._is_library_name.cache_clear()


class With(SimpleStrategy):
    """Holds something."""

    def __init__(self, held: Any) -> None:
        self.held = held


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (lambda path: path.open("rb"), "settings.held is a _io.BufferedReader: TypeError: cannot pickle"),
        (lambda path: (x for x in "ab"), "settings.held is a builtins.generator"),
        (lambda path: {"a": [memoryview(b"")]}, r"settings.held.a\[0\] is a builtins.memoryview"),
        (lambda path: Exits(), "settings.held is a .*Exits: SystemExit: no licence"),
    ],
)
def test_what_cannot_be_told_is_never_the_same(
    tmp_path: Path, held: Callable[[Path], Any], says: str
) -> None:
    path = tmp_path / "file"
    path.touch()
    strategy = With(held(path))
    one, two = identity_of(strategy), identity_of(strategy)
    getattr(strategy.held, "close", list)()
    assert one.digest != two.digest
    assert re.match(says, one.untold), one.untold


class Exits:
    def __reduce__(self) -> Any:
        sys.exit("no licence")


def test_settings_that_exit_are_no_settings() -> None:
    class Broken(CentroidStrategy):
        def settings(self) -> Any:
            sys.exit("no licence")

    assert identity_of(Broken()).digest != identity_of(Broken()).digest


def test_files_count_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "prior.txt"
    told = []
    for text in ("1", "2"):
        path.write_text(text)
        told += [identity_of(With(path)), identity_of(With(str(path)))]
    assert told[0].digest == told[1].digest != told[2].digest == told[3].digest


def test_a_module_that_is_held_counts_by_its_file(load: Load) -> None:
    modules = [load(CODE), load(CODE), load(CODE + "# edited")]
    told = digests([identity_of(With(held)) for held in [*modules, np, json]])
    assert told[0] == told[1]
    assert len(set(told)) == 4


def test_equal_state_is_equal() -> None:
    """Where one object stands twice, and where two equal ones do; an object without state is its class."""
    one = RandomForestClassifier()
    assert identity_of(With([one, one])) == identity_of(With([one, RandomForestClassifier()]))
    assert identity_of(With(object())) == identity_of(With(object()))
    values = [1, 1.0, True, "1", b"1", [1], (1,), {1}, {1: 1}, None, io.BytesIO(b"1"), io.BytesIO(b"2"), len]
    assert len({identity_of(With(value)).digest for value in values}) == len(values) - 1  # a list is a row


class Headed(CentroidStrategy):
    """Trains a head of a name."""

    def __init__(self, head: str) -> None:
        self.head = head

    def settings(self) -> dict[str, Any]:
        return {"head": self.head}


HEAD = """
SCALE = 2.0


def shrink(weights):
    return weights * 0.5


def build(dim, classes, *, wide=False):
    return (dim, classes, SCALE)


def from_probe(coef, intercept):
    return {"weight": shrink(coef)}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("classes, SCALE", "SCALE, classes", id="build"),
        pytest.param("SCALE = 2.0", "SCALE = 3.0", id="a global"),
        pytest.param("* 0.5", "* 0.25", id="a helper of from_probe"),
        pytest.param("wide=False", "wide=True", id="a default"),
    ],
)
def test_the_code_of_the_head_that_a_strategy_names_is_told(
    load: Load, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    """An edit of an editable plugin changes no version."""
    heads: dict[str, HeadSpec] = {}
    mine = PluginInfo(name="x", distribution="x", version="1", module="mine")
    monkeypatch.setattr(module.registry, "heads", lambda: heads)
    monkeypatch.setattr(module.registry, "owner", lambda name, noun: mine)

    def told(text: str, name: str = "mine") -> Identity:
        made = load(text)
        heads["mine"] = HeadSpec(name="mine", build=made.build, from_probe=made.from_probe)
        return identity_of(Headed(name))

    before, again, after = (told(text) for text in (HEAD, "# lines\n" + HEAD, HEAD.replace(old, new)))
    assert before == again
    assert len(set(digests([before, after]))) == 2
    assert told(HEAD, "other") == told(HEAD.replace(old, new), "other"), "no registered head"


def test_a_head_that_cannot_be_told_is_never_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("rb") as file:
        head = HeadSpec(name="mine", build=lambda dim, classes, *, source=file: None)  # type: ignore[arg-type,return-value]
        monkeypatch.setattr(module.registry, "heads", lambda: {"mine": head})
        monkeypatch.setattr(
            module.registry, "owner",
            lambda name, noun: PluginInfo(name="x", distribution="x", version="1", module="mine"),
        )  # fmt: skip
        one, two = identity_of(Headed("mine")), identity_of(Headed("mine"))
    assert one.digest != two.digest
    assert "is a _io.BufferedReader" in one.untold


def test_candidates_are_told_by_code_and_value() -> None:
    def told(**facts: Any) -> str:
        return identity_of(
            EstimatorStrategy(ProbeSpec(name="x", estimator=LogisticRegression, **facts))
        ).digest

    assert told() != told(candidates=[{"C": 1.0}]) != told(candidates=[{"C": 2.0}])
    assert told(candidates=lambda n, d, s: [{"C": s}]) != told(
        candidates=lambda n, d, s: [{"C": s if n < 7e6 else 1.0}]
    )
