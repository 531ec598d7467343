"""The probe becomes the head exactly, and no head is so sure of itself that it cannot learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.finetuning.networks import Case, view_of
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.judging import rows_of
from tlengine.finetuning.session import Session
from tlengine.finetuning.settings import TrainSettings
from tlengine.finetuning.starting_probe import starting_probe
from tlengine.plugins.contracts import Roles
from tlengine.probes import LinearProbe
from tlengine.statistics import softmax


def session_of(case: Case) -> Session:
    settings = TrainSettings(start="probe", augment="none")
    return Session(Fit(view=case.view, roles=case.roles, seed=0), settings)


@pytest.mark.parametrize("kind", ["cnn", "vit", "bert"])
@pytest.mark.parametrize("classes", [2, 3])
def test_before_the_first_step_the_network_predicts_what_the_calibrated_probe_does(
    classes: int, kind: str
) -> None:
    case = Case.of(kind, classes=classes, drop=0.0)
    session = session_of(case)
    probe = session.fit.probe
    logits, _ = rows_of(session.network, session.inputs, case.roles.test)
    reference = LinearProbe(C=probe.C, tol=1e-4)
    reference.fit(case.view.features(case.roles.train), case.view.codes(case.roles.train))
    decided = reference.decision_function(case.view.features(case.roles.test))
    columns = np.stack([-decided / 2, decided / 2], axis=1) if classes == 2 else decided
    expected = softmax(columns, probe.temperature)
    assert np.abs(softmax(logits) - expected).max() < 1e-5
    assert probe.temperature >= 1
    session.modes(0)
    trained = session.network(session.inputs.batch(case.roles.test)).detach().double().numpy()
    assert np.abs(softmax(trained) - expected).max() < 1e-5, "in training mode as well, without dropout"


@pytest.mark.parametrize("classes", [2, 3])
def test_a_saturated_head_is_divided_by_its_temperature_and_has_a_gradient(classes: int) -> None:
    """Classes far apart: cross-validation asks for hardly any penalty, and the loss is nearly nothing."""
    case = Case.of("cnn", classes=classes, train=36, n=36)
    codes = np.arange(36) % classes
    far = 1e3 * np.eye(classes, 8)[codes] + np.random.default_rng(0).normal(size=(36, 8))
    case.view._view = replace(case.view._view, X=far.astype(np.float32))
    probe = starting_probe(case.view, case.roles, np.arange(classes))

    def gradient(factor: float) -> float:
        weight = torch.tensor(probe.coef * factor, dtype=torch.float32, requires_grad=True)
        bias = torch.tensor(probe.intercept * factor, dtype=torch.float32)
        logits = torch.from_numpy(case.view.features(case.roles.train)) @ weight.T + bias
        functional.cross_entropy(logits, torch.from_numpy(codes)).backward()
        assert weight.grad is not None
        return float(weight.grad.norm())

    assert probe.temperature > 2
    assert gradient(1.0) > 4 * gradient(probe.temperature)
    reference = LinearProbe(C=probe.C, tol=1e-4).fit(case.view.features(case.roles.train), codes)
    whole = reference.coef_ if classes > 2 else np.concatenate([-reference.coef_ / 2, reference.coef_ / 2])
    assert np.allclose(probe.coef, whole / probe.temperature)


def test_the_temperature_of_a_probe_that_is_unsure_stays_1() -> None:
    """Logits are never sharpened: that is what training is for."""
    rng = np.random.default_rng(0)
    case = Case.of("cnn", train=36, n=36)
    case.view._view = replace(case.view._view, X=rng.normal(size=(36, 8)).astype(np.float32))
    assert starting_probe(case.view, case.roles, np.arange(3)).temperature >= 1


def with_select(case: Case, select: np.ndarray) -> Case:
    train = np.setdiff1d(np.arange(18), select)
    roles = Roles(train=train, test=case.roles.test, inner=((train, select),), select=select)
    return Case(case.backbone, view_of(case.backbone, roles, np.arange(24) % 3), roles)


def test_rows_that_the_user_set_apart_choose_the_penalty_and_the_temperature() -> None:
    """They are no training rows: cross-validation inside the training rows knows nothing of them."""
    case = with_select(Case.of("cnn"), np.arange(12, 18))
    found = starting_probe(case.view, case.roles, np.arange(3))
    assert found.held_out is not None
    assert found.held_out.shape == (6, 3)
    view = case.view

    def loss(C: float) -> float:
        probe = LinearProbe(C=C, tol=1e-2).fit(view.features(case.roles.train), view.codes(case.roles.train))
        held = case.roles.held
        return -np.log(probe.predict_proba(view.features(held))[np.arange(6), view.codes(held)]).mean()

    grid = np.logspace(-3, 3.5, 14) / view.scale
    assert loss(found.C) == min(map(loss, grid))


def test_classes_among_the_held_out_rows_that_are_not_trained_count_for_nothing() -> None:
    case = Case.of("cnn")
    codes = np.arange(24) % 3
    train = np.flatnonzero(codes[:12] != 1)
    roles = Roles(
        train=train, test=case.roles.test, inner=((train, np.arange(12, 18)),), select=np.arange(12, 18)
    )
    view = view_of(case.backbone, roles, codes)
    found = starting_probe(view, roles, np.array([0, 2]))
    assert found.coef.shape == (2, 8)
    assert np.isfinite(found.temperature)


def test_lp_ft_with_a_vanishing_rate_predicts_what_the_probe_does(tmp_path: Path) -> None:
    """The same through a whole fit, with real steps."""
    case = Case.of("vit", drop=0.0)
    trained = case.train("lp-ft", rate=1e-12, steps=3, folder=tmp_path)
    logits, _ = rows_of(trained.network, trained.inputs, case.roles.test)
    start, _ = rows_of(session_of(case).network, trained.inputs, case.roles.test)
    assert np.abs(softmax(logits) - softmax(start)).max() < 1e-5
    assert trained.facts["probe"]["temperature"] >= 1
