"""What a strategy chooses by, it has from rows that are not its own."""

from __future__ import annotations

import numpy as np

from tests.finetuning.networks import CHEAP, Case
from tlengine.finetuning import FineTuning
from tlengine.finetuning.fitting import Fit
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
