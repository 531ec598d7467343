"""Whatever an installed plugin does, the program starts, lists it, and prints what was asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import HEADER, install, tlengine

PROBE = "ProbeSpec(name='lda', estimator=dict)"
YIELDS = f"{HEADER}@tl.hookimpl\ndef tlengine_probes():\n    yield "


def backbone(name: str, default: bool = False) -> str:
    fields = f"name={name!r}, modality='image', embedding_dim=3072, load=load_raw, default={default}"
    return (
        f"{HEADER}from tlengine.features import RawPreprocess, load_raw\n@tl.hookimpl\n"
        f"def tlengine_backbones():\n    yield BackboneSpec({fields}, preprocess=RawPreprocess())\n"
    )


FAILS = {
    "exits": ("import sys; sys.exit()", "SystemExit"),
    "exits with a message": ("import sys; sys.exit('no licence key')", "no licence key"),
    "exits with a number": ("raise SystemExit(3)", "SystemExit: 3"),
    "generator exit": ("raise GeneratorExit('away')", "GeneratorExit"),
    "own base exception": ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
    "unprintable": ("class Odd(Exception):\n    __str__ = None\nraise Odd", "Odd"),
    "exits in a hook": (f"{YIELDS}{PROBE}\n    raise SystemExit('half-way')\n", "half-way"),
    "cancelled in a hook": (
        f"{YIELDS}{PROBE}\n    import asyncio\n    raise asyncio.CancelledError\n",
        "Cancelled",
    ),
    "returns a record": (YIELDS.replace("yield", "return") + PROBE, "yield it"),
    "coroutine": (YIELDS.replace("def tle", "async def tle").replace("yield", "return") + "[]", "yield it"),
    "none": (f"{YIELDS}None", "yields NoneType"),
    "class": (f"{YIELDS}ProbeSpec", "yields the class ProbeSpec"),
    "another kind": (f"{YIELDS}ExporterSpec(name='a', suffix='.a', render=str)", "yields ExporterSpec"),
    "without end": (f"{HEADER}@tl.hookimpl\ndef tlengine_probes():\n    while True: yield 1\n", "more than"),
    "instance": (
        f"{HEADER}from sklearn.linear_model import LogisticRegression\n@tl.hookimpl\n"
        "def tlengine_probes():\n    yield ProbeSpec(name='lda', estimator=LogisticRegression())\n",
        "pass the class LogisticRegression itself",
    ),
    "misspelt hook": (f"{HEADER}@tl.hookimpl\ndef tlengine_prob(): yield 1\n", "tlengine_prob"),
    "asks while it loads": (
        f"{HEADER}from tlengine.plugins import backbones\nbackbones()",
        "ask inside a function",
    ),
    "backbone raw": (backbone("raw"), "rename yours"),
    "backbone minilm": (backbone("minilm"), "rename yours"),
    "probe ridge": (f"{YIELDS}ProbeSpec(name='ridge', estimator=dict)", "rename yours"),
    "probe raw": (f"{YIELDS}ProbeSpec(name='raw', estimator=dict)", "rename yours"),
    "exporter html": (
        f"{HEADER}@tl.hookimpl\ndef tlengine_exporters():\n"
        "    yield ExporterSpec(name='html', suffix='.html', render=str)\n",
        "rename yours",
    ),
    "command compare": (
        f"{HEADER}import click\n@tl.hookimpl\ndef tlengine_commands(cli):\n"
        "    cli.add_command(click.Command('compare'))\n",
        "rename yours",
    ),
}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """``tlengine plugins --json`` beside all of them; by name they come before all others."""
    site = tmp_path_factory.mktemp("hostile") / "site"
    for kind, (code, _) in FAILS.items():
        install(site, f"AAA.{kind.replace(' ', '-')}", code, version="2.1")
    return tlengine(site, "plugins", "--json")


@pytest.mark.parametrize("kind", FAILS)
def test_a_plugin_that_fails_is_listed_and_takes_nothing_away(
    listed: "subprocess.CompletedProcess[str]", kind: str
) -> None:
    assert listed.returncode == 0, listed.stderr
    assert "Traceback" not in listed.stderr
    document = json.loads(listed.stdout)
    plugins = {plugin["distribution"]: plugin for plugin in document["plugins"]}
    name = f"AAA.{kind.replace(' ', '-')}"
    assert plugins[name]["status"] == "failed"
    assert FAILS[kind][1] in plugins[name]["error"]
    assert f"warning: plugin {name.lower()} ({name} 2.1) is skipped" in listed.stderr
    assert {"raw"} <= set(document["backbones"])
    assert {"ridge", "knn"} <= set(document["strategies"])
    assert "svm" in document["probes"]
    assert "lda" not in document["probes"]
    assert document["exporters"] == ["html"]


@pytest.mark.parametrize("kind", ["exits with a message", "backbone raw", "command compare"])
@pytest.mark.parametrize("strict", ["", "1"])
def test_every_page_works_beside_it_and_strict_makes_it_an_error_elsewhere(
    tmp_path: Path, kind: str, strict: str
) -> None:
    site = tmp_path / "site"
    install(site, "bad", FAILS[kind][0])
    strictly = {"TLENGINE_STRICT_PLUGINS": strict}
    for page in (["plugins"], ["doctor", "--json"], ["--help"]):
        done = tlengine(site, *page, **strictly)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("  compare ") == (page == ["--help"])
    done = tlengine(site, "plugins", "show", "raw", **strictly)
    broken = bool(strict) and kind != "command compare"  # no command of a plugin was asked for
    assert done.returncode == broken, done.stderr
    assert ("error: plugin bad (bad 1.0) failed: " in done.stderr) == broken
    assert ("Traceback" in done.stderr) == (broken and kind == "exits with a message")


@pytest.mark.parametrize("filters", ["error", "ignore", "error::UserWarning"])
def test_warning_filters_change_nothing(tmp_path: Path, filters: str) -> None:
    install(tmp_path / "site", "bad", "raise ValueError('no')")
    for page in ("plugins", "--help"):
        done = tlengine(tmp_path / "site", page, PYTHONWARNINGS=filters)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


PRINTS = f"""
import ctypes, os, sys
def shout(what):
    print(what, "print")
    sys.stdout.write(what + " write\\n")
    sys.__stdout__.write(what + " dunder\\n")
    os.write(1, (what + " descriptor\\n").encode())
    os.system(f"echo {{what}} child")
    ctypes.CDLL(None).printf((what + " from C\\n").encode())
