"""Every environment variable that the code reads is in one table."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "configuration.md"
READS = re.compile(
    r"""(?:environ(?:\.get|\.setdefault)?[\[(]|getenv\(|flag\(|env::var(?:_os)?\(|envvar=)\s*["']([A-Z][A-Z0-9_]+)"""
)


def read_by_the_code() -> set[str]:
    files = [*ROOT.glob("python/**/*.py"), *ROOT.glob("plugins/*/*.py"), *ROOT.glob("rust/*/src/**/*.rs")]
    return {name for file in files for name in READS.findall(file.read_text(encoding="utf-8"))}


def test_every_variable_is_in_the_table() -> None:
    found = read_by_the_code()
    assert {"TLENGINE_HOME", "TLENGINE_NUM_THREADS", "TLENGINE_ISA", "TQDM_DISABLE"} <= found
    table = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert found <= table


def test_the_readme_leads_there() -> None:
    assert "docs/configuration.md" in (ROOT / "README.md").read_text(encoding="utf-8")
