"""Who takes part: by name, as an estimator, by default; and what is refused with a way out."""

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

from tlengine.errors import InputError, PluginError, UnknownNameError
from tlengine.evaluation import participants as module
from tlengine.evaluation.participants import array_controls, participants, spoken_names
from tlengine.evaluation.strategies import (
    CentroidStrategy,
    EstimatorStrategy,
    LogisticStrategy,
    TfidfStrategy,
)
from tlengine.plugins import SimpleStrategy, StrategySpec


def roles(named: Any, controls: Any, modality: str = "image") -> dict[str, str]:
    return {name: chosen.role for name, chosen in participants(named, controls, modality).items()}


def test_defaults_are_those_that_the_data_allow() -> None:
    strategies = dict.fromkeys(("knn", "probe", "ridge", "centroid"), "strategy")
    assert roles(None, None) == {**strategies, "raw": "control", "stats": "control", "rcf": "control"}
    assert roles(None, None, "text") == {**strategies, "raw": "control", "stats": "control"}
    assert roles(None, None, "features") == strategies
    assert roles(None, ()) == strategies
    assert not any(chosen.asked for chosen in participants(None, None, "image").values())


class Network(SimpleStrategy):
    """One that trains on contents."""

    reads = "contents"


def test_where_networks_are_trained_the_untrained_ones_are_controls_by_default() -> None:
    """What pretraining adds is shown by the same network without it; named controls are all there are."""
    cheap = dict.fromkeys(("raw", "stats", "rcf"), "control")
    more = {**cheap, "random": "control", "scratch": "control"}
    for named in ("finetune", StrategySpec(name="mine", make=Network)):
        name = getattr(named, "name", named)
        assert roles(["probe", named], None) == {"probe": "strategy", name: "strategy", **more}
    text = {name: role for name, role in more.items() if name != "rcf"}
    assert roles(["lp-ft"], None, "text") == {"lp-ft": "strategy", **text}
    assert roles(["lp-ft"], ["raw"]) == {"lp-ft": "strategy", "raw": "control"}
    assert roles(["probe"], None) == {"probe": "strategy", **cheap}
    assert roles(["probe"], ["scratch"]) == {"probe": "strategy", "scratch": "control"}
    assert roles(["probe", "scratch"], None) == {"probe": "strategy", "scratch": "control", **cheap}
    assert not participants(["lp-ft"], None, "image")["scratch"].asked
    longer = participants(["lp-ft"], None, "image", {"scratch": {"steps": 7}})["scratch"].strategy
    assert longer.settings()["steps"] == 7


def test_what_is_named_is_asked_and_controls_stay() -> None:
    found = participants(["svm", "knn", "knn"], "random", "image")
    assert {name: (chosen.role, chosen.view, chosen.asked) for name, chosen in found.items()} == {
        "svm": ("strategy", "backbone", True),
        "knn": ("strategy", "backbone", True),
        "random": ("control", "random", True),
    }
    assert roles("raw", "raw") == {"raw": "control"}, "a control that is named as a strategy stays one"


def test_estimators_take_part_under_their_own_names() -> None:
    same = ("nb", GaussianNB())
    found = participants(["knn", LinearDiscriminantAnalysis, same], (), "features")
    assert list(found) == ["knn", "lineardiscriminantanalysis", "nb"]
    assert isinstance(found["nb"].strategy, EstimatorStrategy)
    assert found["nb"].asked
    assert spoken_names(found) == {
        "knn": "nearest neighbours", "lineardiscriminantanalysis": "lineardiscriminantanalysis", "nb": "nb"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("named", "controls", "error", "says", "hint"),
    [
        ([], None, InputError, "no strategy given", "knn,probe"),
        ([3], None, InputError, "a int, which is no name and no classifier", "LinearDiscriminant"),
        ([object()], None, InputError, "strategies hold a object", "knn"),
        (["prob"], None, UnknownNameError, "'prob'", "probe"),
        (["knn"], ["rew"], UnknownNameError, "'rew'", "raw"),
        (["knn"], ["probe"], InputError, "'probe' is a strategy, no control", "name it under strategies"),
        (["knn"], 3, InputError, "controls hold a int, which is no name", "controls={'raw': X0}"),
        (["knn"], np.zeros((2, 2)), InputError, "controls hold a ndarray", "controls={'raw': X0}"),
        ({"lda": GaussianNB()}, None, InputError, "strategies hold a dict", "LinearDiscriminant"),
        (["knn"], [GaussianNB], InputError, "'gaussiannb' is a strategy, no control", None),
        ([("knn", GaussianNB())], None, InputError, "which is a registered strategy", "another name"),
        ([("a", GaussianNB()), ("a", GaussianNB())], None, InputError, "two strategies are named 'a'", "own"),
        ([("A b", GaussianNB())], None, InputError, "'A b' is not allowed", None),
    ],
)  # fmt: skip
def test_what_is_refused(named: Any, controls: Any, error: Any, says: Any, hint: Any) -> None:
    with pytest.raises(error, match=says) as caught:
        participants(named, controls, "image")
    assert hint is None or hint in str(caught.value.hint)


