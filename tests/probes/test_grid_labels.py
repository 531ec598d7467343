"""Several labels per row in a grid, beside a fit by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier

from tlengine.data.folds import turns
from tlengine.errors import InputError, LabelError, RareClassWarning
from tlengine.probes import LinearProbe, LinearProbeCV, grid_logistic, probe_grid
from tlengine.probes.grid_jobs import Draws, Key, label_turns

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 8)).astype(np.float32)
TAGS = (X[:, :4] @ RNG.normal(size=(4, 3)) + RNG.normal(size=(240, 3)) > 0.3).astype(int)
OPTIONS = {"seeds": [2], "progress": False}


def the_job(Y, cv=3, budget="all", seed=2, **more):
    (job,) = Draws("y", Y.astype(bool), cv, 0.25, **more).jobs([Key("X", "y", seed, budget)])
    return job


def cells(probe, job, Y, columns=slice(None)):
    """Accuracy and log-loss of a label."""
    truth, shares = Y[job.test][:, columns], probe.predict_proba(X[job.test])[:, columns]
    right = (probe.predict(X[job.test])[:, columns] == truth).mean()
    return right, np.mean([log_loss(t, p, labels=[0, 1]) for t, p in zip(truth.T, shares.T, strict=True)])


def test_a_record_equals_the_estimator():
    (record,) = probe_grid(X, TAGS, Cs=[1e-3, 0.1], cv=3, **OPTIONS).records
    job = the_job(TAGS)
    folds = [(np.flatnonzero(job.folds != f), np.flatnonzero(job.folds == f)) for f in range(3)]
    probe = LinearProbeCV([1e-3, 0.1], cv=folds).fit(X[job.rows], TAGS[job.rows])
    assert record["C"] == probe.C_
    assert (record["accuracy"], record["log_loss"]) == pytest.approx(cells(probe, job, TAGS), rel=1e-4)
    assert (record["n_train"], record["n_test"]) == (180, 60)


def test_rows_are_on_one_side_and_held_out_once():
    job = the_job(TAGS, cv=5)
    assert sorted([*job.rows, *job.test]) == list(range(240))
    assert np.bincount(job.folds).tolist() == [36] * 5


def test_groups_stay_together():
    groups = np.arange(240) // 6
    job = the_job(TAGS, cv=4, units=groups)
    assert not set(groups[job.rows]) & set(groups[job.test])
    for fold in range(4):
        assert not set(groups[job.rows[job.folds == fold]]) & set(groups[job.rows[job.folds != fold]])


def test_a_budget_has_so_many_rows_of_each_label_and_budgets_are_nested():
    jobs = [the_job(TAGS, budget=budget) for budget in (2, 6, "all")]
    kinds = np.column_stack([TAGS, ~TAGS.any(axis=1)])
    for job, budget in zip(jobs, (2, 6), strict=False):
        assert (kinds[job.rows].sum(axis=0) >= budget).all()
        assert len(job.rows) <= 4 * budget
    assert set(jobs[0].rows) < set(jobs[1].rows) < set(jobs[2].rows)
    assert all(job.test.tolist() == jobs[0].test.tolist() for job in jobs)


def test_one_label_per_row_is_drawn_as_classes_are():
    codes = RNG.integers(0, 4, 100)
    by_label, by_class = (
        draw(y, np.random.default_rng(3)) for draw, y in ((label_turns, np.eye(4)[codes] > 0), (turns, codes))
    )
    assert by_label.tolist() == by_class.tolist()


def test_names_of_columns_are_kept():
    import pandas as pd

    frame = pd.DataFrame(TAGS, columns=["cat", "dog", "cow"])
    found = probe_grid(X, {"tags": frame, "odd": X[:, 0] > 0}, Cs=[0.1], cv=None, **OPTIONS)
    assert found.classes["tags"].tolist() == ["cat", "dog", "cow"]
    assert found.classes["odd"].tolist() == [False, True]


def test_a_label_that_no_training_row_has_counts_nowhere_and_is_named():
    Y = np.column_stack([TAGS, np.zeros(240, int)])
    test = the_job(Y).test
    Y[test[:9], 3] = 1
    import pandas as pd

    frame = pd.DataFrame(Y, columns=["a", "b", "c", "unseen"])
    with pytest.warns(RareClassWarning, match="target 'y': 1 labels .*: unseen") as told:
        (record,) = probe_grid(X, frame, Cs=[1e-3, 0.1], cv=3, **OPTIONS).records
    assert len(told) == 1
    (other,) = probe_grid(X, TAGS, Cs=[1e-3, 0.1], cv=3, **OPTIONS).records
    assert record == other | {"log_loss": pytest.approx(other["log_loss"], rel=1e-6)}


def test_a_label_that_a_fold_cannot_learn_is_left_out_of_that_fold(monkeypatch):
    """Where the one training row that has it is held out, a probe says 1e-9 and would lose 20 nats."""
    Y = np.column_stack([TAGS, np.zeros(240, int)])
    job = the_job(Y, cv=3)
    Y[job.rows[5], 3] = 1
    solve, judged = grid_logistic._core.solve_paths, {}

    def watched(problems, *args, **kwargs):
        found = solve(problems, *args, **kwargs)
        for fold, (task, path) in enumerate(zip(problems[0][2][1:], found[0][1:], strict=True)):
            judged[fold] = task[1], path["held_out_loss"]
        return found

    monkeypatch.setattr(grid_logistic._core, "solve_paths", watched)
    Cs = [1e-3, 0.1, 10.0, 1e3]
    with pytest.warns(RareClassWarning, match="target 'y': 1 labels .*: 3"):
        (record,) = probe_grid(X, Y, Cs=Cs, cv=3, **OPTIONS).records
    means = np.zeros(4)
    for fold, (columns, losses) in judged.items():
        fit, held = job.rows[job.folds != fold], job.rows[job.folds == fold]
        assert columns == (3 if job.folds[5] == fold else 4)
        for i, C in enumerate(Cs):
            shares = LinearProbe(C).fit(X[fit], Y[fit]).predict_proba(X[held])
            naive = sum(log_loss(Y[held, c], shares[:, c], labels=[0, 1]) for c in range(columns))
            assert losses[i] / len(held) == pytest.approx(naive, rel=1e-2)
            means[i] += naive / columns
    assert record["C"] == Cs[means.argmin()]


def test_nothing_to_learn_is_an_error():
    Y = np.zeros((240, 2), int)
    Y[the_job(Y + np.array([0, 1])).test[:3], 0] = 1
    with pytest.raises(InputError, match="no label can be learnt at features 'X', target 'y', seed 2"):
        probe_grid(X, Y, Cs=[0.1], cv=None, **OPTIONS)


def test_a_split_of_the_users():
    parts = (np.arange(200), np.arange(200, 240))
    (record,) = probe_grid(X, TAGS, split=parts, Cs=[0.1], cv=None, **OPTIONS).records
    job = the_job(TAGS, cv=None, splits={2: parts})
    assert job.test.tolist() == list(range(200, 240))
    probe = LinearProbe(0.1, tol=1e-4).fit(X[:200], TAGS[:200])
    assert (record["accuracy"], record["log_loss"]) == pytest.approx(cells(probe, job, TAGS), rel=1e-4)


@pytest.mark.parametrize("form", ["ours", "scikit-learn", "votes"])
def test_other_probes(form):
    """scikit-learn's neighbours give a list of probabilities (n, 2), or (n, 1) where a label is constant."""
    from sklearn.linear_model import RidgeClassifier

    Y = np.column_stack([TAGS, np.zeros(240, int)])
    Y[the_job(Y).test[:9], 3] = 1
    probe = {
        "ours": LinearProbe(0.1),
        "scikit-learn": KNeighborsClassifier(5),
        "votes": RidgeClassifier(),
    }[form]
    with pytest.warns(RareClassWarning, match=": 3$"):
        found = probe_grid(X, Y, probe=probe, predictions=True, **OPTIONS)
    (record,), (said,) = found.records, found.predictions
    job = the_job(Y)
    probe.fit(X[job.rows], Y[job.rows])
    right = probe.predict(X[job.test]) == Y[job.test]
    assert record["accuracy"] == pytest.approx(right[:, :3].mean())
    assert said.values.shape == (60, 4)
    if form == "ours":
        assert record["log_loss"] == pytest.approx(cells(probe, job, Y, slice(3))[1], rel=1e-4)
        np.testing.assert_allclose(said.values, probe.predict_proba(X[job.test]), atol=1e-6)
    if form == "scikit-learn":
        assert said.values[:, 3].tolist() == [0.0] * 60
        shares = [part[:, 1] for part in probe.predict_proba(X[job.test])[:3]]
        np.testing.assert_allclose(said.values[:, :3], np.stack(shares, axis=1), atol=1e-6)


@pytest.mark.parametrize("bad", [np.full((240, 2), 2), np.full((240, 2), np.nan), [["a", "b"]] * 240])
def test_what_is_no_indicator_is_refused(bad):
    with pytest.raises(LabelError):
        probe_grid(X, bad, **OPTIONS)


def test_the_target_with_bad_labels_is_named():
    Y = TAGS.copy()
    Y[3, 1] = 2
    with pytest.raises(LabelError, match=r"target 'second': Y has .* at row 3, label 1"):
        probe_grid(X, {"first": TAGS, "second": Y}, **OPTIONS)


def test_a_table_of_classes_is_told_how_to_be_targets():
    table = pd.DataFrame({"kind": ["x", "y"] * 80, "place": ["u", "v", "w", "u"] * 40})
    with pytest.raises(LabelError, match=r"'kind'.*\n.*targets={name: table"):
        probe_grid(X[:160], table, **OPTIONS)
    found = probe_grid(X[:160], {name: table[name] for name in table}, **OPTIONS)
    assert {name: known.tolist() for name, known in found.classes.items()} == {
        "kind": ["x", "y"],
        "place": ["u", "v", "w"],
    }
