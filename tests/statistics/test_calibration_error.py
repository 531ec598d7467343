import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.statistics import ece_null, expected_calibration_error, softmax


def naive_ece(codes, proba, bins):
    error = 0.0
    for b in range(bins):
        inside = [
            i
            for i, p in enumerate(proba)
            if b / bins < p.max() <= (b + 1) / bins or (b == 0 and p.max() == 0)
        ]
        if inside:
            accuracy = np.mean([proba[i].argmax() == codes[i] for i in inside])
            error += len(inside) / len(proba) * abs(accuracy - np.mean([proba[i].max() for i in inside]))
    return error


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 1_000), st.floats(0.05, 5))
def test_ece_equals_the_definition(n, k, seed, temperature):
    rng = np.random.default_rng(seed)
    proba = softmax(rng.normal(size=(n, k)), temperature)
    codes = rng.integers(0, k, size=n)
    assert expected_calibration_error(codes, proba) == pytest.approx(naive_ece(codes, proba, 15), abs=1e-9)


def test_ece_is_zero_when_confidence_is_accuracy():
    proba = np.tile([0.75, 0.25], (8, 1))
    assert expected_calibration_error([0, 0, 0, 1] * 2, proba) == 0


def two_classes(n, seed):
    """Perfectly calibrated: confidence uniform on (.5, 1)."""
    rng = np.random.default_rng(seed)
    confidence = 0.5 + rng.random(n) / 2
    return (rng.random(n) > confidence).astype(int), np.stack([confidence, 1 - confidence], 1)


@pytest.mark.parametrize(("n", "expected"), [(100, 0.090), (200, 0.064), (500, 0.040), (2_000, 0.020)])
def test_the_ece_of_a_perfectly_calibrated_model_falls_with_the_root_of_n(n, expected):
    """Golden: shared notes, procedures 2.7."""
    found = ece_null(*zip(*[two_classes(n, seed) for seed in range(5)], strict=True), draws=200)
    assert found.expected == pytest.approx(expected, rel=0.06)
    assert found.ece == pytest.approx(expected, rel=0.35)
    assert found.expected < found.high < 2 * found.expected


def test_the_p_value_of_the_ece_is_uniform_for_calibrated_and_small_for_overconfident_models():
    p_values = []
    for seed in range(100):
        codes, proba = two_classes(200, seed)
        p_values.append(ece_null([codes], [proba], draws=99, seed=seed).p_value)
    assert min(p_values) >= 0.01
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.12)
    assert sum(p <= 0.05 for p in p_values) <= 14  # of 100 at 5 %: more once in 5,000
    codes, proba = two_classes(200, 0)
    assert ece_null([codes], [proba * 0.1 + 0.9 * np.eye(2)[[0] * 200]], draws=99).p_value == 0.01


def test_the_null_of_several_draws_on_the_same_rows_is_that_of_one():
    codes, proba = two_classes(300, 3)
    once = ece_null([codes], [proba])
    same = ece_null([codes] * 3, [proba] * 3, rows=[np.arange(300)] * 3)
    apart = ece_null([codes] * 3, [proba] * 3)
    assert same == once
    assert apart.expected == pytest.approx(once.expected, rel=0.03)
    assert apart.high < once.high


def test_the_simulated_ece_equals_the_definition():
    codes, proba = two_classes(80, 7)
    uniform = np.random.default_rng(0).random((1, 80), dtype=np.float32)
    labels = (uniform[0] >= proba[:, 0]).astype(int)
    found = ece_null([codes], [proba], draws=1, seed=0)
    assert found.expected == pytest.approx(expected_calibration_error(labels, proba), abs=1e-9)


def test_rows_of_a_group_have_no_p_value_and_the_reason_is_said():
    codes, proba = two_classes(100, 1)
    rows = np.arange(100, 200)
    by_row = ece_null([codes], [proba], rows=[rows], units=np.arange(300), draws=99)
    grouped = ece_null([codes], [proba], rows=[rows], units=np.arange(300) // 10, draws=99)
    assert by_row.p_value is not None
    assert by_row.reason is None
    assert (grouped.ece, grouped.expected, grouped.p_value) == (by_row.ece, by_row.expected, None)
    assert grouped.reason.startswith("rows share groups")
