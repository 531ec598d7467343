"""A user's estimator in every form that it may be passed in."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA  # noqa: N817
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tlengine.errors import InputError
from tlengine.plugins import ProbeSpec
from tlengine.plugins.estimators import as_probe_spec
from tlengine.probes.offered import offered_scores

FORMS = {
    "class": lambda kind: kind,
    "instance": lambda kind: kind(),
    "fitted instance": lambda kind: kind().fit(np.eye(4), [0, 1, 0, 1]),
    "function": lambda kind: lambda **options: kind(**options),
    "partial": lambda kind: partial(kind),
    "named": lambda kind: ("mine", kind()),
}


@pytest.mark.parametrize("kind", [LDA, LinearSVC, partial(RandomForestClassifier, 5, random_state=0)])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_equal_numbers(kind, form):
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) + codes[:, None]
    found, scores = offered_scores(
        as_probe_spec(FORMS[form](kind)).estimator().fit(X, codes), X, [0, 1, 2], 3
    )
    wanted, direct = offered_scores(kind().fit(X, codes), X, [0, 1, 2], 3)
    assert found == wanted
    assert np.array_equal(scores, direct)


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (LDA, "lineardiscriminantanalysis"),
        (LDA(), "lineardiscriminantanalysis"),
        (lambda: LDA(), "lineardiscriminantanalysis"),
        (partial(LDA, solver="lsqr"), "lineardiscriminantanalysis"),
        (make_pipeline(StandardScaler(), LDA()), "pipeline"),
        (("my-lda", LDA), "my-lda"),
        (ProbeSpec(name="mine", estimator=LDA), "mine"),
        (type("Größe", (LDA,), {}), "gr-e"),
    ],
)
def test_names(thing, name):
    assert as_probe_spec(thing).name == name


def test_an_instance_is_cloned_with_its_parameters_and_left_alone():
    mine = LogisticRegression(C=3.0)
    spec = as_probe_spec(mine)
    made = spec.estimator(max_iter=7)
    assert (made.C, made.max_iter) == (3.0, 7)
    assert made is not mine
    assert mine.max_iter == 100
    assert not hasattr(spec.estimator().fit(np.eye(4), [0, 1, 0, 1]) and mine, "classes_")
    assert pickle.loads(pickle.dumps(spec)).estimator().C == 3.0  # noqa: S301 - our own bytes


class Bare:
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (7, "7 is no estimator"),
        (None, "None is no estimator"),
        (["lda", LDA], "is no estimator"),
        (("lda", LDA, 3), "is no estimator"),
        (("Not Allowed", LDA), "'Not Allowed' is not allowed"),
        (dict, "dict has no fit and no predict"),
        (StandardScaler, "StandardScaler has no predict"),
        (StandardScaler(), "StandardScaler has no predict"),
        (lambda: 7, "has no fit and no predict"),
        (lambda: 1 / 0, "makes no estimator: ZeroDivisionError"),
        (Bare(), "Bare cannot be cloned"),
    ],
)
def test_what_is_no_estimator_is_refused(thing, message):
    with pytest.raises(InputError, match=message) as caught:
        as_probe_spec(thing)
    assert caught.value.hint
