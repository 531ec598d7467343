"""Bad and odd input to every classifier: the right answer or a named error, and nothing is modified."""

import numpy as np
import pytest

from tlengine.errors import (
    InputError,
    LabelError,
    NonFiniteError,
    ResourceError,
    ShapeMismatchError,
    SingleClassError,
)
from tlengine.probes import (
    KNeighborsProbe,
    LinearProbe,
    LinearProbeCV,
    LinearSVMProbe,
    LinearSVMProbeCV,
    NearestCentroidProbe,
    PreValProbe,
    RidgeProbe,
    RidgeProbeCV,
    ridge,
)

PROBES = {
    "logistic": lambda: LinearProbe(0.1, tol=1e-8),
    "one-vs-rest": lambda: LinearProbe(0.1, tol=1e-8, multi_class="ovr"),
    "logistic-cv": lambda: LinearProbeCV([0.01, 0.1], cv=2, tol=1e-8),
    "svm": lambda: LinearSVMProbe(0.1, tol=1e-8),
    "svm-cv": lambda: LinearSVMProbeCV([0.01, 0.1], cv=2, tol=1e-8),
    "ridge": RidgeProbe,
    "ridge-cv": lambda: RidgeProbeCV([0.1, 1.0]),
    "preval": PreValProbe,
    "knn": lambda: KNeighborsProbe(k=3),
    "centroid": NearestCentroidProbe,
}


@pytest.fixture(params=PROBES)
def probe(request):
    return PROBES[request.param]()


