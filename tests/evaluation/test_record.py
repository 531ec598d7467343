import copy
import json

import pytest

from tlengine.errors import InputError, RunFormatError
from tlengine.evaluation import check_document, compare, load_run


@pytest.fixture(scope="module")
def run(digits):
    return compare(digits, strategies=["ridge"], budgets=[5, "all"], seeds=1, progress=False)


def test_a_saved_run_is_read_again(run, tmp_path):
    written = run.save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["model", "report.html", "run.json"]
    again = load_run(written["run"])
    assert again.document == run.document
    assert again.verdict == run.verdict
    assert again.table() == run.table()
    assert load_run(tmp_path / "out").document == run.document


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"3", b'{"format": "other"}', b"\x80\x04pickle", b"{" * 100_000]
)
def test_a_foreign_file_is_refused(content, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunFormatError, match=r"run\.json"):
        load_run(tmp_path / "run.json")


def test_a_newer_version_is_refused(run, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({**run.document, "version": 2}))
    with pytest.raises(RunFormatError, match="version 2"):
        load_run(tmp_path / "run.json")


def test_every_part_is_needed(run):
    for name in set(run.document) - {"format", "version", "created", "answer", "fits"}:
        broken = copy.deepcopy(dict(run.document))
        del broken[name]
        with pytest.raises(RunFormatError, match=name):
            check_document(broken, "run.json")


def test_a_record_without_its_key_is_named(run):
    broken = copy.deepcopy(dict(run.document))
    del broken["results"][1]["metric"]
    with pytest.raises(RunFormatError, match=r"results\[1\].metric"):
        check_document(broken, "run.json")


def test_out_may_not_be_a_file(run, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="not a directory"):
        run.save(tmp_path / "taken")
