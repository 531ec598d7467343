from pathlib import Path

import pytest

from tests.reports.conftest import make_document


@pytest.fixture
def run(tmp_path):
    import json

    path = tmp_path / "run.json"
    path.write_text(json.dumps(make_document()))
    return path


def test_the_report_stands_beside_the_run(tl, run):
    code, out, _ = tl("report", run)
    assert code == 0
    assert Path(out.strip()) == run.parent / "report.html"
    assert "<h1>Use net" in (run.parent / "report.html").read_text()


def test_another_place_and_json(tl, run, tmp_path):
    code, document, _ = tl("report", run.parent, "--out", tmp_path / "deep" / "r.html", "--json")
    assert (code, document) == (0, {"report": str(tmp_path / "deep" / "r.html")})
    assert (tmp_path / "deep" / "r.html").exists()


def test_a_run_of_another_version_is_refused_clearly(tl, tmp_path):
    (tmp_path / "run.json").write_text('{"format": "tlengine-run", "version": 1}')
    code, out, err = tl("report", tmp_path)
    assert (code, out) == (1, "")
    assert "run.json has version 1; this tlengine reads 2" in err
    assert "hint: run compare again" in err
    assert not (tmp_path / "report.html").exists()


def test_a_missing_run_and_an_unknown_format(tl, run, tmp_path):
    code, _, err = tl("report", tmp_path / "nowhere.json")
    assert code == 1
    assert "nowhere.json" in err
    code, _, err = tl("report", run, "--format", "htm")
    assert code == 1
    assert "html" in err
