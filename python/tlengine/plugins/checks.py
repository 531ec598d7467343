"""What the fields of records must be, said alike for each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tlengine.errors import InputError

__all__ = ["check_callable", "check_name", "check_network_parts"]

_NAME = re.compile(r"[a-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)*")


def check_name(kind: str, name: str) -> None:
    """Refuses a ``name`` that cannot be written on a command line or in a file's name.

    Raises:
        InputError: the name is not allowed.

    >>> check_name("head", "attention-pool")
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"{kind} name {name!r} is not allowed",
            hint="use lower-case letters, digits, '_', '.', '-', and '/' after a source's prefix",
        )


def check_callable(owner: str, field: str, value: object, fix: str) -> None:
    """Refuses a ``value`` that cannot be called; ``fix`` is the hint.

    Raises:
        InputError: it is no function and no class.
    """
    if not callable(value):
        raise InputError(
            f"{owner}: {field} is a {type(value).__name__} object, not a function or class", hint=fix
        )


def check_network_parts(
    owner: str, *, blocks: Any, tokens: Any, lora_targets: Any, initialise: Any, collate: Any
) -> None:
    """Refuses what cannot be true of any network; the names are looked up once there is one.

    Raises:
        InputError: blocks that are no groups of names, a name twice, ``tokens`` or ``lora_targets`` that are
            no names, ``initialise`` or ``collate`` that cannot be called.

    >>> check_network_parts(
    ...     "mine", blocks=[["stem"], ["body"]], tokens="", lora_targets=(), initialise=None, collate=None
    ... )
    """
    _check_blocks(owner, blocks)
    if not isinstance(tokens, str):
        raise InputError(
            f"{owner}: tokens is a {type(tokens).__name__}",
            hint="write the name of one submodule, '' for none",
        )
    _check_names(owner, "lora_targets", lora_targets, "write them like ('query', 'value')")
    if initialise is not None:
        check_callable(owner, "initialise", initialise, "pass a function of the network and a seed")
    if collate is not None:
        check_callable(owner, "collate", collate, "pass a function of a list of preprocessed samples")


def _check_blocks(owner: str, blocks: Any) -> None:
    fix = "write them from input to output like (('stem',), ('layers.0', 'layers.1'))"
    if isinstance(blocks, str | bytes) or not isinstance(blocks, Sequence):
        raise InputError(f"{owner}: blocks are a {type(blocks).__name__}, not groups of names", hint=fix)
    for number, group in enumerate(blocks):
        _check_names(owner, f"block {number}", group, fix)
        if not group:
            raise InputError(f"{owner}: block {number} is empty", hint=fix)
    names = [name for group in blocks for name in group]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(f"{owner}: blocks name {repeated[0]!r} twice", hint="each name stands in one block")


def _check_names(owner: str, what: str, names: Any, fix: str) -> None:
    if isinstance(names, str | bytes) or not isinstance(names, Sequence):
        raise InputError(f"{owner}: {what} is a {type(names).__name__}, not a list of names", hint=fix)
    if strange := [name for name in names if not isinstance(name, str) or not name]:
        raise InputError(f"{owner}: {what} holds {strange[0]!r}, not a name", hint=fix)
