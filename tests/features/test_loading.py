"""Backbones by name: one that cannot be loaded is named with the way out."""

import pytest

from tests.plugins.conftest import Plant, Use, plant, use  # noqa: F401 - fixtures
from tlengine.errors import BackboneError, MissingPackageError, PluginError
from tlengine.features import default_backbone, load_backbone

PLUGIN = """
import tlengine as tl
from tlengine.errors import MissingPackageError
from tlengine.features import ImagePreprocess

def missing(device):
    raise MissingPackageError("it needs the package scent", hint="pip install ./plugins/tlengine-scent")

def broken(device):
    raise OSError("the weights are gone")

@tl.hookimpl
def tlengine_backbones():
    for name, load in (("missing", missing), ("broken", broken), ("number", lambda device: 7)):
        yield tl.BackboneSpec(name=name, modality="image", embedding_dim=2, load=load,
                              preprocess=ImagePreprocess(), default=name == "broken")
"""


def test_backbones_that_do_not_load(plant: Plant, use: Use) -> None:  # noqa: F811
    use(plant("tlengine-scent", PLUGIN))
    with pytest.raises(MissingPackageError, match=r"pip install \./plugins/tlengine-scent"):
        load_backbone("missing")
    with pytest.raises(BackboneError, match="'broken' cannot be loaded: OSError: the weights are gone"):
        load_backbone("broken")
    with pytest.raises(PluginError, match="load returned a int"):
        load_backbone("number")


def test_defaults(plant: Plant, use: Use) -> None:  # noqa: F811
    use(plant("tlengine-scent", PLUGIN))
    assert default_backbone("image") == "broken"
    with pytest.raises(BackboneError, match=r"pip install \./plugins/tlengine-minilm"):
        default_backbone("text")
    with pytest.raises(BackboneError, match="no backbone for features"):
        default_backbone("features")
