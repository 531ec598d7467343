"""The end of a comparison: everything in one document, nothing counted twice."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA  # noqa: N817

from tlengine.data import load_dataset
from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation import compare
from tlengine.evaluation.strategies import CentroidStrategy
from tlengine.plugins.records import StrategySpec

QUICK = {"budgets": ["all"], "progress": False}


class Unsure(LDA):
    """A solver that does not vouch for its result."""

    def fit(self, X, y):
        super().fit(X, y)
        self.converged_ = False
        return self


def test_fits_that_are_not_certified_are_told(digits):
    X = digits[0] + np.random.default_rng(0).normal(size=digits[0].shape)
    with pytest.warns(TlengineWarning, match="5 of 10 fits are not certified to their tolerance"):
        run = compare((X, digits[1]), strategies=[("unsure", Unsure), "centroid"], seeds=1, **QUICK)
    assert {(f["strategy"], f["converged"]) for f in run.document["fits"]} == {
        ("unsure", False),
        ("centroid", True),
    }


def test_equal_fits_are_booked_once(digits):
    """Five seeds of the user's own split are one fit, and cost one."""
    X, y = digits
    ds = replace(load_dataset((X, y)), splits=np.array(["train"] * 200 + ["test"] * 200))
    run = compare(ds, strategies=["centroid"], seeds=5, **QUICK)
    fits = run.document["fits"]
    assert len(fits) == 5
    assert len({fit["key"] for fit in fits}) == 1 == run.document["journal"]["fits"]
    booked = sum(s["seconds"] for s in run.document["costs"]["stages"] if s["stage"] == "fit")
    assert booked < 2 * fits[0]["seconds"] + 1e-3 * 200 * fits[0]["predict_ms"] + 0.05
    assert run.document["costs"]["total_seconds"] >= booked


def test_a_value_is_that_of_its_own_fold_and_the_summary_of_all(digits):
    run = compare(digits, strategies=["ridge"], seeds=1, **QUICK)
    values = [r["value"] for r in run.results if r["metric"] == "accuracy"]
    (summary,) = [r["value"] for r in run.document["summary"] if r["metric"] == "accuracy"]
    assert summary == pytest.approx(np.mean(values)), "the folds are of equal size"
    assert summary == run.verdict.accuracy
    right = np.trace(run.document["confusion"]["counts"])
    assert right / 400 == pytest.approx(summary)


def test_mistakes_are_named_by_the_users_labels(digits):
    X, y = digits
    y = y.copy()
    y[0] = "two" if y[0] != "two" else "one"
    run = compare((X, y), strategies=["ridge"], seeds=2, **QUICK)
    named = {m["id"]: m for m in run.document["mistakes"]}
    assert named["0"]["truth"] == y[0]
    assert named["0"]["predicted"] == digits[1][0]
    assert named["0"]["tested"] == named["0"]["wrong"] == 2
    assert named["0"]["preview"] is None, "features cannot be shown"


def test_where_everything_fails_the_first_error_is_raised(digits):
    class Never(LDA):
        def fit(self, X, y):
            raise InputError("not today", hint="come back")

    with pytest.raises(InputError, match="mine on features: not today") as caught:
        compare(digits, strategies=[("mine", Never)], seeds=1, **QUICK)
    assert caught.value.hint == "come back"


def test_what_fits_told_is_in_the_document_whether_fitted_or_taken_up(digits, tmp_path):
    class Told(CentroidStrategy):
        def fit(self, view, roles, **options):
            found = super().fit(view, roles, **options)
            found.facts = {"curve": [[1, 0.5]], "drift": np.float32(0.25), "notes": ["so"]}
            return found

    told = StrategySpec(name="told", make=Told)
    for _ in range(2):
        run = compare(digits, strategies=["ridge", told], seeds=1, out=tmp_path, **QUICK)
        facts = {fit["strategy"]: fit["facts"] for fit in run.document["fits"]}
        assert facts == {"ridge": {}, "told": {"curve": [[1, 0.5]], "drift": 0.25, "notes": ["so"]}}
    assert run.document["journal"]["taken_up"] == 10


def test_the_controls_of_every_budget_are_in_the_verdict(digits):
    X, y = digits
    options = {**QUICK, "budgets": [5, "all"]}
    run = compare(
        (X, y), strategies=["ridge"], controls={"raw": X[:, :4], "few": X[:, :2]}, seeds=1, **options
    )
    by_budget = run.document["verdict"]["by_budget"]
    assert [[c["control"] for c in each["controls"]] for each in by_budget] == [["raw", "few"]] * 2
    assert by_budget[-1]["controls"] == run.document["verdict"]["controls"]
    assert by_budget[0]["controls"] != by_budget[-1]["controls"]


def test_advice_that_fails_costs_an_entry_and_not_the_run(digits, monkeypatch):
    def fail(*_):
        raise ArithmeticError("no advice")

    monkeypatch.setattr("tlengine.evaluation.assembly.advise", fail)
    run = compare(digits, strategies=["centroid"], seeds=1, **QUICK)
    assert run.document["advice"] == []
    assert [(f["step"], f["error"]) for f in run.document["failed"]] == [
        ("advise", "ArithmeticError: no advice")
    ]


def test_the_plan_is_described(digits):
    run = compare(digits, strategies=["centroid"], seeds=2, **QUICK)
    assert run.document["resamples"] == {
        "kind": "folds", "seeds": 2, "count": 10, "train": 320.0, "test": 80.0, "select": 0.0, "notes": [],
    }  # fmt: skip
    assert run.document["configuration"]["seeds"] == 2
    assert run.document["dataset"]["counts"] == np.unique(digits[1], return_counts=True)[1].tolist()