shout("import")
{HEADER}
import click
from tlengine.features import RawPreprocess, load_raw
def load(device):
    shout("load")
    return load_raw(device)
@tl.hookimpl
def tlengine_backbones():
    shout("backbones")
    yield BackboneSpec(name="loud", modality="any", embedding_dim=3072, load=load, preprocess=RawPreprocess())
@tl.hookimpl
def tlengine_commands(cli):
    shout("commands")
    cli.add_command(click.Command("own", callback=lambda: print("its own output")))
"""


@pytest.mark.parametrize(
    "arguments",
    [["plugins"], ["doctor"], ["extract", "t.csv", "--backbone", "loud"]],
    ids=lambda words: words[0],
)
def test_what_a_plugin_prints_does_not_spoil_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    install(tmp_path / "site", "loud", PRINTS)
    (tmp_path / "t.csv").write_text("text\na film\na book\n")
    monkeypatch.chdir(tmp_path)
    done = tlengine(tmp_path / "site", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    for way in ("print", "write", "dunder", "descriptor", "child", "from C"):
        assert f"import {way}" in done.stderr
        assert f"load {way}" in done.stderr or arguments[0] != "extract"


def test_a_plugins_own_command_prints_to_stdout(tmp_path: Path) -> None:
    install(tmp_path / "site", "loud", PRINTS)
    done = tlengine(tmp_path / "site", "own")
    assert done.stdout == "its own output\n"


CHANGES = """
import locale, logging, os, random, signal, warnings
warnings.simplefilter("error")
os.chdir("/")
logging.disable(logging.CRITICAL)
logging.basicConfig(level=logging.DEBUG)
signal.signal(signal.SIGINT, signal.SIG_IGN)
random.seed(0)
"""
STATE = """
import logging, os, random, signal, sys, warnings
state = lambda: (warnings.filters[:], warnings.showwarning, os.getcwd(), logging.root.level,
                 logging.root.handlers[:], logging.root.manager.disable, signal.getsignal(signal.SIGINT),
                 random.getstate(), sys.stdout, os.fstat(1).st_ino)
