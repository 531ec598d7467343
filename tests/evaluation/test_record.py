"""The record of a run: strict JSON on the disk, and the same run when it is read again."""

import json
from dataclasses import replace

import numpy as np
import pytest

import tlengine as tl
from tests.evaluation.planted import plant
from tlengine.data import load_dataset
from tlengine.errors import InputError, MissingPackageError, RunFormatError
from tlengine.evaluation import check_document, compare, load_run
from tlengine.evaluation.record import run_document


@pytest.fixture(autouse=True)
def plain_report(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("tlengine.builtin.render_html", lambda document: document["answer"])
    plant(tmp_path_factory.mktemp("site"), monkeypatch)


@pytest.fixture(scope="module")
def run(digits):
    options = {"strategies": ["ridge", "centroid"], "budgets": [5, "all"], "seeds": 1, "progress": False}
    return compare(digits, controls={"raw": digits[0][:, :20]}, **options)


def strict(text):
    """JSON as every other reader knows it: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_run_and_its_verdict_are_shown_by_their_answer(run):
    answer = run.document["verdict"]["answer"]
    assert repr(run) == f"<RunResult of {run.document['dataset']['name']}: {answer}>"
    assert str(run.verdict) == f"<Verdict {run.verdict.outcome}: {answer}>"


def test_a_saved_run_is_read_again(run, tmp_path):
    written = run.save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["model", "report.html", "run.json"]
    assert set(written) == {"run", "report", "model"}
    again = tl.load_run(written["run"])
    assert again.document == run.document == strict((tmp_path / "out" / "run.json").read_text())
    assert again.verdict == run.verdict
    assert again.table() == run.table()
    assert again.results == run.results
    assert load_run(tmp_path / "out").document == run.document
    assert again.model is None


def test_a_run_without_any_interval_is_strict_json(tmp_path):
    """A test part of one unit, faultless: once NaN, and a run that was lost when it was to be written."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 2
    X = rng.normal(size=(90, 4)) + 8 * y[:, None]
    ds = replace(
        load_dataset((X, y)),
        splits=np.array(["train"] * 60 + ["test"] * 30),
        groups=np.array([str(i) for i in range(60)] + ["one"] * 30),
    )
    run = compare(ds, controls={"raw": rng.normal(size=(90, 3))}, budgets=[5, "all"], progress=False)
    document = strict(run.to_json())
    check_document(document, "run.json")
    verdict = document["verdict"]
    assert verdict["accuracy"] == 1.0
    assert verdict["outcome"] == "undecided"
    assert verdict["accuracy_reason"] == "all test rows belong to one unit"
    for record in (*document["summary"], *document["comparisons"], *verdict["controls"]):
        assert (record["low"], record["high"]) == (None, None)
        assert record["reason"]
    assert all(c["p_value"] == c["p_adjusted"] == 1.0 for c in verdict["controls"])
    run.save(tmp_path)
    assert load_run(tmp_path).verdict == run.verdict
    assert run.table().count("100.0 %") >= 1


def test_the_results_name_every_fit(run):
    assert set(run.results[0]) == {
        "backbone", "strategy", "budget", "seed", "fold", "metric", "value",
    }  # fmt: skip
    assert len(run.results) == 3 * 2 * 5 * 4


def test_results_as_a_table_of_pandas(run):
    pandas = pytest.importorskip("pandas")
    table = run.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert table.to_dict("records") == run.results
    means = table[table.metric == "accuracy"].groupby(["strategy", "budget"]).value.mean()
    assert means["ridge", "all"] > 0.9


def test_without_pandas_that_is_said(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pandas"):
        run.to_pandas()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"3", b'{"format": "other"}', b"\x80\x04pickle", b"{" * 100_000]
)
def test_a_foreign_file_is_refused(content, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunFormatError, match=r"run\.json"):
        load_run(tmp_path / "run.json")


def test_nothing_there_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_run(tmp_path)


def test_a_file_beyond_all_measure_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("tlengine.evaluation.record._LIMIT", 10)
    (tmp_path / "run.json").write_text(" " * 11)
    with pytest.raises(RunFormatError, match="11 bytes; the limit is 10"):
        load_run(tmp_path)


def test_out_may_not_be_a_file(run, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="not a directory"):
        run.save(tmp_path / "taken")


def test_a_document_is_of_plain_types():
    found = run_document(a=np.float32(0.5), b=np.array([1, 2]), c=float("nan"), d=("x", None), e={1: True})
    assert (found["a"], found["b"], found["c"], found["d"], found["e"]) == (
        0.5, [1, 2], None, ["x", None], {"1": True},
    )  # fmt: skip
    strict(json.dumps(found, allow_nan=False))


def test_what_a_verdict_of_another_tlengine_adds_is_no_error(run):
    verdict = {**run.document["verdict"], "of_tomorrow": 1}
    assert replace(run, document={**run.document, "verdict": verdict}).verdict == run.verdict


def test_the_environment_names_versions_and_plugins(run):
    environment = run.document["environment"]
    assert environment["versions"]["numpy"] == np.__version__
    assert environment["threads"] >= 1
    assert "builtin" in [plugin["name"] for plugin in environment["plugins"]]


@pytest.mark.parametrize("strange", [3, None, b"run.json", ["run.json"], {}])
def test_a_run_is_read_from_a_path(strange):
    with pytest.raises(InputError, match="is no path"):
        load_run(strange)
