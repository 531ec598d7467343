"""A split of the user's is taken as given; what is wrong with it is said, with its place."""

import warnings

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlengine.errors import DatasetError, InputError, RunFormatError, ShapeMismatchError, TlengineWarning
from tlengine.probes import LinearProbe, LinearProbeCV, NearestCentroidProbe, probe_grid
from tlengine.probes.grid_splits import read_splits
from tlengine.probes.grid_targets import Target

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype(np.float32)
Y = np.array(["no", "yes", "perhaps"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]
TRAIN, TEST = np.arange(0, 150), np.arange(150, 200)
WORDS = np.where(np.arange(200) < 150, "train", "test")
TAGS = np.stack([X[:, 2] > 0, X[:, 3] > 0], axis=1).astype(int)
OPTIONS = {"Cs": [0.1], "cv": None, "progress": False}


class Guess(DummyClassifier):
    """A class of somebody's."""


def parts(split, y=Y, seeds=(0,)):
    target = Target(np.unique(y, return_inverse=True)[1], np.unique(y))
    return [
        [part.tolist() for part in pair] for pair in read_splits(split, {"y": target}, seeds)["y"].values()
    ]


def test_a_record_is_the_estimator_on_these_rows():
    found = probe_grid(X, Y, split=WORDS, budgets=["all", 8], seeds=[3], **OPTIONS)
    whole, small = found.records
    probe = LinearProbe(0.1, tol=1e-4).fit(X[TRAIN], Y[TRAIN])
    assert whole["accuracy"] == probe.score(X[TEST], Y[TEST])
    assert (whole["n_train"], whole["n_test"]) == (150, 50)
    assert (small["n_train"], small["n_test"]) == (24, 50)


def test_budgets_are_drawn_from_the_training_rows_by_seed():
    found = probe_grid(X, Y, split=(TRAIN, TEST), budgets=[5], seeds=6, predictions=True, **OPTIONS)
    assert len({r["log_loss"] for r in found.records}) == 6
    assert all(p.rows.tolist() == TEST.tolist() for p in found.predictions)


def test_one_split_used_whole_is_solved_once_whatever_the_seeds():
    counts = np.unique(Y[TRAIN], return_counts=True)[1]
    budgets = [int(counts.max()) - 1, int(counts.max()), "all"]
    found = probe_grid(X, {"y": Y, "tags": TAGS}, split=WORDS, budgets=budgets, seeds=[4, 7], **OPTIONS)
    assert [(r["target"], r["budget"], r["seed"]) for r in found.records] == [
        *(("y", budgets[0], 4), ("y", budgets[1], 4), ("y", "all", 4), ("y", budgets[0], 7)),
        *(("tags", budgets[0], 4), ("tags", budgets[1], 4), ("tags", "all", 4)),
        *(("tags", budgets[0], 7), ("tags", budgets[1], 7)),
    ]
    whole = [{**r, "budget": 0} for r in found.records if r["target"] == "y" and r["n_train"] == 150]
    assert whole[0] == whole[1], "a budget of all rows of the largest class is all"


@pytest.mark.parametrize(
    ("probe", "records"),
    [
        ("ridge", 1),
        (make_pipeline(StandardScaler(), NearestCentroidProbe()), 1),
        (RandomForestClassifier(2, random_state=0), 1),
        (RandomForestClassifier(2), 3),
        (LinearProbeCV([0.1, 1.0], cv=StratifiedShuffleSplit(2)), 3),
        (LinearProbeCV([0.1, 1.0], cv=StratifiedShuffleSplit(2, random_state=0)), 1),
        (Guess(), 3),
    ],
)
def test_a_probe_that_may_be_random_is_fitted_for_each_seed(probe, records):
    assert len(probe_grid(X, Y, probe=probe, split=WORDS, seeds=3, progress=False).records) == records


def test_a_split_for_each_seed_has_a_record_for_each():
    found = probe_grid(X, Y, split=[(TRAIN, TEST), (TEST, TRAIN)], seeds=2, **OPTIONS)
    assert [r["seed"] for r in found.records] == [0, 1]


@pytest.mark.parametrize(
    "split",
    [
        WORDS,
        list(WORDS),
        WORDS.astype(object),
        (TRAIN, TEST),
        [TRAIN, TEST],
        [(TRAIN, TEST)],
        (TRAIN[::-1], list(TEST)),
        (WORDS == "train", WORDS == "test"),
        {"y": (TRAIN, TEST)},
        iter([(TRAIN, TEST)]),
    ],
    ids=[
        "words",
        "list",
        "objects",
        "pair",
        "list-pair",
        "one-pair",
        "unsorted",
        "masks",
        "named",
        "iterator",
    ],
)
def test_a_split_has_many_forms(split):
    assert parts(split) == [[TRAIN.tolist(), TEST.tolist()]]


def test_pairs_are_one_for_each_seed():
    pairs = [(TRAIN, TEST), (TEST, TRAIN)]
    assert parts(pairs, seeds=(5, 9)) == [[TRAIN.tolist(), TEST.tolist()], [TEST.tolist(), TRAIN.tolist()]]
    found = probe_grid(X, Y, split=pairs, seeds=[5, 9], **OPTIONS)
    assert [r["n_train"] for r in found.records] == [150, 50]
    with pytest.raises(InputError, match="2 pairs, there are 5 seeds") as caught:
        probe_grid(X, Y, split=pairs, **OPTIONS)
    assert caught.value.hint == "seeds=2"


def test_pairs_of_equal_length_are_not_taken_for_a_pair_of_rows():
    halves = [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))]
    assert len(parts(halves, seeds=(0, 1))) == 2


