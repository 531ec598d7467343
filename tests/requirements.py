"""What a test may need of the machine; a skip says what is missing and is counted.

``TLENGINE_REQUIRE_ALL=1`` (set by ``.ci/run``) turns each such skip into a failure.
"""

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["require_root", "require_shared_data", "require_tools"]


def _missing(what: str) -> None:
    if os.environ.get("TLENGINE_REQUIRE_ALL") == "1":
        pytest.fail(f"TLENGINE_REQUIRE_ALL=1, but {what}", pytrace=False)
    pytest.skip(what)


def require_root() -> None:
    """For mounts, quotas and power cuts."""
    if os.geteuid() != 0:
        _missing("not root")


def require_tools(*names: str) -> None:
    """For programs that come with the system, such as ``strace`` and ``chromium``."""
    for name in names:
        if shutil.which(name) is None:
            _missing(f"no program {name!r} here")


def require_shared_data() -> Path:
    """The folder ``../shared/data`` beside the checkout, which is not part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/data beside the checkout")
    return folder
