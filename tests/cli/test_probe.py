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


def test_the_gate(tl, features):
    assert tl("probe", features, "--Cs", "3", "--quiet", "--min-accuracy", "0.5")[0] == 0
    assert tl("probe", features, "--Cs", "3", "--quiet", "--min-accuracy", "1")[0] in (0, 3)


@pytest.mark.parametrize("options", [("--Cs", "0"), ("--folds", "1")])
def test_counts_out_of_range_are_usage_errors(tl, features, options):
    assert tl("probe", features, *options)[0] == 2


def test_45_values_of_c_each_certified(tl, tmp_path):
    """Features as they come: a falling spectrum and an offset; every C within 1e-4 of its optimum."""
    rng = np.random.default_rng(0)
    scale, y = 1 / np.sqrt(np.arange(1, 33)), np.arange(800) % 4
    X = rng.normal(size=(800, 32)) * scale + rng.normal(size=(4, 32))[y] * scale * 0.4 + 2 * scale
    np.savez(tmp_path / "f.npz", X=X.astype(np.float32), y=y)
    code, document, err = tl("probe", tmp_path / "f.npz", "--Cs", "45", "--json", "--quiet")
    assert (code, err) == (0, "")
    path = document["path"]
    np.testing.assert_allclose([record["C"] for record in path], np.logspace(-6, 5, 45))
    assert document["seconds"] > 0
    for record in path:
        assert record["converged"]
        assert 0 <= record["gap_bound"] <= 1e-4 * record["objective"]
        assert record["n_passes"] >= 2
    code, short, _ = tl("probe", tmp_path / "f.npz", "--Cs", "45", "--patience", "2", "--json", "--quiet")
    assert code == 0
    assert short["C"] == document["C"]
    assert short["path"] == path[: len(short["path"])]
    assert len(short["path"]) < 45
