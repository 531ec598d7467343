"""Features and labels as tensors: of every type, with gradients, sparse."""

import numpy as np
import pandas as pd
import pytest

import tlengine as tl
from tests.probes.test_labels import PROBES, TEXT, X
from tlengine.errors import DtypeError, LabelError

torch = pytest.importorskip("torch", reason="no torch for this Python")


@pytest.mark.parametrize("kind", ["int64", "int16", "float32", "float64", "bfloat16", "float16"])
def test_whole_numbers(kind):
    y = torch.tensor([3, 7] * 4).to(getattr(torch, kind))
    if y.is_floating_point():
        y.requires_grad_()
    for probe in PROBES:
        assert probe.fit(X, y).classes_.tolist() == [3, 7]


def test_truth_values_and_missing_labels():
    assert tl.LinearProbe().fit(X, torch.tensor([True, False] * 4)).classes_.tolist() == [False, True]
    with pytest.raises(LabelError, match="row 5"):
        tl.LinearProbe().fit(X, torch.tensor([1, 2, 1, 2, 1, float("nan"), 1, 2]))


@pytest.mark.parametrize(
    "make",
    [
        torch.from_numpy,
        lambda X: torch.from_numpy(X.copy()).requires_grad_(),
        lambda X: torch.from_numpy(X).to(torch.float64),
        lambda X: torch.from_numpy(X.T.copy()).T,
        lambda X: torch.from_numpy(X)[:, None].expand(-1, 2, -1)[:, 1],
        pd.DataFrame,
        lambda X: X.tolist(),
    ],
)
def test_features(make):
    given = make(X)
    for probe in PROBES:
        found = probe.fit(given, TEXT).predict(given)
        np.testing.assert_array_equal(found, type(probe)(**probe.get_params()).fit(X, TEXT).predict(X))
    np.testing.assert_array_equal(tl.nearest(given, given, k=3)[0], tl.nearest(X, X, k=3)[0])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_sixteen_bits_are_kept_as_float32(kind):
    half = torch.from_numpy(X).to(kind)
    wide = half.float().numpy()
    for probe in PROBES:
        found = probe.fit(half, TEXT).predict(half)
        np.testing.assert_array_equal(found, probe.fit(wide, TEXT).predict(wide))
    assert tl.KNeighborsProbe(k=1).fit(half, TEXT).rows_.dtype == np.float32
    assert tl.KNeighborsProbe(k=1).fit(X.astype(np.float16), TEXT).rows_.dtype == np.float32
    np.testing.assert_array_equal(tl.nearest(half, half, k=2)[0], tl.nearest(wide, wide, k=2)[0])


def test_sparse_features_are_refused_with_the_way_out():
    sparse = torch.from_numpy(X).to_sparse()
    for call in (lambda: tl.LinearProbe().fit(sparse, TEXT), lambda: tl.nearest(sparse, X, k=1)):
        with pytest.raises(DtypeError, match="to_dense"):
            call()


def test_several_labels():
    Y = [[0, 1], [1, 1], [1, 0], [0, 0]] * 2
    probe = tl.LinearProbe().fit(X, torch.tensor(Y))
    np.testing.assert_array_equal(probe.predict(X), tl.LinearProbe().fit(X, np.array(Y)).predict(X))
