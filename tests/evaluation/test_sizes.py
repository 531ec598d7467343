"""Pictures of another size: by every backbone that takes it, and told where one does not."""

import numpy as np
import pytest

import tlengine as tl
from tests.finetuning.kept import LABELS, PICTURES, cnn
from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation.sizes import sized, told_size

# A few steps need not learn anything: what is kept of them is looked at here.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss of .* is no better")


def test_names_are_loaded_and_backbones_made_for_the_size():
    named, mine = sized(["efficientnet-lite0", cnn()], 64, "image")
    assert named == ("efficientnet-lite0", 64)
    assert (mine[0].preprocess.crop, mine[1]) == (64, None)


def test_without_a_size_all_stay_as_they_are():
    assert sized(["minilm"], None, "text") == [("minilm", None)]


def test_what_keeps_its_size_is_told_and_alone_it_is_refused():
    with pytest.warns(TlengineWarning, match="raw: pictures keep"):
        assert sized(["efficientnet-lite0", "raw"], 64, "image")[1] == ("raw", None)
    with pytest.raises(InputError, match="for raw cannot be set"):
        sized(["raw"], 64, "image")
    with pytest.raises(InputError, match="for rcf cannot be set"):
        sized(["rcf"], 64, "image", own={"rcf"})


@pytest.mark.parametrize("modality", ["text", "features"])
def test_only_pictures_have_one(modality):
    with pytest.raises(InputError, match=modality):
        sized(["minilm"], 64, modality)


def test_features_say_theirs_or_nothing():
    assert [told_size({"image_size": text}) for text in ("64", "large", "9" * 40, "")] == [
        64,
        None,
        None,
        None,
    ]


def test_extraction_and_comparison_see_other_pictures():
    pictures = tl.load_dataset((PICTURES * 2, LABELS * 2))
    small, large = (
        tl.extract(pictures, "rcf", image_size=size, cache=False, progress=False) for size in (32, 64)
    )
    assert small.fingerprint != large.fingerprint
    assert np.abs(small.X - large.X).max() > 1e-3
    run = tl.compare(
        pictures, cnn(), strategies=["probe"], controls=("random", "raw"), budgets=["all"], seeds=1,
        image_size=24, cache=False, progress=False,
    )  # fmt: skip
    found = {backbone["name"]: backbone["recipe"] for backbone in run.document["backbones"]}
    assert found["small-cnn"]["fingerprint"] == cnn().at_size(24).fingerprint
    untrained = next(recipe for name, recipe in found.items() if name not in ("small-cnn", "raw"))
    assert untrained["preprocess"] == found["small-cnn"]["preprocess"]


def test_a_fit_gets_the_backbone_at_its_size():
    found = tl.finetune(
        (PICTURES, LABELS), "rcf", strategy="finetune", settings={"steps": 1}, image_size=32, cache=False,
        progress=False,
    )  # fmt: skip
    assert found.model.backbone.preprocess.crop == 32
    assert found.model.origin["image_size"] == 32
