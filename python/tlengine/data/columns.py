"""Which column of a table is what: the user's word, else the usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches

from tlengine.data.names import canonical
from tlengine.data.scalars import listed, short
from tlengine.errors import DatasetError, InputError

__all__ = ["IMAGE_SUFFIXES", "ROLE_NAMES", "USUAL", "Columns", "guess", "named"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jfif", ".heic", ".avif"}
)
"""Files that are meant as images; what can be decoded is decided when they are read."""

ROLE_NAMES = {
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "dev", "devel", "development", "select"), "select"
    ),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "holdout", "heldout"), "test"),
}
"""How people call the splits, and the role each has here."""

USUAL = {
    "text": ("text", "texts", "sentence", "content", "document", "body", "review", "message", "utterance"),
    "image": ("image", "images", "image_path", "img", "img_path", "path", "file_path", "filepath", "file",
              "file_name", "filename", "photo"),
    "label": ("label", "labels", "class", "class_name", "category", "target", "y"),
    "group": ("group", "groups", "group_id", "patient", "patient_id", "subject", "subject_id"),
    "domain": ("domain", "domains", "environment", "site"),
    "split": ("split", "splits", "subset", "partition", "fold"),
    "id": ("id", "ids", "uid", "uuid", "sample_id"),
}  # fmt: skip
"""Names that are taken when the user names none, first come, first taken."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of columns as the user gave them; None where the usual names are tried."""

    text: str | None = None
    image: str | None = None
    label: str | None = None
    group: str | None = None
    domain: str | None = None
    split: str | None = None

    def given(self) -> dict[str, str]:
        """What the user named, by role.

        >>> Columns(label="topic").given()
        {'label': 'topic'}
        """
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def refuse(self, where: str, hint: str) -> None:
        """For a source without columns.

        Raises:
            InputError: a column is named.
        """
        for role, column in self.given().items():
            given = f"{role}={short(column)}"
            raise InputError(f"{given}: {where} has no columns to choose from", hint=hint)


def named(column: str, role: str, known: Sequence[str], where: str) -> str:
    """The column the user named, checked.

    Raises:
        DatasetError: the table has no such column; the hint has the nearest names.

    >>> named("tweet", "text", ["tweet", "label"], "tweets.csv")
    'tweet'
    """
    if column in known:
        return column
    same = [name for name in known if canonical(name) == canonical(column)]
    if len(same) == 1:
        return same[0]
    folded = {name.casefold(): name for name in known}
    near = [folded[n] for n in get_close_matches(column.casefold(), folded, n=3, cutoff=0.6)]
    meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise DatasetError(
        f"{where}: no column {column!r} (asked for as {role})",
        hint=f"{meant}columns are: {listed(known)}",
        column=column,
    )


def guess(role: str, known: Sequence[str], taken: Sequence[str | None] = ()) -> str | None:
    """The first usual name for ``role`` among the columns, without regard to case.

    >>> guess("label", ["ID", "Text", "Label"])
    'Label'
    """
    used = set(taken)
    free = {canonical(name).casefold(): name for name in reversed(known) if name not in used}
    return next((free[name] for name in USUAL[role] if name in free), None)
