"""Buffers are used again inside, and given back outside."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from tlengine.features.memory import reused_buffers

BYTES = 32 * 2**20


def _faults_of_ten_buffers() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(BYTES, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_pages_are_touched_once() -> None:
    with reused_buffers() as active:
        np.ones(BYTES, dtype=np.uint8)
        inside = _faults_of_ten_buffers()
    assert active
    # Outside each of ten buffers comes from new pages, be they small or huge.
    assert inside < _faults_of_ten_buffers() / 5


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_an_inner_block_leaves_the_outer_one_as_it_is() -> None:
    with reused_buffers():
        with reused_buffers():
            pass
        np.ones(BYTES, dtype=np.uint8)
        inside = _faults_of_ten_buffers()
    assert inside < _faults_of_ten_buffers() / 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_MMAP_MAX_", "1000"),
        ("MALLOC_TRIM_THRESHOLD_", "1"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=9"),
    ],
)
def test_settings_of_the_user_are_left_alone(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with reused_buffers() as active:
        assert not active


@pytest.mark.parametrize(("chosen", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_do_not_spin_unless_you_say_so(chosen: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "TRUE"} | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    code = "import tlengine.features, torch"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this build of torch does not show its OpenMP settings")
    assert f"OMP_WAIT_POLICY = '{expected}'" in done.stderr
