"""What a backbone promises, as checks that a plugin's tests run in one call."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tlengine.errors import PluginError, TlengineError
from tlengine.plugins import registry
from tlengine.plugins.records import BackboneSpec
from tlengine.testing.imports import heavy_imports

if TYPE_CHECKING:
    from tlengine.features.backbone import Backbone

__all__ = ["BACKBONE_CHECKS", "backbone_checks", "check_backbone"]

_TOLERANCE = 1e-5
"""Relative to the largest value: a row must not depend on its batch beyond float32 noise."""


class _Subject:
    """A spec, its network on the CPU and a few samples of one modality that it takes."""

    def __init__(self, spec: BackboneSpec, modality: str, twin: _Subject | None = None) -> None:
        self.spec = spec
        self.modality = modality
        self.samples = _texts() if modality == "text" else _images()
        self._twin = twin
        self._module: Any = None

    @property
    def module(self) -> Any:
        if self._twin is not None:
            return self._twin.module
        if self._module is None:
            self._module = _network(self.spec, self.spec.load("cpu"))
        return self._module

    def embed(self, samples: list[Any]) -> npt.NDArray[np.float32]:
        """The rows as an extraction computes them."""
        from tlengine.features.forward import Forward

        with Forward(self.backbone(), "cpu", "float32") as forward:
            return forward(self.prepared(samples))

    def prepared(self, samples: list[Any]) -> list[npt.NDArray[Any]]:
        """What the preprocessing makes of them; what it raises is told as its own."""
        try:
            return [np.asarray(self.spec.preprocess(sample)) for sample in samples]
        except Exception as error:
            raise self.backbone().fault(
                f"cannot preprocess a sample: {type(error).__name__}: {error}", hint="mend its preprocess"
            ) from error

    def output_dtype(self) -> str:
        """What the network itself returns, before an extraction turns it into float32."""
        from tlengine.features.forward import Forward

        with Forward(self.backbone(), "cpu", "float32") as forward:
            output = forward.output(self.prepared(self.samples[-1:]))
        return str(output.dtype).removeprefix("torch.")

    def called(self) -> list[str]:
        """The submodules that hold parameters of their own, in the order in which they are first called."""
        found: dict[str, None] = {}
        handles = [
            part.register_forward_pre_hook(lambda *_, name=name: found.setdefault(name))
            for name, part in self.module.named_modules()
            if self.own_parameters(name)
        ]
        try:
            self.embed(self.samples[-1:])
        finally:
            for handle in handles:
                handle.remove()
        return [*found]

    def own_parameters(self, name: str) -> list[str]:
        """The names of the parameters that a submodule holds itself, without those of others in it."""
        return [inner for inner, _ in self.module.get_submodule(name).named_parameters(recurse=False)]

    def tokens(self) -> Any:
        """What a head that reads tokens gets of the samples, with their mask."""
        from tlengine.features.forward import Forward
        from tlengine.finetuning import tokens_of

        backbone = self.backbone()
        with Forward(backbone, "cpu", "float32"):
            return tokens_of(backbone, self.batch(self.prepared(self.samples)))

    def batch(self, prepared: list[npt.NDArray[Any]]) -> Any:
        """What the network is called with for preprocessed samples."""
        import torch

        from tlengine.features.forward import batch_of

        return batch_of(self.backbone(), prepared, torch.device("cpu"))

    def backbone(self) -> Backbone:
        """The spec with its network, in messages under the name of its plugin."""
        from tlengine.features.backbone import Backbone

        backbone = Backbone(
            self.module,
            preprocess=self.spec.preprocess,
            modality=self.spec.modality,
            name=self.spec.name,
            embedding_dim=self.spec.embedding_dim,
            revision=self.spec.revision,
            blocks=self.spec.blocks,
            tokens=self.spec.tokens,
            lora_targets=self.spec.lora_targets,
            initialise=self.spec.initialise,
            collate=self.spec.collate,
        )
        backbone.origin = _origin(self.spec)
        return backbone.for_modality(self.modality)


def _network(spec: BackboneSpec, module: Any) -> Any:
    """What ``load`` returned, if it is a network."""
    from torch import nn

    if not isinstance(module, nn.Module):
        raise PluginError(
            f"load of {spec.name!r} returned a {type(module).__name__}, not a torch.nn.Module",
            hint="end load with: return network.eval().to(device)",
        )
    return module


def _origin(spec: BackboneSpec) -> str:
    try:
        return registry.origin(spec.name)
    except (TlengineError, KeyError):
        return f"of {spec.load.__module__}"


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
    """What becomes of a sample enters the cache key, so it describes itself, the same way each time."""
    from tlengine.features.descriptions import describe

    for word, does in (("preprocess", subject.spec.preprocess), ("collate", subject.spec.collate)):
        if does is None:
            continue
        described = describe(does, word)
        assert described == describe(does, word), f"the description of {word} changes"
        again = pickle.loads(pickle.dumps(does))  # noqa: S301 - our own bytes
        assert describe(again, word) == described, f"a copy of {word} has another description"


def check_preprocess_is_deterministic(subject: _Subject) -> None:
    """A sample is preprocessed the same way each time: one draw would be kept for ever."""
    for sample in subject.samples:
        one, other = (np.asarray(subject.spec.preprocess(sample)) for _ in range(2))
        assert np.array_equal(one, other), (
            "the same sample comes out otherwise the second time; is it random?"
        )


def check_import_is_light(subject: _Subject) -> None:
    """Importing the plugin loads no torch: every ``tlengine --help`` imports it."""
    assert not (fault := heavy_imports(subject.spec.load)), fault


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
    dim = subject.spec.embedding_dim
    dim = dim[subject.modality] if isinstance(dim, Mapping) else dim
    assert rows.shape == (len(subject.samples), dim), f"shape {rows.shape}"
    assert np.isfinite(rows).all(), "NaN or inf"
    dtype = subject.output_dtype()
    assert dtype == "float32", (
        f"the network returns {dtype}; end forward with .float(), or load float32 weights"
    )


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
    again = _fingerprint(_Subject(subject.spec, subject.modality))
    assert _fingerprint(subject) == again, "loading twice gives two fingerprints; are the weights random?"


def check_blocks(subject: _Subject) -> None:
    """Each parameter is in one block, and the blocks stand in the order in which the network calls them."""
    if not subject.spec.blocks:
        return
    from tlengine.features import block_of

    blocks = block_of(subject.backbone())
    last = 0, ""
    for called in subject.called():
        own = {blocks[f"{called}.{name}" if called else name] for name in subject.own_parameters(called)}
        block = min(own, default=last[0])
        assert block >= last[0], (
            f"{called} of block {block} is called after {last[1]} of block {last[0]}; name the blocks from "
            "the input to the output"
        )
        last = block, called


def check_tokens(subject: _Subject) -> None:
    """Finite tokens of every sample, (n, tokens, d), or a feature map, where ``tokens`` says."""
    if subject.spec.tokens:
        values, _ = subject.tokens()
        assert bool(values.isfinite().all()), "NaN or inf among the tokens"


def check_lora_targets(subject: _Subject) -> None:
    """Each target names linear layers or convolutions of the network."""
    from tlengine.features import lora_modules

    if subject.spec.lora_targets:
        lora_modules(subject.backbone())


def check_initialise(subject: _Subject) -> None:
    """Weights that were never trained: the same for a seed, others for another, and finite rows."""
    if subject.spec.initialise is None:
        return
    from tlengine.features import random_backbone

    one, again, other = (random_backbone(subject.backbone(), seed=seed) for seed in (0, 0, 1))
    assert one.how_drawn.get("initialise"), "initialise fills no parameter"
    assert one.fingerprint == again.fingerprint, (
        "one seed gives two networks; draw all from torch, or seed it"
    )
    assert one.fingerprint != other.fingerprint, "two seeds give the same network"
    bad = [name for name, tensor in one.module.named_parameters() if not bool(tensor.isfinite().all())]
    assert not bad, f"initialise leaves {bad[0]} not finite"


def check_collate(subject: _Subject) -> None:
    """The same samples make the same batch, and are left as they were."""
    if subject.spec.collate is None:
        return
    samples = subject.prepared(subject.samples)
    before = [sample.copy() for sample in samples]
    one, again = (_by_name(subject.batch(samples)) for _ in range(2))
    assert all(map(np.array_equal, samples, before)), "collate changes the samples in place"
    assert one.keys() == again.keys(), "the keywords differ the second time"
    differs = [name for name, tensor in one.items() if not tensor.equal(again[name])]
    assert not differs, f"{differs[0] or 'the batch'} is another one the second time; is collate random?"


def _by_name(inputs: Any) -> dict[str, Any]:
    return dict(inputs) if isinstance(inputs, Mapping) else {"": inputs}


def _fingerprint(subject: _Subject) -> str:
    return subject.backbone().fingerprint


BACKBONE_CHECKS: tuple[Callable[[_Subject], None], ...] = (
    check_spec_is_picklable,
    check_preprocess_is_described,
    check_dimension_and_dtype,
    check_preprocess_is_deterministic,
    check_import_is_light,
    check_evaluation_mode,
    check_weights_stay,
    check_deterministic,
    check_independent_of_batch,
    check_tells_samples_apart,
    check_fingerprint,
    check_blocks,
    check_tokens,
    check_lora_targets,
    check_initialise,
    check_collate,
)
"""Each takes a loaded spec and raises ``AssertionError`` with what is not as promised."""

_FIRST = (check_preprocess_is_described, check_dimension_and_dtype)
"""Where one of these cannot even be carried out, no later check can."""


def backbone_checks(spec: BackboneSpec) -> Iterator[tuple[str, str | None]]:
    """Run every check on ``spec``; yield its name and what is wrong, or None.

    The network is loaded once (twice where the check is about loading) and runs on the CPU; one that takes
    images and texts is checked on both. Where its preprocessing cannot be described, or nothing comes out of
    it, the checks end there: the others would tell the same cause again.
    """
    first, *others = ("image", "text") if spec.modality == "any" else (spec.modality,)
    subjects = [_Subject(spec, first)]
    subjects += [_Subject(spec, other, subjects[0]) for other in others]
    for check in BACKBONE_CHECKS:
        faults = [_fault(check, subject) for subject in subjects]
        told = next((fault for fault, _ in faults if fault is not None), None)
        yield check.__name__.removeprefix("check_"), told
        if check in _FIRST and any(broken for _, broken in faults):
            return


def _fault(check: Callable[[_Subject], None], subject: _Subject) -> tuple[str | None, bool]:
    """What is wrong, and whether the check could not even be carried out."""
    try:
        check(subject)
    except AssertionError as error:
        return str(error).splitlines()[0], False
    except TlengineError as error:
        return error.message + (f" ({error.hint})" if error.hint else ""), True
    except Exception as error:
        return f"{type(error).__name__}: {error}", True
    return None, False


def check_backbone(spec: BackboneSpec) -> None:
    """Run every check on ``spec``: the whole test of a plugin is one parametrised call.

    Raises:
        AssertionError: some checks failed; the message has one line for each.

    >>> from tlengine.plugins import resolve_backbone
    >>> check_backbone(resolve_backbone("raw"))
    """
    faults = [f"{name}: {fault}" for name, fault in backbone_checks(spec) if fault is not None]
    assert not faults, f"backbone {spec.name!r} fails {len(faults)} checks\n" + "\n".join(faults)
