"""A fork at any moment leaves a child that can call the core: data loaders fork while it works."""

import os
import subprocess
import sys
from pathlib import Path

FORKS = int(os.environ.get("TLENGINE_FORKS", "300"))


def test_forks_while_threads_start_and_end() -> None:
    """``make soak`` sets TLENGINE_FORKS to 10,000."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.forks", str(FORKS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{FORKS} of {FORKS} children ended" in done.stdout
