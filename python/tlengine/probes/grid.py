"""Many probes at once: feature sets x targets x seeds x budgets, solved on every core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tlengine.probes.grid_arguments import check_settings
from tlengine.probes.grid_batches import Costs, smallest_first
from tlengine.probes.grid_data import TEST_SIZE, read_data
from tlengine.probes.grid_estimators import EstimatorJobs
from tlengine.probes.grid_identity import identity_of, scorer_identity
from tlengine.probes.grid_journal import Journal
from tlengine.probes.grid_logistic import LogisticJobs
from tlengine.probes.grid_notes import Notes, say, warn_of_edges, warn_of_end
from tlengine.probes.grid_probes import LOGISTIC, check_unused, is_deterministic, read_probe
from tlengine.probes.grid_records import Predictions, ProbeGrid, Record
from tlengine.probes.grid_run import Keeper, run_jobs
from tlengine.probes.grid_scores import check_scorings
from tlengine.probes.paths import regularisation_grid
from tlengine.probes.scales import warn_of_scales
from tlengine.probes.scoring import Scoring
from tlengine.probes.weights import ClassWeight
from tlengine.settings import num_threads

__all__ = ["ProbeGrid", "probe_grid"]


def probe_grid(
    features: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    targets: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    *,
    probe: Any = LOGISTIC,
    budgets: Sequence[int | str] = ("all",),
    seeds: int | Sequence[int] = 5,
    Cs: int | npt.ArrayLike = 12,
    cv: int | None = 5,
    patience: int | None = 2,
    scoring: Any = None,
    test_size: float = TEST_SIZE,
    split: Any = None,
    groups: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: ClassWeight = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
    predictions: bool = False,
    resume: str | Path | None = None,
    callback: Callable[[Record], object] | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> ProbeGrid:
    """Fits a probe for every feature set, target, seed and label budget.

    Each seed draws a stratified test part; budgets are nested draws per class from the rest. The same
    rows serve every feature set, so results are paired. Rows of one group, and rows of equal content, are
    never on both sides of a split. C is chosen by log-loss over ``cv`` folds inside the budget; with
    ``cv=None`` every C is reported. Small budgets are done first, over all features and targets; the order
    of the records does not depend on it.

    Args:
        features: (n, d) arrays by name (a backbone, or a layer of it), or one array named ``"X"``. Sparse
            matrices stay sparse; probes that take none (ridge, kNN, ...) refuse them.
        targets: by name, or one named ``"y"``: (n,) labels; or (n, L) of 0 and 1, several labels per row: an
            array, or a DataFrame whose column names are kept. Then test parts and folds are drawn without
            strata; accuracy and log-loss are those of a label, averaged over the labels that the training
            rows can teach (some have them, some do not; a ``RareClassWarning`` names the others, which count
            in no fold either).
        probe: ``"logistic"``, solved in batches; ``"svm"``, ``"ridge"``, ``"preval"`` (these choose C or
            alpha by themselves), ``"knn"``, ``"centroid"``, or a plugin's, with its defaults; or any
            classifier of scikit-learn's kind, cloned for each job. Where its ``fit``, or that of a Pipeline's
            last step, takes ``groups``, it is told what may not be parted. ``Cs``, ``cv``, ``patience``,
            ``class_weight``, ``tol`` and ``max_iter`` are of the logistic probe.
        budgets: training labels per class, or ``"all"``; classes with fewer rows give what they have. For
            several labels per row a budget of b is, for each label, b random rows that have it, and b that
            have none; a row that is drawn for one label counts for its others too.
        seeds: how many, or which. Where no row depends on them (one ``split`` of your own, and a budget that
            takes all of its training rows) a deterministic probe is fitted once, and its one record has the
            first seed; a probe that may be random is fitted for each.
        Cs: as in :func:`tlengine.probes.probe_path`.
        cv: folds inside each budget, or None; fewer, but two at least, where no class has so many rows. A
            class of one row (or group) is in every fit and held out in none, so every fit has every class.
        patience: the path of a job ends after so many values of C in a row without a better held-out
            log-loss, as in :func:`tlengine.probes.probe_path`. None, or no ``cv``: all are solved.
        scoring: beside accuracy and log-loss (of probes with probabilities) a name of scikit-learn's
            scorers, a callable ``(estimator, X, y)``, or a list or dict of them, each a column (in place of
            ours where it has that name). Where one cannot be computed the record has NaN, and a
            ``ScoringWarning`` says why; one that fails for a class without test rows is that of the other
            classes, with a ``ScoringWarning``.
        test_size: share of each class that is tested on. Test rows of a class that no training row has are
            left out; ``n_test`` counts the others.
        split: the user's own instead: a word for each row (``"train"``, ``"test"``, ``"val"``: those rows
            are left out, or tested where there is no test part); a pair (train rows, test rows), or one for
            each seed; or any of these by target. Budgets are drawn from its training rows. Test rows with
            the content of a training row stay, and a warning counts them.
        groups: (n,) rows of one group stay on one side, or None.
        keys: (n, 32) content digests; None: contents are equal where the rows of all features are.
        sample_weight: (n,) weights above 0, in every fit, in the choice of C and in the scores of the test
            rows; budgets and test parts count rows. A scorer that takes none judges without them.
        class_weight: None, ``"balanced"`` (within each fit) or {label: weight}; in fits alone.
        tol: certified relative gap of every solution.
        max_iter: L-BFGS steps per C.
        predictions: keep what each probe says of its test rows: in memory (4 bytes a test row and class for
            each record), with ``resume`` in the folder ``RESUME.predictions``.
        resume: a file to which finished records are appended, after half a second of work or one job; a
            second call with the same data and settings takes up where the first was interrupted.
        callback: called with each record that this call finishes, in that order, when it is in the file. A
            true answer ends the grid: the result is what is finished, after a ``TimeLimitWarning``. What it
            raises ends the grid too.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.
        progress: show a bar on stderr where that is a terminal; it moves by the estimated work.

    Raises:
        InputError and its kind for data that cannot be used, or where another process writes to ``resume``,
            or it cannot be opened; a group on both sides of ``split``; with ``resume`` a probe or scorer that
            a later call cannot know again.
        RunFormatError where that belongs to other data or settings, or another version of tlengine.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    >>> found = probe_grid({"a": X, "b": X[:, :2]}, X[:, 0] > 0, budgets=[10, "all"], seeds=2, progress=False)
    >>> len(found.records), found.records[0]["features"], found.records[0]["budget"]
    (8, 'a', 10)
    """
    check_settings(
        Cs=Cs, cv=cv, test_size=test_size, tol=tol, max_iter=max_iter, resume=resume, callback=callback,
        predictions=predictions, patience=patience,
    )  # fmt: skip
    estimator, scorings = read_probe(probe), check_scorings(scoring)
    if estimator is not None:
        given = {
            "Cs": (Cs, 12),
            "cv": (cv, 5),
            "patience": (patience, 2),
            "class_weight": (class_weight, None),
        }
        check_unused(estimator, given | {"tol": (tol, 1e-4), "max_iter": (max_iter, 1000)})
        cv = None
    values, predictions, notes, threads = (
        regularisation_grid(Cs),
        bool(predictions),
        Notes(),
        num_threads(n_jobs),
    )
    data = read_data(features, targets, budgets, seeds, cv, test_size, split, groups, keys, sample_weight)
    if estimator is None or is_deterministic(estimator):
        data = data.without_repeats()
    told: list[Any] = []
    if resume is not None:
        asked = [values.tolist(), cv, patience, test_size, tol, max_iter]
        told = [*asked, *data.told, *_told(estimator, scorings)]
        if class_weight is not None:
            told.append(identity_of(class_weight, "class_weight"))
    shape = (data.arrays, data.targets, data.draws)
    judged: dict[str, Any] = {
        "scorings": scorings, "predictions": predictions, "notes": notes, "weight": data.weight
    }  # fmt: skip
    jobs: LogisticJobs | EstimatorJobs
    if estimator is None:
        for name, X in data.arrays.items():
            warn_of_scales(X, [f"{name}[:, {column}]" for column in range(X.shape[1])])
        core = {"tol": tol, "max_iter": max_iter, "threads": threads, "patience": patience if cv else None}
        jobs = LogisticJobs(*shape, values, **judged, settings=core, class_weight=class_weight)
        costs = Costs(*shape, len(values) * (1 + (cv or 0)), 1 if cv else len(values))
    else:
        jobs, costs = EstimatorJobs(estimator, *shape, **judged, threads=threads), Costs(*shape)
    codes = {name: y.codes for name, y in data.targets.items()}
    with (
        Journal(resume, data.arrays, codes, told, predictions=predictions) as done,
        Keeper(done, costs, data.places, progress=progress, callback=callback) as keep,
    ):
        todo = [place for place in data.places if place not in done.records]
        run_jobs(jobs, smallest_first(todo, data.arrays), costs, keep, threads)
    places = [place for place in data.places if place in done.records]
    warn_of_end(len(places), len(data.places), stacklevel=3)
    if estimator is None and cv:
        warn_of_edges([done.edges[place] for place in places], values, stacklevel=3)
    say({place: done.notes[place] for place in places}, stacklevel=3)
    numbered = [(place, i) for place in places for i in range(len(done.records[place]))]
    records = tuple(done.records[place][i] for place, i in numbered)
    said = Predictions(numbered, done.said, data.targets) if predictions else None
    return ProbeGrid(records, {name: y.classes for name, y in data.targets.items()}, said)


def _told(estimator: Any, scorings: Mapping[str, Scoring] | None) -> list[Any]:
    """By what a later call knows the probe and the scorers again."""
    return [
        LOGISTIC if estimator is None else identity_of(estimator, "probe"),
        None if scorings is None else [scorer_identity(*pair) for pair in scorings.items()],
    ]
