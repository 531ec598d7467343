"""``compare``: every strategy on every backbone, over budgets and resamples, against the control."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlengine.data import Dataset, load_dataset
from tlengine.data.budgets import (
    DEFAULT_BUDGETS,
    Budget,
    Draw,
    draw_budgets,
    fitting_budgets,
    parse_budgets,
)
from tlengine.data.resamples import Plan, Resample, make_resamples
from tlengine.errors import EmptyInputError, InputError, TlengineWarning
from tlengine.evaluation.assembly import Evaluation, assemble
from tlengine.evaluation.embedding import Failed, Samples, View, samples_of_features, see_samples
from tlengine.evaluation.given import distinct_backbones
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.metrics import Outcome, scores
from tlengine.evaluation.record import RunResult
from tlengine.evaluation.strategies import DEFAULT_STRATEGIES, Fit, Strategy, resolve_strategy
from tlengine.evaluation.verdict import CONTROL, Cell
from tlengine.options import refuse_unknown
from tlengine.probes.interruption import stop_calls
from tlengine.settings import hidden_bar, num_threads

if TYPE_CHECKING:
    from tlengine.features.cache import CacheLike

__all__ = ["compare"]

EXTRACTION = ("device", "batch_size", "workers", "precision", "max_pixels", "strict")
OPTIONS = ("dataset", "backbones", "strategies", "budgets", "seeds", "cache", "progress")


def compare(
    dataset: Any,
    backbones: Any = None,
    *,
    strategies: Sequence[str] | None = None,
    budgets: Sequence[int | str] | None = None,
    seeds: int = 5,
    cache: CacheLike = True,
    progress: bool = True,
    **extraction: Any,
) -> RunResult:
    """Compare ways to use pretrained backbones on a labelled dataset, and with using none.

    Every strategy is fitted with every budget on every resample, its hyper-parameters chosen by
    cross-validation inside the budget (or on the ``select`` split that the user brought, whose labels then
    count), and judged on the test rows. The control ``raw``, a probe on pixels or words, always takes part:
    the verdict is a paired test against it. A backbone or strategy that fails is reported in ``failed``;
    the rest goes on.

    Args:
        dataset: labelled samples, or anything that :func:`tlengine.load_dataset` takes; features (modality
            ``"features"``) are compared without a control.
        backbones: a backbone or its name, or several; None for the installed default of the modality.
        strategies: names among ``knn probe ridge centroid raw`` and the probes of plugins; None for all of
            the former.
        budgets: labels per class, and ``"all"``; None for 5, 10, 25, 50, 100 and all, as far as there are
            so many.
        seeds: how many seeds, 1 or more.
        cache: True for the usual cache, an ``EmbeddingCache`` or the path of one; None or False for none.
        progress: progress bars on stderr.
        **extraction: options of :func:`tlengine.extract`: ``device batch_size workers precision max_pixels
            strict``.

    Returns:
        The run: ``.table()``, ``.verdict``, ``.save(dir)``, ``.to_html()``.

    Raises:
        InputError: budgets or seeds below 1; an option of no such name; two backbones of one name.
        LabelError: no labels.
        SingleClassError: fewer than two classes are large enough.
        UnknownNameError: an unknown strategy, or no known backbone.

    >>> from sklearn.datasets import load_iris
    >>> from tlengine.data import load_dataset
    >>> iris = load_dataset(load_iris(return_X_y=True))
    >>> run = compare(iris, strategies=["centroid"], budgets=[5, "all"], seeds=1)
    >>> run.verdict.strategy, 0.85 < run.verdict.accuracy <= 1
    ('centroid', True)
    """
    refuse_unknown("compare", extraction, EXTRACTION, OPTIONS)
    chosen = _strategies(strategies)
    asked = None if budgets is None else parse_budgets(budgets)
    if seeds < 1:
        raise InputError(f"{seeds} seeds; at least 1 is needed", hint="5 is the default")
    dataset = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    dataset.labels()
    ledger = Ledger()
    samples = _see(dataset, backbones, cache, progress, extraction, ledger)
    if not len(samples.rows):
        raise EmptyInputError("no sample could be read by all backbones", hint="see the warnings above")
    plan = make_resamples(
        samples.y, seeds=seeds, groups=samples.groups, keys=samples.keys, splits=samples.splits
    )
    _warn(plan)
    sizes = asked or fitting_budgets(samples.y, [r.train for r in plan.resamples], DEFAULT_BUDGETS)
    _, codes = np.unique(samples.y, return_inverse=True)
    codes = _renumber(codes, plan)
    found = _evaluate(samples, codes, plan, chosen, sizes, ledger, progress)
    return assemble(dataset, samples, codes, plan, found, sizes, ledger, extraction)


def _strategies(names: Sequence[str] | str | None) -> list[Strategy]:
    """The strategies in the order given, or the one; the control is added where it is missing."""
    names = [names] if isinstance(names, str) else names
    wanted = list(DEFAULT_STRATEGIES if names is None else names)
    for name in wanted:
        if not isinstance(name, str):
            raise InputError(
                f"strategies hold a {type(name).__name__}, not the name of a strategy",
                hint=f"for instance {','.join(DEFAULT_STRATEGIES)}; see 'tlengine plugins' for others",
            )
    if not wanted:
        raise InputError("no strategy given", hint=f"for instance {','.join(DEFAULT_STRATEGIES)}")
    return [resolve_strategy(name) for name in dict.fromkeys([*wanted, CONTROL])]


def _see(
    dataset: Dataset,
    backbones: Any,
    cache: CacheLike,
    progress: bool,
    extraction: Mapping[str, Any],
    ledger: Ledger,
) -> Samples:
    if dataset.modality == "features":
        if backbones is not None:
            raise InputError(f"{dataset.name} holds features already", hint="leave the backbone out")
        return samples_of_features(dataset)
    from tlengine.features import default_backbone, extract, load_backbone, opened, with_check_rows

    if backbones is None:
        backbones = default_backbone(dataset.modality)
    several = distinct_backbones(backbones if isinstance(backbones, list | tuple) else [backbones])
    asked = [str(getattr(b, "name", b)) for b in several]
    if CONTROL not in asked:
        several.append(CONTROL)

    def embed(name: Any) -> Any:
        backbone = load_backbone(name) if isinstance(name, str) else name
        features = extract(dataset, backbone, cache=kept, progress=progress, **extraction)
        limits = {name: value for name, value in extraction.items() if name == "max_pixels"}
        return with_check_rows(features, dataset, backbone, **limits)

    with opened(cache) as kept:
        return see_samples(dataset, several, asked, embed, ledger)


def _warn(plan: Plan) -> None:
    for note in plan.notes:
        warnings.warn(note, TlengineWarning, stacklevel=3)
    if plan.excluded:
        shown = ", ".join(f"{e.label!r} ({e.count})" for e in plan.excluded)
        note = f"classes too small to train and test are left out: {shown}"
        warnings.warn(note, TlengineWarning, stacklevel=3)


def _renumber(codes: npt.NDArray[np.intp], plan: Plan) -> npt.NDArray[np.intp]:
    """Class numbers without gaps for the classes that take part; -1 for the others."""
    used = np.unique(codes[plan.resamples[0].train])
    numbers = np.full(int(codes.max()) + 1, -1, dtype=np.intp)
    numbers[used] = np.arange(len(used))
    return numbers[codes]


def _evaluate(
    samples: Samples,
    codes: npt.NDArray[np.intp],
    plan: Plan,
    strategies: Sequence[Strategy],
    budgets: Sequence[Budget],
    ledger: Ledger,
    progress: bool,
) -> Evaluation:
    from sklearn.exceptions import ConvergenceWarning
    from tqdm import tqdm

    found = Evaluation(failed=list(samples.failed))
    pairs = list(_pairs(samples, strategies))
    fits = len(plan.resamples) * len(budgets)
    bar = tqdm(total=len(pairs) * fits, desc="compare", unit="fit", disable=hidden_bar(progress))
    with bar, warnings.catch_warnings():
        # Candidates for hyper-parameters need no certificate; the fits with the chosen ones are counted.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for view, strategy in pairs:
            bar.set_postfix_str(f"{view.name} {strategy.name}", refresh=False)
            done = bar.n
            try:
                _run_strategy(view, strategy, codes, plan, budgets, found, ledger, bar.update)
            except Exception as error:  # the other strategies go on
                found.failed.append(Failed.of(view.name, strategy.name, error))
                found.errors.append(error)
            bar.update(done + fits - bar.n)
    if not found.cells:
        raise (
            found.errors[0]
            if found.errors
            else InputError(
                "no strategy can be run", hint="the raw control needs images or texts; features have none"
            )
        )
    _warn_uncertified(found)
    return found


def _warn_uncertified(found: Evaluation) -> None:
    missed = sum(not fit["converged"] for fit in found.fits)
    if missed:
        note = f"{missed} of {len(found.fits)} fits are not certified to their tolerance"
        warnings.warn(note, TlengineWarning, stacklevel=4)


def _pairs(samples: Samples, strategies: Sequence[Strategy]) -> Iterator[tuple[View, Strategy]]:
    """Every strategy with every backbone that was asked for; the control with its own features alone."""
    for view in samples.views:
        for strategy in strategies:
            if view.name == CONTROL if strategy.name == CONTROL else view.asked:
                yield view, strategy


def _run_strategy(
    view: View,
    strategy: Strategy,
    codes: npt.NDArray[np.intp],
    plan: Plan,
    budgets: Sequence[Budget],
    found: Evaluation,
    ledger: Ledger,
    advance: Callable[[int], Any],
) -> None:
    """All fits of one strategy on one backbone; nothing is kept of a strategy that fails half-way."""
    cells = {budget: Cell(backbone=view.name, strategy=strategy.name, budget=budget) for budget in budgets}
    results, fits = [], []
    with ledger.stage("fit", f"{view.name} {strategy.name}"):
        for task, (fit, outcome, seconds) in _fit_all(view, strategy, codes, plan, budgets):
            resample, draw = task
            cell = cells[draw.budget]
            labels = draw.labels + (0 if resample.select is None else len(resample.select))
            cell.outcomes[resample.seed, resample.fold] = outcome
            cell.labels += labels / len(plan.resamples)
            if fit.inner is not None:
                cell.inner.append(fit.inner)
            where = {**cell.name, "seed": resample.seed, "fold": resample.fold}
            results += [{**where, "metric": m, "value": v} for m, v in scores(outcome).items()]
            fits.append({**where, "labels": labels, **_describe_fit(fit), "seconds": round(seconds, 5)})
            advance(1)
    found.cells += cells.values()
    found.results += results
    found.fits += fits


Task = tuple[Resample, Draw]
Fitted = tuple[Fit, Outcome, float]


def _fit_all(
    view: View, strategy: Strategy, codes: npt.NDArray[np.intp], plan: Plan, budgets: Sequence[Budget]
) -> Iterator[tuple[Task, Fitted]]:
    """Fits for every resample and budget, several at a time; the same rows are fitted once."""
    tasks = [
        (resample, draw)
        for resample in plan.resamples
        for draw in draw_budgets(codes, resample.train, budgets, resample.seed)
    ]
    pool = ThreadPoolExecutor(max_workers=num_threads())
    try:
        running: dict[bytes, Future[Fitted]] = {}
        for resample, draw in tasks:
            if (key := _rows_key(resample, draw)) not in running:
                running[key] = pool.submit(_fit, view, strategy, codes, plan.units, resample, draw)
        for task in tasks:
            yield task, running[_rows_key(*task)].result()
    except KeyboardInterrupt:
        stop_calls()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _rows_key(resample: Resample, draw: Draw) -> bytes:
    return draw.rows.tobytes() + resample.test.tobytes()


def _fit(
    view: View,
    strategy: Strategy,
    codes: npt.NDArray[np.intp],
    units: npt.NDArray[np.intp],
    resample: Resample,
    draw: Draw,
) -> Fitted:
    start = time.perf_counter()
    select = None if resample.select is None else (view.X[resample.select], codes[resample.select])
    fit = strategy.fit(view.X[draw.rows], codes[draw.rows], units=units[draw.rows], select=select)
    outcome = Outcome.of(resample.test, codes[resample.test], fit.predict_proba(view.X[resample.test]))
    return replace(fit, estimator=None), outcome, time.perf_counter() - start


def _describe_fit(fit: Fit) -> dict[str, Any]:
    return {"chosen": dict(fit.chosen), "calibration": dict(fit.calibration), "converged": fit.converged}