import tlengine.plugins
before = state()
with warnings.catch_warnings(record=True):
    assert any(plugin["name"] == "changes" for plugin in tlengine.plugins.describe_plugins())
assert state() == before
"""


def test_what_a_plugin_changes_in_the_process_is_put_back(tmp_path: Path) -> None:
    install(tmp_path, "changes", CHANGES)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{STATE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("twice", ["tlengine_x", "TLengine.X", "tlengine--x"])
def test_a_plugin_installed_under_two_spellings_is_counted_once(tmp_path: Path, twice: str) -> None:
    for version, name in (("1.0", "tlengine-x"), ("2.0", twice)):
        install(tmp_path, name, f"{YIELDS}{PROBE}", point="x", module="tlengine_x", version=version)
    done = tlengine(tmp_path, "plugins", "--json")
    document = json.loads(done.stdout)
    assert [plugin["name"] for plugin in document["plugins"]].count("x") == 1
    assert "lda" in document["probes"]
    assert done.stderr == ""


def test_one_module_under_two_names_is_one_plugin(tmp_path: Path) -> None:
    for name in ("tlengine-old", "tlengine-new"):
        install(tmp_path, name, f"{YIELDS}{PROBE}", module="tlengine_x")
    done = tlengine(tmp_path, "plugins", "--json")
    assert "lda" in json.loads(done.stdout)["probes"]
    assert done.stderr == ""


def test_two_plugins_of_one_name_are_both_listed(tmp_path: Path) -> None:
    install(tmp_path, "one", f"{YIELDS}{PROBE}", point="same")
    install(tmp_path, "two", YIELDS + "ProbeSpec(name='other', estimator=dict)", point="same")
    done = tlengine(tmp_path, "plugins", "--json")
    document = json.loads(done.stdout)
    found = {
        plugin["distribution"]: plugin["status"] for plugin in document["plugins"] if plugin["name"] == "same"
    }
    assert found == {"one": "loaded", "two": "failed"}
    assert "lda" in document["probes"]
    assert "same (one 1.0) has this name already; rename the entry point of yours" in done.stderr


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (f"{HEADER}def tlengine_probes():\n    yield {PROBE}\n", "tlengine_probes has no @tlengine.hookimpl"),
        ("x = 1\n", "no function in it has @tlengine.hookimpl"),
    ],
)
def test_a_plugin_that_offers_nothing_is_told(tmp_path: Path, code: str, says: str) -> None:
    install(tmp_path, "idle", code)
    done = tlengine(tmp_path, "plugins", "--json")
    assert f"warning: plugin idle (idle 1.0) offers nothing: {says}" in done.stderr
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    assert plugins["idle"]["status"] == "loaded"
    assert says in plugins["idle"]["error"]


def test_names_to_load_that_match_nothing_are_told(tmp_path: Path) -> None:
    install(tmp_path, "good", f"{YIELDS}{PROBE}")
    done = tlengine(tmp_path, "plugins", TLENGINE_LOAD_PLUGINS="goood, Gone")
    assert (
        "warning: TLENGINE_LOAD_PLUGINS names gone, goood, which is not installed; installed: " in done.stderr
    )
    assert "good  good 1.0  not allowed" in done.stdout


@pytest.mark.parametrize(
    ("environment", "code", "says"),
    [
        ({}, "raise ValueError('out of tune')", "plugin good (good 1.0) failed (ValueError: out of tune)"),
        ({"TLENGINE_LOAD_PLUGINS": ""}, backbone("tiny"), "TLENGINE_LOAD_PLUGINS leaves out"),
    ],
)
def test_an_unknown_name_is_laid_at_the_door_of_what_was_skipped(
    tmp_path: Path, environment: dict[str, str], code: str, says: str
) -> None:
    install(tmp_path, "good", code)
    (tmp_path / "t.npz").touch()
    for arguments in (["plugins", "show", "tiny"], ["tiny"]):
        done = tlengine(tmp_path, *arguments, **environment)
        assert done.returncode in (1, 2)
        assert says in done.stderr.splitlines()[-1]
        assert "good (good 1.0)" in done.stderr.splitlines()[-1]


def test_a_blocked_plugin_of_ours_is_called_blocked(tmp_path: Path) -> None:
    done = tlengine(tmp_path, "plugins", "show", "minilm", TLENGINE_LOAD_PLUGINS="")
    assert done.returncode == 1
    assert "not installed" not in done.stderr
    assert "TLENGINE_LOAD_PLUGINS leaves out" in done.stderr


COMMANDS = f"""
{HEADER}
import click, sys
def bang(): raise ZeroDivisionError("bang")
def leave(): sys.exit(7)
def refuse(): raise click.UsageError("not like that")
@tl.hookimpl
def tlengine_commands(cli):
    cli.add_command(click.Command("bang", callback=bang))
    cli.add_command(click.Command("leave", callback=leave))
    cli.add_command(click.Command("refuse", callback=refuse))
    group = click.Group("nested")
    group.add_command(click.Command("bang", callback=bang))
    cli.add_command(group)
