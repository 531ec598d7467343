"""What a run cost, in its document: sums, sources, what reuse saved, and the fronts."""

import json
from typing import Any

import numpy as np
import pytest

import tlengine as tl
from tests.evaluation.pictures import tiny
from tests.evaluation.trained import Trained as Network
from tests.evaluation.trained import spec
from tlengine.errors import InputError
from tlengine.evaluation import compare
from tlengine.evaluation.strategies import CentroidStrategy
from tlengine.plugins.records import StrategySpec

QUICK: dict[str, Any] = {"budgets": [5, "all"], "seeds": 1, "progress": False}


class Trained(CentroidStrategy):
    """A fit that tells what a training loop tells."""

    def fit(self, view: Any, roles: Any, **options: Any) -> Any:
        found: Any = super().fit(view, roles, **options)
        found.flops = 3e9
        found.facts = {
            "device": "cuda:0",
            "peak_bytes": 123_456_789,
            "stages": {"warm-up": 0.5, "training": 1.5, "odd": "text"},
            "reused": {"rows": 10, "seconds": 2.0, "flops": 1e9},
        }
        return found


TRAINED = StrategySpec(name="trained", make=Trained)


@pytest.fixture(scope="module")
def run(digits: Any) -> tl.RunResult:
    X, y = digits
    return compare((X, y), strategies=["ridge", TRAINED], controls={"raw": X[:, :8]}, **QUICK)


def test_the_stages_add_up_to_the_run(run: tl.RunResult, tmp_path: Any) -> None:
    costs = run.document["costs"]
    booked = sum(stage["seconds"] for stage in costs["stages"])
    assert booked == pytest.approx(costs["total_seconds"], rel=0.02)
    assert {stage["stage"] for stage in costs["stages"]} >= {"load", "plan", "fit", "score", "judge", "refit"}
    assert costs["totals"]["cpu_seconds"] > 0
    for _ in range(2):
        run.save(tmp_path)
        kept = json.loads((tmp_path / "run.json").read_text())["costs"]
        names = [stage["stage"] for stage in kept["stages"]]
        assert names.count("report") == names.count("save") == 1
        total = sum(stage["seconds"] for stage in kept["stages"])
        assert total == pytest.approx(kept["total_seconds"], rel=0.02)


def test_a_strategy_costs_what_one_model_of_it_takes(run: tl.RunResult) -> None:
    found = {(c["strategy"], c["budget"]): c for c in run.document["costs"]["strategies"]}
    assert set(found) == {(s, b) for s in ("ridge", "trained", "raw") for b in (5, "all")}
    ridge, trained = found["ridge", "all"], found["trained", "all"]
    fits = [f for f in run.document["fits"] if f["strategy"] == "ridge" and f["budget"] == "all"]
    assert ridge["seconds"] == pytest.approx(np.mean([f["seconds"] for f in fits]), abs=1e-5)
    assert (ridge["fits"], ridge["taken_up"], ridge["labels"], ridge["gpu_seconds"]) == (5, 0, 320.0, None)
    assert (trained["flops"], trained["peak_bytes"]) == (3e9, 123_456_789)
    assert trained["gpu_seconds"] == pytest.approx(trained["seconds"])
    assert trained["stages"] == {"warm-up": 0.5, "training": 1.5}, "what is no number is left out"
    assert (trained["embedding_seconds"], trained["embedding_flops"]) == (2.0, 1e9), "blocks that were ready"
    assert (ridge["embedding_seconds"], ridge["embedding_joules"]) == (None, None), "the data are features"
    assert found["raw", 5]["role"] == "control"


def test_every_figure_of_energy_has_its_source(run: tl.RunResult) -> None:
    costs = run.document["costs"]
    for entry in [*costs["stages"], *costs["strategies"], costs["totals"]]:
        assert (entry["joules"] is None) == (entry["source"] == "none")
        if entry["source"] in ("model", "constant"):
            assert float(f"{entry['joules']:.2g}") == entry["joules"]


def test_a_frozen_part_that_was_found_in_the_cache_is_saved(run: tl.RunResult) -> None:
    saved = run.document["costs"]["saved"]
    assert (saved["prefix_rows"], saved["prefix_seconds"], saved["flops"]) == (100, 20.0, 1e10)
    assert (saved["rows"], saved["fits"]) == (0, 0)
    assert saved["seconds"] == 20.0


def test_fits_that_are_taken_up_count_as_what_they_cost_and_are_marked(digits: Any, tmp_path: Any) -> None:
    first = compare(digits, strategies=["ridge"], out=tmp_path, **QUICK)
    again = compare(digits, strategies=["ridge"], out=tmp_path, **QUICK)
    before, after = (run.document["costs"]["strategies"] for run in (first, again))
    for old, new in zip(before, after, strict=True):
        assert (old["taken_up"], new["taken_up"]) == (0, new["fits"])
        for name in ("seconds", "cpu_seconds", "joules", "source"):
            assert new[name] == old[name]
    saved = again.document["costs"]["saved"]
    assert saved["fits"] == 10
    assert saved["fits_seconds"] == pytest.approx(sum(c["fits"] * c["seconds"] for c in before), rel=0.5)
    assert not [s for s in again.document["costs"]["stages"] if s["stage"] == "fit"], "they cost nothing now"


def test_the_fronts_have_a_point_for_each_strategy_and_budget(run: tl.RunResult) -> None:
    points = run.document["costs"]["fronts"]
    values = {
        (r["strategy"], r["budget"]): r["value"]
        for r in run.document["summary"]
        if r["metric"] == "balanced_accuracy"
    }
    for axis in ("labels", "seconds", "joules"):
        mine = [p for p in points if p["axis"] == axis]
        assert {(p["strategy"], p["budget"]): p["value"] for p in mine} == values
        assert any(p["standing"] == "front" for p in mine)
        assert all(p["cost_low"] <= p["cost"] <= p["cost_high"] for p in mine)
    assert all(p["cost_low"] == p["cost"] == p["cost_high"] for p in points if p["axis"] == "labels")


