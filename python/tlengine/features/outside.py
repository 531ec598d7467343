"""Calls whose outcome no description can see: what they read, and what they draw by chance."""

from __future__ import annotations

import dis
import re
import types
from collections.abc import Sequence
from typing import Any

__all__ = ["ALWAYS_READ", "ENVIRONMENT", "IN_MEMORY", "READ_OF_MODULE", "SEEDS", "draws", "literal_beside"]

ENVIRONMENT = {"environ", "getenv", "urlopen"}
"""Attributes that are asked for what is no file: no description of a file answers for them."""

ALWAYS_READ = ENVIRONMENT | {"open", "read_text", "read_bytes", "from_file", "from_pretrained"}
"""Attributes that are asked for what lies outside the program, whatever they are attributes of."""

READ_OF_MODULE = ALWAYS_READ | {
    *("load", "loadtxt", "genfromtxt", "fromfile", "memmap", "imread", "read_image", "read_file"),
    *("read_csv", "read_json", "read_parquet", "load_file", "safe_open", "get_data", "load_vocab"),
}
"""The same, of a module or as a bare name: ``np.load``, but not the method ``load`` of an image."""

IN_MEMORY = {"BytesIO", "StringIO"}
"""A function that names one of these gives it to ``Image.open`` and ``np.load``, which then read no file."""

SEEDS = {"seed", "manual_seed", "set_state", "set_rng_state", "fork_rng", "Generator", "generator"}
"""A function that names one of these says itself what its draws are."""

_GENERATORS = {"default_rng", "RandomState", "Random"}
"""These draw by chance where they are called without a seed."""

_TORCH_DRAWS = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
    *("bernoulli", "multinomial", "normal", "poisson"),
}
_RANDOM_TRANSFORM = re.compile(
    r"Random|AutoAugment|RandAugment|TrivialAugment|AugMix|Jitter|ElasticTransform"
)


def draws(value: Any, after: Sequence[dis.Instruction]) -> bool:
    """Whether code that loads ``value`` and goes on with ``after`` draws by chance.

    >>> import random
    >>> draws(random.random, []), draws(random.Random(0), []), draws(len, [])
    (True, False, False)
    """
    name = getattr(value, "__name__", "")
    if isinstance(value, type) and name not in _GENERATORS and _RANDOM_TRANSFORM.match(name):
        return value.__module__.partition(".")[0] in ("torchvision", "albumentations", "kornia")
    if name in _GENERATORS and not isinstance(value, types.FunctionType):
        calls = [step for step in after[:2] if step.opname in ("CALL", "PRECALL")]
        return bool(calls) and calls[0] is after[0] and calls[0].arg == 0
    return _draws_of_torch(value, name) or _is_of_a_shared_generator(value, name)


def _draws_of_torch(value: Any, name: str) -> bool:
    if name not in _TORCH_DRAWS or not isinstance(value, types.BuiltinFunctionType | types.FunctionType):
        return False
    return "torch" in f"{value.__module__} {getattr(value, '__self__', '')!r}"


def _is_of_a_shared_generator(value: Any, name: str) -> bool:
    """A method of the one generator that ``random`` and ``numpy.random`` share with everybody."""
    owner = type(getattr(value, "__self__", None))
    return (owner.__module__.split(".")[0], owner.__name__) in (
        ("random", "Random"),
        ("numpy", "RandomState"),
    ) and name not in SEEDS | {"getstate", "setstate", "get_state"}


def literal_beside(steps: Sequence[dis.Instruction], place: int) -> str | None:
    """The text that a reading call is given on the spot: ``open("a")``, ``Path("a").open()``."""
    after = steps[place + 1] if place + 1 < len(steps) else None
    if after is not None and after.opname == "LOAD_CONST" and isinstance(after.argval, str):
        return after.argval
    before = [step for step in steps[max(0, place - 3) : place] if step.opname != "PRECALL"]
    if len(before) >= 2 and before[-1].opname == "CALL" and isinstance(before[-2].argval, str):
        return before[-2].argval if before[-2].opname == "LOAD_CONST" else None
    return None
