"""Decoding by processes from wherever people call it: daemons, threads, scripts without a guard."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlengine.features import workers

SPAWN = ["spawn", "forkserver"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos/a`` and ``photos/b``: 70 small pictures, more than one process decodes alone."""
    desk = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    for i in range(70):
        folder = desk / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{i}.png")
    return desk


def python(desk: Path, *words: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], cwd=desk, input=text, capture_output=True, text=True, timeout=240
    )


def script(method: str, body: str) -> str:
    return (
        f"import multiprocessing as mp\nmp.set_start_method({method!r})\n"
        "import tlengine as tl\nprint('once')\n"
        f"ds = tl.load_dataset('photos')\n{body}\n"
    )


EXTRACT = "print(tl.extract(ds, 'raw', workers=2, cache=None).stats.embedded)"


@pytest.mark.parametrize(
    ("way", "method"),
    [
        ("file", "spawn"),
        ("file", "forkserver"),
        ("-c", "spawn"),
        ("stdin", "forkserver"),
        ("zipapp", "spawn"),
        ("module", "forkserver"),
        ("asyncio", "spawn"),
    ],
)
def test_a_script_without_a_guard_runs_once_and_is_done(photos: Path, method: str, way: str) -> None:
    body = EXTRACT
    if way == "thread":
        body = f"import threading\nt = threading.Thread(target=lambda: {EXTRACT})\nt.start()\nt.join()"
    if way == "asyncio":
        body = f"import asyncio\nasyncio.run(asyncio.to_thread(lambda: {EXTRACT}))"
    code = script(method, body)
    if way == "-c":
        done = python(photos, "-c", code)
    elif way == "stdin":
        done = python(photos, "-", text=code)
    else:
        folder = photos / f"{way}_{method}"
        folder.mkdir()
        (folder / "__main__.py").write_text(code)
        words = {"module": ["-m", folder.name], "zipapp": [folder.name]}.get(
            way, [f"{folder.name}/__main__.py"]
        )
        done = python(photos, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["once", "70"]
    assert "Traceback" not in done.stderr
    assert "without workers" not in done.stderr


@pytest.mark.parametrize("method", SPAWN)
def test_what_only_the_script_knows_is_decoded_by_the_script(photos: Path, method: str) -> None:
    body = (
        "import numpy as np, torch\n"
        "def prepare(image): return np.asarray(image.resize((8, 8)), np.float32).transpose(2, 0, 1)\n"
        "bb = tl.Backbone(torch.nn.Flatten(), preprocess=prepare, modality='image', name='own')\n"
        "print(tl.extract(ds, bb, workers=2, cache=None).stats.embedded)"
    )
    (photos / f"own_{method}.py").write_text(script(method, body))
    done = python(photos, f"own_{method}.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["once", "70"]
    assert "without workers: the samples or the preprocessing cannot be sent" in done.stderr
    assert "prepare is defined in the script itself; move it to a module" in done.stderr


DAEMON = """
import multiprocessing as mp
def work(workers):
    import tlengine as tl
    return tl.extract(tl.load_dataset("photos"), "raw", workers=workers, cache=None).stats.embedded
if __name__ == "__main__":
    with mp.get_context({method!r}).Pool(1) as pool:
        print(pool.map(work, [2, None]))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemon_decodes_itself_and_says_so_where_workers_were_asked_for(photos: Path, method: str) -> None:
    (photos / f"daemon_{method}.py").write_text(DAEMON.format(method=method))
    done = python(photos, f"daemon_{method}.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[70, 70]\n"
    assert done.stderr.count("without workers: this process is a daemon") == 1


def test_a_start_that_imports_the_script_again_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(ValueError, match="imports the script again") as caught:
        workers.reason_for_none([])
    assert "__main__" in str(caught.value)


@pytest.mark.parametrize("error", [OSError(11, "Resource temporarily unavailable"), ImportError("sem_open")])
def test_where_no_process_can_be_started_this_one_decodes(
    photos: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import tlengine as tl
    from tlengine.errors import TlengineWarning
    from tlengine.features import batching

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(batching, "_by_processes", fail)
    ds = tl.load_dataset(photos / "photos")
    with pytest.warns(TlengineWarning, match="without workers: no process can be started"):
        found = tl.extract(ds, "raw", workers=2, progress=False)
    assert np.array_equal(found.X, tl.extract(ds, "raw", workers=0, progress=False).X)


def test_the_preparation_of_other_processes_is_put_back() -> None:
    before = multiprocessing.spawn.get_preparation_data
    with workers.without_main():
        assert not any(key.startswith("init_main") for key in multiprocessing.spawn.get_preparation_data("x"))
    assert multiprocessing.spawn.get_preparation_data is before


def test_what_other_threads_start_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"name": "x", "init_main_from_path": "script.py"}
    monkeypatch.setattr(workers.spawn, "get_preparation_data", lambda name: dict(told))
    with workers.without_main(), ThreadPoolExecutor(1) as other:
        assert workers.spawn.get_preparation_data("x") == {"name": "x"}
        assert other.submit(workers.spawn.get_preparation_data, "x").result() == told
