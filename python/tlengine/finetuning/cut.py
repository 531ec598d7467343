"""A network in two parts: up to the input of a block, and from there on, by the network's own code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from tlengine.errors import CutRefused, InputError, InternalError
from tlengine.finetuning.standins import (
    Shaped,
    Stub,
    call,
    count_tokens,
    like,
    refused,
    resized,
    stand_in,
    token_lengths,
)
from tlengine.finetuning.traces import Arrived, Trace, Traces, requiring_gradients

__all__ = ["Cut"]

_TOLERANCE = 1e-5
"""How far the outputs of the whole and of the cut network may be apart, relative to the largest number."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a checked cut knows of the network."""

    entry: Trace
    stubs: Sequence[Stub]
    hidden: Shaped
    inputs: Shaped | Mapping[str, Shaped]
    tokens: bool
    dense: bool = False


class Cut:
    """A network cut in front of one of its blocks.

    The second part is the network's own ``forward``: while it runs, the submodules that come before the cut
    compute nothing, and the block gets the kept tensor in place of its argument. Its other arguments
    (attention masks), and all that follows it, are what the network makes of the batch as always.

    Only a cut that passed :meth:`check` can be used. The check proves on one batch that the parts together
    are the whole. Where the parts are run by autocast, so is the check, without a cache of cast weights: what
    was cast without gradients would have none later.

    Args:
        module: takes a tensor, or a mapping of keywords, whose first axis is the batch. With a keyword
            ``attention_mask`` (n, tokens), what is kept has one vector for each token.
        blocks: names of submodules and parameters, as :class:`~tlengine.plugins.BackboneSpec` says.
        first: the first block of the second part, from 1 on.

    Raises:
        InputError: no such block, or a name that the network does not have.

    >>> network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2))
    >>> cut, X = Cut(network, [["0"], ["2"]], 1), torch.ones(3, 4)
    >>> cut.check(X)
    >>> hidden = cut.prefix(X)
    >>> hidden.shape, torch.equal(cut.suffix(hidden), network.eval()(X))
    (torch.Size([3, 8]), True)
    """

    def __init__(self, module: nn.Module, blocks: Sequence[Sequence[str]], first: int) -> None:
        if not 1 <= first < len(blocks):
            raise InputError(
                f"a cut in front of block {first} of {len(blocks)}",
                hint="something must come before the cut, and something after it",
            )
        self.module: nn.Module = getattr(module, "_orig_mod", module)  # of torch.compile
        self.first = first
        self._names = [tuple(names) for names in blocks]
        self._blocks = [[_named(self.module, name) for name in names] for names in blocks]
        self._plan: _Plan | None = None

    def check(self, inputs: Any) -> None:
        """Find out on one batch whether the two parts are the whole.

        Args:
            inputs: what the network is called with. Modes and gradients are left as they are.

        Raises:
            CutRefused: why not: a block that is called twice or out of order, trained parameters that act
                before the cut, results from before it that are used behind it, another output.
        """
        try:
            with _evaluating(self.module):
                traces = Traces.of(self.module, inputs, self._modules(self.first).__contains__)
                self._refuse_order(inputs, traces.two.module)
                self._refuse_early_parameters(inputs, traces.two)
                self._prove(traces, inputs)
        except Exception as error:
            self._plan = None
            why = error.message if isinstance(error, CutRefused) else _reason(error)
            raise refused(f"block {self.first} of the network: {why}") from error

    def prefix(self, inputs: Any) -> torch.Tensor:
        """The input of the block for a batch: in evaluation mode, without gradients.

        Args:
            inputs: what the network is called with.

        Returns:
            A tensor whose first axis is the batch; for texts (n, tokens, d), where what padded places hold
            is of no use.
        """
        with _evaluating(self.module):
            return _input_of(self.module, self._known().entry, inputs)

    def suffix(self, hidden: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        """What the network returns, from the input of the block on.

        Args:
            hidden: as :meth:`prefix` returns it; the network may write to it.
            lengths: (n,) int64, tokens of each row; for texts alone.
        """
        with self.entered(hidden, lengths) as inputs:
            return call(self.module, inputs)

    @contextmanager
    def entered(self, hidden: torch.Tensor, lengths: torch.Tensor | None = None) -> Iterator[Any]:
        """While it lasts, one call of the network begins at the cut; arguments as for :meth:`suffix`.

        Yields:
            What the network, or one around it, is to be called with in place of the batch.
        """
        plan = self._known()
        run = _Run(plan, hidden)
        with ExitStack() as stack:
            for module in {stub.module for stub in plan.stubs}:
                stack.enter_context(_replaced(module, partial(run.before, module, module.forward)))
            hook = plan.entry.module.register_forward_pre_hook(run.enter, with_kwargs=True, prepend=True)
            stack.callback(hook.remove)
            yield stand_in(plan.inputs, len(hidden), run.tokens, lengths, dense=plan.dense)
            run.finish()

    @property
    def entry(self) -> str:
        """The name of the submodule in front of which the network is cut."""
        return self._known().entry.name

    @property
    def tokens(self) -> bool:
        """Whether a row of what is kept has one vector for each of its tokens."""
        return self._known().tokens

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of what is kept; where there are tokens, of one token."""
        plan = self._known()
        return tuple(axis.fixed for axis in plan.hidden.axes[2 if plan.tokens else 1 :])

    @property
    def dtype(self) -> torch.dtype:
        """Of what is kept, as the network makes it in the mode of :meth:`check`."""
        return self._known().hidden.dtype

    @property
    def device(self) -> torch.device:
        """Where the second part expects its input."""
        return self._known().hidden.device

    def frozen(self) -> nn.Module:
        """The network without its blocks from the cut on, for a fingerprint; it cannot be called.

        Weights are shared with the network, not copied.
        """
        names = {name for block in self._names[self.first :] for name in block}
        return _without(self.module, names, "")

    def _known(self) -> _Plan:
        if self._plan is None:
            raise InputError("the cut was not checked", hint="call check(inputs) with one batch first")
        return self._plan

    def _modules(self, block: int) -> set[nn.Module]:
        """The submodules of a block that no other block has: one activation may serve in all of them."""
        own, *others = (
            {part for root in roots if isinstance(root, nn.Module) for part in root.modules()}
            for roots in (self._blocks[block], *self._blocks[:block], *self._blocks[block + 1 :])
        )
        return own.difference(*others)

    def _refuse_order(self, inputs: Any, entry: nn.Module) -> None:
        """Each block is called on its side of the cut, and what stands in front of it once."""
        calls: list[nn.Module] = []
        with ExitStack() as stack:
            for part in self.module.modules():
                stack.callback(part.register_forward_pre_hook(lambda m, _: calls.append(m)).remove)
            call(self.module, resized(inputs, 2, count_tokens(inputs)))
        if (times := calls.count(entry)) > 1:
            raise refused(f"it is called {times} times in one forward pass")
        at = calls.index(entry)
        for number in range(len(self._blocks)):
            side, where = (calls[at:], "after") if number < self.first else (calls[:at], "before")
            if self._modules(number).intersection(side):
                raise refused(f"block {number} is called {where} it")

    def _refuse_early_parameters(self, inputs: Any, entry: Trace) -> None:
        """No parameter of the second part reaches the input of the block."""
        later = [one for block in self._blocks[self.first :] for one in block]
        trained = [p for one in later for p in (one.parameters() if isinstance(one, nn.Module) else [one])]
        with requiring_gradients(self.module, trained):
            hidden = _input_of(self.module, entry, resized(inputs, 2, count_tokens(inputs)))
        if hidden.requires_grad:
            raise refused("parameters of its own, or of a later block, act before its input")

    def _prove(self, traces: Traces, inputs: Any) -> None:
        """The parts give on ``inputs`` what the whole gives."""
        hidden, lengths = _input_of(self.module, traces.two, inputs).clone(), token_lengths(inputs)
        whole = call(self.module, inputs)
        self._plan = _Plan(
            entry=replace(traces.two, calls=()),
            stubs=traces.stubs(),
            hidden=traces.hidden(),
            inputs=like(inputs),
            tokens=lengths is not None,
        )
        try:
            parts = self.suffix(hidden.clone(), lengths)
        except RuntimeError:  # torch writes in place to no tensor that is one number in memory
            self._plan = replace(self._plan, dense=True)
            parts = self.suffix(hidden, lengths)
        _refuse_difference(whole, parts)


class _Run:
    """One pass of the second part."""

    def __init__(self, plan: _Plan, hidden: torch.Tensor) -> None:
        self._plan, self._hidden = plan, hidden
        self.tokens = hidden.shape[1] if plan.tokens else 0
        if hidden.ndim == 4 and plan.entry.hidden.is_contiguous(memory_format=torch.channels_last):
            self._hidden = hidden.contiguous(memory_format=torch.channels_last)
        self._next, self._arrived = 0, False

    def before(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of ``forward``: nothing before the cut, itself behind it."""
        if self._arrived:
            return forward(*args, **kwargs)
        expected = self._plan.stubs[self._next] if self._next < len(self._plan.stubs) else None
        if expected is None or expected.module is not module:
            raise refused("what comes before it is not called in the order of the check")
        self._next += 1
        return expected.output(len(self._hidden), self.tokens, dense=self._plan.dense)

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The kept tensor takes the place of the block's input."""
        if self._arrived:
            return None
        place = self._plan.entry.place
        if self._next < len(self._plan.stubs) or not (place in kwargs or place in range(len(args))):
            raise refused("it is not called as in the check")
        self._arrived = True
        if isinstance(place, str):
            return args, {**kwargs, place: self._hidden}
        return (*args[:place], self._hidden, *args[place + 1 :]), kwargs

    def finish(self) -> None:
        """The kept tensor was used."""
        if not self._arrived:
            raise InternalError("the network was not called from the cut on")


def _input_of(module: nn.Module, entry: Trace, inputs: Any) -> torch.Tensor:
    """What the submodule is called with; the pass ends there."""
    caught: list[torch.Tensor] = []

    def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
        caught.append(args[entry.place] if isinstance(entry.place, int) else kwargs[entry.place])
        raise Arrived

    hook = entry.module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True)
    try:
        call(module, inputs)
    except Arrived:
        return caught[0]
    finally:
        hook.remove()
    raise refused("it is not called for this batch")


