"""What we write for others to read: files that are whole or not there, in JSON's own types.

>>> import numpy as np
>>> plain({"rows": np.int64(3), "share": float("nan")})
{'rows': 3, 'share': None}
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Set
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from tlengine.errors import InputError

__all__ = ["installed_versions", "lock_file", "plain", "replace_file", "replace_text"]


def replace_file(
    path: str | os.PathLike[str], write: Callable[[IO[bytes]], object], *, durable: bool = True
) -> Path:
    """Give ``path`` the content that ``write`` writes: after a crash the old file is there, or the new one.

    Links are followed. What is no file of its own, such as ``/dev/stdout`` or a pipe, is written to as it is.

    Args:
        path: where to; its folder exists.
        write: called with a binary file.
        durable: whether that holds after a power cut, too; without, the caller syncs in its own time.

    Returns:
        The path.

    Raises:
        OSError: the disk is full, or the folder cannot be written; nothing of the draft stays.
    """
    if _is_stream(Path(path)):
        with open(path, "wb") as file:
            write(file)
        return Path(path)
    target = Path(os.path.realpath(path))  # a link stays a link, its target is replaced
    draft = target.with_name(f".tlengine-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("xb") as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        _take_place(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        _sync_folder(target.parent)
    return Path(path)


def _is_stream(path: Path) -> bool:
    """Whether it is no file of its own: a device, a pipe, or a descriptor of this process by its name."""
    in_devices = path.absolute().parts[1:2] in (("dev",), ("proc",))
    return in_devices or (path.exists() and not path.is_file())


def _take_place(draft: Path, target: Path) -> None:
    """Rename; a file that is a mount of its own (in a container) can only be written over."""
    try:
        draft.replace(target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        with draft.open("rb") as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())


def replace_text(path: str | os.PathLike[str], text: str) -> Path:
    """As :func:`replace_file`, in UTF-8; what is no Unicode (a name of a file) is escaped by backslashes."""
    return replace_file(path, lambda file: file.write(text.encode("utf-8", errors="backslashreplace")))


def _sync_folder(folder: Path) -> None:
    """The new name survives a power cut, where the file system knows how to promise that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def plain(value: Any) -> Any:
    """``value`` in JSON's own types.

    Scalars and arrays of NumPy are unwrapped, NaN and infinity become null, and what JSON does not know
    becomes its text.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | Set):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def lock_file(file: IO[bytes], name: str, other: str) -> None:
    """Take an open file for this process alone; it is let go where the file is closed, or the process ends.

    Args:
        file: an open file.
        name: what people call it.
        other: an option by which they choose another one.

    Raises:
        InputError: another process has it, or it lies where nothing can be locked; the file is closed.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, open(file.name, "rb") as other:
    ...     lock_file(file, "a file", "--out")
    ...     lock_file(other, "a file", "--out")
    Traceback (most recent call last):
    tlengine.errors.InputError: another run is writing to a file
    hint: wait for it, or choose another --out
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise InputError(
                f"another run is writing to {name}", hint=f"wait for it, or choose another {other}"
            ) from None
        raise InputError(
            f"{name} is on a file system without locks ({error})", hint=f"choose another {other}"
        ) from None


def installed_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The version of each package, None where it is not installed.

    >>> installed_versions(["no-such-package"])
    {'no-such-package': None}
    """
    return {name: _version(name) for name in packages}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
