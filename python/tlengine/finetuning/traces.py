"""A forward pass up to a block, written down: which calls came before it, and what shapes they returned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import TreeSpec, tree_flatten

from tlengine.finetuning.standins import Axis, Shaped, Stub, call, count_tokens, refused, resized

__all__ = ["Arrived", "Trace", "Traces", "requiring_gradients"]


class Arrived(BaseException):
    """The forward pass has come to the cut; no ``except Exception`` of a network may keep it."""


@dataclass(frozen=True)
class _Call:
    """A submodule that was called and came to its end."""

    name: str
    module: nn.Module
    leaves: list[Any]
    tree: TreeSpec


@dataclass(frozen=True)
class Trace:
    """A pass that ended at the cut.

    Attributes:
        name: of the submodule in front of which it ended.
        module: that submodule.
        place: of its input: the position among the arguments, or a keyword. It is the first tensor there that
            the network's parameters reach; where none is, the first one of floating-point numbers.
        hidden: the input.
        calls: the submodules that had come to their end before, the outermost ones alone, in order.
    """

    name: str
    module: nn.Module
    place: int | str
    hidden: torch.Tensor
    calls: Sequence[_Call]


@contextmanager
def requiring_gradients(module: nn.Module, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Gradients are computed for these parameters alone; afterwards, all are as they were."""
    kept = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        module.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(parameter.is_floating_point())
        with torch.enable_grad():
            yield
    finally:
        for parameter, required in kept:
            parameter.requires_grad_(required)


def _trace(module: nn.Module, inputs: Any, is_entry: Callable[[nn.Module], bool]) -> Trace:
    """Run ``module`` up to the first submodule that ``is_entry``.

    Raises:
        CutRefused: none is called, or it is called without a tensor of floating-point numbers.
    """
    recorder = _Recorder(is_entry, {part: name for name, part in module.named_modules()})
    with ExitStack() as hooks:
        for part in module.modules():
            enter = part.register_forward_pre_hook(recorder.enter, with_kwargs=True, prepend=True)
            hooks.callback(enter.remove)
            hooks.callback(part.register_forward_hook(recorder.leave).remove)
        with requiring_gradients(module, module.parameters()), contextlib.suppress(Arrived):
            call(module, inputs)
    if recorder.found is None:
        raise refused("none of its submodules is called in a forward pass")
    return recorder.found


class _Recorder:
    def __init__(self, is_entry: Callable[[nn.Module], bool], names: Mapping[nn.Module, str]) -> None:
        self._is_entry, self._names = is_entry, names
        self._depth = 0
        self._done: list[tuple[int, _Call]] = []
        self.found: Trace | None = None

    def enter(self, part: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._is_entry(part):
            self._depth += 1
            return
        place = _input_place(args, kwargs)
        if place is None:
            raise refused(f"{self._names[part]} is called without a tensor of floating-point numbers")
        hidden = args[place] if isinstance(place, int) else kwargs[place]
        calls = [one for _, one in self._done]
        self.found = Trace(self._names[part], part, place, hidden.detach(), calls)
        raise Arrived

    def leave(self, part: nn.Module, args: Any, output: Any) -> None:
        self._depth -= 1
        while self._done and self._done[-1][0] > self._depth:
            self._done.pop()  # it was a call inside this one
        self._done.append((self._depth, _Call(self._names[part], part, *tree_flatten(output))))


def _input_place(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | str | None:
    places: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    found = [one for one in places if isinstance(one[1], torch.Tensor) and one[1].is_floating_point()]
    reached = [one for one in found if one[1].requires_grad]
    return next((place for place, _ in [*reached, *found]), None)


@dataclass(frozen=True)
class Traces:
    """Three small passes, from which the shapes for any batch are known.

    Attributes:
        two: of two rows.
        one: of one row.
        other: of two rows with another number of tokens.
        tokens: of the first and of the last; (0, 0) where there are none.
    """

    two: Trace
    one: Trace
    other: Trace
    tokens: tuple[int, int]

    @classmethod
    def of(cls, module: nn.Module, inputs: Any, is_entry: Callable[[nn.Module], bool]) -> Traces:
        """The passes of the first row of ``inputs``."""
        tokens = count_tokens(inputs)
        other = tokens - 1 if tokens > 1 else 2 * tokens
        two, one, less = (
            _trace(module, resized(inputs, *size), is_entry)
            for size in ((2, tokens), (1, tokens), (2, other))
        )
        return cls(two, one, less, (tokens, other))

    def stubs(self) -> list[Stub]:
        """What stands in for the calls before the cut.

        Raises:
            CutRefused: a call that is not made in all passes, or returns what nothing can stand in for.
        """
        courses = {tuple(one.name for one in trace.calls) for trace in (self.two, self.one, self.other)}
        if len(courses) > 1:
            raise refused("which submodules are called before it depends on the batch")
        return [
            self._stub(*calls) for calls in zip(self.two.calls, self.one.calls, self.other.calls, strict=True)
        ]

    def hidden(self) -> Shaped:
        """The shape of the input.

        Raises:
            CutRefused: its first axis is not the batch; or there are tokens, and the second is not these.
        """
        found = self._shaped(self.two.name, self.two.hidden, self.one.hidden, self.other.hidden)
        if not found.axes or [axis.per_row for axis in found.axes] != [1, *[0] * (len(found.axes) - 1)]:
            raise refused("the first axis of its input is not the batch")
        if self.tokens[0] and [axis.per_token for axis in found.axes][:2] != [0, 1]:
            raise refused("the second axis of its input is not the tokens")
        return found

    def _stub(self, two: _Call, one: _Call, other: _Call) -> Stub:
        if not two.tree == one.tree == other.tree:
            raise refused(f"what {two.name} returns depends on the batch")
        leaves = zip(two.leaves, one.leaves, other.leaves, strict=True)
        return Stub(two.name, two.module, tuple(self._leaf(two.name, *found) for found in leaves), two.tree)

    def _leaf(self, name: str, two: Any, one: Any, other: Any) -> Any:
        if isinstance(two, torch.Tensor):
            return self._shaped(name, two, one, other)
        if two is None or isinstance(two, int | float | str):
            return two
        raise refused(f"{name} returns a {type(two).__name__}, which is no tensor")

    def _shaped(self, name: str, two: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> Shaped:
        if not two.ndim == one.ndim == other.ndim:
            raise refused(f"how many axes {name} returns depends on the batch")
        sizes = zip(two.shape, one.shape, other.shape, strict=True)
        return Shaped(tuple(self._axis(name, *size) for size in sizes), two.dtype, two.device)

    def _axis(self, name: str, two: int, one: int, other: int) -> Axis:
        if two == one == other:
            return Axis(two)
        if two == other == 2 * one:
            return Axis(per_row=one)
        more = self.tokens[0] - self.tokens[1]
        if two == one and more and (two - other) % more == 0:
            per_token = (two - other) // more
            return Axis(two - per_token * self.tokens[0], per_token=per_token)
        raise refused(f"an axis of what {name} returns follows neither the rows nor the tokens of a batch")
