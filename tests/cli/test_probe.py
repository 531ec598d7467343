import os
import signal
from pathlib import Path

import numpy as np
import pytest


def test_every_c_has_its_certificate(tl, features):
    code, document, err = tl("probe", features, "--Cs", "5", "--json", "--quiet")
    assert code == 0, err
    assert [round(np.log10(r["C"]), 2) for r in document["path"]] == [-6, -3.25, -0.5, 2.25, 5]
    keys = {"C", "log_loss", "objective", "gap_bound", "gradient_norm", "n_passes", "converged"}
    assert all(set(record) == keys for record in document["path"])
    assert all(r["gap_bound"] <= 1e-4 * r["objective"] for r in document["path"] if r["converged"])
    assert document["accuracy"] > 0.95
    assert document["C"] in [r["C"] for r in document["path"]]
    assert document["seconds"] > 0
    assert document["test_accuracy"] is None


def test_a_table_for_people(tl, features):
    code, text, _ = tl("probe", features, "--Cs", "4", "--quiet")
    assert code == 0
    assert len([line for line in text.splitlines() if line.strip()]) == 1 + 4 + 1


def test_a_split_of_the_user_is_scored_on_its_test(tl, features, tmp_path):
    with np.load(features) as arrays:
        splits = np.array(["train"] * 150 + ["test"] * 50)
        np.savez(tmp_path / "s.npz", X=arrays["X"], y=arrays["y"], splits=splits)
    code, document, _ = tl("probe", tmp_path / "s.npz", "--Cs", "4", "--json", "--quiet")
    assert (code, document["rows"]) == (0, 150)
    assert document["test_accuracy"] > 0.9


def test_the_saved_probe_predicts(tl, features, tmp_path):
    code, document, _ = tl("probe", features, "--Cs", "3", "--out", tmp_path / "m", "--json", "--quiet")
    assert (code, document["model"]) == (0, str(tmp_path / "m"))
    code, text, _ = tl("predict", tmp_path / "m", features)
    assert code == 0
    assert len(text.splitlines()) == 201


def test_the_gate(tl, features, tmp_path):
    assert tl("probe", features, "--Cs", "3", "--quiet", "--min-accuracy", "0.5")[0] == 0
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", X=rng.normal(size=(90, 4)).astype(np.float32), y=np.arange(90) % 3)
    assert tl("probe", tmp_path / "noise.npz", "--Cs", "3", "--quiet", "--min-accuracy", "0.9")[0] == 3


@pytest.mark.parametrize("options", [("--Cs", "0"), ("--folds", "1")])
def test_counts_out_of_range_are_usage_errors(tl, features, options):
    assert tl("probe", features, *options)[0] == 2


def test_45_values_of_c_each_certified(tl, tmp_path):
    """Features as they come: a falling spectrum and an offset; every C within 1e-4 of its optimum."""
    rng = np.random.default_rng(0)
    scale, y = 1 / np.sqrt(np.arange(1, 33)), np.arange(800) % 4
    X = rng.normal(size=(800, 32)) * scale + rng.normal(size=(4, 32))[y] * scale * 0.4 + 2 * scale
    np.savez(tmp_path / "f.npz", X=X.astype(np.float32), y=y)
    code, document, err = tl(
        "probe", tmp_path / "f.npz", "--Cs", "45", "--patience", "0", "--json", "--quiet"
    )
    assert (code, err) == (0, "")
    path = document["path"]
    np.testing.assert_allclose([record["C"] for record in path], np.logspace(-6, 5, 45))
    assert document["seconds"] > 0
    for record in path:
        assert record["converged"]
        assert 0 <= record["gap_bound"] <= 1e-4 * record["objective"]
        assert record["n_passes"] >= 2
    code, short, _ = tl("probe", tmp_path / "f.npz", "--json", "--quiet")
    assert code == 0
    assert short["C"] == document["C"]
    assert short["path"] == path[: len(short["path"])]
    assert len(short["path"]) < 45


@pytest.fixture
def arrays(features, tmp_path):
    """The digits as a folder of .npy files."""
    with np.load(features) as found:
        np.save(tmp_path / "X.npy", found["X"])
        np.save(tmp_path / "y.npy", found["y"])
    np.save(tmp_path / "g.npy", np.arange(200) // 4)
    np.save(tmp_path / "short.npy", np.arange(199) % 2)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 200, dtype=object))
    np.save(tmp_path / "words.npy", np.array([["one", "two"]] * 200))
    np.save(tmp_path / "complex.npy", np.ones((200, 3), dtype=complex))
    np.save(tmp_path / "measured.npy", np.random.default_rng(0).normal(size=200))
    (tmp_path / "text.npy").write_text("1,2,3")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "X.npy").read_bytes()[:300])
    return tmp_path


