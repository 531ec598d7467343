"""Files and folders that a preprocessing names, by their content, wherever they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from tlengine.errors import UnhashableRecipeError

__all__ = ["folder_content", "holds_code", "names_a_file", "path_content"]

_FILES, _BYTES = 10_000, 4 << 30
"""A folder of more is no model, but a place where many things are kept."""


def names_a_file(text: str) -> bool:
    """Whether a text is the path of a file: only then its content counts, and not the text."""
    return len(text) < 4096 and "\0" not in text and ("/" in text or "." in text) and os.path.isfile(text)


def holds_code(text: str, code_files: Collection[str]) -> bool:
    """Whether a text is the folder in which code lies, as ``os.path.dirname(__file__)`` gives it."""
    if not os.path.isabs(text) or "\0" in text or not os.path.isdir(text):
        return False
    folder = Path(text).resolve()
    return folder != folder.parent and any(_is_below(file, folder) for file in code_files)


def _is_below(file: str, folder: Path) -> bool:
    return Path(file).resolve().is_relative_to(folder)


def path_content(path: Path, code_files: Collection[str], texts: Collection[str]) -> dict[str, object] | None:
    """The content of a file or folder; None where nothing is there.

    A folder in which the code itself lies changes as the code is run (``__pycache__``, outputs): of it enter
    the files that the code names, such as ``"vocabulary.txt"`` in ``HERE / "vocabulary.txt"``.

    Args:
        path: what is named.
        code_files: where the code lies that was met so far.
        texts: the strings in it.

    Raises:
        UnhashableRecipeError: a file that cannot be read; the root, the home, or a folder too large.
    """
    try:
        if path.is_file():
            return {"file": _digest(path)}
        if not path.is_dir():
            return None
        folder = path.resolve()
        if any(_is_below(file, folder) for file in code_files):
            named = {text: path / text for text in sorted(texts) if _is_relative(text)}
            return {"code": {text: _digest(file) for text, file in named.items() if file.is_file()}}
        return {"folder": folder_content(folder)}
    except OSError as error:
        raise _refused(f"{error.filename or path} cannot be read: {error.strerror or error}") from error


def _is_relative(text: str) -> bool:
    return 0 < len(text) < 256 and "\0" not in text and "\n" not in text and not os.path.isabs(text)


def folder_content(folder: Path) -> dict[str, str]:
    """The digest of every file below ``folder``, without hidden ones and ``__pycache__``."""
    home = Path(os.path.expanduser("~")).resolve()
    if folder == folder.parent or home.is_relative_to(folder):
        raise _refused(f"{folder} holds much more than a preprocessing reads")
    found: dict[str, str] = {}
    size = 0
    for file in _below(folder):
        size += file.stat().st_size
        if len(found) == _FILES or size > _BYTES:
            limits = f"{_FILES:,} files or {_BYTES >> 30} GiB"
            raise _refused(f"{folder} holds more than {limits}")
        found[str(file.relative_to(folder))] = _digest(file)
    return found


def _below(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (Path(place, name) for name in sorted(files) if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(message: str) -> UnhashableRecipeError:
    return UnhashableRecipeError(message, hint="name the file or the folder that is read, and no more")
