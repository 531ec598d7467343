"""``compare`` from end to end on small data whose answers are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from torch import nn

import tlengine as tl
from tests.evaluation.trained import Trained, spec
from tlengine.data import load_dataset
from tlengine.errors import BackboneError, InputError, LabelError, TlengineWarning, UnknownNameError
from tlengine.evaluation import check_document, compare
from tlengine.features import ImagePreprocess

QUICK = {"budgets": [5, "all"], "seeds": 1, "progress": False}
FEW = {**QUICK, "budgets": [5]}


class Pooled(nn.Module):
    """A few pixels."""

    def __init__(self, fail=False):
        super().__init__()
        self.fail = fail

    def forward(self, batch):
        if self.fail:
            raise RuntimeError("out of order")
        return nn.functional.adaptive_avg_pool2d(batch, 8).flatten(1)


def tiny(name="tiny", module=None):
    preprocess = ImagePreprocess(resize=32, crop=32)
    return tl.Backbone(module or Pooled(), preprocess=preprocess, modality="image", name=name)


def convolutions(name, seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    return tiny(name, net)


def test_a_gain_over_a_network_that_was_still_learning_is_not_claimed(digit_images):
    """The fits say so themselves, and it goes through the journal to the sentence."""
    found = []
    for still in (False, True):
        scratch = spec("beginner", Trained(steps=1, inner_tasks=0, under_trained=still), "control")
        run = compare(
            digit_images, tiny(), strategies=["probe"], controls=[scratch], budgets=["all"], seeds=3,
            progress=False,
        )  # fmt: skip
        found.append(run)
        (told,) = run.document["verdict"]["controls"]
        assert (told["control"], told["under_trained"]) == ("beginner", still)
        assert told["p_value"] < 0.05 < told["effect"]
    assert [run.verdict.outcome for run in found] == ["positive", "undecided"]
    assert "the control beginner was not trained to the end" in found[1].verdict.answer


@pytest.fixture(scope="module")
def run(digit_images):
    return compare(digit_images, tiny(), controls=["raw", "stats"], **QUICK)


def test_results_hold_every_strategy_budget_seed_fold_and_metric(run):
    found = {
        (r["backbone"], r["strategy"], r["budget"], r["seed"], r["fold"], r["metric"]) for r in run.results
    }
    assert len(found) == len(run.results) == 6 * 2 * 5 * 4
    pairs = {(r["backbone"], r["strategy"], r["role"]) for r in run.document["summary"]}
    assert {(r["backbone"], r["strategy"]) for r in run.results} == {pair[:2] for pair in pairs}
    strategies = {("tiny", name, "strategy") for name in ("knn", "probe", "ridge", "centroid")}
    assert pairs == strategies | {("raw", "raw", "control"), ("stats", "stats", "control")}
    assert {r["budget"] for r in run.results} == {5, "all"}
    assert all(np.isfinite(r["value"]) for r in run.results)
    assert all(0 <= r["value"] <= 1 for r in run.results if r["metric"] != "log_loss")


def test_digits_are_told_apart_and_more_labels_help(run):
    at = {
        (r["strategy"], r["budget"]): r["value"] for r in run.document["summary"] if r["metric"] == "accuracy"
    }
    assert at["probe", "all"] > 0.95
    assert at["probe", "all"] >= at["probe", 5] > 0.7
    assert run.verdict.accuracy > 0.95


def test_the_document_is_complete_and_plain_json(run):
    document = json.loads(run.to_json())
    check_document(document, "here")
    assert document["dataset"]["rows"] == 120
    assert document["resamples"]["kind"] == "folds"
    assert [(b["name"], b["control"]) for b in document["backbones"]] == [
        ("tiny", False),
        ("raw", True),
        ("stats", True),
    ]
    assert document["failed"] == document["excluded"] == document["unreadable"] == []
    assert all(len(b["fingerprint"]) >= 32 for b in document["backbones"])
    assert sum(map(sum, document["confusion"]["counts"])) == 120
    assert all(m["preview"]["kind"] == "image" for m in document["mistakes"])
    assert {s["stage"] for s in document["costs"]["stages"]} >= {"extract", "fit", "judge", "refit"}
    assert document["configuration"]["controls"] == ["raw", "stats"]


def test_every_fit_says_what_it_used_and_cost(run):
    fits = run.document["fits"]
    assert len(fits) == 6 * 2 * 5
    assert {fit["labels"] for fit in fits if fit["budget"] == 5} == {20}
    assert {fit["labels"] for fit in fits if fit["budget"] == "all"} == {96}
    for fit in fits:
        assert 0.5 < fit["train_accuracy"] <= 1
        assert fit["nbytes"] > 0
        assert fit["seconds"] >= 0
        assert fit["predict_ms"] >= 0
        assert fit["chosen"]


def test_fits_of_the_journal_are_counted_once(run):
    assert run.document["journal"] == {"fits": 60, "taken_up": 0}


def test_the_same_seeds_give_the_same_numbers(digits):
    first, again = (compare(digits, strategies=["probe", "knn"], **QUICK) for _ in range(2))
    assert again.results == first.results
    assert again.verdict == first.verdict


def test_the_table_has_a_line_for_each_strategy_and_budget(run):
    lines = run.table().splitlines()
    assert len(lines) == 1 + 6 * 2 + 1
    assert lines[-1] == f"* recommended: {run.verdict.backbone} {run.verdict.strategy}"
    assert run.verdict.strategy + "*" in run.table()


def world(seed, n=600, ours=2.0, theirs=2.0):
    """Three classes, told apart by the features and by the control's array as well as the gaps say."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    eye = np.eye(3)[y]
    X = np.concatenate([ours * eye + rng.normal(size=(n, 3)), rng.normal(size=(n, 5))], axis=1)
    X0 = np.concatenate([theirs * eye + rng.normal(size=(n, 3)), rng.normal(size=(n, 5))], axis=1)
    return (X, y), X0


