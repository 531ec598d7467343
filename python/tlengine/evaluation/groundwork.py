"""What comparing strategies and training one network begin with: rows that were seen, and a setup on them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.data import Dataset
from tlengine.data.plans import Plan
from tlengine.errors import TlengineWarning
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.samples import Samples, Wanted, see_samples
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.views import Ground, Site
from tlengine.types import Features

if TYPE_CHECKING:
    from tlengine.features import Backbone
    from tlengine.features.cache import CacheLike

__all__ = ["Untrained", "embed_samples", "setup_on", "site_of", "warn_of"]


@dataclass(frozen=True)
class Untrained:
    """A backbone, or its name, with weights that were drawn with a seed."""

    backbone: Any
    seed: int


def embed_samples(
    dataset: Dataset,
    wanted: Sequence[Wanted],
    cache: CacheLike,
    progress: bool,
    extraction: Mapping[str, Any],
    ledger: Ledger,
    finish: Callable[[Features, Backbone], Features] = lambda features, backbone: features,
) -> Samples:
    """The rows that every view could read, through the cache.

    Args:
        dataset: the samples.
        wanted: the views; a source is a backbone, its name, or :class:`Untrained`.
        cache: as for :func:`tlengine.extract`.
        progress: bars on stderr.
        extraction: options of :func:`tlengine.extract`.
        ledger: gets what each view took.
        finish: what is added to the features of a backbone while it is loaded.

    Raises:
        DecodeError: no sample can be read, or with ``strict`` any cannot.
        TlengineError: every backbone that was asked for failed.
    """
    from tlengine.features import extract, load_backbone, opened, random_backbone

    def load(source: Any, size: int | None) -> Any:
        if isinstance(source, Untrained):
            return random_backbone(load(source.backbone, size), seed=source.seed, contents=dataset)
        return load_backbone(source, image_size=size) if isinstance(source, str) else source

    def embed(view: Wanted) -> Features:
        backbone = load(view.source, view.image_size)
        return finish(extract(dataset, backbone, cache=kept, progress=progress, **extraction), backbone)

    with opened(cache) as kept:
        return see_samples(dataset, wanted, embed, ledger)


def site_of(cache: CacheLike, extraction: Mapping[str, Any], max_disk: int | None = None) -> Site:
    """Where networks are run, and the cache that frozen parts of them may be kept in."""
    from tlengine.features import opened

    given = {name: extraction[name] for name in ("device", "max_pixels") if extraction.get(name) is not None}
    with opened(cache) as kept:
        return Site(cache=None if kept is None else kept.path.absolute(), max_disk=max_disk, **given)


def setup_on(
    dataset: Dataset,
    samples: Samples,
    plan: Plan,
    chosen: Mapping[str, Chosen],
    out: str | os.PathLike[str] | None,
    site: Site,
) -> Setup:
    """The setup of a plan for these samples."""
    ground = Ground(
        codes=plan.codes,
        classes=np.asarray(plan.classes),
        units=plan.units,
        digests=samples.keys,
        groups=samples.groups,
        domains=samples.domains,
        contents=dataset.contents,
        rows=samples.rows,
    )
    folder = None if out is None else Path(out).absolute()
    return Setup(ground=ground, views=samples.views, plan=plan, strategies=chosen, folder=folder, site=site)


def warn_of(plan: Plan) -> None:
    """Say what was noticed while the resamples were made."""
    for note in plan.notes:
        warnings.warn(note, TlengineWarning, stacklevel=4)
    if plan.excluded:
        shown = ", ".join(f"{e.label!r} ({e.count})" for e in plan.excluded)
        note = f"classes too small to train and test are left out: {shown}"
        warnings.warn(note, TlengineWarning, stacklevel=4)
