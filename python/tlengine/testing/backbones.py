"""What a backbone promises, as checks that a plugin's tests run in one call."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tlengine.errors import TlengineError
from tlengine.plugins.records import BackboneSpec

__all__ = ["BACKBONE_CHECKS", "backbone_checks", "check_backbone"]

_TOLERANCE = 1e-5
"""Relative to the largest value: a row must not depend on its batch beyond float32 noise."""


class _Subject:
    """A spec, its network on the CPU and a few samples that it takes."""

    def __init__(self, spec: BackboneSpec) -> None:
        self.spec = spec
        self.samples = _texts() if spec.modality == "text" else _images()
        self._module: Any = None

    @property
    def module(self) -> Any:
        if self._module is None:
            self._module = self.spec.load("cpu")
        return self._module

    def embed(self, samples: list[Any]) -> npt.NDArray[np.float32]:
        """The rows as an extraction computes them."""
        from tlengine.features.backbone import Backbone
        from tlengine.features.forward import Forward

        backbone = Backbone(
            self.module,
            preprocess=self.spec.preprocess,
            modality=self.spec.modality,
            name=self.spec.name,
            embedding_dim=self.spec.embedding_dim,
        )
        with Forward(backbone, "cpu", "float32") as forward:
            return forward([np.asarray(self.spec.preprocess(sample)) for sample in samples])


def _images() -> list[Any]:
    """Photographs of noise in several shapes, upright and not square."""
    rng = np.random.default_rng(0)
    shapes = [(64, 64), (50, 90), (300, 200), (7, 5)]
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]


def _texts() -> list[Any]:
    return [
        "",
        "a",
        "A short sentence, with marks: 1, 2!",
        "ein längerer Satz " * 40,
        "\u4f60\u597d \U0001f600",
    ]


def check_spec_is_picklable(subject: _Subject) -> None:
    """Decoding processes get the preprocessing, so it travels between processes."""
    again = pickle.loads(pickle.dumps(subject.spec))  # noqa: S301 - our own bytes
    assert again.name == subject.spec.name, "the spec changes when pickled"


def check_preprocess_is_described(subject: _Subject) -> None:
    """The preprocessing enters the cache key, so it describes itself, the same way each time."""
    from tlengine.features.recipes import describe

    assert describe(subject.spec.preprocess) == describe(subject.spec.preprocess), "the description changes"


def check_evaluation_mode(subject: _Subject) -> None:
    """Dropout is off and batch statistics are frozen: ``load`` returns the network in evaluation mode."""
    training = [name or "the network" for name, part in subject.module.named_modules() if part.training]
    assert not training, f"in training mode: {', '.join(training[:3])}; call .eval() in load"


def check_weights_stay(subject: _Subject) -> None:
    """Embedding changes no weight and no buffer: nothing is learned, no statistics are kept."""
    before = _fingerprint(subject)
    subject.embed(subject.samples)
    assert _fingerprint(subject) == before, "an embedding changes the weights or buffers"


def check_dimension_and_dtype(subject: _Subject) -> None:
    """(n, embedding_dim), float32 and finite, for every sample."""
    rows = subject.embed(subject.samples)
    assert rows.shape == (len(subject.samples), subject.spec.embedding_dim), f"shape {rows.shape}"
    assert rows.dtype == np.float32, f"dtype {rows.dtype}"
    assert np.isfinite(rows).all(), "NaN or inf"


def check_deterministic(subject: _Subject) -> None:
    """The same samples give the same rows, bit for bit."""
    assert np.array_equal(subject.embed(subject.samples), subject.embed(subject.samples)), "two calls differ"


def check_independent_of_batch(subject: _Subject) -> None:
    """A row does not depend on the others of its batch, nor on their order."""
    together = subject.embed(subject.samples)
    alone = np.concatenate([subject.embed([sample]) for sample in subject.samples])
    backwards = subject.embed(subject.samples[::-1])[::-1]
    for name, rows in (("alone", alone), ("in another order", backwards)):
        worst = float(np.abs(rows - together).max() / max(1.0, float(np.abs(together).max())))
        assert worst <= _TOLERANCE, f"{name}, a row differs by {worst:.1e}, more than {_TOLERANCE:.0e}"


def check_tells_samples_apart(subject: _Subject) -> None:
    """Different samples get different rows."""
    rows = subject.embed(subject.samples)
    assert len(np.unique(rows, axis=0)) > 1, "all samples get the same row"


def check_fingerprint(subject: _Subject) -> None:
    """Loading twice gives the same fingerprint: nothing about the weights is random."""
    again = _fingerprint(_Subject(subject.spec))
    assert _fingerprint(subject) == again, "loading twice gives two fingerprints; are the weights random?"


def _fingerprint(subject: _Subject) -> str:
    from tlengine.features.recipes import describe, fingerprint

    return fingerprint(subject.module, describe(subject.spec.preprocess), subject.spec.revision)


BACKBONE_CHECKS: tuple[Callable[[_Subject], None], ...] = (
    check_spec_is_picklable,
    check_preprocess_is_described,
    check_evaluation_mode,
    check_weights_stay,
    check_dimension_and_dtype,
    check_deterministic,
    check_independent_of_batch,
    check_tells_samples_apart,
    check_fingerprint,
)
"""Each takes a loaded spec and raises ``AssertionError`` with what is not as promised."""


def backbone_checks(spec: BackboneSpec) -> Iterator[tuple[str, str | None]]:
    """Run every check on ``spec``; yield its name and what is wrong, or None.

    The network is loaded once (twice where the check is about loading) and runs on the CPU.
    """
    subject = _Subject(spec)
    for check in BACKBONE_CHECKS:
        name = check.__name__.removeprefix("check_")
        try:
            check(subject)
        except (AssertionError, TlengineError) as error:
            yield name, str(error).splitlines()[0]
        except Exception as error:
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield name, None


def check_backbone(spec: BackboneSpec) -> None:
    """Run every check on ``spec``: the whole test of a plugin is one parametrised call.

    Raises:
        AssertionError: some checks failed; the message has one line for each.

    >>> from tlengine.plugins import resolve_backbone
    >>> check_backbone(resolve_backbone("raw"))
    """
    faults = [f"{name}: {fault}" for name, fault in backbone_checks(spec) if fault is not None]
    assert not faults, f"backbone {spec.name!r} fails {len(faults)} checks\n" + "\n".join(faults)
