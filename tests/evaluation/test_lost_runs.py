"""A run is never lost: what fails beside the fits costs an entry in ``failed``, and the answer stays."""

import errno
import json

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA  # noqa: N817

from tests.evaluation.planted import plant
from tlengine.data import load_dataset
from tlengine.errors import PluginError, PluginWarning
from tlengine.evaluation import check_document, compare, load_run, record

QUICK = {"budgets": [5, "all"], "seeds": 1, "progress": False}


def steps(run):
    """The document is sound, and what failed."""
    check_document(json.loads(run.to_json()), "run.json")
    return [(f["step"], f["strategy"]) for f in run.document["failed"]]


@pytest.fixture(autouse=True)
def planted(tmp_path_factory, monkeypatch):
    """Plants plugins; the report is a line, so that nothing here hangs on what it looks like."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.setattr("tlengine.builtin.render_html", lambda document: document["answer"])
    plant(folder, monkeypatch)
    return lambda *codes: plant(folder, monkeypatch, *codes)


PROBE = """
@tl.hookimpl
def tlengine_probes():
    yield ProbeSpec(name="{name}", estimator=LDA{more})
"""


def test_a_plugin_whose_name_is_taken_is_left_out_and_named(digits, planted):
    planted(PROBE.format(name="probe", more=""), PROBE.format(name="lda", more=""))
    with pytest.warns(PluginWarning, match="'probe' already"):
        run = compare(digits, strategies=["probe", "lda"], **QUICK)
    assert steps(run) == [("plugin", None)]
    assert "builtin (tlengine" in run.document["failed"][0]["error"]
    assert {r["strategy"] for r in run.results} == {"probe", "lda"}
    (chosen,) = {f["chosen"].keys() == {"C"} for f in run.document["fits"] if f["strategy"] == "probe"}
    assert chosen, "the linear probe is tlengine's"


def test_of_two_plugins_of_one_name_the_first_has_it(digits, planted):
    planted(*(PROBE.format(name="lda", more="") for _ in range(2)))
    with pytest.warns(PluginWarning, match="'lda' already"):
        run = compare(digits, strategies=["lda"], **QUICK)
    assert steps(run) == [("plugin", None)]
    assert run.verdict.strategy == "lda"


def test_a_plugin_that_cannot_be_imported_costs_itself(digits, planted):
    with pytest.warns(PluginWarning, match="out of order"):
        planted("raise RuntimeError('out of order')")
    run = compare(digits, strategies=["ridge"], **QUICK)
    assert steps(run) == [("plugin", None)]
    assert "out of order" in run.document["failed"][0]["error"]


def test_a_winner_that_cannot_be_saved_costs_the_model_alone(digits, planted, tmp_path):
    planted(PROBE.format(name="lda", more=""))
    run = compare(digits, strategies=["lda"], **QUICK)
    assert steps(run) == []
    written = run.save(tmp_path / "out")
    assert steps(run) == [("save", "lda")]
    assert "cannot be saved" in run.document["failed"][0]["error"]
    assert set(written) == {"run", "report"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "run.json"]
    assert load_run(written["run"]).document == json.loads(run.to_json()), "the file knows of it too"
    assert run.model.predict_proba(digits[0]).argmax(1).any(), "in this process it is of use"


def test_nothing_of_an_earlier_run_stays_beside_another_answer(digits, planted, tmp_path):
    planted(PROBE.format(name="lda", more=""))
    first = compare(digits, strategies=["ridge"], **QUICK)
    first.save(tmp_path / "out")
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    compare(digits, strategies=["lda"], **QUICK).save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["mine.txt", "report.html", "run.json"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise RuntimeError('no ink')", "no ink"),
        ("raise SystemExit(3)", "SystemExit"),
        ("return 3", "returned int, not text"),
    ],
)
def test_an_exporter_that_fails_costs_the_report_alone(fault, said, digits, planted, monkeypatch, tmp_path):
    names: dict = {}
    exec(f"def render(document):\n    {fault}\n", names)
    monkeypatch.setattr("tlengine.builtin.render_html", names["render"])
    planted()
    run = compare(digits, strategies=["ridge"], **QUICK)
    written = run.save(tmp_path / "out")
    assert set(written) == {"run", "model"}
    assert steps(run) == [("report", "ridge")]
    assert said in run.document["failed"][0]["error"]
    assert steps(load_run(tmp_path / "out")) == [("report", "ridge")]


class Refuses(LDA):
    """Fits whatever part it is given, but never all rows."""

    fault: type[BaseException] = RuntimeError

    def fit(self, X, y):
        if len(X) == 400:
            raise self.fault("too much")
        return super().fit(X, y)


class Exits(Refuses):
    fault = SystemExit


@pytest.mark.parametrize("kind", [Refuses, Exits])
def test_a_refit_that_fails_costs_the_model_alone(kind, digits, tmp_path):
    run = compare(digits, strategies=[("mine", kind)], **QUICK)
    assert steps(run) == [("refit", "mine")]
    assert "too much" in run.document["failed"][0]["error"]
    assert run.document["failed"][0]["asked"]
    assert run.model is None
    assert run.verdict.accuracy > 0.8
    assert set(run.save(tmp_path)) == {"run", "report"}


METRIC = """
def score(codes, proba):
    {code}