def test_arrays_in_files_of_their_own_equal_the_npz(tl, features, arrays):
    code, document, err = tl(
        "probe", arrays / "X.npy", "--labels", arrays / "y.npy", "--Cs", "3", "--json", "-q"
    )
    assert code == 0, err
    _, same, _ = tl("probe", features, "--Cs", "3", "--json", "-q")
    del document["seconds"], same["seconds"]
    assert document == same


def test_groups_in_a_file_of_their_own_stay_together(tl, arrays):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(50, 64)), 4, axis=0) + rng.normal(scale=1e-3, size=(200, 64))
    np.save(arrays / "X.npy", X)
    np.save(arrays / "y.npy", np.repeat(rng.integers(0, 2, 50), 4))
    where = (arrays / "X.npy", "--labels", arrays / "y.npy", "--Cs", "4", "--json", "-q")
    _, loose, _ = tl("probe", *where)
    code, grouped, err = tl("probe", *where, "--groups", arrays / "g.npy")
    assert code == 0, err
    assert loose["accuracy"] > 0.9
    assert grouped["accuracy"] < 0.75


@pytest.mark.parametrize(
    ("X", "y", "g", "expected"),
    [
        ("X", "short", None, "X has 200 rows, y has 199"),
        ("X", "y", "short", "X has 200 rows, groups has 199"),
        ("X", "objects", None, "holds pickled objects, which are not loaded"),
        ("objects", "y", None, "holds pickled objects, which are not loaded"),
        ("words", "y", None, "X"),
        ("complex", "y", None, "X is of type complex128"),
        ("X", "complex", None, "y"),
        ("X", "measured", None, "y"),
        ("X", "missing", None, "missing.npy: no such file"),
        ("missing", "y", None, "missing.npy: no such file"),
        ("text", "y", None, "text.npy: not a .npy file"),
        ("cut", "y", None, "cut.npy: not a readable .npy"),
    ],
)
def test_arrays_that_cannot_be_used_are_clear_errors(tl, arrays, X, y, g, expected):
    groups = () if g is None else ("--groups", arrays / f"{g}.npy")
    code, _, err = tl("probe", arrays / f"{X}.npy", "--labels", arrays / f"{y}.npy", *groups)
    assert code == 1
    assert expected in err
    assert "hint:" in err


def test_options_of_other_sources_are_usage_errors(tl, features, arrays):
    assert tl("probe", features, "--labels", arrays / "y.npy")[0] == 2
    assert tl("probe", arrays / "X.npy")[0] == 2
    assert tl("probe", arrays / "X.npy", "--labels", arrays / "y.npy", "--group", "g")[0] == 2


def test_an_interrupted_path_goes_on_from_what_is_kept(tl, tmp_path, monkeypatch):
    from tlengine.probes import LinearProbeCV

    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    y = np.arange(6_000) % 120
    X = (rng.normal(size=(6_000, 128)) + rng.normal(size=(120, 128))[y]).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    fit = LinearProbeCV.fit

    def interrupted(probe, *args, **kwargs):
        look = probe.callback

        def stop(progress):
            look(progress)
            if progress.solved:
                raise KeyboardInterrupt

        return fit(probe.set_params(callback=stop), *args, **kwargs)

    command = ("probe", tmp_path / "X.npy", "--labels", tmp_path / "y.npy", "--Cs", "6", "--patience", "6")
    with monkeypatch.context() as patch:
        patch.setattr(LinearProbeCV, "fit", interrupted)
        code, _, err = tl(*command)
    assert code == 130
    assert "of 6 values of C are kept: the same command goes on from there" in err
    assert len(list((tmp_path / "home" / "paths").iterdir())) == 1
    code, text, err = tl(*command)
    assert code == 0
    assert "of 6 values of C taken up" in err
    assert len([line for line in text.splitlines() if line.strip()]) == 1 + 6 + 1
    assert not list((tmp_path / "home" / "paths").iterdir())


