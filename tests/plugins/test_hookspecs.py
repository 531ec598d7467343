"""One test per hook, and the promise that there is one, and that each hook is documented."""

import inspect
import re
from pathlib import Path

import click
import pytest

from tests.plugins.conftest import Plant, Use
from tlengine.errors import UnknownNameError
from tlengine.plugins import PluginManager, add_commands, hookspecs, notify, registry
from tlengine.plugins.contracts import Record, Task

DOCS = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
HOOKS = {
    name: spec
    for name, spec in vars(hookspecs).items()
    if name.startswith("tlengine_") and inspect.isfunction(spec)
}

BACKBONES = """
import tlengine as tl

def resolve(rest):
    if rest != "Case/Kept":
        raise KeyError(rest)
    return tl.BackboneSpec(name=f"tiny/{rest}", modality="text", embedding_dim=2, load=print, preprocess=str)

@tl.hookimpl
def tlengine_backbones():
    yield tl.BackboneSpec(name="tiny-net", modality="image", embedding_dim=8, load=print, preprocess=str)
    yield tl.BackboneSource(prefix="tiny", resolve=resolve, list=lambda: ["Case/Kept"])
"""


def test_there_are_hooks() -> None:
    assert set(HOOKS) == {
        hook.name for hook in PluginManager().hook.__dict__.values() if hasattr(hook, "spec")
    }
    assert len(HOOKS) >= 9


def test_every_hook_has_a_test() -> None:
    assert {f"test_hook_{name}" for name in HOOKS} <= set(globals())


