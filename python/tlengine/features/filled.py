"""Globals that code itself fills, such as ``_TOKENIZER = None`` and a memo: their values are no settings."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator
from functools import cache

__all__ = ["filled_by", "value_at_first"]

_WRITES = {
    *("append", "appendleft", "extend", "insert", "add", "update", "setdefault"),
    *("pop", "popitem", "clear", "remove", "discard"),
}


def filled_by(function: types.FunctionType) -> set[tuple[str, str]]:
    """The globals, as (module, name), that the code of ``function`` assigns, or whose items it changes.

    >>> from tlengine.features import code
    >>> filled_by(code.references)
    set()
    """
    try:
        names = _written(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError):
        return set()
    code = function.__code__
    own = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    return {(function.__module__, str(name)) for name in names if name not in own}


@cache
def _written(source: str) -> frozenset[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a part of an expression
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Global):
        yield from node.names
    held: ast.AST | None = None
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        held = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _WRITES:
        held = node.func.value
    if isinstance(held, ast.Name):
        yield held.id


def value_at_first(module: str, name: str) -> list[str]:
    """What the module itself assigns to ``name``, as source: the same before and after it is filled."""
    try:
        tree = _tree(module)
    except (OSError, TypeError, KeyError, SyntaxError):
        return []
    return [
        ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and name in _targets(node)
    ]


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}