def judged(data, X0, **options):
    options = {"strategies": ["ridge", "centroid"], "budgets": [10, "all"], "seeds": 5, **options}
    return compare(data, controls={"raw": X0}, progress=False, **options).verdict


def test_features_that_tell_more_are_positive():
    data, X0 = world(0, ours=2.5, theirs=1.0)
    found = judged(data, X0)
    assert (found.outcome, found.helps_up_to, found.role) == ("positive", "all", "strategy")
    assert found.low > 0


def test_features_that_tell_less_are_negative_and_the_control_is_recommended():
    data, X0 = world(1, ours=1.0, theirs=2.5)
    found = judged(data, X0)
    assert (found.outcome, found.strategy, found.role) == ("negative", "raw", "control")
    assert found.high < 0
    assert found.helps_up_to is None
    assert "Use no pretrained network" in found.answer


def test_features_that_tell_the_same_make_no_difference():
    """The control looks at the very same numbers, and is fitted by the very same probe."""
    data, _ = world(2, n=1_500)
    found = judged(data, data[0], strategies=["probe"])
    assert (found.outcome, found.effect) == ("none", 0)
    assert found.margin < 0.02


def test_features_of_equal_worth_on_few_rows_are_undecided_and_it_says_what_would_settle_it():
    data, X0 = world(3, n=150)
    found = judged(data, X0)
    assert found.outcome == "undecided"
    assert found.low < 0 < found.high
    assert "would show a difference" in found.settled_by
    assert found.margin > 0.02


def test_features_that_help_with_few_labels_alone():
    """A few good columns against the same ones among hundreds that need labels to be told apart."""
    rng = np.random.default_rng(4)
    n = 900
    y = np.arange(n) % 3
    X = 1.6 * np.eye(3)[y] + rng.normal(size=(n, 3))
    good = [1.6 * np.eye(3)[y] + rng.normal(size=(n, 3)) for _ in range(2)]
    X0 = np.concatenate([*good, 2 * rng.normal(size=(n, 300))], axis=1)
    found = judged((X, y), X0, budgets=[5, 20, "all"])
    outcomes = [b["outcome"] for b in found.by_budget]
    assert outcomes[0] == "positive"
    assert found.outcome != "positive"
    assert found.helps_up_to in (5, 20)
    assert "ransfer helps up to" in found.answer


