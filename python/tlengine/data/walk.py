"""A folder as a tree of images: what is an image, what is somebody's litter, and what was passed over."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tlengine.data.columns import IMAGE_SUFFIXES
from tlengine.data.filenames import shown

__all__ = ["Folder", "scan"]

_SYSTEM = frozenset({
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot", "$recycle.bin",
    "recycler", "lost+found", "system volume information", "network trash folder", "temporary items",
    "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
})  # fmt: skip
"""What NAS, viewers and desktops leave behind; like hidden files, it is nobody's data."""

_DOCUMENTS = frozenset({
    ".txt", ".md", ".rst", ".pdf", ".html", ".htm", ".doc", ".docx", ".csv", ".tsv", ".json", ".jsonl",
    ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".py", ".ipynb", ".sh", ".url", ".lnk",
})  # fmt: skip
_DOCUMENT_NAMES = frozenset({
    "readme", "license", "licence", "copying", "notice", "authors", "changelog", "citation", "version",
    "makefile", "md5sums", "sha256sums",
})  # fmt: skip
"""What describes a dataset, and is expected beside its images."""

_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{0,4}~?")
"""A suffix that says what a file is; of others (none, ``.1``, ``.jpg_large``) the first bytes do."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


@dataclass(kw_only=True, eq=False)
class Folder:
    """A folder, its images and sub-folders.

    Attributes:
        parts: the names from the root to here.
        path: where it is.
        entries: names of images, and folders, sorted by name.
        count: images here and below.
        ignored: how many files are no images, by suffix or kind; documents and litter are not counted.
        skipped: folders whose names begin with ``@``, as those of a NAS do.
        hidden: folders that are passed over in silence: hidden ones, and those that programs leave behind.
        error: why it cannot be read, or None.
        loop: it is a link to a folder that it lies in, so nothing new is in it.
    """

    parts: tuple[str, ...]
    path: Path
    entries: list[str | Folder] = field(default_factory=list)
    count: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    error: str | None = None
    loop: bool = False

    @property
    def name(self) -> str:
        """The last part; empty for the root."""
        return self.parts[-1] if self.parts else ""

    @property
    def where(self) -> str:
        """The path from the root, with a slash at its end."""
        return "".join(f"{part}/" for part in self.parts)

    @property
    def subfolders(self) -> list[Folder]:
        """Its folders, those without images too."""
        return [entry for entry in self.entries if isinstance(entry, Folder)]

    @property
    def full(self) -> list[Folder]:
        """Its folders with images in them or below."""
        return [folder for folder in self.subfolders if folder.count]

    @property
    def loose(self) -> bool:
        """Whether images lie in it directly."""
        return any(isinstance(entry, str) for entry in self.entries)

    def images(self) -> Iterator[tuple[str, ...]]:
        """The parts of each image here and below, in sorted order."""
        stack: list[tuple[Folder, str | Folder]] = [(self, entry) for entry in reversed(self.entries)]
        while stack:
            above, entry = stack.pop()
            if isinstance(entry, str):
                yield (*above.parts, entry)
            else:
                stack.extend((entry, below) for below in reversed(entry.entries))

    def walk(self) -> Iterator[Folder]:
        """This folder and all below, a folder before what is in it."""
        stack = [self]
        while stack:
            folder = stack.pop()
            yield folder
            stack.extend(reversed(folder.subfolders))


def scan(root: Path) -> Folder:
    """The tree below ``root``. Links are followed, but never to a folder that the link lies in."""
    top = Folder(parts=(), path=root)
    stack = [(top, frozenset[tuple[int, int]]())]
    while stack:
        folder, above = stack.pop()
        try:
            about = folder.path.stat()
            entries = sorted(os.scandir(folder.path), key=lambda entry: entry.name)
        except OSError as error:
            folder.error = error.strerror or type(error).__name__
            continue
        if (about.st_dev, about.st_ino) in above:
            folder.loop = True
            continue
        inside = above | {(about.st_dev, about.st_ino)}
        for entry in entries:
            _sort_in(folder, entry)
        stack.extend((below, inside) for below in folder.subfolders)
    for folder in reversed(list(top.walk())):
        folder.count = sum(1 if isinstance(entry, str) else entry.count for entry in folder.entries)
    return top


def _sort_in(folder: Folder, entry: os.DirEntry[str]) -> None:
    name = entry.name
    kind = _kind(entry)
    if name.startswith(".") or name.lower() in _SYSTEM:
        folder.hidden += [name] if stat.S_ISDIR(kind) else []
        return
    if stat.S_ISDIR(kind):
        if name.startswith("@"):
            folder.skipped.append(name)
        else:
            folder.entries.append(Folder(parts=(*folder.parts, name), path=folder.path / name))
    elif _is_image(entry, kind):
        folder.entries.append(name)
    elif not _is_document(name):
        folder.ignored[_described(name, kind)] += 1


def _described(name: str, kind: int) -> str:
    if not stat.S_ISREG(kind):
        return "special file" if kind else "broken link"
    return shown(Path(name.lower()).suffix[:20]) or "no suffix"


def _kind(entry: os.DirEntry[str]) -> int:
    """The mode of what ``entry`` leads to; 0 for a link that leads nowhere. Most entries need no look."""
    try:
        if entry.is_file(follow_symlinks=False):
            return stat.S_IFREG
        return entry.stat().st_mode
    except OSError:
        return 0


def _is_image(entry: os.DirEntry[str], kind: int) -> bool:
    """By the suffix; without one that says anything, by the first bytes. A broken link has a suffix too."""
    if kind and not stat.S_ISREG(kind):
        return False
    suffix = Path(entry.name.strip().lower()).suffix
    if suffix in IMAGE_SUFFIXES:
        return True
    return bool(kind) and _SUFFIX.fullmatch(suffix) is None and _begins_as_image(entry.path)


def _begins_as_image(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _is_document(name: str) -> bool:
    path = Path(name.strip().lower())
    return path.suffix in _DOCUMENTS or path.stem in _DOCUMENT_NAMES
