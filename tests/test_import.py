"""``import tlengine`` is quick: nothing heavy is loaded until it is used."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tlengine

HEAVY = {
    "torch",
    "sklearn",
    "scipy",
    "matplotlib",
    "timm",
    "transformers",
    "pandas",
    "pyarrow",
    "PIL",
    "click",
}


def _loaded_by(code: str) -> set[str]:
    script = (
        f"{code}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_import_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import tlengine")
    assert "tlengine" in loaded
    assert not loaded & HEAVY


def test_probing_arrays_loads_no_torch() -> None:
    loaded = _loaded_by(
        "import tlengine as tl; tl.LinearProbe, tl.KNeighborsProbe, tl.nearest, tl.EmbeddingCache"
    )
    assert "sklearn" in loaded
    assert "torch" not in loaded


def test_help_loads_nothing_heavy() -> None:
    loaded = _loaded_by(
        "import sys\nfrom tlengine.cli import main\nsys.stdout = sys.stderr\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    sys.stdout = sys.__stdout__"
    )
    assert "click" in loaded
    assert not loaded & (HEAVY - {"click", "PIL"})  # image plugins describe their preprocessing


@pytest.mark.parametrize("name", tlengine.__all__)
def test_public_name_exists(name: str) -> None:
    assert getattr(tlengine, name) is not None
    assert name in dir(tlengine)


def test_every_name_in_the_docs_exists() -> None:
    docs = Path(__file__).parents[1] / "docs"
    named = {
        name
        for page in docs.glob("*.md")
        for name in re.findall(r"\btl\.([A-Za-z]\w+)", page.read_text("utf-8"))
    }
    assert "NeighborIndex" in named
    assert not {name for name in named if not hasattr(tlengine, name)}


def test_what_belongs_to_a_run_is_public_and_loads_no_torch() -> None:
    names = "load_run", "Model", "RunResult", "errors", "interval", "paired_test"
    assert set(names) <= set(tlengine.__all__)
    loaded = _loaded_by(f"import tlengine as tl; {', '.join(f'tl.{name}' for name in names)}")
    assert "torch" not in loaded
    assert issubclass(tlengine.errors.RunFormatError, tlengine.errors.TlengineError)
    found = tlengine.interval([1, 1, 1, 0] * 50)
    assert found.low < 0.75 < found.high
    test = tlengine.paired_test([1, 1, 1, 0] * 50, [1, 0, 0, 0] * 50)
    assert test.effect == 0.5
    assert test.p_value < 0.05


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tlengine.no_such_name


def _modules_that_import(target: str) -> set[str]:
    """Modules of the package whose source imports ``target``, as dotted names."""
    root = Path(tlengine.__file__).parent
    found = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            if any(name == target or name.startswith(f"{target}.") for name in names):
                found.add(".".join(file.relative_to(root).with_suffix("").parts))
    return found


def test_core_is_called_from_few_rooms() -> None:
    """import-linter sees Python sources alone, so the compiled module has its rule here."""
    allowed = ("features.cache", "probes.", "diagnostics.", "__init__")
    callers = _modules_that_import("tlengine._core")
    assert callers
    assert not [name for name in callers if not name.startswith(allowed)]
