"""Named settings: the ways to fine-tune that people compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tlengine.finetuning.settings import TrainSettings
from tlengine.plugins.contracts import Role

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings under a name.

    Attributes:
        settings: what is set.
        spoken: what a sentence calls it.
        description: one line for people.
        role: strategy or control.
        rates: several rates are tried, of which the one with the least training loss counts; () for one.
    """

    settings: TrainSettings
    spoken: str
    description: str
    role: Role = "strategy"
    rates: tuple[float, ...] = ()


PRESETS: Mapping[str, Preset] = {
    "finetune": Preset(
        settings=TrainSettings(),
        spoken="fine-tuning",
        description="All weights, from a new head; AdamW, layer-wise decayed rates.",
    ),
    "lp-ft": Preset(
        settings=TrainSettings(start="probe"),
        spoken="fine-tuning from the probe",
        description="All weights, from the linear probe as head (Kumar et al. 2022).",
    ),
    "last-block": Preset(
        settings=TrainSettings(train="last-block"),
        spoken="fine-tuning of the last block",
        description="The last block and the head; the rest is computed once.",
    ),
    "gradual": Preset(
        settings=TrainSettings(schedule="gradual"),
        spoken="gradual unfreezing",
        description="The head first, then block after block down to the input (Howard and Ruder 2018).",
    ),
    "bitfit": Preset(
        settings=TrainSettings(train="norms"),
        spoken="fine-tuning of biases and normalisation",
        description="Biases and the weights of normalisation, and the head (Ben Zaken et al. 2022).",
    ),
    "l2-sp": Preset(
        settings=TrainSettings(anchor="l2-sp"),
        spoken="fine-tuning that is pulled to its start",
        description="All weights, pulled towards the pretrained ones (Li et al. 2018).",
    ),
    "surgical": Preset(
        settings=TrainSettings(train="surgical", start="probe"),
        spoken="surgical fine-tuning",
        description="The block with the largest relative gradient, and the head (Lee et al. 2023).",
    ),
    "wise": Preset(
        settings=TrainSettings(start="probe", average="wise"),
        spoken="fine-tuning averaged with its start",
        description="The mean of the weights before and after fine-tuning (Wortsman et al. 2022).",
    ),
    "lora": Preset(
        settings=TrainSettings(train="adapters"),
        spoken="fine-tuning of low-rank adapters",
        description="Low-rank matrices beside frozen layers, and the head (Hu et al. 2022); needs peft.",
    ),
    "scratch": Preset(
        settings=TrainSettings(weights="random", stretch=3.0),
        spoken="training from scratch (scratch)",
        description="Control: the same architecture from untrained weights, with three times the steps.",
        role="control",
        rates=(3e-4, 1e-3, 3e-3),
    ),
}
"""By name; each is registered as a strategy."""
