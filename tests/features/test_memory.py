"""Buffers are used again inside, and given back outside."""

import resource
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
    one_buffer = BYTES // resource.getpagesize()
    assert inside < one_buffer
