"""The driver's library, as far as it is used, made in C by the test: two GPUs that count millijoules."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tlengine.evaluation.energy import Meter
from tlengine.evaluation.nvml import Nvml
from tlengine.plugins.contracts import Energy

SOURCE = """
#include <stdlib.h>
#include <string.h>
static unsigned long long passed = 0;
static int gpus[2] = {0, 1};
static int fails(const char *what) { const char *f = getenv("FAKE_NVML"); return f && !strcmp(f, what); }
int nvmlInit_v2(void) { return fails("init") ? 9 : 0; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = fails("none") ? 0 : 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { if (i > 1) return 2; *h = &gpus[i]; return 0; }
int nvmlDeviceGetHandleByUUID(const char *name, void **h) {
  if (strcmp(name, "GPU-b")) return 6;
  *h = &gpus[1];
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj) {
  if (fails("old")) return 3;
  int which = *(int *)h;
  *mj = 1000ULL * (which ? 50 : 5) + passed++ * 1000;
  return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "fake.c").write_text(SOURCE)
    made = folder / "libfake.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, folder / "fake.c"], check=True)
    return str(made)


@pytest.mark.parametrize(
    ("visible", "grown"),
    [(None, 2.0 * 2), ("0", 1.0), ("0,1", 4.0), (" GPU-b ", 1.0)],
)
def test_the_gpus_that_may_be_used_are_counted(
    library: str, monkeypatch: pytest.MonkeyPatch, visible: str | None, grown: float
) -> None:
    """The counter of the fake grows by a joule with each question, of any GPU."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    nvml = Nvml.open(library)
    assert nvml is not None
    before, after = nvml.joules(), nvml.joules()
    assert before is not None
    assert after is not None
    assert after - before == grown


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-a", "0,MIG-b"])
def test_a_gpu_that_cannot_be_had_leaves_no_half_sum(
    library: str, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert Nvml.open(library) is None


@pytest.mark.parametrize("fault", ["init", "none", "old"])
def test_a_driver_that_does_not_count(library: str, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("FAKE_NVML", fault)
    assert Nvml.open(library) is None


def test_no_driver_or_a_library_of_something_else(tmp_path: Path) -> None:
    assert Nvml.open(str(tmp_path / "libnone.so")) is None
    assert Nvml.open("libc.so.6") is None


def test_a_stretch_that_holds_a_gpu_counts_it_and_one_that_does_not_leaves_it_out(
    library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr("tlengine.evaluation.nvml.Nvml.open.__func__.__defaults__", (library,))
    monkeypatch.setenv("TLENGINE_WATTS_PER_CORE", "10")
    meter = Meter(tmp_path, gpu=True)
    before, after = meter.read(), meter.read()
    assert meter.energy(before, after, cpu_seconds=1.0, gpu_seconds=3.0) == Energy(
        joules=11.0, source="model"
    )
    assert meter.energy(before, after, cpu_seconds=1.0) == Energy(joules=10.0, source="model")
    assert Meter(tmp_path, gpu=True, shared=True).read().gpu is None