def test_validation_rows_are_left_out_or_are_the_test_where_there_is_none():
    words = np.array(["train"] * 100 + ["Val"] * 50 + ["test"] * 50)
    assert parts(words) == [[list(range(100)), list(range(150, 200))]]
    assert parts(words[:150], Y[:150]) == [[list(range(100)), list(range(100, 150))]]


def test_a_split_for_each_target():
    words = {"y": WORDS, "z": WORDS[::-1]}
    found = probe_grid(X, {"y": Y, "z": X[:, 0] > 0}, split=words, seeds=1, **OPTIONS)
    assert [r["n_test"] for r in found.records] == [50, 50]
    with pytest.raises(InputError, match="split and targets differ in 'z'"):
        probe_grid(X, {"y": Y, "z": Y}, split={"y": WORDS}, **OPTIONS)


def test_a_group_on_both_sides_is_named():
    groups = np.arange(200).astype(str)
    probe_grid(X, Y, split=WORDS, groups=groups, seeds=1, **OPTIONS)
    groups[[3, 190]] = "anna"
    with pytest.raises(InputError, match="group anna is on both sides of split, one of 1"):
        probe_grid(X, Y, split=WORDS, groups=groups, seeds=1, **OPTIONS)


def test_groups_stay_together_in_the_folds_of_a_split():
    """Labels that are a matter of the group alone: folds of whole groups know nothing of them."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    noise = np.repeat(rng.normal(size=(40, 50)), 5, axis=0) + 0.01 * rng.normal(size=(200, 50))
    y = np.repeat(rng.integers(0, 2, 40), 5)
    options = {"Cs": [1e-6, 10.0], "cv": 4, "seeds": 1, "progress": False}
    (apart,) = probe_grid(noise, y, split=(TRAIN, TEST), groups=groups, **options).records
    (mixed,) = probe_grid(noise, y, split=(TRAIN, TEST), **options).records
    assert (apart["C"], mixed["C"]) == (1e-6, 10.0)


def test_equal_contents_are_counted_and_stay():
    twins = X.copy()
    twins[[150, 151, 160]] = twins[[0, 1, 2]]
    with pytest.warns(TlengineWarning, match="3 of 50 test rows of split have the same content") as told:
        (record,) = probe_grid(twins, Y, split=WORDS, seeds=1, **OPTIONS).records
    assert len(told) == 1
    assert (record["n_train"], record["n_test"]) == (150, 50)


def test_test_rows_of_classes_without_a_training_row_are_left_out_with_a_word():
    y = Y.copy()
    y[[180, 190]] = "strange"
    with pytest.warns(TlengineWarning, match="2 of 50 test rows are left out"):
        (record,) = probe_grid(X, y, split=WORDS, seeds=1, **OPTIONS).records
    assert record["n_test"] == 48


def test_a_class_of_one_training_row_is_no_matter():
    y = Y.copy()
    y[10] = "rare"
    (record,) = probe_grid(X, y, split=WORDS, seeds=1, Cs=[0.1, 1.0], progress=False).records
    assert np.isfinite(record["log_loss"])


@pytest.mark.parametrize(
    ("split", "error", "match"),
    [
        ("train", InputError, "split is 'train'"),
        (3, InputError, "split is 3"),
        ([], InputError, "something else than pairs"),
        (WORDS[:-1], ShapeMismatchError, "split has 199 words, there are 200 rows"),
        (np.where(WORDS == "train", "train", "exam"), DatasetError, "exam"),
        (np.full(200, "train"), InputError, "150|200 training rows and 0 test rows"),
        ((TRAIN, TRAIN), InputError, "names row 0 on both sides"),
        (([0, 0, 1], [2]), InputError, "names training row 0 twice"),
        (([0, 1, 60], [2, 2]), InputError, "names test row 2 twice"),
        (([0, 1, 2], [200]), InputError, "names row 200; rows are 0 to 199"),
        (([-1, 1, 2], [20]), InputError, "names row -1"),
        (([0.5, 1.5], [2.0]), InputError, "something else than pairs"),
        ((TRAIN, TEST, TEST), InputError, "something else than pairs"),
        ((WORDS[:9] == "train", TEST), ShapeMismatchError, "mask of 9"),
        ((np.flatnonzero(Y == "no"), np.flatnonzero(Y == "yes")), InputError, "all of one class"),
        ((np.flatnonzero(Y != "no"), np.flatnonzero(Y == "no")), InputError, "no class that it trains"),
    ],
)
def test_what_is_no_split_is_refused(split, error, match):
    with warnings.catch_warnings(), pytest.raises(error, match=match):
        probe_grid(X, Y, split=split, seeds=1, **OPTIONS)


def test_a_test_size_beside_a_split_is_refused():
    with pytest.raises(InputError, match=r"test_size=0\.5 beside a split"):
        probe_grid(X, Y, split=WORDS, test_size=0.5, **OPTIONS)


def test_another_split_is_another_file(tmp_path):
    probe_grid(X, Y, split=WORDS, seeds=1, resume=tmp_path / "g", **OPTIONS)
    with pytest.raises(RunFormatError, match="other data or settings"):
        probe_grid(X, Y, split=WORDS[::-1], seeds=1, resume=tmp_path / "g", **OPTIONS)
