"""What carries a run: the shapes that strategies, metrics and executors share with the evaluation.

It lies below every room that implements or calls it. Arrays alone, no torch: a run's rows are numbered from
0, and everything here speaks of rows by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

if TYPE_CHECKING:
    from tlengine.features import Backbone

__all__ = [
    "Budget",
    "Codes",
    "Energy",
    "EnergySource",
    "Executor",
    "Fitted",
    "HeldOut",
    "Job",
    "Kind",
    "Matrix",
    "Record",
    "Role",
    "Roles",
    "Rows",
    "Scores",
    "Strategy",
    "Task",
    "View",
    "read_only",
]

Budget = int | Literal["all"]
"""Labels per class that a strategy may use, all of them; ``"all"`` is the whole training part."""
Rows = npt.NDArray[np.intp]
Codes = npt.NDArray[np.intp]
Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
"""(m, K): a column for each class of the run; ``-inf`` for a class that the fit has not seen."""
Role = Literal["strategy", "control"]
Kind = Literal["logits", "votes"]
"""Logits become probabilities by a temperature, votes (shares that add to 1) by smoothing."""
A = TypeVar("A", bound=npt.NDArray[Any] | None)


def read_only(array: A) -> A:
    """A view of the same numbers, so that no fit can change what the next one sees."""
    if array is None:
        return array
    found = array.view()
    found.flags.writeable = False
    return found


@dataclass(frozen=True, kw_only=True)
class Task:
    """One fit, in six words; which rows it means is for the plan to say.

    Attributes:
        view: one output of one backbone, or the features of a control.
        strategy: its name.
        budget: labels per class.
        seed, fold: the resample.
        part: ``"fit"``; ``"refit"`` for the model that is kept; ``"inner:2/3"`` for an inner fold as a task
            of its own, here the last of three: it trains on the others and is tested on what it holds out.
    """

    view: str
    strategy: str
    budget: Budget
    seed: int
    fold: int
    part: str = "fit"


@dataclass(frozen=True, kw_only=True, eq=False)
class Roles:
    """The rows of one task, by what they are for; made by the one split engine, equal for every strategy.

    All arrays are read-only: every strategy gets the same ones.

    Attributes:
        train: (m,) rows to fit, sorted.
        test: (t,) rows to predict; their labels are not to be had.
        inner: pairs (rows to fit, rows held out), by which hyper-parameters are chosen: folds of ``train``,
            or ``((train, select),)`` where the user's validation rows are used; () where nothing can be held
            out.
        select: the user's validation rows, where this task may use them.
        calibrate: rows that the user's own split sets apart for calibration, or None.

    >>> roles = Roles(train=np.arange(3), test=np.arange(3, 5), inner=((np.arange(2), np.arange(2, 3)),))
    >>> roles.held.tolist(), roles.labelled.tolist()
    ([2], [0, 1, 2])
    """

    train: Rows
    test: Rows
    inner: tuple[tuple[Rows, Rows], ...] = ()
    select: Rows | None = None
    calibrate: Rows | None = None

    def __post_init__(self) -> None:
        for name in ("train", "test", "select", "calibrate"):
            object.__setattr__(self, name, read_only(getattr(self, name)))
        pairs = tuple((read_only(fit), read_only(held)) for fit, held in self.inner)
        object.__setattr__(self, "inner", pairs)

    @property
    def held(self) -> Rows:
        """(h,) the rows held out, fold after fold: those of :attr:`Fitted.held_out`."""
        return np.concatenate([held for _, held in self.inner]) if self.inner else np.zeros(0, dtype=np.intp)

    @property
    def labelled(self) -> Rows:
        """The rows whose labels a fit may see, sorted."""
        parts = [rows for rows in (self.train, self.select, self.calibrate) if rows is not None]
        return np.unique(np.concatenate(parts))


class View(Protocol):
    """What one fit may see of the run's rows, through one output of one backbone.

    Attributes:
        name: of the output.
        classes: how many classes the run has; they are numbered from 0.
        units: (n,) rows of one unit (group or content) are never on both sides of a split.
        groups, domains: (n,) names, or None.
        device: where networks are to be trained: ``"cpu"``, ``"cuda"``, ``"mps"``; ``"auto"`` for the best.
        threads: how many a fit may use. A strategy that trains networks sets so many by
            ``torch.set_num_threads``; it enters no key, though sums on another number have other last digits.
        cache: the folder of the run's embedding cache, or None where it has none.
        max_disk: bytes that a fit may take there; None for as many as are free.
    """

    name: str
    classes: int
    units: Rows
    groups: npt.NDArray[np.str_] | None
    domains: npt.NDArray[np.str_] | None
    device: str
    cache: Path | None
    max_disk: int | None
    threads: int

    @property
    def scale(self) -> float:
        """The mean squared distance of the features from their mean, over all of the run's rows.

        Grids relative to it do not depend on the unit in which a backbone counts.
        """
        ...

    def codes(self, rows: Rows) -> Codes:
        """(m,) class numbers.

        Raises:
            LookupError: a row that is not ``train``, ``select`` or ``calibrate`` of this task.
        """
        ...

    def features(self, rows: Rows) -> Matrix:
        """(m, d) float32, a copy."""
        ...

    def matrix(self) -> Matrix:
        """(n, d) float32 of all of the run's rows, read-only: for solvers that take row numbers."""
        ...

    def contents(self, rows: Rows) -> Sequence[Any]:
        """The samples, decoded when asked: RGB ``PIL.Image`` or str.

        Raises:
            InputError: the data are features.
        """
        ...

    def keys(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """(m, 32) digests of the contents."""
        ...

    def backbone(
        self, device: str, *, weights: Literal["pretrained", "random"] = "pretrained", seed: int = 0
    ) -> Backbone:
        """A copy of the backbone on ``device``, the caller's own: fine-tuning it changes nobody else's.

        Raises:
            InputError: the view is no backbone's: the data are features, or it is that of a control.
        """
        ...


@dataclass(frozen=True, eq=False)
class Job:
    """One of several fits.

    Attributes:
        view, roles, seed, folder: the arguments of :meth:`Strategy.fit`.
    """

    view: View
    roles: Roles
    seed: int = 0
    folder: Path | None = None


class Fitted(Protocol):
    """A fitted strategy.

    Attributes:
        kind: what its scores are.
        chosen: the hyper-parameters, plain JSON.
        held_out: (h, K) scores of the rows ``roles.held``, by fits that did not see them; None where there is
            no such row.
        converged: whether the solver vouches for the result.
        flops: of the fit, where they were counted.
        nbytes: of what would be kept, where that is known.

    It may have ``facts`` as well, plain JSON of how the fit went: see :attr:`Record.facts`.
    """

    kind: Kind
    chosen: Mapping[str, Any]
    held_out: Scores | None
    converged: bool
    flops: float | None
    nbytes: int | None

    def scores(self, view: View, rows: Rows) -> Scores:
        """(m, K): a column for each class of the run, ``-inf`` for one that was not in ``train``."""
        ...

    def estimator(self, view: View, rows: Rows, labels: npt.NDArray[Any]) -> Any:
        """A classifier of features with the same settings, fitted on ``rows`` with the user's own labels.

        Its scores are of the same kind; ``save_pretrained(folder, metadata=...)`` keeps it.

        A strategy that trains a network returns a model of contents instead: with ``reads = "contents"``,
        ``classes_``, ``described(calibration, metadata)`` for itself with these, ``save(folder)``, and
        ``predict(dataset, top_k=...)``.

        Raises:
            InputError: it cannot be kept.
        """
        ...


class Strategy(Protocol):
    """One way to use a backbone, or (a control) to do without.

    Attributes:
        reads: what it takes of a view: ``"features"`` alone, or ``"contents"``, which is contents and the
            backbone as well; they are sent to other processes for strategies that say so.
        seeded: whether the result depends on the seed. Where it does not, equal rows are fitted once and
            count as one draw.
        prior_free: whether the scores do not depend on how frequent each class is among the fitted rows, as
            distances to class means do not; may be left out, then they do, as those of most classifiers.

    These may be left out, too; a strategy whose fits take long has them:

    - ``inner_tasks: int = 0``: how many inner folds are tasks of their own, at the largest budget. Such a
      strategy returns ``held_out=None``; what the folds held out calibrates the fit and lets it be chosen. 0
      for what holds rows out itself, and for a control that is judged and never chosen.
    - ``check(view) -> None`` raises InputError where it cannot be used on a view, before anything is fitted.
    - ``estimate(view, roles) -> float``: seconds that a fit will take, say of one step, timed, times steps.
    - ``scaled(fraction) -> Strategy``: the same with a fraction, .1 to 1, of its steps, which its settings
      tell, so that it has other keys.
    """

    reads: Literal["features", "contents"]
    seeded: bool

    def settings(self) -> Mapping[str, Any]:
        """All that determines a fit beside its rows, its seed and the code of the class: it enters the key.

        Objects enter by the state that ``pickle`` would keep, functions by their code, and with ``head``,
        where it is the name of a registered head, the code of that. Where something has no state (an open
        file), no later run takes the fit up; leave it out, or give it a ``__getstate__``.
        """
        ...

    def fit(self, view: View, roles: Roles, *, seed: int, folder: Path | None = None) -> Fitted:
        """Fit on ``roles.train``, hyper-parameters chosen on ``roles.inner``; the kept model is made by it.

        Args:
            view: the rows.
            roles: which rows are for what.
            seed: for strategies that draw.
            folder: for checkpoints: below ``--out``, named by the task's key, so that a later run finds them;
                it need not exist yet. None where the run keeps nothing.
        """
        ...

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        """One result for each job, in their order; the same as :meth:`fit` one by one, perhaps faster.

        It is what a run calls, also for a single job. All jobs are on the features of one view; each has its
        own leave to see labels.
        """
        ...


EnergySource = Literal["counter", "model", "constant", "none"]
"""A counter of the machine; CPU seconds times the watts of a core of it; times a guess at them; unknown."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What something took.

    Attributes:
        joules: None where unknown.
        source: where the figure comes from.
    """

    joules: float | None = None
    source: EnergySource = "none"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How a fit did on the rows that it held out, its scores calibrated on them.

    Attributes:
        rows: how many.
        accuracy, log_loss: of their probabilities.
    """

    rows: int
    accuracy: float
    log_loss: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What a task left behind: a result, or why there is none.

    Attributes:
        task, key: which; the key digests all that can change the result.
        labels: how many labels were used.
        scores: (t, K) float32 raw scores of the test rows.
        held_out: (h, K) float32 of the rows held out; None where there are none, and in a run's memory once
            they are on disk or have said what they say: ``calibration`` and ``held``.
        kind: what the scores are.
        calibration: the parameter that turns the scores into probabilities.
        held: how the fit did on the rows held out; None where there are none.
        chosen, converged, flops, nbytes: as in :class:`Fitted`.
        train_accuracy: share of the fitted rows that are predicted right.
        seconds, cpu_seconds: of the fit, measured by the worker.
        gpu_seconds: for how long it held a GPU; None for not at all.
        peak_bytes: by which the worker's peak of memory rose, 0 where earlier work had needed as much; what
            the fit itself tells as ``peak_bytes`` in its facts comes first.
        energy: of the fit; None where it was not measured.
        features: whether the fit read features of its view, so that embedding them is a part of its cost;
            None where that was not noted.
        predict_seconds: for all test rows.
        taken_up: whether an earlier run fitted it, and paid for it.
        facts: how the fit went, plain JSON, from the fit itself. A training loop tells ``steps``, ``rate``
            (the learning rate), ``curve`` (pairs of step and training loss), ``drift`` (how far held-out
            features moved), ``under_trained``, ``stages`` (seconds by stage), ``device`` and, where it knows
            better than the clock, ``gpu_seconds``, ``peak_bytes``, ``reused`` (found in the cache: how many
            ``rows``, and the ``seconds`` and ``flops`` that they took once) and ``notes`` (sentences for the
            user); what was not told is not there.
        error, hint: why it failed; None for a result.
    """

    task: Task
    key: str
    labels: int = 0
    scores: npt.NDArray[np.float32] | None = None
    held_out: npt.NDArray[np.float32] | None = None
    kind: Kind = "logits"
    calibration: float = 1.0
    held: HeldOut | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    converged: bool = True
    flops: float | None = None
    nbytes: int | None = None
    train_accuracy: float | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float | None = None
    peak_bytes: int = 0
    energy: Energy | None = None
    features: bool | None = None
    predict_seconds: float = 0.0
    taken_up: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    hint: str | None = None

    def __post_init__(self) -> None:
        if (self.scores is None) == (self.error is None):
            raise InputError("a record is either a result or a failure", hint="pass scores or error")

    @property
    def failed(self) -> bool:
        """Whether there is no result."""
        return self.error is not None


class Executor(Protocol):
    """Runs tasks somewhere."""

    def run(self, setup: Any, tasks: Sequence[Task]) -> Iterator[Record]:
        """Each task once, in any order; a fault of a task is a record, never an exception.

        Raises:
            InputError, ResourceError: no task can be run, since ``setup`` cannot be had where they are.
        """
        ...
