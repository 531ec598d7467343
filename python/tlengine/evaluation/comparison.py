"""``compare``: every strategy on every backbone, over budgets and resamples, against the controls."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.data import Dataset, load_dataset
from tlengine.data.budgets import DEFAULT_BUDGETS, fitting_budgets, parse_budgets
from tlengine.data.plans import Plan
from tlengine.data.resamples import make_resamples
from tlengine.errors import EmptyInputError, InputError, TimeLimitError, TlengineWarning
from tlengine.evaluation.arguments import EXTRACTION, check_out, minutes_of, names_of_metrics, seeds_of
from tlengine.evaluation.assembly import Parts, assemble
from tlengine.evaluation.checks import check_strategies
from tlengine.evaluation.energy import Meter
from tlengine.evaluation.executors import choose_executor, resolve_executor
from tlengine.evaluation.foregone import Foregone
from tlengine.evaluation.given import distinct_backbones
from tlengine.evaluation.groundwork import Untrained, embed_samples, setup_on, site_of, warn_of
from tlengine.evaluation.inner import with_held_out
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.participants import array_controls, listed, participants
from tlengine.evaluation.ranks import meeting, told_by_rank_0
from tlengine.evaluation.record import RunResult
from tlengine.evaluation.running import run_all, tasks_of
from tlengine.evaluation.samples import Samples, Wanted, samples_of_features, with_row_flops
from tlengine.evaluation.schedule import Schedule, make_schedule
from tlengine.evaluation.setup import Chosen
from tlengine.evaluation.sizes import sized
from tlengine.evaluation.unfinished import whole_seeds
from tlengine.options import refuse_unknown
from tlengine.plugins import notify, resolve
from tlengine.plugins.contracts import Budget, Executor
from tlengine.settings import co2_intensity as intensity
from tlengine.types import Features

if TYPE_CHECKING:
    from tlengine.features import Backbone
    from tlengine.features.cache import CacheLike

__all__ = ["compare"]

OPTIONS = (
    "dataset", "backbones", "strategies", "controls", "budgets", "seeds", "metrics", "settings", "executor",
    "image_size", "out", "fresh", "max_minutes", "max_disk", "all_seeds", "cache", "progress",
    "co2_intensity",
)  # fmt: skip


def compare(
    dataset: Any,
    backbones: Any = None,
    *,
    strategies: Any = None,
    controls: Any = None,
    budgets: Sequence[int | str] | int | str | None = None,
    seeds: int = 5,
    metrics: Sequence[str] | str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    executor: str | Executor | None = None,
    image_size: int | None = None,
    out: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    max_minutes: float | None = None,
    max_disk: int | None = None,
    all_seeds: bool = False,
    cache: CacheLike = True,
    progress: bool = True,
    co2_intensity: float | None = None,
    **extraction: Any,
) -> RunResult:
    """Compare ways to use pretrained backbones on a labelled dataset, and with using none.

    Every strategy is fitted with every budget on every resample, its hyper-parameters chosen by
    cross-validation inside the budget (at ``"all"`` on the ``select`` split that the user brought, whose
    labels then count), and judged on the test rows. The verdict is a paired test of what is chosen against
    each control, which borrows nothing from pretraining; without controls it says what is best, not whether
    transfer helps. What fails is reported in ``failed``; the rest goes on.

    Args:
        dataset: labelled samples, or anything that :func:`tlengine.load_dataset` takes; features (modality
            ``"features"``) are compared with the controls that are given as arrays.
        backbones: a backbone or its name, or several; None for the installed default of the modality.
        strategies: a name or several among ``knn probe ridge centroid svm preval``, those that train networks
            (``lp-ft finetune last-block gradual bitfit l2-sp surgical wise lora``) and those of plugins,
            scikit-learn classifiers, or a list of ``(name, classifier)``, or a ``tl.StrategySpec``; None for
            the first four and those of plugins that take part by default.
        controls: a name or several among ``raw stats rcf random scratch`` and those of plugins; None for the
            first three (``rcf`` for images alone), where a strategy trains networks also for the last two,
            and for those of plugins by default; () for none. ``scratch`` trains three times the steps at
            three rates: ``["raw", "stats"]`` leaves it out. For features, arrays (n, d) by name, and None for
            none.
        budgets: labels per class, and ``"all"``, one or several; None for 5, 10, 25, 50, 100 and all, as far
            as there are so many.
        seeds: how many seeds, 1 or more.
        metrics: to be measured beside ``accuracy balanced_accuracy log_loss ece``, which always are: a name
            or several among ``macro_f1 auroc average_precision top5 brier`` and those of plugins.
        settings: of strategies and controls, keywords by name. ``{"random": {"networks": 3}}`` is the control
            ``random`` on three untrained networks of each backbone, all of which are to be beaten.
        executor: where tasks are run: ``"here"`` (this process), ``"processes"`` (fresh ones, as many as
            there are threads), ``"torchrun"`` (the ranks of a launch, which all make this call with one
            ``out``; those above 0 do fits, get what rank 0 finds, and write nothing), or an executor. None
            for here, but for 16 fits of networks and more on the CPU: these are trained side by side, a
            process for each 8 of them up to the number of threads and as memory allows (3 GB and twelve times
            the weights), each with its share of the threads.
        image_size: side of the pictures in pixels, for every backbone that takes another one than its own;
            the controls ``raw stats rcf`` keep theirs, ``random`` and ``scratch`` have their backbone's.
        out: a folder for the journal: each fit is kept as it comes, and the same call takes up from there.
        fresh: begin anew, whatever ``out`` has.
        max_minutes: for all of it; None for as long as it takes. Where strategies that train networks say
            that it is too little, their inner folds are left out (they are judged, and cannot be chosen), and
            then all of them train for fewer steps, a tenth of them at the least. When time is over no other
            fit begins, and the seeds that are whole are tested. The answer says what was cut.
        max_disk: bytes that the frozen part of a network may take in the cache for a fit; None for as many as
            are free.
        all_seeds: run all of them. Else a run in which a strategy trains stops, and says so, after the seeds
            that leave the outcome "undecided" at every budget, whatever the others would show.
        cache: True for the usual cache, an ``EmbeddingCache`` or the path of one; None or False for none.
        progress: progress bars on stderr.
        co2_intensity: grams of CO2e that a kilowatt-hour stands for where the run is made; None for
            ``TLENGINE_CO2_G_PER_KWH``, and for unknown without it.
        **extraction: options of :func:`tlengine.extract`: ``device batch_size workers precision max_pixels
            strict``.

    Returns:
        The run: ``.table()``, ``.verdict``, ``.save(dir)``, ``.to_html()``, ``.to_pandas()``.

    Raises:
        InputError: an argument of a wrong kind; budgets or seeds below 1; two backbones or strategies of one
            name; settings that nobody takes; ``out`` is a file, or another run writes to it; every strategy
            failed, or cannot be used on these backbones.
        TimeLimitError: ``max_minutes`` are too few for a tenth of the steps, or for one seed.
        UnknownOptionError: an option of no such name.
        LabelError: no labels.
        SingleClassError: fewer than two classes are large enough.
        UnknownNameError: an unknown strategy, control or metric, or no known backbone.

    >>> from sklearn.datasets import load_iris
    >>> from tlengine.data import load_dataset
    >>> iris = load_dataset(load_iris(return_X_y=True))
    >>> run = compare(iris, strategies=["centroid"], budgets=[5, "all"], seeds=1)
    >>> run.verdict.strategy, 0.85 < run.verdict.accuracy <= 1
    ('centroid', True)
    """
    refuse_unknown("compare", extraction, EXTRACTION, OPTIONS)
    measured = {name: resolve("metric", name) for name in names_of_metrics(metrics)}
    asked = None if budgets is None else parse_budgets(listed(budgets))
    seeds = seeds_of(seeds)
    place = None if executor is None else resolve_executor(executor)
    grams = intensity(co2_intensity)
    check_out(out)
    if (told := told_by_rank_0(place, out)) is not None:
        return told
    max_minutes = minutes_of(max_minutes)
    ledger = Ledger(Meter(gpu=extraction.get("device") != "cpu"))
    with ledger.stage("load"):
        dataset = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
        dataset.labels()
        kept = Journal() if out is None else FileJournal(out, fresh=fresh)
    with closing(kept) as journal, meeting(place, out) as tell:
        with ledger.stage("load"):
            chosen, samples, names = _see(
                dataset,
                backbones,
                strategies,
                controls,
                settings,
                image_size,
                cache,
                progress,
                extraction,
                ledger,
            )
        with ledger.stage("plan"):
            plan = _plan(samples, chosen, seeds)
            sizes = _sizes(asked, samples, plan)
            setup = setup_on(dataset, samples, plan, chosen, out, site_of(cache, extraction, max_disk))
            tasks = tasks_of(setup, names, sizes)
            if not tasks:
                raise InputError(
                    "no strategy can be run", hint="give strategies, or controls={'raw': X0} for features"
                )
            refused = check_strategies(setup, tasks)
            tasks = tasks_of(setup, names, sizes, {(str(f.backbone), str(f.strategy)) for f in refused})
            place = choose_executor(place, setup, tasks)
            schedule = make_schedule(
                setup, tasks, journal.has, minutes=max_minutes, spent=ledger.total().seconds, fresh=fresh,
                at_once=getattr(place, "at_once", 1), here=getattr(place, "here", None),
            )  # fmt: skip
            _announce(schedule, progress)
            setup, tasks = schedule.setup, list(schedule.tasks)
            run = {"dataset": dataset.name, "tasks": len(tasks), "budgets": list(sizes)}
            notify("tlengine_run_started", run=run)
            foregone = Foregone(setup, tasks, journal.records, active=not all_seeds)
            late = _clock(max_minutes, ledger)
        taken_up = run_all(
            setup, tasks, journal, place, ledger, progress=progress, over=lambda: foregone() or late()
        )
        with ledger.stage("judge"):
            done = whole_seeds(setup, foregone.kept, journal.records)
            if not done:
                raise TimeLimitError(
                    f"no seed was done within {max_minutes:g} minutes",
                    hint="give more, or the same --out again, to go on from what was fitted",
                )
            unrun = {key for task in foregone.kept if (key := setup.key(task)) not in journal.records}
            parts = Parts(
                dataset=dataset, samples=samples, setup=setup, tasks=done, budgets=sizes, metrics=measured,
                schedule=schedule, unrun=len(unrun), refused=refused, foregone=foregone,
                co2_intensity=grams,
            )  # fmt: skip
            records = with_held_out(setup, done, journal.records)
        result = assemble(parts, records, ledger, extraction, taken_up)
        tell(result.document)
    notify("tlengine_run_finished", document=result.document)
    return result


def _clock(minutes: float | None, ledger: Ledger) -> Callable[[], bool]:
    """Whether time is over."""
    return lambda: minutes is not None and ledger.total().seconds >= 60 * minutes


def _announce(schedule: Schedule, progress: bool) -> None:
    from tqdm import tqdm

    if progress and schedule.announcement:
        tqdm.write(schedule.announcement, file=sys.stderr)


def _see(
    dataset: Dataset,
    backbones: Any,
    strategies: Any,
    controls: Any,
    settings: Mapping[str, Mapping[str, Any]] | None,
    image_size: int | None,
    cache: CacheLike,
    progress: bool,
    extraction: Mapping[str, Any],
    ledger: Ledger,
) -> tuple[dict[str, Chosen], Samples, list[str]]:
    """Who takes part, the samples as they are seen, and the views that strategies are used on."""
    if dataset.modality == "features":
        if backbones is not None:
            raise InputError(f"{dataset.name} holds features already", hint="leave the backbone out")
        sized((), image_size, dataset.modality)
        arrays = controls if isinstance(controls, Mapping) else {}
        named = None if isinstance(controls, Mapping) else controls
        chosen = participants(strategies, named, dataset.modality, settings)
        chosen |= array_controls(arrays, chosen)
        samples = samples_of_features(dataset, arrays)
        return chosen, samples, [next(iter(samples.views))]
    from tlengine.features import default_backbone

    if isinstance(controls, Mapping):
        raise InputError("controls as arrays are for features", hint="name them: controls=['raw', 'stats']")
    chosen = participants(strategies, controls, dataset.modality, settings)
    reserved = {one.view for one in chosen.values() if one.view not in ("backbone", "random")}
    given = default_backbone(dataset.modality) if backbones is None else backbones
    several = distinct_backbones(given if isinstance(given, list | tuple) else [given], reserved)
    wanted = _wanted(sized(several, image_size, dataset.modality, reserved), chosen)
    samples = _embed(dataset, wanted, cache, progress, extraction, ledger)
    asked = [view.name for view in wanted if view.asked and view.name in samples.views]
    return chosen, samples, asked


def _wanted(backbones: Sequence[tuple[Any, int | None]], chosen: Mapping[str, Chosen]) -> list[Wanted]:
    """Every view that some strategy or control reads."""
    from tlengine.features import untrained_name

    kinds = list(dict.fromkeys(one.view for one in chosen.values()))
    untrained = [one for one in chosen.values() if one.view == "random"]
    own = {name for name in kinds if name not in ("backbone", "random")}
    named = {one.view for one in chosen.values() if one.asked}
    found = {}
    for backbone, size in backbones:
        name = str(getattr(backbone, "name", backbone))
        belongs = "" if name in own else name
        found[name] = Wanted(name=name, backbone=belongs, source=backbone, image_size=size, asked=True)
        for seed in range(max((one.networks for one in untrained), default=0)):
            found[untrained_name(name, seed)] = Wanted(
                name=untrained_name(name, seed),
                backbone=name,
                source=Untrained(backbone, seed),
                image_size=size,
                named="random" in named,
            )
    for name in kinds:
        if name in own:
            found.setdefault(name, Wanted(name=name, backbone="", source=name, named=name in named))
    return list(found.values())


def _embed(
    dataset: Dataset,
    wanted: Sequence[Wanted],
    cache: CacheLike,
    progress: bool,
    extraction: Mapping[str, Any],
    ledger: Ledger,
) -> Samples:
    """With the operations of a row, and rows that a kept model knows its backbone by."""
    from tlengine.features import with_check_rows

    limits = {name: value for name, value in extraction.items() if name == "max_pixels"}

    def finish(features: Features, backbone: Backbone) -> Features:
        return with_check_rows(with_row_flops(features, dataset, backbone), dataset, backbone, **limits)

    return embed_samples(dataset, wanted, cache, progress, extraction, ledger, finish)


def _plan(samples: Samples, chosen: Mapping[str, Chosen], seeds: int) -> Plan:
    """The resamples of the run; what was noticed while making them is said."""
    if not len(samples.rows):
        raise EmptyInputError("no sample could be read by all backbones", hint="see the warnings above")
    plan = make_resamples(
        samples.y, seeds=seeds, groups=samples.groups, keys=samples.keys, splits=samples.splits,
        kind="holdout" if any(one.strategy.seeded for one in chosen.values()) else None,
    )  # fmt: skip
    warn_of(plan)
    return plan


def _sizes(asked: Sequence[Budget] | None, samples: Samples, plan: Plan) -> Sequence[Budget]:
    """The budgets that are asked for, or the default ones; those beyond all labels are all labels."""
    parts = [r.train for r in plan.resamples]
    if asked is None:
        return fitting_budgets(samples.y, parts, DEFAULT_BUDGETS)
    most = max(int(np.bincount(plan.codes[rows]).max()) for rows in parts)
    large = [budget for budget in asked if budget != "all" and budget > most]
    if large:
        note = f"no class has more than {most} labels to train on: for the budget {large[0]} all are used"
        warnings.warn(note, TlengineWarning, stacklevel=3)
    return parse_budgets(["all" if budget in large else budget for budget in asked])
