"""The same bits for any number of threads."""

import numpy as np
import pytest

from tlengine.probes import (
    LinearProbe,
    LinearProbeCV,
    LinearSVMProbe,
    LinearSVMProbeCV,
    PreValProbe,
    probe_grid,
    probe_path,
    ridge_path,
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(3000, 96)) + 0.3).astype(np.float32)
    return X, (X[:, :7] + 0.5 * rng.normal(size=(3000, 7))).argmax(axis=1)


def same(results):
    first, *others = results
    return all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 7])
def test_paths(data, dtype, classes):
    X, y = data[0].astype(dtype), data[1] % classes
    paths = [probe_path(X, y, [1e-3, 1.0, 100.0], folds=3, n_jobs=jobs) for jobs in (1, 2, 4)]
    assert same([(p.coef_, p.intercept_, p.objective_, p.gap_bound_, p.folds[2].log_loss_) for p in paths])


def test_ridge(data):
    X, y = data
    paths = [ridge_path(X, np.eye(7)[y], [0.1, 10.0], n_jobs=jobs) for jobs in (1, 2, 4)]
    assert same([(p.coef_, p.intercept_, p.loo_error_) for p in paths])


HEADS = {
    "one-vs-rest": lambda jobs: LinearProbe(multi_class="ovr", n_jobs=jobs),
    "several-labels": lambda jobs: LinearProbe(n_jobs=jobs),
    "patience": lambda jobs: LinearProbeCV(Cs=12, cv=3, patience=1, n_jobs=jobs),
    "svm": lambda jobs: LinearSVMProbe(0.1, n_jobs=jobs),
    "svm-cv": lambda jobs: LinearSVMProbeCV([1e-3, 0.1], cv=2, n_jobs=jobs),
    "preval": lambda jobs: PreValProbe(n_jobs=jobs),
}


@pytest.mark.parametrize("head", HEADS)
def test_heads(data, head):
    X, y = data
    target = np.eye(7, dtype=int)[y] if head == "several-labels" else y
    probes = [HEADS[head](jobs).fit(X, target) for jobs in (1, 2, 4)]
    assert same([(p.coef_, p.intercept_, p.decision_function(X)) for p in probes])
    if head == "patience":
        assert len(probes[0].Cs_) == len(probes[2].Cs_) < 12


def test_grid(data):
    X, y = (part[:400] for part in data)
    found = [
        probe_grid(X, y, budgets=[5, 20], seeds=2, n_jobs=jobs, progress=False).records for jobs in (1, 2, 4)
    ]
    assert found[0] == found[1] == found[2]


def test_the_environment_sets_the_threads(data, monkeypatch):
    X, y = (part[:400] for part in data)
    fits = []
    for threads in ("1", "3"):
        monkeypatch.setenv("TLENGINE_NUM_THREADS", threads)
        fits.append(LinearProbeCV(Cs=3).fit(X, y).coef_)
    assert np.array_equal(*fits)
