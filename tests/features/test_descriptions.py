"""Descriptions of preprocessing: what changes the result changes them, or they are refused."""

import functools
import importlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import tlengine as tl
from tlengine.errors import UnhashableRecipeError
from tlengine.features.descriptions import describe

HELPERS = """
import functools, logging, re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

SIZE = 64
TABLE = np.eye(2)
PATTERN = re.compile("a+")
LOG = logging.getLogger("helpers")
VOCABULARY = Path(r"{folder}") / "vocabulary.txt"


def helper(x):
    LOG.info("here")
    return (x, SIZE)


def through(x):
    return helper(x)


def table(x):
    return [TABLE for _ in range(2)]


def pattern(x):
    return PATTERN.sub("", x)


def reads_constant(x):
    return VOCABULARY.read_text()


@functools.cache
def memoised(x):
    return helper(x)


def uses_memoised(x):
    return memoised(x)


class Scale:
    factor = 3

    def run(self, x):
        return helper(x)


def uses_class(x):
    return Scale().run(x)


@dataclass(frozen=True)
class Frozen:
    n: int = 3
    LIMIT: ClassVar[int] = 5

    def __call__(self, x):
        return helper(x)


class Named(NamedTuple):
    n: int = 3

    def __call__(self, x):
        return helper(x)


class Methods:
    @classmethod
    def of_class(cls, x):
        return helper(x)

    @staticmethod
    def static(x):
        return helper(x)


@dataclass(frozen=True)
class Tokens:
    path: Path
    max_tokens: int = 8

    def __call__(self, text):
        return len(Path(self.path).read_text())


@dataclass(frozen=True)
class Hidden:
    max_tokens: int = 8

    def __call__(self, text):
        return self._load()

    def _load(self):
        from tokenizers import Tokenizer

        return Tokenizer.from_file("tokenizer.json")


def recursive(n):
    return recursive(n - 1) if n else helper(n)
"""

USER = """
import helpers
from helpers import through


def qualified(x):
    return helpers.through(x)


def imported_inside(x):
    from helpers import SIZE

    return SIZE


def module_inside(x):
    import helpers as renamed

    return renamed.helper(x)


def with_default(x, size=3):
    return size


def with_keyword(x, *, size=3):
    return size
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """``helpers`` and ``user``: two modules of somebody's own, next to each other."""
    (tmp_path / "vocabulary.txt").write_text("one")
    (tmp_path / "helpers.py").write_text(HELPERS.replace("{folder}", str(tmp_path)))
    (tmp_path / "user.py").write_text(USER)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("helpers"), importlib.import_module("user")
    for name in ("helpers", "user", "prepare_text"):
        sys.modules.pop(name, None)
    from tlengine.features import code

    code._is_library_name.cache_clear()


USES_SIZE: dict[str, Callable[[Any, Any], Any]] = {
    "a global": lambda helpers, user: helpers.helper,
    "a helper": lambda helpers, user: helpers.through,
    "a helper of another module": lambda helpers, user: user.through,
    "a qualified helper": lambda helpers, user: user.qualified,
    "a constant imported inside": lambda helpers, user: user.imported_inside,
    "a module imported inside": lambda helpers, user: user.module_inside,
    "a memoised helper": lambda helpers, user: helpers.uses_memoised,
    "a class": lambda helpers, user: helpers.uses_class,
    "a frozen dataclass": lambda helpers, user: helpers.Frozen(),
    "a named tuple": lambda helpers, user: helpers.Named(),
    "a bound method": lambda helpers, user: helpers.Frozen().__call__,
    "a class method": lambda helpers, user: helpers.Methods.of_class,
    "a static method": lambda helpers, user: helpers.Methods.static,
    "partial": lambda helpers, user: functools.partial(helpers.through, 3),
    "recursion": lambda helpers, user: helpers.recursive,
}


