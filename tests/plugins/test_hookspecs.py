"""One test per hook, and the promise that there is one, and that each hook is documented."""

import inspect
import re
from pathlib import Path

import click

from tests.plugins.conftest import Plant, Use
from tlengine.plugins import PluginManager, add_commands, hookspecs, registry

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
    assert len(HOOKS) >= 4


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
            "from tlengine.plugins import ProbeSpec\n"
            "@tl.hookimpl\n"
            "def tlengine_probes():\n"
            "    return [ProbeSpec(name='lda', estimator=dict)]\n",
        )
    )
    assert registry.resolve_probe("lda").estimator(C=2) == {"C": 2}


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