@tl.hookimpl
def tlengine_metrics():
    yield MetricSpec(name="mine", score=score)
"""


@pytest.mark.parametrize(
    "code",
    [
        "raise ZeroDivisionError('no such rows')",
        "return float('nan')",
        "return float('-inf')",
        "return 'much'",
        "raise SystemExit(1)",
        "return (proba.argmax(1) == codes).mean() if len(codes) > 80 else 1 / 0",
    ],
)
def test_a_metric_that_is_not_defined_costs_itself(code, digits, planted):
    planted(METRIC.format(code=code))
    run = compare(digits, strategies=["ridge"], metrics=["mine"], **QUICK)
    assert steps(run) == []
    values = {r["metric"]: r["value"] for r in run.results}
    assert values["mine"] is None
    assert values["accuracy"] > 0.5
    (record,) = [r for r in run.document["summary"] if (r["metric"], r["budget"]) == ("mine", "all")]
    if "len(codes)" in code:
        assert record["value"] > 0.8, "over all folds it is defined"
    else:
        assert record["value"] is None
        assert record["reason"]
    assert run.table()


def test_a_metric_that_is_not_defined_on_one_class_of_test_rows(digits):
    """AUROC where the user's test part has one class."""
    X, y = digits
    order = np.argsort(y == "two", kind="stable")
    splits = np.where(np.arange(400) < 360, "train", "test")
    from dataclasses import replace

    ds = replace(load_dataset((X[order], y[order])), splits=splits)
    run = compare(ds, strategies=["ridge"], metrics=["auroc"], **QUICK)
    assert {r["value"] for r in run.results if r["metric"] == "auroc"} == {None}
    assert steps(run) == []


@pytest.mark.parametrize("full", [{"report.html"}, {"report.html", "run.json again"}, {"model"}])
def test_a_disk_that_is_full_at_the_end_costs_what_it_cannot_hold(full, digits, tmp_path, monkeypatch):
    run = compare(digits, strategies=["ridge"], **QUICK)
    writes, real = [], record.replace_text

    def replace_text(path, text):
        name = path.name + (" again" if path.name in writes else "")
        writes.append(path.name)
        if name in full:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, text)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record, "replace_text", replace_text)
    if "model" in full:
        monkeypatch.setattr("tlengine.probes.container.replace_file", no_space)
    written = run.save(tmp_path)
    expected = "save" if "model" in full else "report"
    assert steps(run) == [(expected, "ridge")]
    assert "No space left" in run.document["failed"][0]["error"]
    assert "run" in written
    assert load_run(tmp_path).verdict == run.verdict, "the answer is on the disk"


