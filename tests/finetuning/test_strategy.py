"""What a strategy chooses by, it has from rows that are not its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.finetuning.networks import CHEAP, Case
from tlengine.finetuning import FineTuning
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.judging import training_loss
from tlengine.finetuning.settings import TrainSettings, recipe_for
from tlengine.finetuning.starting_probe import starting_probe
from tlengine.finetuning.strategy import TUNING_FOLDS, _folds


def test_a_fold_of_tune_is_a_fit_of_its_own_rows() -> None:
    """Its probe, its penalty and its temperature know nothing of the rows held out."""
    case = Case.of("cnn")
    rows = case.roles.train
    folds = _folds(case.view, rows)
    assert len(folds) == TUNING_FOLDS
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(rows)
    known = np.unique(case.view.codes(rows))
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(rows)
        assert fold.inner
        for fit, held in fold.inner:
            assert set(fit) | set(held) <= set(fold.train)
        assert starting_probe(case.view, fold, known).held_out is not None


def test_tuning_books_what_its_folds_took_and_tells_what_it_tried() -> None:
    case = Case.of("vit")
    fitted = FineTuning("lp-ft", tune=True, **CHEAP).fit(case.view, case.roles, seed=0)
    plain = Fit(view=case.view, roles=case.roles, seed=0)
    once = plain.train(FineTuning("lp-ft", **CHEAP).train_settings).flops
    tried = fitted.facts["tried"]
    assert len(tried) == 3
    assert fitted.chosen["rate"] == min(tried, key=lambda one: one["loss"])["rate"]
    assert once
    assert fitted.flops is not None
    assert fitted.flops > 9.5 * once, "nine folds and the fit, a step as large in each"


def test_a_new_head_moves_by_one_in_a_step_at_the_most() -> None:
    """Few steps would else throw its logits about."""
    rates = [
        recipe_for(TrainSettings(steps=steps), "cnn", 60, spread=25.0).head_rate for steps in (2, 20, 60)
    ]
    assert rates == pytest.approx([1 / 25, 1 / 25, 10 / (30 * 25)])


def test_a_training_that_learned_nothing_says_so() -> None:
    case = Case.of("cnn")
    notes = case.train("finetune", head_rate=30.0, rate=1e-9).facts["notes"]
    assert [note for note in notes if "no better than that of guessing, 1.10" in note]
    assert case.train("lp-ft").facts["notes"] == []


def test_the_loss_of_averaged_weights_is_theirs() -> None:
    case = Case.of("cnn")
    trained = case.train("wise", rate=1e-2)
    targets = torch.from_numpy(np.arange(18) % 3)
    found = training_loss(trained.network, trained.inputs, trained.rows, targets, batch=None)
    assert trained.loss == trained.facts["loss"] == pytest.approx(found, rel=1e-6)
