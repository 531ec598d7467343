"""How a network is trained: settings that a user may change, and the numbers that they come to."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args

from tlengine.errors import InputError

__all__ = ["FAMILIES", "Family", "Recipe", "TrainSettings", "recipe_for"]

Family = Literal["cnn", "vit", "text"]
"""Networks with batch normalisation, other networks on images, and text encoders."""
FAMILIES: tuple[Family, ...] = get_args(Family)

Train = Literal["all", "last-block", "norms", "surgical", "adapters"]
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "train": get_args(Train),
    "weights": ("pretrained", "random"),
    "start": ("random", "probe", "means"),
    "schedule": ("once", "gradual"),
    "anchor": ("none", "l2-sp"),
    "average": ("none", "wise"),
    "augment": ("auto", "none", "crop", "crop-flip"),
    "prefix": ("auto", "never"),
    "prefix_dtype": ("float32", "fp16"),
    "precision": ("auto", "float32", "bf16", "fp16"),
}
_ABOVE_0 = (
    "rate",
    "head_rate",
    "steps",
    "batch",
    "views",
    "clip",
    "layer_decay",
    "lora_rank",
    "lora_alpha",
    "stretch",
)
_FROM_0 = ("weight_decay", "warmup", "anchor_strength", "head_strength", "lora_dropout", "checkpoint_seconds")
_SHARES = ("warmup", "mix", "lora_dropout", "layer_decay", "fraction")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What a preset sets, and a user may override.

    Attributes:
        train: which parameters are trained beside the head: ``"all"``; ``"last-block"``; ``"norms"``, biases
            and the weights of normalisation; ``"surgical"``, the block with the largest gradient relative to
            its weights; ``"adapters"``, low-rank matrices beside the layers that the backbone names.
        weights: ``"random"`` trains the architecture from untrained weights.
        start: of the head: ``"probe"`` is the linear probe on the frozen features, ``"means"`` their class
            means (for the head ``cosine``).
        schedule: ``"gradual"`` trains the head alone at first, then block after block from the output down.
        anchor: ``"l2-sp"`` pulls the weights towards where they started.
        average: ``"wise"`` averages the weights of start and end.
        head: name of a registered head.
        head_settings: of that head, by name; plain JSON. ``tlengine plugins show NAME`` lists them.
        rate, weight_decay, layer_decay: of AdamW; None takes the table. The rate of a block is
            ``layer_decay`` times that of the block after it.
        head_rate: of the head. None takes ``rate`` for a head from the probe; for a new one so much that
            its logits can move by 10 in half the steps, and by 1 in a step at the most, by the spread of the
            frozen features, whose length may be 1 or 100.
        batch, steps: rows a step, and steps; None is 16 rows up to 400 labels, else 32, and 12 epochs, at
            least 60 and at most 500 steps.
        stretch: factor of the steps.
        warmup: share of the steps in which the rate rises; then it falls to 0 by a cosine.
        clip: largest norm of a gradient.
        anchor_strength, head_strength: of ``"l2-sp"``, for the backbone and the head: the share of the way
            back that is gone in a step at the full rate. Li et al. 2018 have a penalty of 0.1, a rate of 0.01
            and a momentum of 0.9, which makes 0.01.
        mix: of ``"wise"``: the weight of the trained network.
        augment: ``"crop"``: parts of 70 to 100 % of the picture; ``"crop-flip"``: mirrored as well;
            ``"auto"``: mirrored where the probe on frozen features does not lose by it on held-out rows.
            Texts are never augmented.
        views: how many augmented views of a picture there are; None is another one in each epoch, and 4 where
            a frozen part of the network is computed once.
        prefix: ``"never"`` computes frozen blocks anew in every step.
        prefix_dtype: of what is kept of them.
        tune: whether the rate is chosen among a third, one and three times itself, by 3 folds of the budget.
        precision: ``"auto"`` is bf16 on a GPU that has it, else float32.
        lora_rank, lora_alpha, lora_dropout: of adapters; a rank of None takes the table.
        checkpoint_seconds: between two checkpoints.
        fraction: of the steps that are made, where time is short; below 1 the fit is marked as cut.

    Raises:
        InputError: a value that is not allowed.

    >>> TrainSettings(rate=-1.0)
    Traceback (most recent call last):
    tlengine.errors.InputError: rate is -1.0
    hint: use a number above 0
    """

    train: str = "all"
    weights: str = "pretrained"
    start: str = "random"
    schedule: str = "once"
    anchor: str = "none"
    average: str = "none"
    head: str = "linear"
    head_settings: Mapping[str, Any] = field(default_factory=dict)
    rate: float | None = None
    head_rate: float | None = None
    weight_decay: float | None = None
    layer_decay: float | None = None
    batch: int | None = None
    steps: int | None = None
    stretch: float = 1.0
    warmup: float = 0.1
    clip: float = 1.0
    anchor_strength: float = 0.01
    head_strength: float = 0.001
    mix: float = 0.5
    augment: str = "auto"
    views: int | None = None
    prefix: str = "auto"
    prefix_dtype: str = "float32"
    tune: bool = False
    precision: str = "auto"
    lora_rank: int | None = None
    lora_alpha: int = 16
    lora_dropout: float = 0.1
    checkpoint_seconds: float = 20.0
    fraction: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} is {getattr(self, name)!r:.40}", hint=f"use one of {', '.join(allowed)}"
                )
        whole = {one.name for one in fields(self) if str(one.type).startswith("int")}
        for name in (*_ABOVE_0, *_FROM_0, *_SHARES):
            self._check_number(name, whole=name in whole)
        if self.weights == "random" and self.start != "random":
            raise InputError(
                f"start is {self.start!r} with random weights",
                hint="features that are not trained say nothing",
            )
        if not isinstance(self.tune, bool):
            raise InputError(f"tune is {self.tune!r:.40}", hint="use true or false")
        if not isinstance(self.head, str):
            raise InputError(f"head is {self.head!r:.40}", hint="use the name of a registered head")
        self._check_head_settings()

    def _check_head_settings(self) -> None:
        """Plain JSON by name, as it enters the key; the head's own check is for when it is known."""
        given = self.head_settings
        try:
            plain = isinstance(given, Mapping) and json.loads(json.dumps(dict(given), allow_nan=False))
        except (TypeError, ValueError):
            plain = None
        if plain is False or plain != given:
            raise InputError(
                f"head_settings is {given!r:.40}", hint='use settings by name, such as {"dropout": 0.2}'
            )
        object.__setattr__(self, "head_settings", plain)  # the caller may go on to change theirs

    def _check_number(self, name: str, *, whole: bool) -> None:
        value = getattr(self, name)
        if value is None:
            return
        hint = f"use a {'whole ' if whole else ''}number {'above' if name in _ABOVE_0 else 'from'} 0"
        hint += " up to 1" if name in _SHARES else ""
        kinds = int if whole else int | float
        right = isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
        if not right or (name in _ABOVE_0 and value == 0) or (name in _SHARES and value > 1):
            raise InputError(f"{name} is {value!r:.40}", hint=hint)

    def with_settings(self, given: Mapping[str, Any]) -> TrainSettings:
        """These settings with others in place of some.

        Raises:
            InputError: a setting of no such name, or a value that is not allowed.
        """
        known = [one.name for one in fields(self)]
        if strange := [name for name in given if name not in known]:
            near = get_close_matches(str(strange[0]), known) or known
            raise InputError(f"no setting {strange[0]!r}", hint=f"there are {', '.join(near)}")
        return replace(self, **given)

    def told(self) -> dict[str, Any]:
        """All that may change a result: what enters the key of a fit."""
        found = asdict(self)
        del found["checkpoint_seconds"]
        return found


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        rate, head_rate, weight_decay, layer_decay, clip, warmup: as in :class:`TrainSettings`.
        batch, steps: rows a step, and steps.
        cut: whether steps were left out for want of time.
    """

    rate: float
    weight_decay: float
    layer_decay: float
    batch: int
    steps: int
    head_rate: float = 0.0
    clip: float = 1.0
    warmup: float = 0.1
    cut: bool = False

    def factor(self, step: int) -> float:
        """What the rate is multiplied by at a step from 0: a linear rise, then a cosine to 0.

        >>> recipe = Recipe(rate=1.0, weight_decay=0.0, layer_decay=1.0, batch=1, steps=20)
        >>> recipe.factor(0), recipe.factor(2), round(recipe.factor(19), 3)
        (0.5, 1.0, 0.008)
        """
        rise = round(self.warmup * self.steps)
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


_FEW_LABELS, _SMALL, _LARGE = 400, 16, 32
_EPOCHS, _LEAST, _MOST = 12, 60, 500
_RATES: Mapping[str, Mapping[Family, float]] = {
    "all": {"cnn": 1e-4, "vit": 6e-5, "text": 5e-5},
    "last-block": {"cnn": 3e-4, "vit": 1e-4, "text": 5e-5},
    "surgical": {"cnn": 3e-4, "vit": 1e-4, "text": 5e-5},
    "norms": {"cnn": 1e-3, "vit": 1e-3, "text": 1e-3},
    "adapters": {"cnn": 1e-3, "vit": 1e-3, "text": 1e-3},
}
_DECAYS: Mapping[Family, float] = {"cnn": 1e-4, "vit": 0.05, "text": 0.0}
_LAYER_DECAYS: Mapping[Family, float] = {"cnn": 0.9, "vit": 0.65, "text": 0.95}
_FROM_PROBE = 1 / 3
_LOGITS, _LARGEST_HEAD_RATE = 10.0, 0.05
_SCRATCH = 1e-3


def recipe_for(settings: TrainSettings, family: Family, labels: int, spread: float = 0.0) -> Recipe:
    """The numbers for so many labels; what the settings leave open comes from the table of the family.

    Few steps whatever the number of labels is BiT's rule (Kolesnikov et al. 2020), 500 of them for every n;
    with 20 labels a class 60 steps of 16 rows did as well as 100 of 32 (``docs/finetuning.md``). Rates and
    layer decay follow He et al. 2022 for vision transformers and Zhang et al. 2021 for text; a start from the
    probe takes a third of the rate (Kumar et al. 2022).

    Args:
        settings: of the training.
        family: of the backbone.
        labels: how many rows are trained on.
        spread: mean L1 distance of the frozen features from their mean: what the logits of a linear head move
            by in a step of AdamW at a rate of 1.

    >>> recipe = recipe_for(TrainSettings(), "text", 60, spread=15.0)
    >>> recipe.rate, recipe.steps, recipe.batch, round(recipe.head_rate, 4)
    (5e-05, 60, 16, 0.0222)
    """
    batch = min(labels, settings.batch or (_SMALL if labels <= _FEW_LABELS else _LARGE))
    steps = settings.steps or min(_MOST, max(_LEAST, round(_EPOCHS * labels / batch)))
    steps = max(1, round(steps * settings.stretch * settings.fraction))
    scratch = settings.weights == "random"
    rate = settings.rate or (_SCRATCH if scratch else _RATES[settings.train][family])
    if settings.rate is None and settings.start == "probe" and settings.train == "all":
        rate *= _FROM_PROBE
    decay = _DECAYS[family] if settings.weight_decay is None else settings.weight_decay
    layers = settings.layer_decay or (_LAYER_DECAYS[family] if _is_deep(settings) else 1.0)
    return Recipe(
        rate=rate, weight_decay=decay, layer_decay=layers, batch=batch, steps=steps, clip=settings.clip,
        head_rate=_head_rate(settings, rate, steps, spread), warmup=settings.warmup,
        cut=settings.fraction < 1,
    )  # fmt: skip


def _head_rate(settings: TrainSettings, rate: float, steps: int, spread: float) -> float:
    if settings.head_rate is not None:
        return settings.head_rate
    if settings.start == "probe" or spread <= 0:
        return rate
    return max(rate, min(_LARGEST_HEAD_RATE, _LOGITS / (0.5 * steps * spread), 1.0 / spread))


def _is_deep(settings: TrainSettings) -> bool:
    """Whether blocks of many depths learn what they had learned before."""
    return settings.train == "all" and settings.weights == "pretrained"
