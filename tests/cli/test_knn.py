import numpy as np
import pytest
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

import tlengine


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


@pytest.mark.parametrize("twins", ["contents", "keys", "groups"])
@pytest.mark.parametrize("command", ["knn", "probe"])
def test_twins_do_not_answer_for_each_other(tl, tmp_path, twins, command):
    """Random labels, each sample three times: nothing can be learnt, and nothing seems to be."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(150, 16)), 3, axis=0)
    columns = {"y": np.repeat(rng.integers(0, 2, 150), 3)}
    if twins != "contents":
        X += rng.normal(scale=1e-3, size=X.shape)
    if twins == "keys":
        keys = np.zeros((450, 32), dtype=np.uint8)
        keys[:, 0] = np.repeat(np.arange(150), 3)
        columns["keys"] = keys
    if twins == "groups":
        columns["groups"] = np.repeat(np.arange(150), 3)
    np.savez(tmp_path / "f.npz", X=X.astype(np.float32), **columns)
    options = ("--k", "1") if command == "knn" else ("--Cs", "4")
    code, document, err = tl(command, tmp_path / "f.npz", *options, "--json", "--quiet")
    assert code == 0, err
    found = document["results"][0]["accuracy"] if command == "knn" else document["accuracy"]
    # 150 units at 50 %: a standard error of 4.1 points.
    assert abs(found - 0.5) < 0.125


def test_rows_of_a_class_without_another_unit_are_not_judged(tl, tmp_path):
    X = np.random.default_rng(0).normal(size=(42, 3)).astype(np.float32)
    X[41] = X[40]
    y = np.array(["a", "b"] * 20 + ["c", "c"])
    np.savez(tmp_path / "f.npz", X=X, y=y)
    code, document, err = tl("knn", tmp_path / "f.npz", "--k", "1", "--json")
    assert (code, document["judged"]) == (0, 40)
    assert document["notes"] == ["2 rows are not judged: no other sample or group has their class"]
    assert document["notes"][0] in err


@pytest.mark.parametrize("command", ["knn", "probe"])
def test_validation_rows_are_the_test_where_there_is_none(tl, features, tmp_path, command):
    with np.load(features) as arrays:
        X, y = arrays["X"], arrays["y"]
    np.savez(tmp_path / "v.npz", X=X, y=y, splits=np.array(["train"] * 150 + ["val"] * 50))
    np.savez(tmp_path / "t.npz", X=X, y=y, splits=np.array(["train"] * 150 + ["test"] * 50))
    (_, by_val, err), (_, by_test, _) = (tl(command, tmp_path / f"{name}.npz", "--json") for name in "vt")
    assert by_val["notes"] == [
        "no test split: the validation split is used as the test, and for nothing else"
    ]
    assert by_val["notes"][0] in err
    assert by_test["notes"] == []
    for document in (by_val, by_test):
        del document["seconds"], document["notes"]
    assert by_val == by_test


@pytest.mark.parametrize("command", ["knn", "probe"])
def test_validation_rows_beside_a_test_are_left_alone_and_said_so(tl, features, tmp_path, command):
    with np.load(features) as arrays:
        X, y = arrays["X"], arrays["y"]
    splits = np.array(["train"] * 100 + ["val"] * 50 + ["test"] * 50)
    np.savez(tmp_path / "s.npz", X=X, y=y, splits=splits)
    code, document, _ = tl(command, tmp_path / "s.npz", "--json", "--quiet")
    assert code == 0
    assert document["notes"] == ["50 validation rows are not used: neither learnt from nor judged by"]


@pytest.mark.parametrize("command", ["knn", "probe"])
def test_test_rows_of_an_unseen_class_are_left_out_and_counted(tl, features, tmp_path, command):
    with np.load(features) as arrays:
        X, y = arrays["X"], arrays["y"]
    y = np.where(np.arange(200) >= 190, "nine", y)
    np.savez(tmp_path / "s.npz", X=X, y=y, splits=np.array(["train"] * 150 + ["test"] * 50))
    code, document, _ = tl(command, tmp_path / "s.npz", "--json", "--quiet")
    assert code == 0
    assert document["notes"][0].startswith("10 test rows are left out")
    accuracy = document["results"][0]["accuracy"] if command == "knn" else document["test_accuracy"]
    assert accuracy >= 0.9


def test_one_sample_per_class_is_an_error(tl, tmp_path):
    np.savez(tmp_path / "f.npz", X=np.eye(3, dtype=np.float32), y=np.array(["a", "b", "c"]))
    for command in ("knn", "probe"):
        code, _, err = tl(command, tmp_path / "f.npz")
        assert code == 1
        assert "no class has two different samples" in err


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


def misleading(path):
    """Training rows say k = 1, test rows say k = 41: pairs of a class in a line, the test in one end."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 8))
    X = np.repeat(centres, 2, axis=0) + rng.normal(scale=1e-3, size=(120, 8))
    y = np.repeat(rng.integers(0, 2, 60), 2)
    test = rng.normal(size=(60, 8))
    most = np.bincount(y).argmax()
    splits = np.array(["train"] * 120 + ["test"] * 60)
    labels = np.concatenate([y, np.full(60, most)])
    np.savez(path, X=np.concatenate([X, test]).astype(np.float32), y=labels, splits=splits)
    return most


