"""``make demo``: 2,000 simulated textile textures, compared from the command line as a user would.

The cache lies in ``demo/home`` (or where ``TLENGINE_HOME`` points) and every fit in ``demo/out``, so a second
run makes no forward pass and no fit, and ``make clean`` leaves nothing behind. More options go to
``compare``.
"""

import os
import shlex
import sys
from pathlib import Path

import conformal_clip_data

from tlengine.cli import main


def run() -> None:
    """Shows the command, then runs it."""
    os.environ.setdefault("TLENGINE_HOME", str(Path("demo/home").resolve()))
    textures = str(conformal_clip_data.textile_simulated_root())
    arguments = ["compare", textures, "--out", "demo/out", *sys.argv[1:]]
    print(f"$ tlengine {shlex.join(arguments)}", file=sys.stderr)
    main(arguments)


if __name__ == "__main__":
    run()
