"""Features and labels as tensors: of every type, with gradients, sparse."""

import numpy as np
import pandas as pd
import pytest

import tlengine as tl
from tests.probes.test_labels import PROBES, TEXT, X
from tlengine.errors import DtypeError, InputError, LabelError
from tlengine.probes import neighbor_votes

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


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", ["tensors", "gradients", "bfloat16", "quantised", "parameter", "negated"])
def test_tensors_as_models_leave_them(kind):
    """Batches gathered in a list, weights, and views whose sign torch applies late."""
    base = torch.from_numpy(X)
    given = {
        "tensors": list(base),
        "gradients": list(base.clone().requires_grad_()),
        "bfloat16": list(base.bfloat16()),
        "quantised": torch.quantize_per_tensor(base, 0.05, 0, torch.qint8),
        "parameter": torch.nn.Parameter(base),
        "negated": torch._neg_view(base),
    }[kind]
    plain = {
        "bfloat16": base.bfloat16().float().numpy(),
        "quantised": torch.quantize_per_tensor(base, 0.05, 0, torch.qint8).dequantize().numpy(),
        "negated": -X,
    }.get(kind, X)
    for probe in PROBES:
        found = probe.fit(given, TEXT).predict(given)
        np.testing.assert_array_equal(found, probe.fit(plain, TEXT).predict(plain))
    np.testing.assert_array_equal(tl.nearest(given, given, k=2)[0], tl.nearest(plain, plain, k=2)[0])
    np.testing.assert_array_equal(
        tl.ridge_path(given, plain[:, 0]).coef_, tl.ridge_path(plain, plain[:, 0]).coef_
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.bfloat16(),
        lambda t: t.half(),
        lambda t: t.clone().requires_grad_(),
        lambda t: t.bfloat16().requires_grad_(),
        lambda t: torch.quantize_per_tensor(t, 1.0, 0, torch.quint8),
        lambda t: list(t.clone().requires_grad_()),
        lambda t: t.to(torch.int64),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_weights_and_outputs(change):
    numbers = torch.tensor([1.0, 2, 3, 1, 1, 2, 1, 1])
    given, plain = change(numbers), numbers.numpy()
    weighted = [tl.LinearProbe(), tl.RidgeProbe(), tl.RidgeProbeCV(), tl.LinearSVMProbe()]
    for probe in weighted:
        found = probe.fit(X, TEXT, sample_weight=given).coef_
        np.testing.assert_array_equal(found, probe.fit(X, TEXT, sample_weight=plain).coef_)
    expected = tl.ridge_path(X, plain, sample_weight=plain).coef_
    np.testing.assert_array_equal(tl.ridge_path(X, given, sample_weight=given).coef_, expected)
    found = tl.RidgeRegressor().fit(X, given, sample_weight=given).predict(X)
    np.testing.assert_array_equal(found, tl.RidgeRegressor().fit(X, plain, sample_weight=plain).predict(X))
    classes = change(torch.tensor([1.0, 2] * 20))
    grid = tl.probe_grid(
        {"f": list(torch.from_numpy(X).bfloat16()) * 5}, {"y": classes}, budgets=[4], seeds=1
    )
    assert len(grid.records) == 1


REFUSED = {
    "meta": (lambda t: t.to("meta"), "no data"),
    "sparse": (lambda t: t.to_sparse(), "to_dense"),
    "rows": (lambda t: t.reshape(8, -1).to_sparse_csr(), "to_dense"),
    "complex": (lambda t: t.to(torch.complex64), "Complex data not supported|dtype complex64"),
    "nested": (lambda t: torch.nested.nested_tensor([t[:3], t[3:]]), "nested tensor"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR tensor support")
def test_what_has_no_numbers_is_refused_by_a_name_of_ours(kind):
    change, message = REFUSED[kind]
    features, numbers = change(torch.from_numpy(X)), change(torch.tensor([1.0, 2, 3, 1, 1, 2, 1, 1]))
    calls = [
        *(lambda probe=probe: probe.fit(features, TEXT) for probe in PROBES),
        *(lambda probe=probe: probe.fit(X, TEXT).predict(features) for probe in PROBES),
        *(lambda probe=probe: probe.fit(X, numbers) for probe in PROBES),
        lambda: tl.nearest(X, features, k=1),
        lambda: tl.nearest(features, X, k=1),
        lambda: tl.ridge_path(features, X),
        lambda: tl.ridge_path(X, numbers),
        lambda: tl.ridge_path(X, X, sample_weight=numbers),
        lambda: tl.RidgeRegressor().fit(X, numbers),
        lambda: tl.LinearProbe().fit(X, TEXT, sample_weight=numbers),
        lambda: tl.probe_grid({"f": features}, {"y": TEXT}, budgets=[1], seeds=1),
        lambda: tl.probe_grid({"f": X}, {"y": numbers}, budgets=[1], seeds=1),
        lambda: neighbor_votes(None, X, numbers),
    ]
    for call in calls:
        with pytest.raises(InputError, match=message):
            call()


def test_a_tensor_elsewhere_is_fetched():
    """A device is left by ``cpu()``, which is what makes a tensor one here."""

    class Elsewhere:
        def __init__(self, rows):
            self.rows, self.dtype, self.is_there = rows, rows.dtype, True

        def detach(self):
            return self

        def cpu(self):
            return self.rows

        def __array__(self, *_, **__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

    away = Elsewhere(torch.from_numpy(X))
    for probe in PROBES:
        np.testing.assert_array_equal(probe.fit(away, TEXT).predict(away), probe.fit(X, TEXT).predict(X))
    np.testing.assert_array_equal(tl.nearest(away, away, k=2)[0], tl.nearest(X, X, k=2)[0])


def test_sparse_features_are_refused_with_the_way_out():
    sparse = torch.from_numpy(X).to_sparse()
    for call in (lambda: tl.LinearProbe().fit(sparse, TEXT), lambda: tl.nearest(sparse, X, k=1)):
        with pytest.raises(DtypeError, match="to_dense"):
            call()


def test_several_labels():
    Y = [[0, 1], [1, 1], [1, 0], [0, 0]] * 2
    probe = tl.LinearProbe().fit(X, torch.tensor(Y))
    np.testing.assert_array_equal(probe.predict(X), tl.LinearProbe().fit(X, np.array(Y)).predict(X))