def test_every_hook_is_documented_with_its_signature() -> None:
    headings = re.findall(r"^### (tlengine_.*)$", DOCS.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(
        f"{name}({', '.join(inspect.signature(spec).parameters)})" for name, spec in HOOKS.items()
    )


def test_every_hook_says_what_it_does_with_an_example() -> None:
    for name, spec in HOOKS.items():
        text = inspect.getdoc(spec) or ""
        assert "Added in " in text, name
        assert f"def {name}(" in text, name


def test_hook_tlengine_backbones(plant: Plant, use: Use) -> None:
    use(plant("tlengine-tiny", BACKBONES))
    assert list(registry.backbones()) == ["tiny-net"]
    assert registry.resolve_backbone("tiny-net").embedding_dim == 8
    assert list(registry.backbone_names()) == ["tiny-net", "tiny/Case/Kept"]
    assert registry.resolve_backbone("tiny/Case/Kept").embedding_dim == 2
    assert registry.origin("tiny/Case/Kept") == "tlengine-tiny (tlengine-tiny 1.0)"


def test_hook_tlengine_probes(plant: Plant, use: Use) -> None:
    use(
        plant(
            "tlengine-lda",
            "import tlengine as tl\n"
            "@tl.hookimpl\n"
            "def tlengine_probes():\n"
            "    return [tl.ProbeSpec(name='lda', estimator=dict)]\n",
        )
    )
    assert registry.resolve_probe("lda").estimator(C=2) == {"C": 2}


def test_hook_tlengine_heads(plant: Plant, use: Use) -> None:
    use(
        plant(
            "tlengine-deep",
            "import tlengine as tl\n"
            "@tl.hookimpl\n"
            "def tlengine_heads():\n"
            "    build = lambda dim, classes, *, depth=2: (dim, classes, depth)\n"
            "    yield tl.HeadSpec(name='deep', build=build)\n",
        )
    )
    assert list(registry.heads()) == ["deep"]
    assert registry.resolve_head("deep").build(8, 3, depth=4) == (8, 3, 4)
    assert registry.resolve_head("deep").settings == {"depth": 2}
    assert registry.origin("deep", "head") == "tlengine-deep (tlengine-deep 1.0)"
    with pytest.raises(UnknownNameError, match="no head is named 'dep'"):
        registry.resolve_head("dep")


STRATEGIES = """
import tlengine as tl

@tl.hookimpl
def tlengine_strategies():
    yield tl.StrategySpec(name="majority", make=dict, role="control", view="raw")

@tl.hookimpl
def tlengine_probes():
    yield tl.ProbeSpec(name="lda", estimator=dict)
"""


def test_hook_tlengine_strategies(plant: Plant, use: Use) -> None:
    use(plant("tlengine-majority", STRATEGIES))
    assert list(registry.strategies()) == ["majority"]
    assert registry.strategies()["majority"].role == "control"
    assert registry.resolve_strategy("majority").name == "majority"
    assert registry.resolve_strategy("lda") is registry.probes()["lda"]
    assert registry.origin("lda", "strategy") == "tlengine-majority (tlengine-majority 1.0)"
    with pytest.raises(UnknownNameError, match="no probe is named 'majority'"):
        registry.resolve_probe("majority")
    with pytest.raises(UnknownNameError, match="nearest names: lda"):
        registry.resolve_strategy("ldaa")


def test_hook_tlengine_metrics(plant: Plant, use: Use) -> None:
    use(
        plant(
            "tlengine-hits",
            "import tlengine as tl\n"
            "@tl.hookimpl\n"
            "def tlengine_metrics():\n"
            "    yield tl.MetricSpec(name='hits', score=lambda codes, proba: 0.5)\n",
        )
    )
    assert registry.metrics()["hits"].score(None, None) == 0.5  # type: ignore[arg-type]
    assert registry.resolve("metric", "hits").greater_is_better


def test_hook_tlengine_exporters(plant: Plant, use: Use) -> None:
    use(
        plant(
            "tlengine-json",
            "import json\n"
            "import tlengine as tl\n"
            "from tlengine.plugins import ExporterSpec\n"
            "@tl.hookimpl\n"
            "def tlengine_exporters():\n"
            "    yield ExporterSpec(name='json', suffix='.json', render=json.dumps)\n",
        )
    )
    assert registry.resolve_exporter("json").render({"a": 1}) == '{"a": 1}'


def test_hook_tlengine_commands(plant: Plant, use: Use) -> None:
    use(
        plant(
            "tlengine-hello",
            "import click\n"
            "import tlengine as tl\n"
            "@tl.hookimpl\n"
            "def tlengine_commands(cli):\n"
            "    cli.add_command(click.Command('hello'))\n",
        )
    )
    group = click.Group()
    add_commands(group)
    assert list(group.commands) == ["hello"]


HEARS = """
import json, pathlib
import tlengine as tl
HEARD = pathlib.Path(__file__).with_suffix(".heard")

@tl.hookimpl
def {event}({argument}):
    HEARD.write_text(repr({argument}))
"""


def hear(plant: Plant, use: Use, tmp_path: Path, event: str, fact: object) -> str:
    """What a plugin heard of an event."""
    (argument,) = inspect.signature(HOOKS[event]).parameters
    use(plant("ear", HEARS.format(event=event, argument=argument)))
    notify(event, **{argument: fact})
    return (tmp_path / "plugin_of_ear.heard").read_text()


def test_hook_tlengine_run_started(plant: Plant, use: Use, tmp_path: Path) -> None:
    run = {"strategies": ["probe"]}
    assert hear(plant, use, tmp_path, "tlengine_run_started", run) == repr(run)


def test_hook_tlengine_task_finished(plant: Plant, use: Use, tmp_path: Path) -> None:
    task = Task(view="raw", strategy="knn", budget=5, seed=0, fold=0)
    record = Record(task=task, key="k", error="ValueError: no")
    assert hear(plant, use, tmp_path, "tlengine_task_finished", record) == repr(record)


def test_hook_tlengine_run_finished(plant: Plant, use: Use, tmp_path: Path) -> None:
    assert hear(plant, use, tmp_path, "tlengine_run_finished", {"verdict": None}) == "{'verdict': None}"