def test_embedding_is_counted_and_what_the_cache_served_is_saved(digit_images: Any, tmp_path: Any) -> None:
    options = {"strategies": ["centroid"], "controls": ["rcf"], "cache": tmp_path / "cache", **QUICK}
    first, again = (compare(digit_images, "raw", **options).document["costs"] for _ in range(2))
    (net,) = [e for e in first["extraction"] if e["backbone"] == "rcf"]
    assert net["embedded"] > 100
    assert net["flops"] == net["flops_per_row"] * net["embedded"] > 0
    assert net["flops_saved"] == 0
    (stage,) = [s for s in first["stages"] if s["what"] == "rcf" and s["stage"] == "extract"]
    assert stage["flops"] == net["flops"]
    (control,) = [c for c in first["strategies"] if c["strategy"] == "rcf" and c["budget"] == 5]
    assert control["embedding_flops"] == pytest.approx(net["flops_per_row"] * control["labels"])
    assert control["embedding_seconds"] > 0
    saved = again["saved"]
    assert saved["rows"] == first["extraction"][0]["embedded"] + net["embedded"]
    assert saved["flops"] == net["flops"], "pixels multiply nothing"
    assert saved["rows_seconds"] > 0
    (control,) = [c for c in again["strategies"] if c["strategy"] == "rcf" and c["budget"] == 5]
    assert control["embedding_seconds"] > 0, "as the run that embedded them measured it"


class Reads(Network):
    """A network whose head starts from features."""

    def fit(self, view: Any, roles: Any, **options: Any) -> Any:
        view.features(roles.train)
        return super().fit(view, roles, **options)


class Waits(Network):
    """One that computes frozen blocks in its first fit, and finds them ready afterwards."""

    done = 0

    def fit_many(self, jobs: Any) -> Any:
        for found in super().fit_many(jobs):
            if Waits.done:
                found.facts["reused"] = {"rows": 9, "seconds": 5.0, "flops": 7e9}
            Waits.done += 1
            yield found


def test_whoever_reads_the_features_pays_for_them(digit_images: Any) -> None:
    """Probes and networks alike, by what their fits did; who trains on pixels alone does not."""
    networks = [
        spec(name, kind(inner_tasks=0, steps=1)) for name, kind in (("alone", Network), ("reads", Reads))
    ]
    costs = compare(
        digit_images, tiny(), strategies=["centroid", *networks], controls=["raw"], cache=None, **QUICK
    ).document["costs"]
    found = {c["strategy"]: c for c in costs["strategies"] if c["budget"] == "all"}
    (net, raw) = costs["extraction"]
    assert (net["read_by"], raw["read_by"]) == (["centroid", "reads"], ["raw"])
    assert {name: c["features"] for name, c in found.items()} == {
        "centroid": True, "alone": False, "reads": True, "raw": True,
    }  # fmt: skip
    each = net["seconds"] / net["embedded"]
    for name in ("centroid", "reads"):
        assert found[name]["embedding_seconds"] == pytest.approx(each * found[name]["labels"])
        assert found[name]["embedding_joules"] > 0
    assert (found["alone"]["embedding_seconds"], found["alone"]["embedding_joules"]) == (None, None)
    at = {(p["strategy"], p["axis"]): p["cost"] for p in costs["fronts"] if p["budget"] == "all"}
    for name in ("centroid", "alone", "reads"):
        whole = found[name]["seconds"] + (found[name]["embedding_seconds"] or 0.0)
        assert at[name, "seconds"] == pytest.approx(whole)


def test_blocks_that_were_ready_count_as_what_they_took(digit_images: Any) -> None:
    """The first fit paid for them: a model by itself would, too. What the run saved is all of it."""
    Waits.done = 0
    waits = spec("waits", Waits(inner_tasks=0, steps=1))
    options: Any = {**QUICK, "seeds": 3, "budgets": ["all"], "all_seeds": True}
    costs = compare(digit_images, tiny(), strategies=[waits], controls=(), **options).document["costs"]
    (found,) = costs["strategies"]
    assert (found["fits"], found["features"]) == (3, False)
    assert found["embedding_seconds"] == pytest.approx(10 / 3), "in two of three fits"
    assert (costs["saved"]["prefix_seconds"], costs["saved"]["prefix_rows"]) == (10.0, 18)
    (point,) = [p for p in costs["fronts"] if p["axis"] == "seconds"]
    assert point["cost"] == pytest.approx(found["seconds"] + 10 / 3)


@pytest.mark.parametrize("where", ["option", "environment"])
def test_co2_is_told_where_the_grid_is_known(
    digits: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLENGINE_CO2_G_PER_KWH", "100" if where == "environment" else "7")
    given = {"co2_intensity": 100} if where == "option" else {}
    totals = compare(digits, strategies=["centroid"], **given, **QUICK).document["costs"]["totals"]
    assert totals["co2_intensity"] == 100.0
    assert totals["co2e_grams"] == pytest.approx(totals["joules"] / 3.6e6 * 100, rel=0.06)


@pytest.mark.parametrize("grams", ["much", -1, float("nan"), float("inf"), True, [1]])
def test_an_intensity_that_is_none_is_refused_before_anything_is_done(digits: Any, grams: Any) -> None:
    with pytest.raises(InputError, match="co2_intensity is") as caught:
        compare(digits, strategies=["centroid"], co2_intensity=grams, **QUICK)
    assert caught.value.hint == "give grams for a kilowatt-hour, a number from 0 on"
