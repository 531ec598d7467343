"""Prints the run-time dependencies named in pyproject files, one word each, for pip.

Our own distributions are left out: they come from this tree, never from an index.
"""

import re
import sys
import tomllib
from pathlib import Path


def main(paths: list[str]) -> None:
    """Prints the sorted union of ``project.dependencies``."""
    wanted: set[str] = set()
    for path in paths:
        project = tomllib.loads(Path(path).read_text())["project"]
        wanted.update(name.replace(" ", "") for name in project.get("dependencies", []))
    print(*sorted(name for name in wanted if not re.match("tlengine", name)))


if __name__ == "__main__":
    main(sys.argv[1:])
