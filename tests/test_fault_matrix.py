"""``docs/fault-matrix.md`` lists every fault that the cache must survive, and no test that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DUE = {
    *range(1, 9),
    *range(10, 23),
    *range(24, 40),
    *range(41, 47),
    59,
    60,
    69,
}


def rows() -> dict[int, list[tuple[str, str]]]:
    """The tests of each row, as (file, name)."""
    table: dict[int, list[tuple[str, str]]] = {}
    for line in (ROOT / "docs" / "fault-matrix.md").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\| (\d+) \|", line):
            assert int(found[1]) not in table, f"row {found[1]} is there twice"
            table[int(found[1])] = re.findall(r"`([\w/.]+\.(?:py|rs))::(\w+)`", line)
    return table


def test_every_due_row_has_a_test() -> None:
    assert rows().keys() >= DUE
    assert all(tests for tests in rows().values())


def test_every_test_named_is_there() -> None:
    for number, tests in rows().items():
        for file, name in tests:
            text = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"\b(?:def|fn) {name}\(", text), f"row {number}: no {name} in {file}"
