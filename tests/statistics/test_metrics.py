import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tlengine.errors import InputError
from tlengine.plugins.records import MetricSpec
from tlengine.statistics import METRICS, Outcome, pool, score, scores
from tlengine.statistics.metrics import blocks, influence, jackknife

WITH_INFLUENCE = [name for name, spec in METRICS.items() if spec.influence is not None]


def rows(seed, n=200, k=4, ties=True):
    """Codes and probabilities, with ties where they are rounded."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, n)
    p = np.exp(rng.normal(size=(n, k)) + 1.2 * np.eye(k)[codes])
    p /= p.sum(axis=1, keepdims=True)
    if ties:
        p = np.round(p, 1) + 1e-3
        p /= p.sum(axis=1, keepdims=True)
    return codes, p


def one_versus_rest(measure, codes, p):
    return np.mean([measure(codes == k, p[:, k]) for k in np.unique(codes)])


REFERENCES = {
    "accuracy": lambda c, p: sk.accuracy_score(c, p.argmax(1)),
    "balanced_accuracy": lambda c, p: sk.balanced_accuracy_score(c, p.argmax(1)),
    "log_loss": lambda c, p: sk.log_loss(c, p, labels=range(p.shape[1])),
    "macro_f1": lambda c, p: sk.f1_score(c, p.argmax(1), average="macro"),
    "auroc": lambda c, p: one_versus_rest(sk.roc_auc_score, c, p),
    "average_precision": lambda c, p: one_versus_rest(sk.average_precision_score, c, p),
    "brier": lambda c, p: sk.brier_score_loss(c, p, labels=range(p.shape[1]), scale_by_half=False),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("k", [2, 3, 7])
def test_metrics_equal_scikit_learns(name, k):
    codes, p = rows(seed=k, k=k)
    assert METRICS[name].score(codes, p) == pytest.approx(REFERENCES[name](codes, p), abs=1e-12)


def test_top5_equals_scikit_learns_where_nothing_ties():
    codes, p = rows(seed=1, k=9, ties=False)
    reference = sk.top_k_accuracy_score(codes, p, k=5, labels=range(9))
    assert METRICS["top5"].score(codes, p) == pytest.approx(reference, abs=1e-12)


def test_top5_takes_the_first_of_equals():
    p = np.full((2, 6), 1 / 6)
    assert METRICS["top5"].score(np.array([4, 5]), p) == 0.5


@pytest.mark.parametrize("name", WITH_INFLUENCE)
@pytest.mark.parametrize("k", [2, 6])
def test_influence_is_the_derivative_towards_a_row(name, k):
    """Numerically: each row once more, beside 100 copies of all."""
    n, copies = 60, 100
    codes, p = rows(seed=11, n=n, k=k)
    spec = METRICS[name]
    each = spec.influence(codes, p)
    assert each.shape == (n,)
    assert each.sum() == pytest.approx(0, abs=1e-12)
    many, whole = (np.tile(codes, copies), np.tile(p, (copies, 1))), spec.score(codes, p)
    more = [spec.score(np.append(many[0], codes[i]), np.vstack([many[1], p[i : i + 1]])) for i in range(n)]
    change = (np.array(more) - whole) * (copies + 1 / n)
    np.testing.assert_allclose(each, change, atol=2e-3 / k)
    assert np.ptp(change) > 0.01 or name == "top5"


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "brier", "top5"])
def test_influence_of_a_mean_is_what_leaving_a_row_out_changes(name):
    codes, p = rows(seed=12, n=80, k=7)
    spec = METRICS[name]
    without = [spec.score(np.delete(codes, i), np.delete(p, i, axis=0)) for i in range(80)]
    change = spec.score(codes, p) - np.array(without)
    np.testing.assert_allclose(spec.influence(codes, p), change * (1 - 1 / 80), atol=1e-14)


@pytest.mark.parametrize("name", ["macro_f1", "auroc", "average_precision", "balanced_accuracy"])
def test_influence_of_the_curved_metrics_converges_to_the_jackknife(name):
    codes, p = rows(seed=5, n=1_500, k=3, ties=False)
    each, left_out = (
        METRICS[name].influence(codes, p),
        jackknife(METRICS[name], codes[:], p, np.arange(1_500)),
    )
    assert np.corrcoef(each, left_out)[0, 1] > 0.999
    assert each.std() == pytest.approx(left_out.std(), rel=0.01)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 25), st.integers(2, 5))
def test_every_metric_stays_within_its_limits(seed, n, k):
    codes, p = rows(seed, n=n, k=k)
    for name, spec in METRICS.items():
        value = spec.score(codes, p)
        if name in ("auroc", "average_precision") and len(np.unique(codes)) == 1:
            assert np.isnan(value)
        else:
            assert spec.limits[0] <= value <= spec.limits[1] + 1e-12


def test_classes_that_do_not_occur_do_not_count():
    codes = np.array([0, 0, 1, 1])
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0], [0.1, 0.9, 0]])
    assert METRICS["balanced_accuracy"].score(codes, p) == 0.75
    assert METRICS["auroc"].score(codes, p) == one_versus_rest(sk.roc_auc_score, codes, p)


def test_a_metric_that_is_not_defined_is_an_error_with_the_way_out():
    one_class = Outcome.of(np.arange(3), np.zeros(3, int), np.tile([0.7, 0.3], (3, 1)), counts=[1, 1])
    with pytest.raises(InputError, match="auroc is nan on 3 test rows of 1 classes") as error:
        score(METRICS["auroc"], one_class)
    assert error.value.hint


def test_balanced_accuracy_decides_without_the_class_shares():
    """90 to 10 and uninformative: the natural decision is always class 0, the prior-free one is a coin."""
    rng = np.random.default_rng(0)
    truth = (rng.random(4_000) < 0.1).astype(int)
    p = 1 / (1 + np.exp(-rng.normal(np.log(1 / 9), 0.3, size=4_000)))
    o = Outcome.of(np.arange(4_000), truth, np.stack([1 - p, p], 1), counts=[900, 100])
    found = scores(o)
    assert found["accuracy"] == pytest.approx(0.9, abs=0.02)
    assert found["balanced_accuracy"] == pytest.approx(0.5, abs=0.05)
    assert 0.3 < (o.prior_free == 0).mean() < 0.7


def hits(codes, proba):
    return float((proba.argmax(axis=1) == codes).mean())


def test_the_jackknife_of_a_mean_is_its_influence():
    codes, p = rows(seed=8, n=60)
    plugin = MetricSpec(name="hits", score=hits)
    o = Outcome.of(np.arange(60), codes, p, counts=[1, 1, 1, 1])
    own = influence(METRICS["accuracy"], o, np.arange(60))
    np.testing.assert_allclose(influence(plugin, o, np.arange(60)), own, atol=1e-15)


def test_the_jackknife_leaves_out_whole_units():
    codes, p = rows(seed=9, n=60)
    unit = np.repeat(np.arange(12), 5)
    each = jackknife(MetricSpec(name="hits", score=hits), codes, p, unit + 100)
    right = (p.argmax(1) == codes).astype(float)
    expected = np.bincount(unit, weights=right - right.mean()) / 60
    np.testing.assert_allclose(np.bincount(unit, weights=each), expected, atol=1e-15)
    assert len(np.unique(each)) <= 12


@pytest.mark.parametrize("name", ["auroc", "ece", "log_loss"])
def test_the_jackknife_adds_up_to_nothing_for_unequal_units(name):
    codes, p = rows(seed=10, n=90)
    unit = np.repeat(np.arange(5), [40, 25, 15, 9, 1])
    spec = MetricSpec(name="own", score=METRICS[name].score)
    assert jackknife(spec, codes, p, unit).sum() == pytest.approx(0, abs=1e-15)


def test_the_jackknife_says_where_a_metric_needs_a_unit():
    codes = np.array([0, 0, 0, 1])
    p = np.array([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.4, 0.6]])
    spec = MetricSpec(name="area", score=METRICS["auroc"].score)
    assert np.isnan(jackknife(spec, codes, p, np.arange(4))).all()
    assert jackknife(spec, codes, p, np.zeros(4, int)).tolist() == [0] * 4


def test_blocks_are_at_most_200_and_hold_whole_units():
    units = np.repeat(np.arange(700), 3)
    found = blocks(units, np.arange(1_500))
    tested = found[:1_500]
    assert len(np.unique(tested)) == 200
    assert all(len(np.unique(tested[units[:1_500] == u])) == 1 for u in range(500))
    assert blocks(units, np.arange(300)).tolist() == units.tolist()


@pytest.mark.parametrize("what", ["codes", "proba"])
def test_a_metric_cannot_change_what_it_is_given(what):
    def rude(codes, proba):
        (codes if what == "codes" else proba)[::-1].sort(axis=0)
        return 0.5

    codes, p = rows(seed=13, n=30)
    o = Outcome.of(np.arange(30), codes, p.astype(np.float32), counts=[1, 1, 1, 1])
    before = o.truth.copy(), o.proba.copy()
    with pytest.raises(ValueError, match="read-only"):
        score(MetricSpec(name="rude", score=rude), o)
    with pytest.raises(ValueError, match="read-only"):
        influence(MetricSpec(name="rude", score=hits, influence=rude), o, np.arange(30))
    assert (o.truth == before[0]).all()
    assert (o.proba == before[1]).all()


def constant_folds(positives=(6, 8, 10, 12, 14)):
    """Groups of 20 held out in turn; the probability is the share of the others, the same for every row."""
    folds = []
    for f, k in enumerate(positives):
        share = (sum(positives) - k) / 80
        truth = np.repeat([1, 0], [k, 20 - k])
        proba = np.tile([1 - share, share], (20, 1))
        folds.append(Outcome.of(np.arange(20 * f, 20 * f + 20), truth, proba, counts=[1 - share, share]))
    return pool(folds)


def test_a_constant_classifier_ranks_nothing_whatever_its_folds():
    """Over the folds together the area were .34: the fold with most positives has the least probability."""
    o = constant_folds()
    assert METRICS["auroc"].score(o.truth, o.proba) < 0.4
    assert score(METRICS["auroc"], o) == 0.5
    assert influence(METRICS["auroc"], o, np.arange(100)).sum() == pytest.approx(0, abs=1e-12)


def test_ranks_are_averaged_over_the_folds_where_they_are_defined():
    a = Outcome.of(np.arange(4), np.array([0, 1, 0, 1]), np.eye(2)[[0, 1, 0, 1]], counts=[1, 1])
    b = Outcome.of(np.arange(4, 6), np.array([0, 1]), np.eye(2)[[1, 0]], counts=[1, 1])
    one = Outcome.of(np.arange(6, 9), np.array([1, 1, 1]), np.eye(2)[[0, 0, 1]], counts=[1, 1])
    whole = pool([a, b, one])
    assert score(METRICS["auroc"], whole) == pytest.approx(4 / 6)
    assert influence(METRICS["auroc"], whole, np.arange(9))[6:].tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="auroc is nan"):
        score(METRICS["auroc"], one)


def test_a_fold_in_which_a_plugins_ranking_raises_is_left_out():
    def area(codes, proba):
        if len(np.unique(codes)) < 2:
            raise ValueError("one class")
        return METRICS["auroc"].score(codes, proba)

    two = Outcome.of(np.arange(4), np.array([0, 1, 0, 1]), np.eye(2)[[0, 1, 0, 1]], counts=[1, 1])
    one = Outcome.of(np.arange(4, 6), np.array([1, 1]), np.eye(2)[[0, 1]], counts=[1, 1])
    assert score(MetricSpec(name="area", score=area, made_of="ranks"), pool([two, one])) == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("share", "all"), ("made_of", "pairs"), ("decisions", "odd"), ("influence", 3), ("name", "No Name")],
)
def test_a_metric_with_a_fault_is_an_error(field, value):
    with pytest.raises(InputError, match="metric"):
        MetricSpec(**{"name": "own", "score": hits, field: value})