@pytest.fixture
def data():
    """60 rows of 6 small whole numbers, which every type holds, in three classes."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    return (rng.integers(-4, 5, (60, 6)) + 4 * np.eye(3, 6)[y]).astype(np.float32), y


def scores(probe, X):
    give = probe.predict_proba if hasattr(probe, "predict_proba") else probe.decision_function
    return give(X)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (17, 3), (59, 5)])
def test_the_place_of_a_bad_number_is_named(probe, data, value, place):
    X, y = data
    wrong = X.copy()
    wrong[place] = value
    for call in (lambda: probe.fit(wrong, y), lambda: probe.fit(X, y).predict(wrong)):
        with pytest.raises(NonFiniteError) as caught:
            call()
        assert (caught.value.context["row"], caught.value.context["column"]) == place


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda X, y: (X[:0], y[:0]), ValueError),
        (lambda X, y: (X[:, :0], y), ValueError),
        (lambda X, y: (X, y[:-1]), ValueError),
        (lambda X, y: (X, np.zeros(60)), SingleClassError),
        (lambda X, y: (X[:1], y[:1]), SingleClassError),
        (lambda X, y: (X, None), ValueError),
        (lambda X, y: (X, y + 0.5), LabelError),
        (lambda X, y: (X, np.array([None, *"ab" * 29, "c"], object)), ValueError),
        (lambda X, y: (X, np.array([1, "a"] * 30, object)), ValueError),
        (lambda X, y: (X[0], y), ValueError),
        (lambda X, y: (X[None], y), ValueError),
        (lambda X, y: (np.full(X.shape, "red"), y), ValueError),
        (lambda X, y: (X + 1j, y), ValueError),
    ],
    ids=[
        "no-rows", "no-columns", "lengths", "one-class", "one-row", "no-y", "continuous", "missing-label",
        "mixed-labels", "vector", "three-axes", "text", "complex",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_refused(probe, data, change, error):
    with pytest.raises(error) as caught:
        probe.fit(*change(*data))
    assert str(caught.value)


@pytest.mark.parametrize("kind", ["text", "unicode", "object", "gaps", "negative", "bool", "float", "uint8"])
def test_labels_of_every_kind(probe, data, kind):
    X, codes = data
    if kind == "bool":
        codes = codes % 2
    names = {
        "text": np.array(["a", "b", "c"]), "unicode": np.array(["ä", "", "日本"]),
        "object": np.array(["x", "yy", "z"], object), "gaps": np.array([3, 700, 10**12]),
        "negative": np.array([-9, -1, 0]), "bool": np.array([False, True]),
        "float": np.array([1.0, 2.0, 40.0]), "uint8": np.array([0, 100, 255], np.uint8),
    }[kind]  # fmt: skip
    order = np.argsort(names)
    found = probe.fit(X, names[order][codes]).predict(X)
    assert probe.classes_.tolist() == names[order].tolist()
    np.testing.assert_array_equal(found, names[order][probe.fit(X, codes).predict(X)])


@pytest.mark.parametrize(
    "kind", ["fortran", "strided", "reversed", "offset", "readonly", "swapped", "half", "integer", "list"]
)
def test_arrays_of_every_kind_are_not_modified(probe, data, kind):
    base, y = data
    bytes_ = np.zeros(base.nbytes + 1, np.uint8)
    X = {
        "fortran": np.asfortranarray(base), "strided": np.repeat(base, 2, axis=1)[:, ::2],
        "reversed": base[::-1].copy()[::-1], "offset": bytes_[1:].view(np.float32).reshape(base.shape),
        "readonly": base.copy(), "swapped": base.astype(">f4"), "half": base.astype(np.float16),
        "integer": base.astype(np.int16), "list": base.tolist(),
    }[kind]  # fmt: skip
    if kind == "offset":
        X[:] = base
    if kind == "readonly":
        X.flags.writeable = False
        y.flags.writeable = False
    before, labels = np.array(X), y.copy()
    found = scores(probe.fit(X, y), X)
    np.testing.assert_array_equal(before, np.array(X))
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_allclose(found, scores(probe.fit(base, y), base), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("shape", ["two-classes", "few-rows", "constant", "duplicate", "one-column"])
def test_degenerate_shapes(probe, data, shape):
    X, y = data
    if shape == "two-classes":
        X, y = X[y < 2], y[y < 2]
    elif shape == "few-rows":
        X, y = np.tile(X[:12], (1, 5)), y[:12]
    elif shape == "constant":
        X = np.hstack([X, np.full((60, 2), 7.0), np.zeros((60, 1))]).astype(np.float32)
    elif shape == "duplicate":
        X = np.hstack([X, X, X[:, :1]])
    elif shape == "one-column":
        X = X[:, :1] + 10 * y[:, None].astype(np.float32)
    found = scores(probe.fit(X, y), X)
    assert np.isfinite(found).all()
    assert np.all(getattr(probe, "converged_", True))
    if shape != "one-column" or isinstance(probe, KNeighborsProbe):
        assert probe.score(X, y) > (0.3 if isinstance(probe, KNeighborsProbe) else 0.7)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_no_neighbours(data, k):
    with pytest.raises(InputError):
        KNeighborsProbe(k=k).fit(*data)


@pytest.mark.parametrize("head", ["logistic", "one-vs-rest", "svm", "ridge", "ridge-cv"])
def test_several_labels_with_bad_features(data, head):
    X, y = data
    Y = np.eye(3, dtype=int)[y]
    wrong = X.copy()
    wrong[4, 2] = np.nan
    with pytest.raises(NonFiniteError, match="row 4, column 2"):
        PROBES[head]().fit(wrong, Y)
    with pytest.raises(ShapeMismatchError):
        PROBES[head]().fit(X, Y[:-1])
    with pytest.raises(LabelError, match="row 0, label 0"):
        PROBES[head]().fit(X, Y + 1)


@pytest.mark.parametrize("name", ["knn", "centroid"])
def test_a_class_for_each_of_100_000_rows(name):
    X = np.random.default_rng(0).normal(size=(100_000, 3)).astype(np.float32)
    probe = PROBES[name]().set_params(**{"k": 1} if name == "knn" else {"metric": "euclidean"})
    assert probe.fit(X, np.arange(100_000)).predict(X[:3]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["ridge", "ridge-cv", "preval"])
def test_targets_beyond_the_memory_are_refused(name, data, monkeypatch):
    monkeypatch.setattr(ridge, "total_memory", lambda: 1000)
    with pytest.raises(ResourceError, match="3 classes by 60 rows"):
        PROBES[name]().fit(*data)