def test_k_is_chosen_on_training_rows_alone(tl, tmp_path):
    most = misleading(tmp_path / "f.npz")
    options = ("--k", "1,119", "--temperature", "1000", "--metric", "euclidean", "--json", "--quiet")
    document = tl("knn", tmp_path / "f.npz", *options, "--out", tmp_path / "m")[1]
    one, many = document["results"]
    assert one["accuracy"] < many["accuracy"] == 1.0
    assert document["k"] == 1, most
    code, _, err = tl("knn", tmp_path / "f.npz", *options, "--min-accuracy", "0.99")
    assert code == 3
    assert f"accuracy {one['accuracy']:.4f} is below" in err
    assert tl("knn", tmp_path / "f.npz", *options)[1]["k"] is None


def test_kept_votes_are_smoothed_by_what_they_got_wrong(tl, features, tmp_path):
    """Random labels: the votes of one neighbour are certain and wrong, what is kept is not."""
    with np.load(features) as arrays:
        X = arrays["X"]
    y = np.random.default_rng(0).permutation(np.arange(len(X)) % 2)
    np.savez(tmp_path / "f.npz", X=X, y=y)
    assert tl("knn", tmp_path / "f.npz", "--k", "1", "--out", tmp_path / "m", "--quiet")[0] == 0
    proba = tlengine.from_pretrained(tmp_path / "m").predict_proba(X[:20])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert 0.5 < proba.max() < 0.65


@pytest.fixture
def arrays(features, tmp_path):
    """The digits as .npy files; every second pair of rows is of one group."""
    with np.load(features) as found:
        np.save(tmp_path / "X.npy", found["X"])
        np.save(tmp_path / "y.npy", found["y"])
        np.savez(tmp_path / "g.npz", **found, groups=np.arange(200) // 2)
    np.save(tmp_path / "g.npy", np.arange(200) // 2)
    return tmp_path


def test_arrays_in_files_of_their_own_equal_the_npz(tl, features, arrays):
    where = (arrays / "X.npy", "--labels", arrays / "y.npy")
    for given, same in ((where, features), ((*where, "--groups", arrays / "g.npy"), arrays / "g.npz")):
        code, document, err = tl("knn", *given, "--json", "-q")
        assert code == 0, err
        _, other, _ = tl("knn", same, "--json", "-q")
        del document["seconds"], other["seconds"]
        assert document == other


def test_a_model_of_arrays_predicts_arrays(tl, features, arrays):
    where = (arrays / "X.npy", "--labels", arrays / "y.npy", "--out", arrays / "m", "-q")
    assert tl("knn", *where)[0] == 0
    code, named, err = tl("predict", arrays / "m", arrays / "X.npy", "--json", "-q")
    assert code == 0, err
    _, same, _ = tl("predict", arrays / "m", features, "--json", "-q")
    assert named["predictions"] == same["predictions"]
    np.save(arrays / "narrow.npy", np.zeros((3, 5), np.float32))
    code, _, err = tl("predict", arrays / "m", arrays / "narrow.npy")
    assert code == 1
    assert "hint:" in err


def test_options_that_belong_to_other_sources_are_usage_errors(tl, features, arrays):
    assert tl("knn", features, "--labels", arrays / "y.npy")[0] == 2
    assert tl("knn", arrays / "X.npy")[0] == 2
    where = (arrays / "X.npy", "--labels", arrays / "y.npy", "--k", "1", "--out", arrays / "m", "-q")
    assert tl("knn", *where)[0] == 0
    assert tl("predict", arrays / "m", arrays / "X.npy", "-q")[0] == 0
    code, _, err = tl("predict", arrays / "m", arrays / "X.npy", "--group", "g")
    assert code == 2
    assert "a .npy has no columns, so --group names none" in err
