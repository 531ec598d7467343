"""From features to an answer: strategies compared over budgets and resamples, against a control.

In: a dataset, backbones, names of strategies. Out: a run: one JSON document with results, intervals, paired
tests, a verdict, costs, and the recommended model.
"""

from __future__ import annotations

from tlengine.evaluation.comparison import compare
from tlengine.evaluation.finetuned import FineTuneResult, finetune
from tlengine.evaluation.model import Model, from_pretrained, predictions_csv
from tlengine.evaluation.record import RunResult, load_run
from tlengine.evaluation.schema import check_document
from tlengine.evaluation.verdict import Verdict

__all__ = [
    "FineTuneResult",
    "Model",
    "RunResult",
    "Verdict",
    "check_document",
    "compare",
    "finetune",
    "from_pretrained",
    "load_run",
    "predictions_csv",
]