def test_controls_that_read_samples_are_not_for_features() -> None:
    with pytest.raises(InputError, match="'raw' is not for features data") as caught:
        participants(["knn"], ["raw"], "features")
    assert "controls={'raw': X0}" in str(caught.value.hint)
    with pytest.raises(InputError, match="'rcf' is not for text data"):
        participants(["knn"], ["rcf"], "text")


def test_arrays_become_controls_with_a_linear_probe() -> None:
    chosen = participants(["knn"], (), "features")
    found = array_controls({"raw": np.zeros((3, 1)), "size": np.zeros((3, 2))}, chosen)
    for name in ("raw", "size"):
        one = found[name]
        assert (one.name, one.view, one.role, one.asked) == (name, name, "control", True)
        assert isinstance(one.strategy, LogisticStrategy)


@pytest.mark.parametrize(("name", "says"), [("knn", "named 'knn', as a strategy"), (3, "which is no text")])
def test_an_array_never_takes_the_place_of_a_strategy(name: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        array_controls({name: np.zeros((3, 1))}, participants(["knn"], (), "features"))


@pytest.mark.parametrize("alone", [GaussianNB(), GaussianNB, RandomForestClassifier()])
def test_one_classifier_needs_no_list(alone: Any) -> None:
    """A forest is a sequence of trees, and one classifier all the same."""
    name = getattr(alone, "__name__", type(alone).__name__).lower()
    assert list(participants(alone, (), "features")) == [name]


def test_texts_and_images_may_have_their_own_strategy() -> None:
    kinds = {
        modality: type(participants(["knn"], ["stats"], modality)["stats"].strategy)
        for modality in ("image", "text")
    }
    assert kinds == {"image": LogisticStrategy, "text": TfidfStrategy}


class Sized(SimpleStrategy):
    """A strategy with a setting."""

    def __init__(self, size: int = 1) -> None:
        if size < 1:
            raise ValueError(f"size {size}")
        self.size = size


def offer(monkeypatch: pytest.MonkeyPatch, spec: StrategySpec) -> None:
    real = module.resolve_strategy
    monkeypatch.setattr(module, "resolve_strategy", lambda name: spec if name == spec.name else real(name))
    monkeypatch.setattr(module, "origin", lambda name, noun: "mine")
    monkeypatch.setattr(module, "owner", lambda name, noun: None)


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a plugin offered it."""
    offer(monkeypatch, StrategySpec(name="sized", make=Sized, role="control", view="raw"))


@pytest.mark.usefixtures("sized")
def test_settings_reach_what_makes_a_strategy() -> None:
    found = participants(["knn"], ["sized"], "image", {"sized": {"size": 3}})
    assert found["sized"].strategy.settings() == {"size": 3}
    assert participants(["knn"], ["sized"], "image")["sized"].strategy.settings() == {"size": 1}
    assert participants(["knn"], ["random"], "image", {"random": {"networks": 3}})["random"].networks == 3


@pytest.mark.usefixtures("sized")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"sized": {"size": 0}}, "'sized' does not take size=0: ValueError: size 0"),
        ({"sized": {"width": 2}}, "'sized' does not take width=2"),
        ({"knn": {"k": 3}}, "'knn' does not take k=3"),
        ({"random": {"networks": 0}}, "0 untrained networks"),
        ({"random": {"networks": "3"}}, "'3' untrained networks"),
        ({"raw": {"networks": 2}}, "settings for 'raw', which takes no part"),
        ({"svm": {"C": 2}}, "'svm' has no settings, but candidates"),
        ({"sized": 3}, "settings are"),
        (3, "settings are 3"),
        ({"sized": {3: 4}}, "settings are"),
    ],
)
def test_settings_that_nobody_takes_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        participants(["knn", "svm"], ["sized", "random"], "image", settings)


def test_controls_given_as_arrays_are_fitted_by_the_registered_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, StrategySpec(name="probe", make=Sized))
    assert isinstance(array_controls({"raw": np.zeros((3, 1))}, {})["raw"].strategy, Sized)


def test_a_strategy_is_tried_before_it_is_a_plugin() -> None:
    class Near(CentroidStrategy):
        pass

    spec = StrategySpec(name="near", make=Near)
    found = participants(["ridge", spec], (), "features")
    assert list(found) == ["ridge", "near"]
    assert isinstance(found["near"].strategy, Near)
    assert (found["near"].asked, found["near"].plugin) == (True, None)
    with pytest.raises(InputError, match="a strategy is named 'knn', which is a registered strategy"):
        participants([StrategySpec(name="knn", make=Near)], (), "features")
    with pytest.raises(PluginError, match=r"^strategy 'near' cannot be made: TypeError"):
        participants([StrategySpec(name="near", make=lambda: len(3))], (), "features")  # type: ignore[arg-type]