def _named(module: nn.Module, name: str) -> nn.Module | nn.Parameter:
    owner, _, last = name.rpartition(".")
    try:
        found = getattr(module.get_submodule(owner), last)
    except AttributeError:
        found = None
    if not isinstance(found, nn.Module | nn.Parameter):
        raise InputError(f"the network has no submodule or parameter {name!r}", hint="see named_modules()")
    return found


def _without(module: nn.Module, names: set[str], prefix: str) -> nn.Module:
    """A shallow copy in which the parts of those names are missing."""
    if not any(name.startswith(prefix) for name in names):
        return module
    other = copy.copy(module)
    for registry in ("_modules", "_parameters"):
        held = vars(module)[registry].items()
        vars(other)[registry] = {name: one for name, one in held if prefix + name not in names}
    for name, part in other._modules.items():
        if part is not None:
            other._modules[name] = _without(part, names, f"{prefix}{name}.")
    return other


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients."""
    training = [part for part in module.modules() if part.training]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def _replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """``forward`` of that one module is another function."""
    attributes = vars(module)
    own = attributes.get("forward")
    attributes["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del attributes["forward"]
        else:
            attributes["forward"] = own


def _refuse_difference(whole: Any, parts: Any) -> None:
    if not (isinstance(whole, torch.Tensor) and isinstance(parts, torch.Tensor)):
        raise refused(f"the network returns a {type(whole).__name__}, not a tensor")
    if not bool(whole.isfinite().all()):
        raise refused("the network returns numbers that are not finite")
    if not bool(parts.isfinite().all()):
        raise refused("what was computed before its input is used behind it as well")
    apart = float((whole - parts).abs().max()) / max(float(whole.abs().max()), 1e-30)
    if apart > _TOLERANCE:
        raise refused(f"the parts give another output than the whole, {apart:.1e} apart, more than 1e-5")


def _reason(error: Exception) -> str:
    return f"it fails when it is run in parts: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
