import numpy as np
import pytest
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier


def test_one_neighbour_equals_scikit_learn_leave_one_out(tl, features):
    code, document, err = tl("knn", features, "--k", "1,5,500", "--json", "--quiet")
    assert code == 0, err
    with np.load(features) as arrays:
        X, y = arrays["X"], arrays["y"]
    expected = cross_val_score(KNeighborsClassifier(1, metric="cosine"), X, y, cv=LeaveOneOut()).mean()
    assert [r["k"] for r in document["results"]] == [1, 5, 500]
    assert document["results"][0]["accuracy"] == pytest.approx(expected)
    assert all(np.isfinite(r["log_loss"]) for r in document["results"])


def test_a_split_of_the_user_and_groups(tl, features, tmp_path):
    with np.load(features) as arrays:
        X, y = arrays["X"], arrays["y"]
    np.savez(tmp_path / "s.npz", X=X, y=y, splits=np.array(["train"] * 150 + ["test"] * 50))
    assert tl("knn", tmp_path / "s.npz", "--json", "--quiet")[1]["results"][0]["accuracy"] > 0.9
    noise = np.repeat(np.random.default_rng(0).normal(size=(60, 8)), 3, axis=0).astype(np.float32)
    labels, groups = np.repeat(np.arange(60) % 2, 3), np.repeat(np.arange(60), 3).astype(str)
    np.savez(tmp_path / "g.npz", X=noise, y=labels, groups=groups)
    np.savez(tmp_path / "n.npz", X=noise, y=labels)
    apart, copies = (tl("knn", tmp_path / f, "--k", "1", "--json", "--quiet")[1] for f in ("g.npz", "n.npz"))
    assert copies["results"][0]["accuracy"] == 1
    assert apart["results"][0]["accuracy"] < 0.7


def test_a_table_and_the_gate(tl, features):
    code, text, _ = tl("knn", features, "--quiet")
    assert code == 0
    assert len(text.splitlines()) == 3
    assert tl("knn", features, "--quiet", "--min-accuracy", "0.5")[0] == 0
    assert tl("knn", features, "--k", "500", "--temperature", "100", "--quiet", "--min-accuracy", "1")[0] == 3


@pytest.mark.parametrize("ks", ["0", "five", "", "5,-1"])
def test_strange_ks_are_usage_errors(tl, features, ks):
    assert tl("knn", features, "--k", ks)[0] == 2


@pytest.mark.parametrize("recipe", ["resnet50, pooled", "", "[1, 2]", "3", "null", "{", "[" * 100_000])
@pytest.mark.parametrize("command", ["knn", "probe"])
def test_a_recipe_of_the_users_own_is_no_trouble(tl, features, tmp_path, recipe, command):
    with np.load(features) as arrays:
        np.savez(tmp_path / "own.npz", X=arrays["X"], y=arrays["y"], recipe=recipe)
    code, _, err = tl(command, tmp_path / "own.npz", "--json", "--quiet", "--out", tmp_path / "model")
    assert code == 0, err
