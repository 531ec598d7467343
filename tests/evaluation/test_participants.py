"""Who takes part: by name, as an estimator, by default; and what is refused with a way out."""

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from tlengine.errors import InputError, UnknownNameError
from tlengine.evaluation.participants import array_controls, participants, spoken_names
from tlengine.evaluation.strategies import EstimatorStrategy, LogisticStrategy


def roles(named: Any, controls: Any, modality: str = "image") -> dict[str, str]:
    return {name: chosen.role for name, chosen in participants(named, controls, modality).items()}


def test_defaults_are_those_that_the_data_allow() -> None:
    strategies = dict.fromkeys(("knn", "probe", "ridge", "centroid"), "strategy")
    assert roles(None, None) == {**strategies, "raw": "control", "stats": "control", "rcf": "control"}
    assert roles(None, None, "text") == {**strategies, "raw": "control", "stats": "control"}
    assert roles(None, None, "features") == strategies
    assert roles(None, ()) == strategies
    assert not any(chosen.asked for chosen in participants(None, None, "image").values())


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