@tl.hookimpl
def tlengine_exporters():
    yield ExporterSpec(name="none", suffix=".none", render=lambda run: None)
    yield ExporterSpec(name="bang", suffix=".bang", render=lambda run: 1 / 0)
    yield ExporterSpec(name="exit", suffix=".exit", render=lambda run: sys.exit("enough"))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["bang"], 1, "command 'bang' of plugin own (own 1.5) failed: ZeroDivisionError: bang"),
        (["nested", "bang"], 1, "command 'nested' of plugin own (own 1.5) failed: ZeroDivisionError: bang"),
        (["leave"], 7, ""),
        (["refuse"], 2, "not like that"),
    ],
)
def test_a_plugins_command_that_fails_is_one_line(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    install(tmp_path, "own", COMMANDS, version="1.5")
    done = tlengine(tmp_path, *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        strict = tlengine(tmp_path, *arguments, TLENGINE_STRICT_PLUGINS="1")
        assert strict.returncode == 1
        assert "in bang" in strict.stderr


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"] * 30)
    np.savez(folder / "f.npz", X=rng.normal(size=(60, 4)).astype(np.float32) + (y == "a")[:, None], y=y)
    options = ["--strategies", "centroid", "--budgets", "5", "--seeds", "1", "--out", folder]
    done = tlengine(folder, "compare", folder / "f.npz", *options)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("exporter", "says"),
    [("none", "returned NoneType, not text"), ("bang", "ZeroDivisionError"), ("exit", "SystemExit: enough")],
)
def test_an_exporter_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, run_folder: Path, exporter: str, says: str
) -> None:
    install(tmp_path, "own", COMMANDS, version="1.5")
    out = tmp_path / "out" / "report"
    done = tlengine(tmp_path, "report", run_folder, "--format", exporter, "--out", out)
    assert done.returncode == 1
    assert f"error: exporter '{exporter}' of plugin own (own 1.5) " in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_the_default_that_is_shipped_does_not_yield_and_that_is_said(tmp_path: Path) -> None:
    from PIL import Image

    install(tmp_path / "site", "tlengine-aaa", backbone("aaa", default=True))
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / label / f"{label}.png")
    done = tlengine(tmp_path / "site", "extract", tmp_path / "photos")
    assert "backbone: efficientnet-lite0 (the default for image data)" in done.stderr
    assert (
        "several plugins bring a default backbone for image data; efficientnet-lite0 is taken, not aaa"
        in done.stderr
    )
