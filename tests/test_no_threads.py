"""Where no thread can be had, calls are slower: they run on the thread that calls, and end as ever."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, resource, threading
import numpy as np
import tlengine as tl
from tlengine.probes import LinearProbe, LinearProbeCV, ridge_path

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 300)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)

def calls():
    path = ridge_path(X, y.astype(float), [1.0], n_jobs=4)
    cv = LinearProbeCV(Cs=3, cv=2, n_jobs=4).fit(X, y)
    rows, scores = tl.nearest(X[:200], X, k=3, n_jobs=4)
    return path.coef_, path.loo_error_, cv.coef_, rows, scores

before = calls()
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no threads")
after = calls()
assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
print("same results")
"""


def test_calls_without_threads_give_the_same_results() -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["no threads", "same results"], done.stdout + done.stderr
