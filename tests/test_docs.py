"""The documentation is true: every snippet runs, every link leads somewhere, every target exists.

Blocks fenced as ``sh`` run under ``bash -eu -o pipefail``, ``python`` blocks of one page run in one process,
each page in a folder with the data that the tutorials talk about.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
EACH, TICKETS = 12, 15
"""Samples of each class: five folds leave room for a budget of 5; of tickets, for 10, which a page names."""


def _blocks(page: Path, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(page.read_text()) if name == language]


def _is_make(block: str) -> bool:
    return all(line.startswith("make ") for line in block.splitlines() if line.strip())


SHELL = [(page, block) for page in PAGES for block in _blocks(page, "sh")]
PAGES_THAT_RUN = [
    page
    for page in PAGES
    if _blocks(page, "python") or any(not _is_make(block) for block in _blocks(page, "sh"))
]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with ``photos/ new-photos/ reviews.csv tickets.csv``: small parts of real data."""
    import conformal_clip_data

    source = Path(conformal_clip_data.textile_simulated_root())
    (tmp_path / "new-photos").mkdir()
    for folder in sorted(p for p in source.iterdir() if p.is_dir()):
        files = sorted(folder.glob("*.jpg"))
        (tmp_path / "photos" / folder.name).mkdir(parents=True)
        for file in files[:EACH]:
            shutil.copy(file, tmp_path / "photos" / folder.name)
        shutil.copy(files[-1], tmp_path / "new-photos" / f"{folder.name}.jpg")
    with (ROOT / "tests" / "data" / "tickets.csv").open() as table:
        head, *rows = csv.reader(table)  # three topics by turns
    _write(tmp_path / "tickets.csv", [head, *rows[: 3 * TICKETS]])
    _write(tmp_path / "reviews.csv", [["text", "label"], *(row[1:] for row in rows[: 3 * EACH])])
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    return tmp_path


def _write(file: Path, rows: list[list[str]]) -> None:
    with file.open("w") as out:
        csv.writer(out).writerows(rows)


def test_documentation_was_found() -> None:
    assert len(PAGES) >= 6
    assert len(SHELL) >= 6


@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=lambda page: page.name)
@pytest.mark.timeout(600)
def test_snippets_run(page: Path, desk: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in (b for b in _blocks(page, "sh") if not _is_make(b)):
        command = ["bash", "-eu", "-o", "pipefail", "-c", block]
        _check(subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True), block)
    if code := "\n".join(_blocks(page, "python")):
        # A main guard: data loaders of macOS start their workers afresh.
        script = desk / "snippets.py"
        body = "\n".join(f"    {line}" for line in code.splitlines())
        script.write_text(f'if __name__ == "__main__":\n{body}\n')
        command = [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)]
        _check(subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True), code)


def _check(done: "subprocess.CompletedProcess[str]", block: str) -> None:
    assert done.returncode == 0, f"{block}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = {t for page in PAGES for t in re.findall(r"\bmake ([a-z-]+)", "\n".join(_blocks(page, "sh")))}
    assert {"demo", "test"} <= named
    assert named <= targets
