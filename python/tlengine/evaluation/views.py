"""The rows of a run, as each backbone sees them, and what one fit may see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.plugins.contracts import Codes, Matrix, Roles, Rows, read_only
from tlengine.settings import num_threads
from tlengine.types import CheckRows

if TYPE_CHECKING:
    from tlengine.features import Backbone

__all__ = ["Ground", "RunView", "Site", "TaskView"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where networks are run, and where what they computed is kept.

    Attributes:
        device: as users name it.
        cache: the folder of the embedding cache, or None.
        max_disk: bytes that a fit may take there, or None.
        max_pixels: larger images are refused.
        threads: how many a fit may use; None for as many as its process may.
    """

    device: str = "cpu"
    cache: Path | None = None
    max_disk: int | None = None
    max_pixels: int = 64_000_000
    threads: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What all views of a run share.

    Attributes:
        codes: (n,) class numbers; -1 for rows of classes that take no part.
        classes: (K,) the labels, as the user wrote them.
        units: (n,) rows of one unit are never on both sides of a split.
        digests: (n, 32) of the contents.
        groups, domains: (n,) names, or None.
        contents: the samples of the data set, read when they are asked for; None where it is features.
        rows: (n,) where each row of the run is among them.
    """

    codes: Codes
    classes: npt.NDArray[Any]
    units: Rows
    digests: npt.NDArray[np.uint8]
    groups: npt.NDArray[np.str_] | None = None
    domains: npt.NDArray[np.str_] | None = None
    contents: Any = None
    rows: Rows | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunView:
    """All rows of a run through one output of one backbone.

    Attributes:
        name: of the output.
        X: (n, d) float32.
        backbone: the backbone that the user named, or "" for the features of a control that belongs to none.
        fingerprint, recipe: what the rows were made by.
        check_rows: a few samples with their embeddings, for a model that is kept.
        cost: what the extraction did.
        loaded: the backbone or its name, for strategies that ask for it.
        image_size: side of the pictures that a backbone given by its name is loaded for; None for its own.
        stored: a ``.npy`` file with X, from which another process reads it.
    """

    name: str
    X: Matrix
    backbone: str = ""
    fingerprint: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    check_rows: CheckRows | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)
    loaded: Any = None
    image_size: int | None = None
    stored: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "X": None} if self.stored else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        X = np.load(state["stored"], mmap_mode="r") if state["stored"] else state["X"]
        self.__dict__.update(state, X=X)

    @cached_property
    def scale(self) -> float:
        """The mean squared distance of the rows from their mean."""
        return float(self.X.var(axis=0, dtype=np.float64).sum())


class TaskView:
    """One task's leave to look: features of all rows, labels of those that it may learn from.

    Attributes:
        read_features: whether features were looked at so far, or their scale.

    >>> digests = np.zeros((2, 32), np.uint8)
    >>> codes, classes = np.array([0, 1]), np.array(["a", "b"])
    >>> ground = Ground(codes=codes, classes=classes, units=np.arange(2), digests=digests)
    >>> view = RunView(name="net", X=np.eye(2, dtype=np.float32))
    >>> task = TaskView(view, ground, Roles(train=np.array([0]), test=np.array([1])))
    >>> task.codes(np.array([1]))
    Traceback (most recent call last):
    LookupError: the label of row 1 is not for this task: it is not train, select or calibrate
    """

    def __init__(self, view: RunView, ground: Ground, roles: Roles, site: Site | None = None) -> None:
        self._view, self._ground = view, ground
        site = site or Site()
        self.device, self.cache, self._max_pixels = site.device, site.cache, site.max_pixels
        self.max_disk = site.max_disk
        self.threads = num_threads() if site.threads is None else site.threads
        self._allowed = np.zeros(len(ground.codes), dtype=bool)
        self._allowed[roles.labelled] = True
        self.read_features = False
        self.name = view.name
        self.classes = len(ground.classes)
        self.units = read_only(ground.units)
        self.groups, self.domains = read_only(ground.groups), read_only(ground.domains)

    @property
    def scale(self) -> float:
        """The mean squared distance of the features from their mean, over all rows."""
        self.read_features = True
        return self._view.scale

    def codes(self, rows: Rows) -> Codes:
        """(m,) class numbers; see the contract."""
        refused = np.asarray(rows)[~self._allowed[rows]]
        if refused.size:
            raise LookupError(
                f"the label of row {refused[0]} is not for this task: it is not train, select or calibrate"
            )
        return self._ground.codes[rows]

    def features(self, rows: Rows) -> Matrix:
        """(m, d) float32, a copy."""
        return np.ascontiguousarray(self.matrix()[rows])

    def matrix(self) -> Matrix:
        """(n, d) float32 of all rows, read-only."""
        self.read_features = True
        return read_only(self._view.X)

    def contents(self, rows: Rows) -> Sequence[Any]:
        """The samples, decoded; see the contract."""
        if self._ground.contents is None or self._ground.rows is None:
            raise InputError(
                "the data are features, without their contents", hint="compare images or texts instead"
            )
        from tlengine.features.images import decode_image

        found = [self._ground.contents[int(self._ground.rows[row])] for row in rows]
        return [one if isinstance(one, str) else decode_image(one, self._max_pixels) for one in found]

    def keys(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """(m, 32) digests of the contents."""
        return self._ground.digests[rows]

    def backbone(
        self, device: str, *, weights: Literal["pretrained", "random"] = "pretrained", seed: int = 0
    ) -> Backbone:
        """A copy of the backbone that is the caller's; see the contract."""
        if self._view.loaded is None:
            raise InputError(
                f"the view {self.name!r} has no backbone to take",
                hint="compare images or texts, by a strategy that reads the contents of the backbone's view",
            )
        from tlengine.features import load_backbone, random_backbone
        from tlengine.features.forward import choose_device

        loaded, device = self._view.loaded, choose_device(device)
        if isinstance(loaded, str):
            found = load_backbone(loaded, device=device, image_size=self._view.image_size)
        else:
            found = loaded.copy()
        found.module.to(device)
        return random_backbone(found, seed=seed) if weights == "random" else found