@pytest.mark.parametrize("seed", range(3))
def test_uninformative_features_at_nine_to_one_need_no_labels(seed):
    """Drawn budgets are even and the test is not: accuracy rises with the budget, and nothing is learnt."""
    rng = np.random.default_rng(seed)
    y = np.array([0] * 450 + [1] * 50)
    options = {"strategies": ["probe", "centroid"], "budgets": [5, 20, "all"], "seeds": 3, "progress": False}
    run = compare((rng.normal(size=(500, 8)), y), **options)
    assert run.verdict.labels_needed is None
    assert run.verdict.accuracy > 0.8
    curve = [b["balanced_accuracy"] for b in run.verdict.by_budget]
    assert curve == pytest.approx([0.5] * 3, abs=0.08)
    assert [b["chance"] for b in run.verdict.by_budget] == [0.5] * 3
    assert "labels per class" not in run.verdict.answer


def test_labels_of_a_selection_split_are_used_at_all_alone_and_counted(digits):
    X, y = digits
    splits = np.array(["train"] * 200 + ["select"] * 100 + ["test"] * 100)
    ds = replace(load_dataset((X, y)), splits=splits)
    options = {"strategies": ["probe"], "budgets": [5, "all"], "seeds": 2, "progress": False}
    found = compare(ds, **options)
    assert found.document["resamples"]["kind"] == "given"
    assert {r["budget"]: r["labels"] for r in found.document["summary"]} == {5: 20.0, "all": 300.0}
    every = [r["value"] for r in found.results if r["budget"] == "all" and r["metric"] == "accuracy"]
    assert every[0] == every[1], "equal rows are fitted once"
    assert found.document["journal"]["fits"] == 3
    others = y.copy()
    others[200:300] = np.random.default_rng(0).permutation(others[200:300])
    again = compare(replace(ds, y=others), **options)
    few = [[r["value"] for r in run.results if r["budget"] == 5] for run in (found, again)]
    assert few[0] == few[1], "five labels per class are five: validation labels change nothing"
    most = [[f["chosen"] for f in run.document["fits"] if f["budget"] == "all"] for run in (found, again)]
    assert most[0] != most[1], "at all they choose"


def test_a_given_split_with_five_seeds_is_one_draw(digits):
    X, y = digits
    ds = replace(load_dataset((X, y)), splits=np.array(["train"] * 200 + ["test"] * 200))
    found = compare(
        ds, controls={"raw": X[:, :24]}, strategies=["ridge"], budgets=["all"], seeds=5, progress=False
    )
    assert found.verdict.scope == "for these training rows"
    assert [c["draws"] for c in found.verdict.controls] == [1]
    assert found.document["journal"]["fits"] == 2
    once = compare(
        ds, controls={"raw": X[:, :24]}, strategies=["ridge"], budgets=["all"], seeds=1, progress=False
    )
    assert once.verdict.accuracy_low == found.verdict.accuracy_low
    assert once.verdict.p_value == found.verdict.p_value


def test_two_backbones_meet_the_controls_of_none_and_their_own(digit_images):
    backbones = [convolutions("one", 0), convolutions("two", 1)]
    run = compare(
        digit_images, backbones, strategies=["ridge", "centroid"], controls=["raw", "random"], **FEW
    )
    met = {(c["backbone"], c["strategy"], c["control_backbone"]) for c in run.document["comparisons"]}
    assert met == {
        (name, strategy, control)
        for name in ("one", "two")
        for strategy in ("ridge", "centroid")
        for control in ("raw", f"{name}~random")
    }
    cells = {(r["backbone"], r["strategy"]) for r in run.results}
    assert {("one~random", "random"), ("two~random", "random"), ("raw", "raw")} < cells
    assert ("one~random", "ridge") not in cells
    chosen = run.verdict.transfer["backbone"]
    assert f"{chosen}~random" in {c["control_backbone"] for c in run.verdict.controls}


