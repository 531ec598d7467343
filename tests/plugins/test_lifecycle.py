"""Events: whatever a plugin does with them, the run goes on and the others hear."""

import sys
import warnings

import numpy as np
import pytest

from tests.plugins.conftest import Plant, Use
from tlengine.errors import PluginWarning
from tlengine.plugins import describe_plugins, notify, probes
from tlengine.plugins.contracts import Record, Task

HEADER = "import sys\nimport tlengine as tl\nheard = []\n"
OFFERS = "@tl.hookimpl\ndef tlengine_probes():\n    yield tl.ProbeSpec(name='lda', estimator=dict)\n"
EVENT = "@tl.hookimpl\ndef tlengine_run_finished(document):\n    "
COUNTS = f"{HEADER}{EVENT}heard.append(document)\n"

FAULTS = {
    "raises": ("1 / 0", "tlengine_run_finished failed: ZeroDivisionError: division by zero"),
    "exits": ("sys.exit('no licence')", "SystemExit: no licence"),
    "generator": ("yield 1", "is a generator or coroutine, which nobody runs"),
    "base exception": ("raise GeneratorExit('away')", "GeneratorExit: away"),
}


def counted(name: str) -> int:
    return len(sys.modules[f"plugin_of_{name}"].heard)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_fails_is_told_nothing_more_and_named_once(plant: Plant, use: Use, fault: str) -> None:
    body, says = FAULTS[fault]
    bad = f"{HEADER}{OFFERS}{EVENT}heard.append(document)\n    {body}\n"
    use(plant("bad", bad, version="2.1"), plant("good", COUNTS), plant("after", COUNTS))
    with pytest.warns(PluginWarning) as warned:  # noqa: PT031
        for _ in range(3):
            notify("tlengine_run_finished", document={})
    assert [str(one.message) for one in warned if "bad (bad 2.1)" in str(one.message)] == [
        str(warned[0].message)
    ]
    assert says in str(warned[0].message)
    assert warned[0].filename == __file__
    assert (counted("bad"), counted("good"), counted("after")) == (fault != "generator", 3, 3)
    shown = {info["name"]: info for info in describe_plugins()}["bad"]
    assert shown["status"] == "loaded"
    assert says in shown["error"]
    assert list(probes()) == ["lda"]


def test_strict_does_not_end_a_run(plant: Plant, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLENGINE_STRICT_PLUGINS", "1")
    use(plant("bad", f"{HEADER}{OFFERS}{EVENT}1 / 0\n"))
    with pytest.warns(PluginWarning):
        notify("tlengine_run_finished", document={})
    assert list(probes()) == ["lda"]


def test_a_filter_that_makes_warnings_errors_does_not_end_a_run(
    plant: Plant, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(plant("bad", f"{HEADER}{EVENT}1 / 0\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notify("tlengine_run_finished", document={})
    assert "warning: plugin bad (bad 1.0) is told nothing more of this run" in capsys.readouterr().err


def test_ctrl_c_ends_a_run(plant: Plant, use: Use) -> None:
    use(plant("slow", f"{HEADER}{EVENT}raise KeyboardInterrupt\n"))
    with pytest.raises(KeyboardInterrupt):
        notify("tlengine_run_finished", document={})


def test_a_plugin_changes_its_own_copy(plant: Plant, use: Use) -> None:
    changes = f"{HEADER}{EVENT}document['verdict']['outcome'] = 'positive'\n"
    changes += "@tl.hookimpl\ndef tlengine_task_finished(record):\n    record.scores[:] = 7\n"
    use(plant("liar", changes))
    document = {"verdict": {"outcome": "none"}}
    task = Task(view="raw", strategy="knn", budget="all", seed=0, fold=0)
    record = Record(task=task, key="k", scores=np.zeros((2, 2), dtype=np.float32))
    notify("tlengine_run_finished", document=document)
    notify("tlengine_task_finished", record=record)
    assert document == {"verdict": {"outcome": "none"}}
    assert record.scores is not None
    assert not record.scores.any()


def test_what_it_prints_goes_to_stderr(plant: Plant, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(plant("loud", f"{HEADER}{EVENT}print('over')\n"))
    notify("tlengine_run_finished", document={})
    out, err = capsys.readouterr()
    assert (out, err) == ("", "over\n")
    assert sys.stdout is not sys.stderr
