"""What a head promises, as checks that a plugin's tests run in one call."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.errors import TlengineError
from tlengine.plugins.network_records import HeadDim, HeadSpec
from tlengine.testing.imports import heavy_imports

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["HEAD_CHECKS", "check_head", "head_checks"]

_ROWS, _DIM, _CLASSES = 6, 8, 3
_TOLERANCE = 1e-5


class _Head:
    """A spec with a module of it, and something to read."""

    def __init__(self, spec: HeadSpec) -> None:
        import torch

        self.spec = spec
        generator = torch.Generator().manual_seed(0)
        tokens = (5,) if spec.input == "tokens" else ()
        self.values = torch.randn(_ROWS, *tokens, _DIM, generator=generator)
        self.mask = torch.ones(self.values.shape[:2], dtype=torch.bool) if tokens else None
        if self.mask is not None:
            self.mask[1:, 3:] = False

    @property
    def dim(self) -> HeadDim:
        return (None, _DIM) if self.spec.input == "tokens" else _DIM

    def build(self, seed: int = 0) -> nn.Module:
        """A module in evaluation mode."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            found = self.spec.build(self.dim, _CLASSES)
        assert isinstance(found, torch.nn.Module), (
            f"build returned a {type(found).__name__}, not a torch.nn.Module"
        )
        return found.eval()

    def logits(self, head: nn.Module, rows: slice = slice(None), **changed: Any) -> torch.Tensor:
        """What a module returns for some of the rows."""
        values, mask = changed.get("values", self.values)[rows], changed.get("mask", self.mask)
        if self.spec.input == "row":
            return head(values)  # type: ignore[no-any-return]
        return head(values, mask[rows] if mask is not None else None)  # type: ignore[no-any-return]


def check_spec_is_picklable(subject: _Head) -> None:
    """Records travel between processes."""
    again = pickle.loads(pickle.dumps(subject.spec))  # noqa: S301 - our own bytes
    assert again.name == subject.spec.name, "the spec changes when pickled"


def check_import_is_light(subject: _Head) -> None:
    """Importing the plugin loads no torch: every ``tlengine --help`` imports it."""
    assert not (fault := heavy_imports(subject.spec.build)), fault


def check_logits(subject: _Head) -> None:
    """(n, K) float32 and finite, also of one row, and of tokens without a mask."""
    head = subject.build()
    for rows in (slice(None), slice(1)):
        for mask in (subject.mask, None):
            out = subject.logits(head, rows, mask=mask)
            wanted = (len(subject.values[rows]), _CLASSES)
            assert tuple(out.shape) == wanted, f"logits of shape {tuple(out.shape)}, expected {wanted}"
            assert str(out.dtype) == "torch.float32", f"logits are {out.dtype}"
            assert bool(out.isfinite().all()), "NaN or inf among the logits"


def check_independent_of_batch(subject: _Head) -> None:
    """In evaluation mode a row's logits do not depend on the other rows."""
    head = subject.build()
    together = subject.logits(head)
    for row in range(_ROWS):
        alone = subject.logits(head, slice(row, row + 1))
        worst = _distance(alone, together[row])
        assert worst <= _TOLERANCE, f"alone, a row differs by {worst:.1e}, more than {_TOLERANCE:.0e}"


def check_all_parameters_learn(subject: _Head) -> None:
    """A loss has a gradient for each parameter."""
    import torch

    head = subject.build()
    torch.nn.functional.cross_entropy(subject.logits(head), torch.arange(_ROWS) % _CLASSES).backward()  # type: ignore[no-untyped-call]
    parameters = dict(head.named_parameters())
    assert parameters, "the head has no parameter"
    for name, one in parameters.items():
        assert one.grad is not None, f"{name} gets no gradient"
        assert bool(one.grad.isfinite().all()), f"the gradient of {name} is not finite"


def check_masked_tokens_do_not_count(subject: _Head) -> None:
    """What stands behind the mask changes no logit."""
    if subject.mask is None:
        return
    head = subject.build()
    changed = subject.values.masked_fill(~subject.mask.unsqueeze(2), 1e3)
    worst = _distance(subject.logits(head, values=changed), subject.logits(head))
    assert worst <= _TOLERANCE, f"masked tokens change the logits by {worst:.1e}"


def check_from_probe(subject: _Head) -> None:
    """The logits are those of the probe that the head starts from."""
    if subject.spec.from_probe is None:
        return
    import torch

    from tlengine.finetuning.heads.starting import start_with

    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(_CLASSES, _DIM)), rng.normal(size=_CLASSES)
    head = subject.build()
    start_with(head, subject.spec, "from_probe", W, b)
    rows = subject.values
    if subject.mask is not None:
        weights = subject.mask.unsqueeze(2).float()
        rows = (rows * weights).sum(1) / weights.sum(1)
    wanted = rows.double() @ torch.from_numpy(W).T + torch.from_numpy(b)
    worst = _distance(subject.logits(head), wanted)
    assert worst <= _TOLERANCE, f"the logits differ from the probe's by {worst:.1e}"


def check_from_means(subject: _Head) -> None:
    """Class means fit the head, and its logits stay finite."""
    if subject.spec.from_means is None:
        return
    from tlengine.finetuning.heads.starting import start_with

    head = subject.build()
    start_with(head, subject.spec, "from_means", np.random.default_rng(0).normal(size=(_CLASSES, _DIM)))
    assert bool(subject.logits(head).isfinite().all()), "NaN or inf among the logits"


def check_saved(subject: _Head) -> None:
    """A head comes back from its file with the same logits."""
    from tlengine.finetuning.heads.building import HeadConfig
    from tlengine.finetuning.heads.files import load_as, save_as

    head = subject.build(seed=1)
    config = HeadConfig(name=subject.spec.name, dim=subject.dim, classes=_CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        again, _ = load_as(subject.spec, save_as(subject.spec, head, config, folder))
    assert subject.logits(again).equal(subject.logits(head)), "it comes back with other logits"


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).detach().abs().max())


HEAD_CHECKS: tuple[Callable[[_Head], None], ...] = (
    check_spec_is_picklable,
    check_import_is_light,
    check_logits,
    check_independent_of_batch,
    check_all_parameters_learn,
    check_masked_tokens_do_not_count,
    check_from_probe,
    check_from_means,
    check_saved,
)
"""Each takes a spec and raises ``AssertionError`` with what is not as promised."""


def head_checks(spec: HeadSpec) -> Iterator[tuple[str, str | None]]:
    """Run every check on ``spec`` with its usual settings; yield its name and what is wrong, or None."""
    subject = _Head(spec)
    for check in HEAD_CHECKS:
        yield check.__name__.removeprefix("check_"), _fault(check, subject)


def _fault(check: Callable[[_Head], None], subject: _Head) -> str | None:
    try:
        check(subject)
    except AssertionError as error:
        return str(error).splitlines()[0]
    except TlengineError as error:
        return error.message
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def check_head(spec: HeadSpec) -> None:
    """Run every check on ``spec``: the whole test of a plugin is one parametrised call.

    Raises:
        AssertionError: some checks failed; the message has one line for each.

    >>> from tlengine.plugins import resolve_head
    >>> check_head(resolve_head("linear"))
    """
    faults = [f"{name}: {fault}" for name, fault in head_checks(spec) if fault is not None]
    assert not faults, f"head {spec.name!r} fails {len(faults)} checks\n" + "\n".join(faults)
