"""A file of records is taken up by whom it belongs to, and by one at a time."""

import pytest

from tlengine.errors import InputError, RunFormatError
from tlengine.probes import record_file
from tlengine.probes.record_file import open_records

OWN = ("grid", 3, "ab")


@pytest.fixture
def file(tmp_path):
    with open_records(tmp_path / "a", *OWN) as opened:
        opened.write(b"a record\n")
    return tmp_path / "a"


def test_what_was_written_is_read_and_gone_on_with(file):
    with open_records(file, *OWN) as opened:
        assert opened.read() == b"a record\n"
        opened.write(b"another\n")
    with open_records(file, *OWN) as opened:
        assert opened.read() == b"a record\nanother\n"


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (("path", 3, "ab"), "holds no path that this version of tlengine wrote"),
        (("grid", 4, "ab"), "is of an older build"),
        (("grid", 3, "cd"), "belongs to other data or settings"),
    ],
)
def test_a_file_of_another_is_refused_left_alone_and_free_again(file, other, match):
    before = file.read_bytes()
    with pytest.raises(RunFormatError, match=match):
        open_records(file, *other)
    assert file.read_bytes() == before
    open_records(file, *OWN).close()


def test_another_version_is_refused(file, monkeypatch):
    monkeypatch.setattr(record_file, "__version__", "9.9")
    with pytest.raises(RunFormatError, match=r"was written by tlengine .*; this is 9\.9"):
        open_records(file, *OWN)


def test_one_writer_at_a_time(file):
    with open_records(file, *OWN), pytest.raises(InputError, match="another run is writing to"):
        open_records(file, *OWN)


def test_a_first_line_that_was_cut_off_begins_anew(file):
    first = file.read_bytes().split(b"\n")[0]
    for length in (0, 1, len(first)):
        file.write_bytes(first[:length])
        with open_records(file, *OWN) as opened:
            assert opened.read() == b""
        assert file.read_bytes() == first + b"\n"