def test_the_limit_of_seconds_is_that_of_the_path(tl, features, tmp_path, monkeypatch):
    from tlengine.errors import InputError
    from tlengine.probes import LinearProbeCV

    def fit(probe, *args, **kwargs):
        raise InputError(f"it would end after {probe.max_seconds:g} s")

    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path))
    monkeypatch.setattr(LinearProbeCV, "fit", fit)
    code, _, err = tl("probe", features, "--max-seconds", "60")
    assert code == 1
    assert "it would end after 60 s" in err


def test_ctrl_c_keeps_the_c_on_the_way_and_a_second_one_ends_at_once(tl, tmp_path, monkeypatch):
    from tlengine.probes import LinearProbeCV

    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    y = np.arange(6_000) % 120
    X = (rng.normal(size=(6_000, 192)) + 0.5 * rng.normal(size=(120, 192))[y]).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    fit, told, presses = LinearProbeCV.fit, [], 1

    def interrupted(probe, *args, **kwargs):
        look = probe.callback

        def press(progress):
            told.append(progress)
            if progress.passes >= 10:
                for _ in range(presses):
                    os.kill(os.getpid(), signal.SIGINT)
            return look(progress)

        return fit(probe.set_params(callback=press, tol=1e-6), *args, **kwargs)

    command = (
        "probe",
        tmp_path / "X.npy",
        "--labels",
        tmp_path / "y.npy",
        "--Cs",
        "1",
        "--folds",
        "2",
        "--json",
    )
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(LinearProbeCV, "fit", interrupted)
        code, text, err = tl(*command)
        assert (code, text) == (130, "")
        assert "0 of 1 values of C are kept, and how far the next one is: the same command goes on" in err
        assert "warning" not in err
        presses, passes = 2, len(told)
        code, _, err = tl(*command)
        assert code == 130
        assert "are kept" not in err
        assert len(told) > passes
    assert signal.getsignal(signal.SIGINT) is before
    code, document, err = tl(*command)
    assert code == 0, err
    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "other"))
    cold = tl(*command)[1]
    (found,), (whole,) = document["path"], cold["path"]
    assert found["converged"]
    assert found["n_passes"] < whole["n_passes"]
    assert found["objective"] == pytest.approx(whole["objective"], rel=1e-4)


def test_what_is_kept_goes_once_the_output_is_written(tl, features, tmp_path, monkeypatch):
    """A disk that is full when the model is saved costs nothing that was solved."""
    from tlengine.cli import probe
    from tlengine.errors import InputError
    from tlengine.probes import watching

    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "home"))
    kept = tmp_path / "home" / "paths"
    command = ("probe", features, "--Cs", "4", "--json", "-q", "--out", tmp_path / "m")

    def full(*args, **kwargs):
        raise InputError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(probe, "save_model", full)
        assert tl(*command)[0] == 1
    assert len(list(kept.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(watching._core, "watch_paths", lambda *a, **k: pytest.fail("solved again"))
        code, document, err = tl(*command)
    assert code == 0, err
    assert not list(kept.iterdir())
    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "other"))
    again = tl(*command[:-2])[1]
    assert (again["path"], again["C"]) == (document["path"], document["C"])


def test_a_file_that_cannot_be_deleted_fails_no_command_that_is_done(tl, features, tmp_path, monkeypatch):
    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "home"))
    refused = []

    def denied(path, missing_ok=False):
        refused.append(path)
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", denied)
        code, document, err = tl("probe", features, "--Cs", "4", "--json")
    assert code == 0, err
    assert len(document["path"]) <= 4
    (file,) = refused
    assert f"note: {file} cannot be deleted: Permission denied" in err


def test_what_is_kept_of_a_path_that_time_ended_stays(tl, features, tmp_path, monkeypatch):
    from tlengine.probes import paths

    monkeypatch.setenv("TLENGINE_HOME", str(tmp_path / "home"))
    solve = paths.solve_watched
    monkeypatch.setattr(paths, "solve_watched", lambda *a, **k: (*solve(*a, **k)[:2], False))
    assert tl("probe", features, "--Cs", "4", "-q")[0] == 0
    assert len(list((tmp_path / "home" / "paths").iterdir())) == 1


def test_a_group_that_is_not_known_is_named(tl, arrays):
    np.save(arrays / "g.npy", np.where(np.arange(200) == 7, np.nan, np.arange(200) // 4))
    for command in ("probe", "knn"):
        where = (arrays / "X.npy", "--labels", arrays / "y.npy", "--groups", arrays / "g.npy")
        code, _, err = tl(command, *where)
        assert code == 1
        assert "groups[7]: group column is empty" in err