def test_every_untrained_network_that_is_asked_for_is_to_be_beaten(digit_images):
    """Each is another draw, seen by ``random`` alone, and a control of its own backbone."""
    backbones = [convolutions("one", 5), convolutions("two", 6)]
    run = compare(
        digit_images,
        backbones,
        strategies=["ridge"],
        controls=["raw", "random"],
        settings={"random": {"networks": 2}},
        **FEW,
    )
    views = {b["name"]: b["fingerprint"] for b in run.document["backbones"]}
    untrained = ["one~random", "one~random1", "two~random", "two~random1"]
    assert sorted(views) == sorted(["one", "raw", "two", *untrained])
    assert len(set(views.values())) == 5, "of equal architectures the untrained networks are equal, too"
    cells = {(r["backbone"], r["strategy"]) for r in run.results}
    assert {cell for cell in cells if "random" in cell[0]} == {(view, "random") for view in untrained}
    met = {(c["backbone"], c["control_backbone"]) for c in run.document["comparisons"]}
    own = {(view.partition("~")[0], view) for view in untrained}
    assert met == own | {("one", "raw"), ("two", "raw")}
    chosen = run.verdict.transfer["backbone"]
    assert {c["control_backbone"] for c in run.verdict.controls} >= {f"{chosen}~random", f"{chosen}~random1"}


def test_a_failing_backbone_is_reported_and_the_rest_goes_on(digit_images):
    broken = tiny("broken", Pooled(fail=True))
    found = compare(digit_images, [broken, tiny()], strategies=["centroid"], controls=["raw"], **FEW)
    (failed,) = found.document["failed"]
    assert (failed["backbone"], failed["strategy"], failed["step"]) == ("broken", None, "extract")
    assert "out of order" in failed["error"]
    assert {r["backbone"] for r in found.results} == {"tiny", "raw"}


def test_only_failing_backbones_are_an_error(digit_images):
    with pytest.raises(Exception, match="out of order"):
        compare(digit_images, tiny("broken", Pooled(fail=True)), controls=["raw"], **FEW)


def test_features_are_compared_without_a_control(digits):
    found = compare(digits, strategies=["probe", "ridge"], **QUICK)
    assert {r["strategy"] for r in found.results} == {"probe", "ridge"}
    assert (found.verdict.outcome, found.verdict.control) == ("undecided", None)
    assert found.document["comparisons"] == []


def test_every_registered_probe_is_a_strategy(digits):
    found = compare((digits[0] / 16, digits[1]), strategies=["preval", "svm"], **FEW)
    assert found.document["failed"] == []
    accuracy = {r["strategy"]: r["value"] for r in found.results if r["metric"] == "accuracy"}
    assert set(accuracy) == {"preval", "svm"}
    assert min(accuracy.values()) > 0.6


def test_metrics_are_added_to_those_of_the_verdict(digits):
    found = compare(digits, strategies=["ridge"], metrics=["macro_f1", "top5", "brier", "auroc"], **FEW)
    assert {r["metric"] for r in found.document["summary"]} == {
        "accuracy", "balanced_accuracy", "log_loss", "ece", "macro_f1", "top5", "brier", "auroc",
    }  # fmt: skip
    (top,) = {r["value"] for r in found.document["summary"] if r["metric"] == "top5"}
    assert top == 1.0, "of four classes the first five are all"


def test_features_and_a_backbone_do_not_go_together(digits):
    with pytest.raises(InputError, match="features already"):
        compare(digits, "raw", **QUICK)
    with pytest.raises(InputError, match="'raw' is not for features data"):
        compare(digits, strategies=["raw"], **QUICK)


def test_controls_as_arrays_are_for_features(digit_images):
    with pytest.raises(InputError, match="controls as arrays are for features"):
        compare(digit_images, tiny(), controls={"raw": np.zeros((120, 2))}, **QUICK)


def test_texts_against_words():
    rng = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "axe", "file", "drill"]}
    texts, labels = [], []
    for index in range(80):
        label = ("fruit", "tool")[index % 2]
        texts.append(" ".join(rng.choice(words[label], 3)) + f" number {index}")
        labels.append(label)
    options = {"strategies": ["probe"], "controls": ["raw"], "budgets": ["all"], "seeds": 1}
    found = compare((texts, labels), "raw", progress=False, **options)
    assert found.verdict.accuracy > 0.9
    assert {(r["backbone"], r["strategy"]) for r in found.results} == {("raw", "probe"), ("raw", "raw")}
    assert found.verdict.effect == 0


