"""The shipped heads compute what they say: golden numbers, invariances, and starts from probes and means."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tlengine.errors import InputError, NonFiniteError, ShapeMismatchError
from tlengine.finetuning import HEADS, build_head, start_from_means, start_from_probe
from tlengine.testing import HEAD_CHECKS, check_head


@pytest.mark.parametrize("spec", HEADS, ids=lambda spec: spec.name)
def test_every_shipped_head_keeps_the_promises_of_a_head(spec):
    check_head(spec)
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - our own bytes


def test_every_promise_is_checked():
    assert len(HEAD_CHECKS) == 9


@pytest.fixture
def X():  # noqa: N802
    return np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_linear_head_is_the_probe_that_it_starts_from(X, classes):
    y = np.arange(60) % classes
    probe = LogisticRegression().fit(X, y)
    head = build_head("linear", 7, classes, dropout=0.5).eval()
    start_from_probe(head, "linear", probe.coef_, probe.intercept_)
    with torch.no_grad():
        logits = head(torch.from_numpy(X))
    if classes > 2:
        assert np.abs(logits.numpy() - probe.decision_function(X)).max() < 1e-6
    assert np.abs(logits.softmax(1).numpy() - probe.predict_proba(X)).max() < 1e-6


def test_an_attention_pool_is_the_probe_of_the_mean_token(X):
    rng = np.random.default_rng(1)
    coef, intercept = rng.normal(size=(3, 7)), rng.normal(size=3)
    head = build_head("attention-pool", (5, 7), 3).eval()
    start_from_probe(head, "attention-pool", coef, intercept)
    tokens = X.reshape(12, 5, 7)
    with torch.no_grad():
        logits = head(torch.from_numpy(tokens))
    assert np.abs(logits.numpy() - (tokens.mean(axis=1) @ coef.T + intercept)).max() < 1e-5


def pool():
    """One whose query prefers some tokens."""
    head = build_head("attention-pool", (None, 4), 3).eval()
    with torch.no_grad():
        head.query.copy_(torch.tensor([3.0, -1, 0.5, 2]))
    return head


@pytest.mark.parametrize("padding", [0.0, 1e4, float("nan"), float("inf")])
def test_an_attention_pool_ignores_padded_tokens(padding):
    head, tokens = pool(), torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    alone = head(tokens)
    longer = torch.cat([tokens, torch.full((2, 4, 4), padding)], dim=1).requires_grad_()
    mask = torch.arange(7).expand(2, 7) < 3
    assert (head(longer, mask) - alone).abs().max().detach() < 1e-6
    head(longer, mask).sum().backward()
    assert not longer.grad[:, 3:].any()
    assert all(one.grad.isfinite().all() for one in head.parameters())


def test_an_attention_pool_weighs_tokens_by_its_query():
    """By hand: softmax(q . normalised token / sqrt d), tokens (1, 0, 0, 0) and (0, 0, 0, 1)."""
    head, tokens = pool(), torch.eye(4)[[0, 3]][None]
    normal = (tokens[0].numpy() - 0.25) / np.sqrt(3 / 16 + 1e-5)
    scores = normal @ np.array([3.0, -1, 0.5, 2]) / 2
    weights = np.exp(scores) / np.exp(scores).sum()
    pooled = np.array([weights[0], 0, 0, weights[1]])
    wanted = head.output.weight.detach().numpy() @ pooled + head.output.bias.detach().numpy()
    assert np.abs(head(tokens)[0].detach().numpy() - wanted).max() < 1e-6
    assert weights[0] > 0.6


def test_a_row_without_tokens_has_the_logits_of_zeros():
    head, tokens = pool(), torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    out = head(tokens, mask)
    assert torch.equal(out[1], head.output.bias)
    out.sum().backward()
    assert all(one.grad.isfinite().all() for one in head.parameters())


def test_a_cosine_head_does_not_see_the_scale_of_features(X):
    head = build_head("cosine", 7, 3)
    rows = torch.from_numpy(X)
    factors = torch.logspace(-6, 6, 60)[:, None]
    assert (head(rows * factors) - head(rows)).abs().max().detach() < 1e-5
    assert head(rows).abs().max() <= 10 + 1e-4
    assert not head(torch.zeros(1, 7)).any()


def test_a_cosine_head_starts_as_the_nearest_prototype(X):
    means = np.random.default_rng(2).normal(size=(3, 7)) * [[1], [50], [0.01]]
    head = build_head("cosine", 7, 3, scale=20)
    start_from_means(head, "cosine", means)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    wanted = 20 * (X / np.linalg.norm(X, axis=1, keepdims=True)) @ unit.T
    assert np.abs(head(torch.from_numpy(X)).detach().numpy() - wanted).max() < 1e-4


def test_the_learnt_scale_stays_positive():
    head = build_head("cosine", 2, 2, scale=1e-3)
    for _ in range(5):
        head.log_scale.grad = None
        head.log_scale.exp().backward()
        head.log_scale.data -= 100 * head.log_scale.grad
    assert head.log_scale.exp() > 0


def test_what_a_head_cannot_start_from(X):
    eye, zeros = np.eye(3, 7), np.zeros(3)
    for name in ("mlp", "cosine"):
        head = build_head(name, 7, 3)
        with pytest.raises(InputError, match=f"'{name}' cannot start from a probe") as caught:
            start_from_probe(head, name, eye, zeros)
        assert "attention-pool, linear" in caught.value.hint
    linear = build_head("linear", 7, 3)
    with pytest.raises(InputError, match="'linear' cannot start from class means"):
        start_from_means(linear, "linear", eye)
    before = linear.weight.detach().clone()
    with pytest.raises(ShapeMismatchError, match=r"weight has shape \(3, 7\), it would start from \(4, 7\)"):
        start_from_probe(linear, "linear", np.eye(4, 7), np.zeros(4))
    with pytest.raises(ShapeMismatchError, match=r"coef has shape \(3, 7\), intercept \(2,\)"):
        start_from_probe(linear, "linear", eye, np.zeros(2))
    with pytest.raises(NonFiniteError, match="coef holds NaN"):
        start_from_probe(linear, "linear", eye * np.nan, zeros)
    with pytest.raises(ShapeMismatchError, match="means have shape"):
        start_from_means(build_head("cosine", 7, 3), "cosine", zeros)
    assert torch.equal(linear.weight, before)
