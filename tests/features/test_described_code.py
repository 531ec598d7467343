"""Traps of describing code: paths, caches that code fills, calls that read or draw, libraries of all kinds."""
# ruff: noqa: E501 - each line of a table is one small module

import functools
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tlengine.errors import UnhashableRecipeError
from tlengine.features import code, filled
from tlengine.features.descriptions import describe

_number = itertools.count()
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Makes a module of somebody's own out of source."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def imported(source: str) -> ModuleType:
        made.append(f"somebodys_{next(_number)}")
        (tmp_path / f"{made[-1]}.py").write_text(source)
        importlib.invalidate_caches()
        return importlib.import_module(made[-1])

    yield imported
    for name in made:
        del sys.modules[name]
    code._is_library_name.cache_clear()
    filled._tree.cache_clear()


SLASH = {
    "a default argument": "def prep(x, sep='/'):\n    return x.split(sep)\n",
    "a keyword": "def prep(x, *, sep='/'):\n    return x.split(sep)\n",
    "a global": "SEP = '/'\ndef prep(x):\n    return x.split(SEP)\n",
    "a field": "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    sep: str = '/'\n"
    "    def __call__(self, x):\n        return x.split(self.sep)\nprep = P()\n",
    "a folder": "def prep(x, sep='/usr'):\n    return x.split(sep)\n",
}


@pytest.mark.parametrize("name", SLASH)
def test_a_text_is_no_folder(name: str, load: Load) -> None:
    assert "'/" in str(describe(load(SLASH[name]).prep))


@pytest.mark.parametrize("folder", [Path("/"), Path.home()])
def test_the_root_and_the_home_are_no_folders_to_describe(folder: Path) -> None:
    with pytest.raises(UnhashableRecipeError, match="much more than a preprocessing reads") as caught:
        describe(folder)
    assert "name the file" in str(caught.value.hint)


HERE = {
    "a path": "from pathlib import Path\nHERE = Path(__file__).parent\n"
    "def prep(x):\n    return (HERE / 'vocabulary.txt').read_text()\n",
    "a resolved path": "from pathlib import Path\nHERE = Path(__file__).resolve().parent\n"
    "def prep(x):\n    with (HERE / 'vocabulary.txt').open() as file:\n        return file.read()\n",
    "a text": "import os\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
    "def prep(x):\n    with open(os.path.join(HERE, 'vocabulary.txt')) as file:\n        return file.read()\n",
    "a helper": "from pathlib import Path\nHERE = Path(__file__).parent\n"
    "def words():\n    return (HERE / 'vocabulary.txt').read_text()\ndef prep(x):\n    return words()\n",
    "a field": "from dataclasses import dataclass\nfrom pathlib import Path\n@dataclass(frozen=True)\nclass P:\n"
    "    here: Path = Path(__file__).parent\n    def __call__(self, x):\n"
    "        return (self.here / 'vocabulary.txt').read_text()\nprep = P()\n",
}


@pytest.mark.parametrize("name", HERE)
def test_of_the_folder_of_the_code_the_files_that_it_names_enter(
    name: str, load: Load, tmp_path: Path
) -> None:
    (tmp_path / "vocabulary.txt").write_text("one")
    prep = load(HERE[name]).prep
    before = describe(prep)
    assert str(tmp_path) not in str(before)
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_text("x")
    assert describe(prep) == before, "the key changes by itself"
    (tmp_path / "vocabulary.txt").write_text("two")
    assert describe(prep) != before


def test_a_reader_in_the_folder_of_the_code_that_names_no_file_is_refused(load: Load) -> None:
    source = "from pathlib import Path\nHERE = Path(__file__).parent\ndef prep(x):\n    return (HERE / x).read_text()\n"
    with pytest.raises(UnhashableRecipeError, match="calls read_text"):
        describe(load(source).prep)


def test_hidden_names_do_not_enter_and_a_large_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    (folder / "sub" / "__pycache__").mkdir(parents=True)
    (folder / "sub" / "a.json").write_text("{}")
    before = describe(folder)
    (folder / ".cache").write_text("x")
    (folder / "sub" / "__pycache__" / "a.pyc").write_text("x")
    assert describe(folder) == before
    from tlengine.features import paths

    monkeypatch.setattr(paths, "_FILES", 1)
    (folder / "b.json").write_text("{}")
    with pytest.raises(UnhashableRecipeError, match="holds more than 1 files or 4 GiB"):
        describe(folder)


@pytest.mark.skipif(os.name != "posix", reason="a link to itself is a thing of POSIX")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "loop.json").symlink_to(tmp_path / "model" / "loop.json")
    with pytest.raises(UnhashableRecipeError, match=r"loop\.json cannot be read"):
        describe(tmp_path / "model")