def test_small_classes_are_left_out_with_a_warning(digits):
    X, y = digits
    y = np.concatenate([y, ["rare"] * 2])
    X = np.concatenate([X, X[:2] + 1])
    with pytest.warns(TlengineWarning, match=r"'rare' \(2\)"):
        found = compare((X, y), strategies=["centroid"], **QUICK)
    assert found.document["excluded"] == [{"label": "rare", "count": 2}]
    assert "rare" not in found.document["dataset"]["classes"]


def test_unreadable_samples_are_named_and_left_out(digit_images):
    contents = [np.asarray(c) for c in digit_images.contents]
    contents[3] = b"not an image"
    ds = replace(digit_images, contents=contents)
    with pytest.warns(TlengineWarning):
        found = compare(ds, tiny(), strategies=["centroid"], controls=["raw"], **FEW)
    assert [u["id"] for u in found.document["unreadable"]] == [str(digit_images.ids[3])]
    assert found.document["dataset"]["used"] == 119


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"budgets": [0]}, InputError, "budget"),
        ({"budgets": []}, InputError, "budget"),
        ({"seeds": 0}, InputError, "seeds"),
        ({"strategies": []}, InputError, "strategy"),
        ({"strategies": ["prob"]}, UnknownNameError, "prob"),
        ({"controls": ["probe"]}, InputError, "a strategy, no control"),
        ({"metrics": ["acuracy"]}, UnknownNameError, "acuracy"),
        ({"metrics": 3}, InputError, "a metric is a int, no name"),
        ({"controls": 3}, InputError, "controls hold a int"),
        ({"strategies": 3}, InputError, "strategies hold a int"),
        ({"budgets": 2.5}, InputError, "budget '2.5' is not a number of labels"),
        ({"settings": {"knn": {"k": 3}}}, InputError, "'knn' does not take k=3"),
        ({"executor": 3}, InputError, "executor=3 cannot run tasks"),
        ({"out": 3}, InputError, "out is a int, no path"),
    ],
)
def test_strange_options_are_refused_before_any_work(digits, options, error, match):
    with pytest.raises(error, match=match):
        compare(digits, **{"progress": False, **options})


def test_labels_are_needed(digits):
    with pytest.raises(LabelError):
        compare(load_dataset(digits[0]), progress=False)


def test_a_backbone_for_other_samples_is_refused():
    with pytest.raises((BackboneError, InputError), match="text"):
        compare((["a", "b"] * 20, ["x", "y"] * 20), tiny(), **QUICK)


def test_one_strategy_budget_and_metric_need_no_list(digits):
    run = compare(digits, strategies=GaussianNB(), budgets=5, metrics="brier", seeds=1, progress=False)
    assert {(r["strategy"], r["budget"]) for r in run.results} == {("gaussiannb", 5)}
    assert run.document["configuration"]["metrics"][-1] == "brier"
    assert compare(digits, strategies="centroid", budgets="all", seeds=np.int64(1), progress=False).results


@pytest.mark.parametrize("seeds", [0, -1, True, 2.0, "5", None, 10**30])
def test_seeds_are_a_number_of_them(digits, seeds):
    with pytest.raises(InputError, match="seeds; at least 1"):
        compare(digits, budgets=[5], seeds=seeds, progress=False)


def test_a_budget_beyond_all_labels_is_all_labels():
    """Else a line of 1,000 labels per class would stand beside its copy of all 26, and be recommended."""
    data, X0 = world(0, n=90)
    with pytest.warns(TlengineWarning, match="no class has more than 24 labels .* the budget 1000"):
        run = compare(
            data, controls={"raw": X0}, strategies=["centroid"], budgets=[5, 1000], seeds=1, progress=False
        )
    assert run.document["configuration"]["budgets"] == [5, "all"]


def test_a_run_whose_strategies_all_failed_says_that_and_not_that_a_control_is_missing():
    class Fails(LinearDiscriminantAnalysis):
        def fit(self, X, y):
            raise RuntimeError("not today")

    data, X0 = world(0, n=90)
    run = compare(
        data, controls={"raw": X0}, strategies=[("fails", Fails())], budgets=["all"], seeds=1, progress=False
    )
    assert run.verdict.answer.endswith("Whether transfer helps is open, for no strategy has a result.")
    assert run.verdict.missing == []
    assert run.table().splitlines()[-1] == "no result: features fails: RuntimeError: not today"
