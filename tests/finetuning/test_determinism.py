"""A fit depends on its seed, rows and settings: not on what ran before it, where, or in which mode."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

import tlengine as tl
from tests.finetuning.networks import Case, assert_equal, backbone, pictures, weights_of
from tlengine.finetuning.determinism import deterministic

ROOT = Path(__file__).parents[2]
PRESETS = ("finetune", "scratch")


def digest(preset: str) -> str:
    """Of all weights and losses."""
    trained = Case.of("cnn").train(preset, augment="auto", steps=5)
    found = hashlib.blake2b(repr(trained.outcome.losses).encode())
    for name, tensor in weights_of(trained).items():
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def test_two_fits_in_one_process_are_as_two_in_two() -> None:
    here = [digest(preset) for preset in (*PRESETS, *reversed(PRESETS))]
    assert here == here[::-1]
    code = (
        "from tests.finetuning.test_determinism import digest\nimport tlengine.settings\n"
        f"print(*[digest(preset) for preset in {PRESETS[::-1]!r}])"
    )
    threads = str(tl.settings.num_threads())
    env = {
        **os.environ,
        "TLENGINE_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT, timeout=120
    )
    assert done.stdout.split() == [here[1], here[0]], done.stderr


def test_generators_and_settings_of_the_caller_are_as_before() -> None:
    case = Case.of("vit")
    torch.manual_seed(11)
    np.random.seed(12)
    random.seed(13)
    torch.set_float32_matmul_precision("high")
    try:
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        threads, filled = torch.get_num_threads(), case.backbone.fingerprint
        trained = case.train("finetune", augment="auto")
        assert torch.equal(torch.get_rng_state(), states[0])
        assert (np.random.get_state()[1] == states[1]).all()
        assert random.getstate() == states[2]
        assert torch.get_num_threads() == threads
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert case.backbone.fingerprint == filled, "the network of the run is nobody's to train"
    assert trained.network.backbone is not case.backbone.module


def float64() -> AbstractContextManager[None]:
    from contextlib import contextmanager

    @contextmanager
    def inside() -> object:  # type: ignore[misc]
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    return inside()  # type: ignore[return-value]


MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "float64": float64,
    "meta": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_of_the_caller_changes_nothing(mode: str) -> None:
    expected = weights_of(Case.of("cnn").train("lp-ft"))
    case = Case.of("cnn")
    with MODES[mode]():
        found = case.train("lp-ft")
    assert_equal(weights_of(found), expected)


def test_settings_are_put_back_after_an_error() -> None:
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state()

    def fails() -> None:
        with deterministic(1):
            torch.manual_seed(1)
            torch.set_num_threads(before[0] + 1)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_dropout_from_the_generators_of_python_and_numpy_is_repeated() -> None:
    """Some networks leave whole layers out by them."""
    from tests.finetuning.networks import Cnn
    from tests.finetuning.test_loop import case_of

    class Skips(Cnn):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                x = x * (0.5 + random.random()) + float(np.random.random())
            return super().forward(x)

    def losses() -> list[float]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return list(case_of(Skips()).train("finetune").outcome.losses)

    first = losses()
    random.random()
    assert losses() == first


def test_another_process_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "1")  # so many threads has a fit in either place
    codes = np.arange(40) % 2
    data = tl.load_dataset((np.stack(pictures(codes)), codes.astype(str)), name="tints")
    given = {"finetune": {"steps": 2}, "scratch": {"steps": 1}}
    for place in ("here", "processes"):
        tl.compare(
            data, backbone("cnn"), strategies=["probe", "finetune"], controls=["scratch"], budgets=[4],
            seeds=1, settings=given, executor=place, out=tmp_path / place, progress=False,
        )  # fmt: skip
    files = [sorted((tmp_path / place / "predictions").iterdir()) for place in ("here", "processes")]
    assert [one.name for one in files[0]] == [one.name for one in files[1]]
    assert len(files[0]) >= 3
    for one, two in zip(*files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