def test_where_the_answer_itself_cannot_be_written_that_is_an_error(digits, tmp_path, monkeypatch):
    run = compare(digits, strategies=["ridge"], **QUICK)

    def no_space(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(record, "replace_text", no_space)
    with pytest.raises(OSError, match="No space left"):
        run.save(tmp_path)
    assert run.verdict.accuracy > 0.8, "and the run is there, to be saved elsewhere"


def test_contents_that_are_gone_cost_their_pictures(monkeypatch):
    from tlengine.evaluation import findings

    rng = np.random.default_rng(0)
    texts = [f"word{rng.integers(0, 5)} word{rng.integers(0, 5)}" for _ in range(60)]
    monkeypatch.setattr(findings, "preview", lambda content: 1 / 0)
    run = compare((texts, ["a", "b"] * 30), "raw", strategies=["probe"], controls=["raw"], **QUICK)
    assert run.document["mistakes"]
    assert {m["preview"] for m in run.document["mistakes"]} == {None}
    assert steps(run) == []


def test_where_all_strategies_fail_the_controls_still_answer(digits):
    X, y = digits

    class Never(LDA):
        def fit(self, X, y):
            raise RuntimeError("never")

    run = compare((X, y), strategies=[("mine", Never)], controls={"raw": X[:, :20]}, **QUICK)
    assert steps(run) == [("fit", "mine")]
    assert run.verdict.role == "control"
    assert run.verdict.outcome == "undecided"
    assert "Use no pretrained network" in run.document["answer"]
    assert run.model.metadata["strategy"] == "raw"


def test_a_strategy_that_fails_at_one_budget_keeps_the_others(digits):
    class Many(LDA):
        def fit(self, X, y):
            if len(X) < 100:
                raise ValueError("more rows, please")
            return super().fit(X, y)

    run = compare(digits, strategies=[("mine", Many), "ridge"], **QUICK)
    (failed,) = run.document["failed"]
    assert (failed["strategy"], failed["budgets"], failed["error"]) == (
        "mine",
        [5],
        "ValueError: more rows, please",
    )
    assert {(r["strategy"], r["budget"]) for r in run.results} == {
        ("mine", "all"), ("ridge", 5), ("ridge", "all"),
    }  # fmt: skip


SIMPLE = """
from tlengine.plugins import SimpleStrategy

class Simple(SimpleStrategy):
    seeded = {seeded}
    def learn(self, view, rows, seed):
        lda = LDA().fit(view.features(rows), view.codes(rows))
        return lambda view, rows: lda.decision_function(view.features(rows))
    def fit(self, view, roles, *, seed):
        found = super().fit(view, roles, seed=seed)
        found.held_out = found.held_out if {held} else None
        return found

@tl.hookimpl
def tlengine_strategies():
    yield StrategySpec(name="simple", make=Simple)
"""


def test_a_strategy_that_cannot_be_kept_costs_the_model_alone(digits, planted, tmp_path):
    planted(SIMPLE.format(seeded=False, held=True))
    run = compare(digits, strategies=["simple"], **QUICK)
    assert steps(run) == [("refit", "simple")]
    assert "cannot be kept" in run.document["failed"][0]["error"]
    assert run.verdict.strategy == "simple"
    assert set(run.save(tmp_path)) == {"run", "report"}


def test_a_strategy_without_held_out_scores_is_judged_and_not_chosen(digits, planted):
    """A seeded strategy: every strategy of the run gets one holdout a seed."""
    planted(SIMPLE.format(seeded=True, held=False))
    run = compare(digits, strategies=["simple", "centroid"], **{**QUICK, "seeds": 3})
    assert steps(run) == []
    assert run.document["resamples"]["kind"] == "holdout"
    assert run.verdict.strategy == "centroid"
    assert run.verdict.judged_only == [{"backbone": "features", "strategy": "simple"}]
    assert {r["strategy"] for r in run.document["summary"]} == {"simple", "centroid"}


HOLLOW = """
@tl.hookimpl
def tlengine_strategies():
    yield StrategySpec(name="hollow", make={make}, default=True)
"""


@pytest.mark.parametrize(
    ("make", "message"),
    [("dict", "is a dict without reads"), ("exit", "cannot be made: SystemExit")],
)
def test_a_default_strategy_that_cannot_be_made_is_left_out(digits, planted, make, message):
    planted(HOLLOW.format(make=make))
    with pytest.warns(PluginWarning, match=message):
        run = compare(digits, **QUICK)
    assert "hollow" not in {record["strategy"] for record in run.results}
    with pytest.raises(PluginError, match=message):
        compare(digits, strategies=["hollow"], **QUICK)
