"""What plugins yield: frozen records, data and callables alone, so that listing them loads no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tlengine.errors import InputError
from tlengine.plugins.checks import check_callable, check_name
from tlengine.plugins.network_records import MODALITIES, BackboneSource, BackboneSpec, HeadSpec, Modality

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tlengine.plugins.contracts import Role, Strategy

__all__ = [
    "MODALITIES",
    "BackboneSource",
    "BackboneSpec",
    "Candidates",
    "ExporterSpec",
    "HeadSpec",
    "MetricSpec",
    "Modality",
    "ProbeSpec",
    "StrategySpec",
]

Candidates = Sequence[Mapping[str, Any]]
"""Keywords of an estimator, one set of them for each candidate, plain JSON."""


@dataclass(frozen=True, kw_only=True)
class ProbeSpec:
    """A head that is solved on frozen features.

    Attributes:
        name: what users write; strategies share the names of probes.
        estimator: a scikit-learn classifier class, or a callable with the same keyword arguments; not an
            instance. What the *fitted* estimator offers is used: ``predict_proba``, else
            ``decision_function``, else ``predict``.
        candidates: keywords of ``estimator`` to choose from by the log-loss of held-out rows, or a function
            that takes n (rows that are fitted), d (columns) and the scale (mean squared distance of the
            features from their mean) and returns them; () for the estimator's defaults alone. Where nothing
            can be held out the first is taken.
        save: takes the fitted estimator, returns ``(arrays, facts)``: NumPy arrays of numbers by name, and
            what JSON can hold. ``classes_`` and ``n_features_in_`` are kept beside them.
        load: takes the two and returns an estimator that predicts the same; both or neither.
        description: one line for people.

    Raises:
        InputError: a name that is not allowed, an estimator that cannot be called, candidates that are no
            keywords in plain JSON, ``save`` without ``load``.

    >>> spec = ProbeSpec(name="mean", estimator=dict, candidates=lambda n, d, scale: [{"C": 1 / scale}])
    >>> spec.candidates_for(100, 8, 2.0)
    [{'C': 0.5}]
    """

    name: str
    estimator: Callable[..., Any] = field(repr=False)
    candidates: Candidates | Callable[[int, int, float], Candidates] = field(
        default=(), repr=False, hash=False
    )
    save: Callable[[Any], tuple[Mapping[str, npt.NDArray[Any]], Mapping[str, Any]]] | None = field(
        default=None, repr=False
    )
    load: Callable[[Mapping[str, npt.NDArray[Any]], Mapping[str, Any]], Any] | None = field(
        default=None, repr=False
    )
    description: str = ""

    def __post_init__(self) -> None:
        check_name("probe", self.name)
        owner, kind = f"probe {self.name!r}", type(self.estimator).__name__
        fix = f"pass the class {kind} itself, or a function that makes one: lambda: {kind}(...)"
        check_callable(owner, "estimator", self.estimator, fix)
        if not callable(self.candidates):
            _checked_candidates(owner, self.candidates)
        if (self.save is None) != (self.load is None):
            raise InputError(
                f"{owner} has {'load' if self.save is None else 'save'} alone", hint="pass both, or neither"
            )
        for word, function in (("save", self.save), ("load", self.load)):
            if function is not None:
                check_callable(owner, word, function, "pass a function")

    def candidates_for(self, n: int, d: int, scale: float) -> list[dict[str, Any]]:
        """The candidates for (n, d) features of a scale; ``[{}]`` where there are none to choose from.

        Raises:
            InputError: the function returned something else than keywords in plain JSON.
        """
        found = self.candidates(n, d, scale) if callable(self.candidates) else self.candidates
        return _checked_candidates(f"probe {self.name!r}", found) or [{}]


def _checked_candidates(owner: str, found: object) -> list[dict[str, Any]]:
    fix = 'write them like [{"C": 0.1}, {"C": 1.0}], of numbers, text, lists, True, False and None'
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Sequence):
        raise InputError(f"{owner}: candidates are a {type(found).__name__}, not a list", hint=fix)
    for one in found:
        if not isinstance(one, Mapping) or not all(isinstance(key, str) for key in one):
            raise InputError(f"{owner}: candidate {one!r} is no mapping of keywords", hint=fix)
        try:
            json.dumps(dict(one), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"{owner}: candidate {one!r} is not plain JSON: {error}", hint=fix) from None
    return [dict(one) for one in found]


@dataclass(frozen=True, kw_only=True)
class StrategySpec:
    """A way to use a backbone, or (a control) to do without one.

    Attributes:
        name: what users write; probes share the names of strategies.
        make: takes the settings that a user gives as keywords, returns a :class:`~.contracts.Strategy`; or
            one such for each of the modalities.
        role: ``"control"`` for one that borrows nothing from pretraining: strategies are tested against it.
        view: what it reads. ``"backbone"``: each backbone of the run. ``"random"``: each with untrained
            weights, one network or as many as the setting ``networks`` says. Else the name of a registered
            backbone, whatever the backbones of the run.
        modalities: the data that it can be used on, of ``image text features``.
        default: whether it takes part when the user names none; of a control also ``"networks"``: where a
            strategy that trains networks takes part (one that reads contents).
        spoken: what a sentence calls it, such as ``"a linear probe"``; "" for its name.
        description: one line for people.

    Raises:
        InputError: a name, role, modality or default that is not allowed, a ``make`` that cannot be called,
            or one for other modalities than those named.

    >>> StrategySpec(name="mean", make=dict, role="control", view="raw").view
    'raw'
    >>> both = StrategySpec(name="terms", make={"image": dict, "text": list}, modalities=("image", "text"))
    >>> both.maker("text")
    <class 'list'>
    """

    name: str
    make: Callable[..., Strategy] | Mapping[str, Callable[..., Strategy]] = field(repr=False, hash=False)
    role: Role = "strategy"
    view: str = "backbone"
    modalities: tuple[str, ...] = ("image", "text", "features")
    default: bool | Literal["networks"] = False
    spoken: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        check_name("strategy", self.name)
        fix = "pass a class of strategies, or a function that makes one"
        makers = self.make.values() if isinstance(self.make, Mapping) else [self.make]
        for maker in makers:
            check_callable(f"strategy {self.name!r}", "make", maker, fix)
        if self.role not in ("strategy", "control"):
            raise InputError(f"strategy {self.name!r}: role {self.role!r}", hint="'strategy' or 'control'")
        if self.default not in (True, False) and (self.default, self.role) != ("networks", "control"):
            raise InputError(
                f"strategy {self.name!r}: default {self.default!r}",
                hint="True or False; of a control also 'networks'",
            )
        if strange := set(self.modalities) - {"image", "text", "features"}:
            raise InputError(
                f"strategy {self.name!r}: modality {min(strange)!r}", hint="use image, text, features"
            )
        if isinstance(self.make, Mapping) and set(self.make) != set(self.modalities):
            raise InputError(
                f"strategy {self.name!r}: make is for {', '.join(self.make)}, modalities are "
                f"{', '.join(self.modalities)}",
                hint="give one function for each of the modalities",
            )

    def maker(self, modality: str) -> Callable[..., Strategy]:
        """What makes the strategy for data of ``modality``, one of ``modalities``."""
        return self.make[modality] if isinstance(self.make, Mapping) else self.make


Null = Callable[[Sequence[Any], Sequence[Any], Sequence[Any], Any], Mapping[str, Any]]
"""Takes true codes, probabilities and row numbers, each a list with an array for each draw, and all units."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """What is measured on test rows.

    Attributes:
        name: what users write.
        score: takes codes (m,) and probabilities (m, K), returns a number.
        greater_is_better: whether more is better; tables say where less is.
        influence: takes the same, returns what each row adds to the deviation of the metric (m,), to first
            order, adding up to 0; None for a jackknife that leaves out one unit at a time.
        decisions: ``"prior_free"`` where the decision counts and is to be argmax p_k / pi_k, pi the class
            shares of the fitted rows; the probabilities given are then p_k / pi_k, normalised.
        interval: whether an interval is shown.
        null: for a metric that chance alone moves off its ideal, which is shown in place of an interval. It
            takes codes, probabilities and row numbers, lists with an array for each draw, and (n,) the unit
            of every row of the run; it returns ``{"expected": ..., "high": ...}``: mean and 95 % upper value
            if the probabilities were right.
        share: a proportion, which gets Wilson's guard: ``"rows"`` where every row weighs the same,
            ``"classes"`` where every class does; None for any other number.
        made_of: ``"rows"`` for a mean of what each row gives; ``"classes"`` where classes weigh, each of
            which then needs enough rows for an interval; ``"ranks"`` where it compares rows with one
            another, which is done within each fold, as models of different folds are not on one scale.
        limits: the least and the greatest value that it can have; intervals end there.
        label: what tables call it; "" for its name.
        percent: whether tables show it in per cent.
        description: one line for people.

    Raises:
        InputError: a name that is not allowed, or a function that cannot be called.

    >>> spec = MetricSpec(name="hits", score=lambda codes, proba: (proba.argmax(1) == codes).mean())
    >>> spec.greater_is_better, spec.decisions
    (True, 'natural')
    """

    name: str
    score: Callable[[npt.NDArray[np.intp], npt.NDArray[np.float64]], float] = field(repr=False)
    greater_is_better: bool = True
    influence: Callable[[npt.NDArray[np.intp], npt.NDArray[np.float64]], npt.NDArray[np.float64]] | None = (
        field(default=None, repr=False)
    )
    decisions: Literal["natural", "prior_free"] = "natural"
    interval: bool = True
    null: Null | None = field(default=None, repr=False)
    share: Literal["rows", "classes"] | None = None
    made_of: Literal["rows", "classes", "ranks"] = "classes"
    limits: tuple[float, float] = (float("-inf"), float("inf"))
    label: str = ""
    percent: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        check_name("metric", self.name)
        fix = "pass a function of codes (m,) and probabilities (m, K)"
        check_callable(f"metric {self.name!r}", "score", self.score, fix)
        if self.influence is not None:
            check_callable(f"metric {self.name!r}", "influence", self.influence, fix)
        if self.null is not None:
            fix = "pass a function of lists (codes, probabilities, row numbers) and of units"
            check_callable(f"metric {self.name!r}", "null", self.null, fix)
        if self.decisions not in ("natural", "prior_free"):
            raise InputError(
                f"metric {self.name!r}: decisions {self.decisions!r}", hint="'natural' or 'prior_free'"
            )
        if self.share not in (None, "rows", "classes"):
            raise InputError(f"metric {self.name!r}: share {self.share!r}", hint="'rows', 'classes' or None")
        if self.made_of not in ("rows", "classes", "ranks"):
            raise InputError(
                f"metric {self.name!r}: made_of {self.made_of!r}", hint="'rows', 'classes' or 'ranks'"
            )


@dataclass(frozen=True, kw_only=True)
class ExporterSpec:
    """A way to write a run down.

    Attributes:
        name: what users write, such as ``html``.
        suffix: of the files, with the dot.
        render: takes the run document (the content of ``run.json``) and returns the text of the file.
        description: one line for people.

    Raises:
        InputError: a name or suffix that is not allowed, or a ``render`` that cannot be called.

    >>> ExporterSpec(name="txt", suffix=".txt", render=str).render({"a": 1})
    "{'a': 1}"
    """

    name: str
    suffix: str
    render: Callable[[Mapping[str, Any]], str] = field(repr=False)
    description: str = ""

    def __post_init__(self) -> None:
        check_name("exporter", self.name)
        fix = "pass a function that takes the run document and returns text"
        check_callable(f"exporter {self.name!r}", "render", self.render, fix)
        if not re.fullmatch(r"\.[A-Za-z0-9.]+", self.suffix):
            raise InputError(f"exporter {self.name!r}: suffix {self.suffix!r}", hint="write it like '.txt'")
