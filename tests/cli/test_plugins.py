"""``tlengine plugins``: list, show, check, new."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.conftest import Plant, Use, plant, use  # noqa: F401 - fixtures
from tlengine.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["plugins", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_list(run: Run) -> None:
    for arguments in ((), ("list",)):
        code, out, _ = run(*arguments)
        assert code == 0
        assert "builtin  tlengine " in out
        assert "raw" in out
        document = json.loads(run(*arguments, "--json")[1])
        assert "raw" in document["backbones"]
        assert document["probes"] == ["preval", "svm"]
        assert {"knn", "probe", "ridge", "centroid", "raw", "stats", "rcf"} <= set(document["strategies"])
        assert {plugin["name"]: plugin["status"] for plugin in document["plugins"]}["builtin"] == "loaded"


def test_list_shows_what_failed(run: Run, plant: Plant, use: Use) -> None:  # noqa: F811
    code = "import tlengine as tl\n@tl.hookimpl\ndef tlengine_backbones():\n    raise ValueError('no')\n"
    use(plant("bad", code))
    exit_code, out, err = run("list")
    assert exit_code == 0
    assert "bad  bad 1.0  failed: ValueError: no" in out
    assert "warning: plugin bad (bad 1.0) is skipped: ValueError: no" in err


KINDS = """
import tlengine as tl
@tl.hookimpl
def tlengine_strategies():
    yield tl.StrategySpec(name="same", make=dict, role="control", view="raw", description="Just so.")
    yield tl.StrategySpec(name="other", make=dict)
@tl.hookimpl
def tlengine_metrics():
    yield tl.MetricSpec(name="same", score=max)
"""


def test_list_and_show_know_every_kind(run: Run, plant: Plant, use: Use) -> None:  # noqa: F811
    use(plant("mine", KINDS))
    document = json.loads(run("--json")[1])
    assert (document["strategies"], document["metrics"]) == (["other", "same"], ["same"])
    assert document["roles"] == {"other": "strategy", "same": "control"}
    out = run()[1]
    assert "strategies: other, same (control)\n" in out
    assert "metrics: same\n" in out
    for kind in ("strategies", "strategy"):
        assert run("list", kind)[1] == (
            "other  strategy  mine (mine 1.0)\nsame  control  mine (mine 1.0)  Just so.\n"
        )
    (_, same) = json.loads(run("list", "strategies", "--json")[1])["strategies"]
    assert same == {
        "name": "same",
        "role": "control",
        "view": "raw",
        "modalities": ["image", "text", "features"],
        "default": False,
        "spoken": "",
        "description": "Just so.",
        "plugin": "mine (mine 1.0)",
    }
    code, out, err = run("show", "same", "--json")
    assert (code, json.loads(out)["kind"]) == (0, "strategy")
    assert "same is also a metric: --kind metric" in err
    assert json.loads(run("show", "same", "--kind", "metrics", "--json")[1])["greater_is_better"] is True
    code, _, err = run("list", "networks")
    assert code == 2
    assert "there are backbones, probes, heads, strategies, metrics, exporters" in err


def test_show(run: Run) -> None:
    code, out, _ = run("show", "raw", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["modality"], document["embedding_dim"]) == ("any", 3072)
    assert document["plugin"].startswith("builtin (tlengine ")
    assert "embedding_dim: 3072" in run("show", "raw")[1]
    code, _, err = run("show", "rwa")
    assert code == 1
    assert "nearest names: raw" in err


def test_check(run: Run, plant: Plant, use: Use) -> None:  # noqa: F811
    code, out, _ = run("check", "raw")
    assert code == 0
    assert "raw  deterministic  ok" in out
    spec = (
        "import tlengine as tl\n"
        "from tlengine.features import ImagePreprocess, load_raw\n"
        "@tl.hookimpl\n"
        "def tlengine_backbones():\n"
        "    yield tl.BackboneSpec(name='off', modality='image', embedding_dim=7, load=load_raw,\n"
        "                          preprocess=ImagePreprocess(resize=2, crop=2))\n"
    )
    use(plant("tlengine-off", spec))
    code, out, err = run("check", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["ok"] is False
    faults = {check["check"]: check["fault"] for check in document["checks"] if not check["ok"]}
    assert "expected (4, 7)" in faults["dimension_and_dtype"]
    assert "hint: " in err


def test_check_and_show_know_heads(run: Run) -> None:
    code, out, _ = run("check", "attention-pool", "linear", "--json")
    checks = json.loads(out)["checks"]
    assert code == 0
    assert {check["head"] for check in checks} == {"attention-pool", "linear"}
    assert all(check["ok"] for check in checks)
    document = json.loads(run("show", "mlp", "--json")[1])
    assert (document["kind"], document["input"]) == ("head", "row")
    assert document["settings"] == {"hidden": 512, "dropout": 0.1}
    assert json.loads(run("--json")[1])["heads"] == ["attention-pool", "cosine", "linear", "mlp"]


def test_new(run: Run, tmp_path: Path) -> None:
    code, out, err = run("new", "mynet", "--into", tmp_path)
    assert code == 0
    assert Path(out.strip()) == tmp_path / "tlengine-mynet"
    assert "tlengine plugins check mynet" in err
    assert (tmp_path / "tlengine-mynet" / "tlengine_mynet.py").exists()
    code, out, _ = run("new", "mine", "--into", tmp_path, "--kind", "head")
    assert code == 0
    assert "tl.HeadSpec" in (Path(out.strip()) / "tlengine_mine.py").read_text()
