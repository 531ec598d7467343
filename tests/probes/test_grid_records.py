"""Predictions of a grid are those of the probes, in memory and in files."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tlengine.errors import InputError, RunFormatError
from tlengine.probes import LinearProbe, grid_logistic, probe_grid
from tlengine.probes.grid_jobs import Draws, Key

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 6)).astype(np.float32)
Y = np.array(["no", "yes", "perhaps"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]
TAGS = np.stack([X[:, 2] > 0, X[:, 3] > 0.4], axis=1).astype(int)
OPTIONS = {"seeds": [2], "Cs": [0.1], "cv": None, "progress": False, "predictions": True}


def by_hand(y, C=0.1):
    codes = y.astype(bool) if y.ndim == 2 else np.unique(y, return_inverse=True)[1]
    (job,) = Draws("y", codes, None, 0.25).jobs([Key("X", "y", 2, "all")])
    return job, LinearProbe(C, tol=1e-4).fit(X[job.rows], y[job.rows])


@pytest.mark.parametrize("y", [Y, Y == "no", TAGS], ids=["classes", "two", "labels"])
@pytest.mark.parametrize("where", ["memory", "file"])
def test_they_are_those_of_the_probe(tmp_path, y, where):
    resume = tmp_path / "grid.jsonl" if where == "file" else None
    for _ in range(2):
        found = probe_grid(X, y, resume=resume, **OPTIONS)
        (said,) = found.predictions
        job, probe = by_hand(y)
        assert said.kind == "probabilities"
        assert said.rows.tolist() == job.test.tolist()
        assert said.labels.tolist() == y[job.test].astype(said.labels.dtype).tolist()
        assert said.values.dtype == np.float32
        np.testing.assert_allclose(said.values, probe.predict_proba(X[job.test]), atol=1e-5)
        if y.ndim == 1:
            right = said.classes[said.values.argmax(axis=1)] == said.labels
            assert right.mean() == pytest.approx(found.records[0]["accuracy"])


def test_there_is_one_for_each_record():
    found = probe_grid(
        {"a": X, "b": X[:, :3]}, {"y": Y, "t": TAGS}, **OPTIONS | {"Cs": [1e-3, 1.0], "seeds": 2}
    )
    assert len(found.predictions) == len(found.records) == 16
    for record, said in zip(found.records, found.predictions, strict=True):
        assert said.values.shape == (record["n_test"], 3 if record["target"] == "y" else 2)
    _, probe = by_hand(Y, C=1.0)
    at = next(
        i for i, r in enumerate(probe_grid(X, Y, **OPTIONS | {"Cs": [1e-3, 1.0]}).records) if r["C"] == 1.0
    )
    said = probe_grid(X, Y, **OPTIONS | {"Cs": [1e-3, 1.0]}).predictions[at]
    np.testing.assert_allclose(said.values, probe.predict_proba(X[said.rows]), atol=2e-3)
    assert len(found.predictions[:3]) == 3


@pytest.mark.parametrize(
    ("probe", "kind"), [(LinearSVC(), "scores"), (DecisionTreeClassifier(), "probabilities")]
)
def test_of_probes_without_probabilities_they_are_scores(probe, kind):
    found = probe_grid(X, Y, probe=probe, seeds=1, progress=False, predictions=True)
    (said,) = found.predictions
    assert said.kind == kind
    right = said.classes[said.values.argmax(axis=1)] == said.labels
    assert right.mean() == pytest.approx(found.records[0]["accuracy"])


def test_nothing_is_kept_unless_asked_for(tmp_path):
    found = probe_grid(X, Y, resume=tmp_path / "g", **OPTIONS | {"predictions": False})
    assert found.predictions is None
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_file_without_predictions_cannot_give_them(tmp_path):
    probe_grid(X, Y, resume=tmp_path / "g", **OPTIONS | {"predictions": False})
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(X, Y, resume=tmp_path / "g", **OPTIONS)


@pytest.mark.parametrize("harm", ["gone", "torn"])
def test_a_job_whose_predictions_are_lost_is_run_again(tmp_path, monkeypatch, harm):
    file = tmp_path / "g"
    options = {**OPTIONS, "seeds": 4, "resume": file}
    whole = probe_grid(X, Y, **options)
    kept = [said.values for said in whole.predictions]
    lost = sorted((tmp_path / "g.predictions").iterdir())[1]
    lost.unlink() if harm == "gone" else lost.write_bytes(lost.read_bytes()[:90])
    with pytest.raises(RunFormatError, match="missing or damaged"):
        list(whole.predictions)
    solve, solved = grid_logistic._core.solve_paths, []
    monkeypatch.setattr(
        grid_logistic._core,
        "solve_paths",
        lambda jobs, *a, **k: solved.append(len(jobs)) or solve(jobs, *a, **k),
    )
    again = probe_grid(X, Y, **options)
    assert solved == [1]
    assert again.records == whole.records
    assert all(np.array_equal(a, b.values) for a, b in zip(kept, again.predictions, strict=True))


@pytest.mark.parametrize(("name", "value"), [("predictions", "yes"), ("predictions", 1), ("callback", 3)])
def test_bad_input(name, value):
    with pytest.raises(InputError, match=name):
        probe_grid(X, Y, **OPTIONS | {name: value})
