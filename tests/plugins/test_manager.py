"""Broken plugins, clashes, allow-lists and traces."""

import os
import pickle
from collections.abc import Callable

import pytest

from tests.plugins.conftest import Plant, Use
from tlengine.errors import InputError, MissingPackageError, PluginError, PluginWarning, UnknownNameError
from tlengine.plugins import PluginManager, describe_offers, describe_plugins, registry
from tlengine.plugins.containment import stdout_to_stderr
from tlengine.plugins.records import BackboneSource, BackboneSpec, ExporterSpec, ProbeSpec


def spec_code(name: str) -> str:
    return (
        "import tlengine as tl\n"
        "@tl.hookimpl\n"
        "def tlengine_backbones():\n"
        f"    yield tl.BackboneSpec(name={name!r}, modality='image',\n"
        "                          embedding_dim=2, load=print, preprocess=str)\n"
    )


BROKEN = {
    "import": (
        "import no_such_module_at_all\n",
        "ModuleNotFoundError: No module named 'no_such_module_at_all'",
    ),
    "syntax": ("def (", "SyntaxError"),
    "argument": (
        "import tlengine as tl\n@tl.hookimpl\ndef tlengine_backbones(colour):\n    return []\n",
        "PluginValidationError",
    ),
    "hook name": (
        "import tlengine as tl\n@tl.hookimpl\ndef tlengine_bakbones():\n    return []\n",
        "tlengine_bakbones",
    ),
    "generator": (spec_code("early") + "    raise ValueError('out of tune')\n", "ValueError: out of tune"),
    "record": (
        "import tlengine as tl\n@tl.hookimpl\ndef tlengine_backbones():\n    yield 7\n",
        "yields int, not a record",
    ),
    "name": (spec_code("No Spaces Please"), "name 'No Spaces Please' is not allowed"),
    "no list": (
        "import tlengine as tl\n@tl.hookimpl\ndef tlengine_backbones():\n    return 7\n",
        "TypeError",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_skipped_named_and_shown_and_others_load(
    plant: Plant, use: Use, kind: str
) -> None:
    code, reason = BROKEN[kind]
    with pytest.warns(PluginWarning, match=r"bad \(bad 2\.1\) is skipped") as warned:  # noqa: PT031
        use(plant("bad", code, version="2.1"), plant("good", spec_code("tiny")))
        assert list(registry.backbones()) == ["tiny"]
    assert reason in str(warned[0].message)
    shown = {info["name"]: info for info in describe_plugins()}
    assert (shown["bad"]["status"], shown["good"]["status"]) == ("failed", "loaded")
    assert reason in shown["bad"]["error"]


@pytest.mark.parametrize("kind", BROKEN)
def test_strict_makes_it_an_error(plant: Plant, use: Use, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("TLENGINE_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"bad \(bad 2\.1\) failed"):  # noqa: PT012 - some fail when listed
        use(plant("bad", BROKEN[kind][0], version="2.1"))
        registry.backbones()


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_clash_is_lost_by_the_later_name_and_told_to_it(
    plant: Plant, use: Use, order: tuple[str, str]
) -> None:
    use(*(plant(name, spec_code("same"), version=f"{len(name)}.2") for name in order))
    with pytest.warns(
        PluginWarning, match=r"two .* is skipped: one \(one 3\.2\) has the backbone 'same' already"
    ):
        assert list(registry.backbones()) == ["same"]
    assert registry.origin("same") == "one (one 3.2)"


def test_two_entry_points_of_one_name_clash(plant: Plant) -> None:
    found = [plant("one", spec_code("a"), point="p"), plant("two", spec_code("b"), point="p")]
    manager = PluginManager()
    with pytest.warns(PluginWarning, match=r"p \(two 1\.0\) is skipped: p \(one 1\.0\) has this name"):
        manager.load(found)
    assert [(info.distribution, info.status) for info in manager.infos] == [
        ("one", "loaded"),
        ("two", "failed"),
    ]


@pytest.mark.parametrize("rogue", ["aaa", "rogue", "tlengine-minilm"])
def test_a_plugin_may_not_override_a_built_in_name(plant: Plant, use: Use, rogue: str) -> None:
    use(plant(rogue, spec_code("raw")), plant("tlengine", spec_code("raw"), point="builtin"))
    with pytest.warns(
        PluginWarning, match=r"builtin \(tlengine 1\.0\) has the backbone 'raw' already; rename yours"
    ):
        assert list(registry.backbones()) == ["raw"]
    assert registry.origin("raw") == "builtin (tlengine 1.0)"


@pytest.mark.parametrize("kind", BROKEN)
def test_strict_still_lists(plant: Plant, use: Use, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("TLENGINE_STRICT_PLUGINS", "1")
    use(plant("bad", BROKEN[kind][0], version="2.1"), plant("good", spec_code("tiny")))
    assert {info["name"]: info["status"] for info in describe_plugins()} == {
        "bad": "failed",
        "good": "loaded",
    }
    assert describe_offers()["backbones"] == ["tiny"]


def test_no_other_plugin_is_loaded_for_being_called_tlengine(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLENGINE_LOAD_PLUGINS", "")
    manager = PluginManager()
    manager.load([plant("sly", spec_code("sly"), point="tlengine")])
    assert [info.status for info in manager.infos] == ["not allowed"]


def test_threads_redirect_and_restore_stdout_in_any_order(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = stdout_to_stderr(), stdout_to_stderr()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    print("hidden")
    os.write(1, b"deep\n")
    second.__exit__(None, None, None)
    print("shown")
    os.write(1, b"too\n")
    out, err = capfd.readouterr()
    assert (out.split(), err.split()) == (["shown", "too"], ["hidden", "deep"])


@pytest.mark.parametrize(
    ("allowed", "loaded"),
    [
        (None, ["own", "tlengine-one", "tlengine-two"]),
        ("", ["own"]),
        ("tlengine-one", ["own", "tlengine-one"]),
        (" TLENGINE_ONE , nothing", ["own", "tlengine-one"]),
        ("own", ["own"]),
    ],
)
def test_allow_list(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, allowed: str | None, loaded: list[str]
) -> None:
    if allowed is not None:
        monkeypatch.setenv("TLENGINE_LOAD_PLUGINS", allowed)
    manager = PluginManager()
    manager.load(
        [
            plant("tlengine", "", point="own"),
            plant("tlengine-one", spec_code("one")),
            plant("tlengine-two", spec_code("two")),
        ]
    )
    assert [info.name for info in manager.infos if info.status == "loaded"] == loaded
    assert {info.status for info in manager.infos} <= {"loaded", "not allowed"}


def test_trace_writes_every_call(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TLENGINE_TRACE_PLUGINS", "1")
    manager = PluginManager()
    manager.load([plant("one", spec_code("one"))])
    manager.call("one", "tlengine_backbones")
    assert "tlengine_backbones" in capsys.readouterr().err


def test_unknown_names_show_the_nearest_three(plant: Plant, use: Use) -> None:
    use(*(plant(name, spec_code(name)) for name in ("minilm", "efficientnet-lite0", "other", "zzz")))
    with pytest.raises(UnknownNameError, match="no backbone is named 'MiniLM-v2'") as caught:
        registry.resolve_backbone("MiniLM-v2")
    assert len(caught.value.context["nearest"]) == 3
    assert caught.value.context["nearest"][0] == "minilm"


def test_a_shipped_plugin_that_is_missing_shows_the_install_line(use: Use) -> None:
    use()
    with pytest.raises(MissingPackageError, match=r"pip install \./plugins/tlengine-minilm"):
        registry.resolve_backbone("minilm")
    with pytest.raises(UnknownNameError, match="no backbone is registered"):
        registry.resolve_backbone("mini")


SOURCE = """
import tlengine as tl

def resolve(rest):
    if rest == "crash":
        raise RuntimeError("the shelf fell down")
    if rest == "wrong":
        return 7
    raise KeyError(rest)

@tl.hookimpl
def tlengine_backbones():
    yield tl.BackboneSource(prefix="shelf", resolve=resolve, list=lambda: ["left", "right"])
"""


def test_sources_that_fail(plant: Plant, use: Use) -> None:
    use(plant("shelf", SOURCE))
    with pytest.raises(UnknownNameError, match="shelf/left"):
        registry.resolve_backbone("shelf/lefd")
    with pytest.raises(PluginError, match="RuntimeError: the shelf fell down"):
        registry.resolve_backbone("shelf/crash")
    with pytest.raises(PluginError, match="returned int, not a BackboneSpec"):
        registry.resolve_backbone("shelf/wrong")
    with pytest.raises(UnknownNameError):
        registry.resolve_backbone("timm/vit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Upper"}, "not allowed"),
        ({"name": ""}, "not allowed"),
        ({"name": "a/../b c"}, "not allowed"),
        ({"modality": "smell"}, "modality"),
        ({"embedding_dim": 0}, "embedding_dim is 0"),
    ],
)
def test_specs_are_checked(change: dict[str, object], message: str) -> None:
    fields = {
        "name": "a",
        "modality": "image",
        "embedding_dim": 1,
        "load": print,
        "preprocess": str,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        BackboneSpec(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProbeSpec(name="a", estimator=object()), "estimator is a object object"),  # type: ignore[arg-type]
        (lambda: ProbeSpec(name="a", estimator=None), "estimator is a NoneType"),  # type: ignore[arg-type]
        (lambda: ProbeSpec(name="a b", estimator=dict), "not allowed"),
        (lambda: ExporterSpec(name="a", suffix=".a", render="text"), "render is a str"),  # type: ignore[arg-type]
        (lambda: ExporterSpec(name="a", suffix="a", render=str), "suffix 'a'"),
        (lambda: ExporterSpec(name="a", suffix="/../a", render=str), "suffix"),
    ],
)
def test_probes_and_exporters_are_checked(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert caught.value.hint


def test_source_prefix_is_one_word() -> None:
    with pytest.raises(ValueError, match="contains '/'"):
        BackboneSource(prefix="a/b", resolve=print, list=list)  # type: ignore[arg-type]


def test_specs_are_frozen_and_picklable() -> None:
    spec = registry.resolve_backbone("raw")
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        spec.name = "cooked"  # type: ignore[misc]


def test_listing_loads_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from tlengine.plugins import backbones, probes, strategies\n"
        "assert 'raw' in backbones() and 'svm' in probes() and 'probe' in strategies()\n"
        "print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