@pytest.mark.parametrize("name", USES_SIZE)
def test_a_constant_that_a_helper_uses_enters(
    name: str, modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = USES_SIZE[name](*modules)
    before = describe(what)
    json.dumps(before)
    assert describe(what) == before
    monkeypatch.setattr(modules[0], "SIZE", 16)
    assert describe(what) != before


def test_two_helpers_of_one_text_each_enter_with_their_own_globals(
    modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their code objects are equal; what they find under the name SIZE is not."""
    for name in ("one_helper", "other_helper"):
        (tmp_path / f"{name}.py").write_text("SIZE = 1\n\n\ndef scale(x):\n    return x * SIZE\n")
    (tmp_path / "both.py").write_text(
        "import one_helper\nimport other_helper\n\n\n"
        "def both(x):\n    return one_helper.scale(x) + other_helper.scale(x)\n"
    )
    importlib.invalidate_caches()
    both = importlib.import_module("both")
    for name in ("one_helper", "other_helper"):
        before = describe(both.both)
        monkeypatch.setattr(sys.modules[name], "SIZE", 2)
        assert describe(both.both) != before, name
    for name in ("one_helper", "other_helper", "both"):
        sys.modules.pop(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slotted(ABC):
    """Classes as careful people write them: nothing of what the decorator adds is in the way."""

    size: int = 3
    KINDS: ClassVar[frozenset[str]] = frozenset({"a", "b"})

    def __call__(self, text: str) -> Any:
        return np.zeros(self.size)

    @property
    def double(self) -> int:
        return 2 * self.size

    @abstractmethod
    def name(self) -> str: ...


@dataclass(frozen=True)
class Child(Slotted):
    def __call__(self, text: str) -> Any:
        return super().__call__(text)

    def name(self) -> str:
        return "child"


def test_decorated_classes_are_described() -> None:
    assert describe(Child()) == describe(Child())
    assert describe(Child()) != describe(Child(size=4))


def test_the_source_of_a_helper_enters(modules: Any, tmp_path: Path) -> None:
    before = describe(modules[1].qualified)
    text = (tmp_path / "helpers.py").read_text()
    (tmp_path / "helpers.py").write_text(text.replace("return (x, SIZE)", "return (x, SIZE + 1)"))
    assert describe(modules[1].qualified) == before, "the code that is loaded is still the old one"
    importlib.invalidate_caches()
    importlib.reload(modules[0])
    importlib.reload(modules[1])
    assert describe(modules[1].qualified) != before


@pytest.mark.parametrize(
    ("name", "value"), [("TABLE", np.zeros((2, 2))), ("PATTERN", "b+"), ("VOCABULARY", Path("nowhere.txt"))]
)
def test_other_globals_enter(name: str, value: Any, modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    what = {
        "TABLE": modules[0].table,
        "PATTERN": modules[0].pattern,
        "VOCABULARY": modules[0].reads_constant,
    }[name]
    before = describe(what)
    monkeypatch.setattr(modules[0], name, value)
    if name == "VOCABULARY":
        with pytest.raises(UnhashableRecipeError, match="reads_constant calls read_text"):
            describe(what)
    else:
        assert describe(what) != before


def test_defaults_attributes_and_class_constants_enter(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    helpers, user = modules
    for what, change in (
        (user.with_default, lambda: monkeypatch.setattr(user.with_default, "__defaults__", (4,))),
        (user.with_keyword, lambda: monkeypatch.setattr(user.with_keyword, "__kwdefaults__", {"size": 4})),
        (helpers.through, lambda: monkeypatch.setattr(helpers.through, "pad_id", 1, raising=False)),
        (helpers.Frozen(), lambda: monkeypatch.setattr(helpers.Frozen, "LIMIT", 6)),
        (helpers.uses_class, lambda: monkeypatch.setattr(helpers.Scale, "factor", 4)),
    ):
        before = describe(what)
        change()
        assert describe(what) != before


@pytest.mark.parametrize("spelling", [Path, str])
def test_a_path_in_a_frozen_dataclass_is_its_content(
    spelling: Callable[[Path], Any], modules: Any, tmp_path: Path
) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    what = modules[0].Tokens(spelling(file))
    before = describe(what)
    file.write_text('{"a": 1}')
    assert describe(what) != before
    file.write_text("{}")
    assert describe(what) == before


def test_a_folder_is_its_files_and_a_file_may_move(modules: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    before = describe(modules[0].Tokens(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    assert describe(modules[0].Tokens(moved)) == before
    (moved / "special_tokens.json").write_text("[]")
    assert describe(modules[0].Tokens(moved)) != before


def read_open(text: str) -> Any:
    with open("vocabulary.txt") as file:
        return file.read()


def read_path(text: str) -> Any:
    return Path("vocabulary.txt").read_bytes()


def read_numpy(text: str) -> Any:
    return np.load("table.npy")


def read_environment(text: str) -> Any:
    import os

    return os.environ["SIZE"]


def read_pretrained(text: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained("bert-base-uncased")(text)


def decode(image: Any) -> Any:
    image.load()
    return np.asarray(image)


@pytest.mark.parametrize("what", [read_open, read_path, read_numpy, read_environment, read_pretrained])
def test_code_that_reads_what_is_named_nowhere_is_refused(what: Any) -> None:
    with pytest.raises(UnhashableRecipeError, match=r"what that reads is in no field(.|\n)*describe\(\)"):
        describe(what)
    with pytest.raises(UnhashableRecipeError):
        describe(functools.partial(what, 3))


def test_a_method_that_is_only_named_like_reading_is_none() -> None:
    assert describe(decode)


def test_a_dataclass_that_reads_a_file_of_its_own_is_refused(modules: Any) -> None:
    with pytest.raises(UnhashableRecipeError, match=r"Hidden\._load calls from_file"):
        describe(modules[0].Hidden())


class Unknown:
    def __call__(self, x: Any) -> Any:
        return x

    def method(self, x: Any) -> Any:
        return x


UNKNOWN = Unknown()


def uses_unknown(x: Any) -> Any:
    return UNKNOWN(x)


class Fails:
    def describe(self) -> Any:
        raise OSError("gone")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (uses_unknown, "uses_unknown uses UNKNOWN: a .*Unknown does not describe itself"),
        (UNKNOWN.method, "Unknown does not describe itself"),
        (functools.partial(lambda x: x), "a lambda"),
        (Fails(), r"describe\(\) of .*Fails failed: OSError\('gone'\)"),
    ],
)
def test_what_hides_behind_a_name_is_refused_with_its_place(what: Any, message: str) -> None:
    with pytest.raises(UnhashableRecipeError, match=message) as caught:
        describe(what)
    assert "preprocess_name=" in str(caught.value.hint)


def test_names_of_libraries_do_not_drag_their_source_in() -> None:
    def size_of(described: Any) -> int:
        return len(json.dumps(described))

    assert size_of(describe(decode)) < 300
    assert describe(str) == {"class": "builtins.str"}
    assert describe(len) == {"builtin": "builtins.len"}


def test_rows_are_embedded_anew_after_a_helper_changed(
    modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B4 of the newcomer's notes: six of six rows came from the cache, wrong by 0.012."""
    from torch import nn

    def prepare() -> tl.Backbone:
        return tl.Backbone(nn.Flatten(), preprocess=modules[0].prepare, modality="text", name="lengths")

    monkeypatch.setattr(modules[0], "prepare", _compiled(tmp_path, modules[0]), raising=False)
    ds = tl.load_dataset(["a", "bb", "ccc"])
    first = tl.extract(ds, prepare(), cache=tmp_path / "cache", progress=False)
    monkeypatch.setattr(modules[0], "SIZE", 16)
    second = tl.extract(ds, prepare(), cache=tmp_path / "cache", progress=False)
    assert (first.stats.embedded, second.stats.embedded) == (3, 3)  # type: ignore[union-attr]
    assert (second.X[:, 1] == 16).all()


def _compiled(folder: Path, helpers: ModuleType) -> Any:
    """A preprocessing in a file of its own, which calls a helper of ``helpers``."""
    (folder / "prepare_text.py").write_text(
        "import numpy as np\nfrom helpers import helper\n\n\n"
        "def prepare(text):\n    return np.array([len(text), helper(text)[1]], float)\n"
    )
    importlib.invalidate_caches()
    return importlib.import_module("prepare_text").prepare
