"""Code that no version tells: what a user's class is made of, as a digest of the files it comes from."""

from __future__ import annotations

import hashlib
import site
import sys
import sysconfig
import types
from functools import cache
from pathlib import Path
from typing import Any

from tlengine.errors import InputError

__all__ = ["code_digest", "version_of"]


def code_digest(kind: type, what: str) -> str:
    """A digest of the files of a class and its bases, and of what those files hold from others of the user's.

    Installed packages that have a ``__version__`` are left out, as is tlengine: their version tells them.
    What code imports inside a function is not seen.

    Args:
        kind: the class.
        what: of which it is, for messages.

    Returns:
        32 hex digits; "" where nothing of it is the user's own.

    Raises:
        InputError: a file cannot be read.

    >>> from sklearn.linear_model import LogisticRegression
    >>> code_digest(LogisticRegression, "probe")
    ''
    """
    waiting = [base.__module__ for base in kind.__mro__ if not _is_told(base.__module__)]
    names: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += [held for held in _held(sys.modules.get(name)) if not _is_installed(held)]
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(names):
        digest.update(f"\0{name}\0".encode() + _source(name, what))
    return digest.hexdigest() if names else ""


def version_of(module: str) -> str:
    """What the package of a module says its version is; "" where it says nothing."""
    return str(getattr(sys.modules.get(module.partition(".")[0]), "__version__", ""))


def _is_told(module: str) -> bool:
    """Whether a version tells what is in it."""
    top = module.partition(".")[0]
    return _is_installed(module) and bool(version_of(module) or top in (*sys.stdlib_module_names, "tlengine"))


def _is_installed(module: str) -> bool:
    """Whether it belongs to Python, tlengine or an installed package.

    >>> _is_installed("json"), _is_installed("sklearn.svm"), _is_installed("tlengine.probes")
    (True, True, True)
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("tlengine", ""):
        return True
    package = sys.modules.get(top)
    file = getattr(package, "__file__", None)
    if file is None:
        return False
    is_packaged = not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    folder = Path(file).parents[1 if hasattr(package, "__path__") else 0]
    return is_packaged or _is_target(folder) or any(Path(file).is_relative_to(root) for root in _roots())


@cache
def _is_target(folder: Path) -> bool:
    """Whether packages are installed into it, as by ``pip install --target``."""
    return any(folder.glob("*.dist-info"))


def _held(module: Any) -> list[str]:
    """The names of the modules that a module holds, and of those that its classes and functions are of."""
    held = list(vars(module).values()) if module is not None else []
    modules = [one.__name__ for one in held if isinstance(one, types.ModuleType)]
    return modules + [one.__module__ or "" for one in held if isinstance(one, type | types.FunctionType)]


def _source(name: str, what: str) -> bytes:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None and hasattr(module, "__path__"):  # a package without __init__.py
        return b""
    try:
        return Path(file or "").read_bytes()
    except OSError as error:
        raise InputError(
            f"{what} has code in the module {name!r}, whose file cannot be read ({error.strerror}): a later "
            "call cannot know it again",
            hint="leave out resume, or put the code into a file",
        ) from None


@cache
def _roots() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    known = [paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    return tuple(Path(one) for one in (*known, *site.getsitepackages(), site.getusersitepackages()))
