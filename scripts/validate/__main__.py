"""``make validate``: the simulations in full; their tables go into ``docs/validation.md``, between its marks.

Exits 1 where a limit is broken. Options: those of :mod:`.size` and :mod:`.coverage`, given to both; the other
simulations are run as they stand.
"""

import contextlib
import datetime
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.validate import coverage, headline, mutations, patience, shuffled, size

PAGE = Path(__file__).resolve().parents[2] / "docs" / "validation.md"


class Tee(io.StringIO):
    """What is printed is kept too."""

    def write(self, text: str) -> int:
        """To both."""
        sys.__stdout__.write(text)
        sys.__stdout__.flush()
        return super().write(text)


def put(name: str, table: str, given: Sequence[str]) -> None:
    """Replace what stands between the marks of this name, and say with which options it was run."""
    start, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    how = f" with `{' '.join(given)}`" if given else ""
    run = f"Run on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}{how}."
    body = f"{start}\n\n{run}\n\n{table.strip()}\n\n{end}"
    page, found = re.subn(
        f"{re.escape(start)}.*?{re.escape(end)}", lambda _: body, PAGE.read_text(), flags=re.S
    )
    if found != 1:
        raise SystemExit(f"error: {PAGE} has no marks for {name}")
    PAGE.write_text(page)


def main() -> int:
    """Each in turn; 1 where one is broken."""
    broken, options = 0, sys.argv[1:]
    for name, run, given in (
        ("size", size.main, options),
        ("coverage", coverage.main, options),
        ("shuffled", shuffled.main, []),
        ("headline", headline.main, []),
        ("mutations", mutations.main, []),
        ("patience", patience.main, []),
    ):
        sys.argv[1:] = given
        with contextlib.redirect_stdout(Tee()) as table:
            broken |= run()
        put(name, table.getvalue(), given)
    return broken


if __name__ == "__main__":
    sys.exit(main())