@pytest.mark.parametrize("spelling", [str, Path])
def test_a_file_is_its_content_wherever_it_lies(spelling: Callable[[Path], Any], tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.txt").write_text("one")
    places = [tmp_path / "a" / "words.txt", tmp_path / "b" / "words.txt"]
    assert describe(spelling(places[0])) == describe(spelling(places[1])) == describe(Path(places[0]))


FILLED = {
    "a global": "_TOK = None\ndef tok():\n    global _TOK\n    _TOK = _TOK or object()\n    return _TOK\n"
    "def prep(x):\n    tok()\n    return [x]\n",
    "a global, by itself": "_TOK = None\ndef prep(x):\n    global _TOK\n    if _TOK is None:\n        _TOK = object()\n"
    "    return [x]\n",
    "a memo": "_SEEN = {}\ndef prep(x):\n    if x not in _SEEN:\n        _SEEN[x] = object()\n    return [x]\n",
    "setdefault": "_SEEN = dict()\ndef prep(x):\n    return _SEEN.setdefault(x, [x])\n",
    "a list": "_SEEN = []\ndef note(x):\n    _SEEN.append(x)\ndef prep(x):\n    note(x)\n    return [len(_SEEN)]\n",
    "a set in a method": "_SEEN: set = set()\nfrom dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n"
    "    def __call__(self, x):\n        _SEEN.add(x)\n        return [x]\nprep = P()\n",
}


@pytest.mark.parametrize("name", FILLED)
def test_what_the_code_fills_itself_does_not_change_the_key(name: str, load: Load) -> None:
    prep = load(FILLED[name]).prep
    before = describe(prep)
    prep("a")
    prep("b")
    assert describe(prep) == before


def test_what_a_filled_global_holds_at_first_enters(load: Load) -> None:
    source = "WORDS = {}\ndef prep(x):\n    return WORDS.setdefault(x, len(WORDS))\n"
    described = [describe(load(text).prep) for text in (source, source.replace("{}", "{'a': 1}"))]
    assert described[0]["uses"] != described[1]["uses"]


def test_a_setter_that_is_not_reached_leaves_a_global_a_setting(load: Load) -> None:
    module = load(
        "SIZE = 1\ndef resize(n):\n    global SIZE\n    SIZE = n\ndef prep(x):\n    return [x, SIZE]\n"
    )
    before = describe(module.prep)
    module.resize(2)
    assert describe(module.prep) != before


def test_partials_of_libraries_enter_by_name() -> None:
    from torchvision.transforms import functional

    one, other = (describe(functools.partial(functional.resize, size=[n, n])) for n in (3, 4))
    assert one != other
    assert len(str(one)) < 300


LIBRARY = {
    "a dispatcher": "from numpy import stack\ndef prep(x):\n    return stack([x])\n",
    "a ufunc": "from numpy import sqrt\ndef prep(x):\n    return sqrt(x)\n",
    "a bound method": "from numpy import asarray, mean\ndef prep(x):\n    return mean(asarray(x))\n",
    "an optional import": "def prep(x):\n    try:\n        import not_installed_here\n    except ImportError:\n"
    "        return [x]\n    return not_installed_here.f(x)\n",
    "an image in memory": "import io\nfrom PIL import Image\ndef prep(x):\n    buffer = io.BytesIO()\n"
    "    x.save(buffer, 'JPEG')\n    return Image.open(buffer)\n",
    "an array in memory": "from io import BytesIO\nimport numpy as np\ndef prep(x):\n    return np.load(BytesIO(x))\n",
    "inside": "def prep(x):\n    import io\n    from PIL import Image\n    return Image.open(io.BytesIO(x))\n",
    "json": "import json\ndef prep(buffer):\n    return json.load(buffer)\n",
    "a seeded draw": "import numpy as np\ndef prep(x):\n    return np.random.default_rng(0).normal(size=3)\n",
    "a generator": "import torch\ndef prep(x):\n    g = torch.Generator().manual_seed(0)\n    return torch.rand(3, generator=g)\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_ordinary_code_is_described(name: str, load: Load) -> None:
    prep = load(LIBRARY[name]).prep
    assert describe(prep) == describe(prep)


READS = {
    "beside a described file": "import numpy as np\ndef prep(x, words={file!r}):\n    return np.load('gone.npy')\n",
    "open of a path": "from pathlib import Path\ndef prep(x):\n    return Path('gone.txt').open()\n",
    "open of a field": "def prep(x):\n    return x.path.open()\n",
    "a literal path": "from pathlib import Path\ndef prep(x, words={file!r}):\n    return Path('gone.txt').read_text()\n",
    "the environment": "import os\ndef prep(x, words={file!r}):\n    return os.environ['SIZE']\n",
    "the environment, inside": "def prep(x, words={file!r}):\n    from os import getenv\n    return getenv('SIZE')\n",
    "a literal beside memory": "import io, numpy as np\ndef prep(x):\n    io.BytesIO()\n    return np.load('gone.npy')\n",
}


@pytest.mark.parametrize("name", READS)
def test_a_described_file_does_not_answer_for_others(name: str, load: Load, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one")
    prep = load(READS[name].replace("{file!r}", repr(str(tmp_path / "words.txt")))).prep
    with pytest.raises(UnhashableRecipeError, match="what that reads is in no field"):
        describe(prep)


DRAWS = {
    "random": "import random\ndef prep(x):\n    return [x, random.random()]\n",
    "from random": "from random import randint\ndef prep(x):\n    return [x, randint(0, 9)]\n",
    "numpy": "import numpy as np\ndef prep(x):\n    return x + np.random.rand(3)\n",
    "numpy, inside": "def prep(x):\n    import numpy as np\n    return x + np.random.randint(3)\n",
    "default_rng": "import numpy as np\ndef prep(x):\n    return np.random.default_rng().normal()\n",
    "torch": "import torch\ndef prep(x):\n    return x + torch.randn(3)\n",
    "a helper": "import random\ndef flip(x):\n    return x[::-1] if random.random() < 0.01 else x\n"
    "def prep(x):\n    return flip(x)\n",
    "a transform": "from torchvision import transforms as T\ndef prep(x):\n    return T.RandomCrop(3)(x)\n",
}


@pytest.mark.parametrize("name", DRAWS)
def test_code_that_draws_by_chance_is_refused(name: str, load: Load) -> None:
    with pytest.raises(UnhashableRecipeError, match="draws by chance") as caught:
        describe(load(DRAWS[name]).prep)
    assert "preprocess_name=" in str(caught.value.hint)


WRAPPED = {
    "lru_cache": "@functools.lru_cache\n    def ids(self, x):",
    "lru_cache with a size": "@functools.lru_cache(maxsize=9)\n    def ids(self, x):",
    "cached static": "@staticmethod\n    @functools.cache\n    def ids(x):",
    "cached property": "@functools.cached_property\n    def ids(self):",
}


@pytest.mark.parametrize("name", WRAPPED)
def test_methods_behind_wrappers_enter(name: str, load: Load) -> None:
    source = (
        "import functools\nfrom dataclasses import dataclass\nSIZE = 1\n@dataclass(frozen=True)\nclass P:\n"
        "    def __call__(self, x):\n        return x\n    "
        + WRAPPED[name]
        + "\n        return SIZE\nprep = P()\n"
    )
    module = load(source)
    before = describe(module.prep)
    module.SIZE = 2  # type: ignore[attr-defined]
    assert describe(module.prep) != before


def test_long_code_is_read_to_its_end(load: Load) -> None:
    """Beyond 256 names an instruction has a prefix, which may stand between an import and its arguments."""
    lines = "".join(f"    x.name_{i}\n" for i in range(300))
    module = load(
        f"SIZE = 1\ndef prep(x):\n{lines}    import importlib as renamed\n    return renamed, SIZE\n"
    )
    before = describe(module.prep)
    module.SIZE = 2  # type: ignore[attr-defined]
    assert describe(module.prep) != before


@pytest.mark.parametrize("place", ["site-packages", "dist-packages"])
def test_packages_on_any_path_are_libraries(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Load
) -> None:
    (tmp_path / place).mkdir()
    name = f"packaged_{next(_number)}"
    (tmp_path / place / f"{name}.py").write_text("SIZE = 1\ndef f(x):\n    return SIZE\n")
    monkeypatch.syspath_prepend(str(tmp_path / place))
    importlib.invalidate_caches()
    module = load(f"from {name} import f\ndef prep(x):\n    return f(x)\n")
    assert "uses" not in describe(module.prep)
    del sys.modules[name]


def test_objects_of_transformers_are_described_by_content(load: Load) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer as Trained
    from tokenizers.models import WordLevel

    module = load("def prep(x):\n    return PROC(x)\n")
    for make in (
        lambda n: transformers.PreTrainedTokenizerFast(
            tokenizer_object=Trained(WordLevel({"a": 0, "b": n}, unk_token="a")), pad_token="a"
        ),
        lambda n: Trained(WordLevel({"a": 0, "b": n}, unk_token="a")),
        lambda n: transformers.BertConfig(num_attention_heads=n),
    ):
        told = []
        for n in (1, 2, 1):
            module.PROC = make(n)  # type: ignore[attr-defined]
            told.append(describe(module.prep))
        assert told[0] == told[2] != told[1]
    module.PROC = transformers.PreTrainedTokenizerFast(  # type: ignore[attr-defined]
        tokenizer_object=Trained(WordLevel({"a": 0}, unk_token="a")), pad_token="a"
    )
    before = describe(module.prep)
    module.PROC("a", truncation=True, max_length=2, padding="max_length")
    assert describe(module.prep) == before, "a call changes the tokenizer's state"


def test_a_network_of_a_preprocessing_enters_by_its_weights(load: Load) -> None:
    import torch
    from torch import nn

    module = load("def prep(x):\n    return NET(x)\n")
    module.NET = nn.Linear(2, 2)  # type: ignore[attr-defined]
    before = describe(module.prep)
    assert describe(module.prep) == before
    with torch.no_grad():
        module.NET.weight += 1
    assert describe(module.prep) != before


def test_numpy_functions_enter_by_name() -> None:
    assert describe(np.stack) == {"builtin": "numpy.stack"}
