"""Rows by their contents: one that fails afterwards takes its equals with it."""

from tlengine.features.store import DistinctContents


def test_a_content_that_fails_takes_all_its_rows_with_it() -> None:
    samples = DistinctContents.of(["a", "", "b", "a", "c", "b"])
    assert samples.failures == {1: "the text is empty"}
    assert samples.readable().tolist() == [0, 2, 3, 4, 5]
    samples.fail(0, "too long")
    samples.fail(2, "too short")
    assert samples.failures == {
        0: "too long",
        1: "the text is empty",
        2: "too short",
        3: "too long",
        5: "too short",
    }
    assert samples.readable().tolist() == [4]


def test_a_failure_looks_at_no_other_row() -> None:
    """Failures are told once, at the end: ten thousand of them are as many entries."""
    samples = DistinctContents.of([str(i) for i in range(10_000)])
    for row in range(10_000):
        samples.fail(row, "no")
    assert len(samples.failed) == len(samples.failures) == 10_000
    assert not len(samples.readable())
