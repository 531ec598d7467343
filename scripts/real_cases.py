"""Fine-tuning beside probes and controls on real data; writes the answers into ``docs/real-cases.md``.

    python scripts/real_cases.py [CASE ...]      default: all; each run is kept in demo/cases/CASE

A case that was run before is taken up from its journal. Needs the demo's pictures, the shipped plugins, and
for the texts ``../shared/data``.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tlengine as tl

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "real-cases.md"
OUT = ROOT / "demo" / "cases"
WORDS, TEXT_CLASSES, TEXTS = 8, 6, 50
ALL = ["raw", "stats", "random", "scratch"]
"""Those of the acceptance; ``rcf`` is left out."""


def textures() -> dict[str, Any]:
    """300 of the demo's simulated textures, 100 a class, seen at 128 pixels."""
    return {
        "dataset": _textures(100),
        "backbones": tl.load_backbone("efficientnet-lite0", image_size=128),
        "strategies": ["probe", "knn", "lp-ft", "last-block", "finetune"],
        "controls": ALL,
        "budgets": [20],
        "all_seeds": True,
    }


def texts() -> dict[str, Any]:
    """The first eight words of 300 Reuters articles in six classes."""
    return {
        "dataset": _reuters(),
        "backbones": "minilm",
        "strategies": ["probe", "knn", "lp-ft", "last-block", "finetune"],
        "controls": ALL,
        "budgets": [20],
        "all_seeds": True,
    }


def full_textures() -> dict[str, Any]:
    """The same pictures as the network was trained to see them, with lora, at few labels."""
    return textures() | {
        "backbones": "efficientnet-lite0",
        "strategies": ["probe", "knn", "lp-ft", "last-block", "finetune", "lora"],
        "budgets": [5],
        "all_seeds": False,
    }


def many_textures() -> dict[str, Any]:
    """All 2,000 textures with 100 labels a class, at 224 pixels: smaller ones blur the defects."""
    return {
        "dataset": _textures(None),
        "backbones": "efficientnet-lite0",
        "strategies": ["probe", "finetune"],
        "controls": ["raw", "stats"],
        "budgets": [100],
    }


def word_order() -> dict[str, Any]:
    """Headlines as they were written, and others with their words shuffled: here fine-tuning must win."""
    return {
        "dataset": _shuffled(),
        "backbones": "minilm",
        "strategies": ["probe", "finetune"],
        "controls": ["raw", "stats"],
        "budgets": [100],
        "all_seeds": True,
    }


def few_texts() -> dict[str, Any]:
    """Five labels a class: whether so few are enough to fine-tune by."""
    return {
        "dataset": _reuters(),
        "backbones": "minilm",
        "strategies": ["probe", "finetune"],
        "controls": ["raw", "stats"],
        "budgets": [5],
    }


def plain_colours() -> dict[str, Any]:
    """Five labels a class, and a network that sees the colours: fine-tuning must not win."""
    return colours() | {
        "backbones": tl.load_backbone("efficientnet-lite0", image_size=64),
        "strategies": ["probe", "finetune"],
        "controls": ["raw", "stats"],
        "budgets": [5],
        "all_seeds": True,
    }


def digits() -> dict[str, Any]:
    """Handwritten digits of 8 x 8 pixels and a network that was trained on photographs."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    scaled = (images.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    return {
        "dataset": tl.load_dataset((list(scaled), [str(label) for label in labels])),
        "backbones": tl.load_backbone("efficientnet-lite0", image_size=64),
        "strategies": ["probe", "last-block", "finetune"],
        "controls": ["raw", "stats", "random"],
        "budgets": [20],
    }


def colours() -> dict[str, Any]:
    """A case built to be negative: the label is the colour, and the network sees grey pictures."""
    rng = np.random.default_rng(0)
    pictures, labels = [], []
    for name, colour in (("red", (200, 90, 90)), ("green", (90, 170, 90)), ("blue", (100, 100, 255))):
        for _ in range(60):
            noise = rng.normal(0, 40, (64, 64, 1))
            pictures.append(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
            labels.append(name)
    return {
        "dataset": tl.load_dataset((pictures, labels)),
        "backbones": _grey(tl.load_backbone("efficientnet-lite0", image_size=64)),
        "strategies": ["probe", "last-block"],
        "controls": ["raw", "stats", "random"],
        "budgets": [20],
    }


CASES: Mapping[str, Callable[[], dict[str, Any]]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        textures,
        texts,
        full_textures,
        word_order,
        many_textures,
        few_texts,
        digits,
        colours,
        plain_colours,
    )
}


def main(names: list[str]) -> int:
    """Runs the cases and writes what they say."""
    if strange := [name for name in names if name not in CASES]:
        print(f"error: no case {strange[0]!r}\nhint: there are {', '.join(CASES)}", file=sys.stderr)
        return 1
    for name in names or CASES:
        asked = CASES[name]()
        run = tl.compare(asked.pop("dataset"), asked.pop("backbones"), **asked, out=OUT / name)
        run.save(OUT / name)
        _write(name, run)
        print(run.table())
        print(run.verdict.answer)
    return 0


def _write(name: str, run: Any) -> None:
    """Replace what stands between the marks of a case."""
    start, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    body = "\n\n".join(
        [f"```text\n{run.table()}\n```", run.verdict.answer, *(one["text"] for one in run.document["advice"])]
    )
    if not run.document["journal"]["taken_up"]:
        body += f"\n\n{run.document['costs']['total_seconds']:.0f} s."
    text, found = re.subn(
        f"{re.escape(start)}.*?{re.escape(end)}",
        lambda _: f"{start}\n\n{body}\n\n{end}",
        PAGE.read_text(encoding="utf-8"),
        flags=re.S,
    )
    if found != 1:
        raise SystemExit(f"error: {PAGE} has no marks for {name}")
    PAGE.write_text(text, encoding="utf-8")


def _textures(each: int | None) -> Any:
    """The pictures of the demo, or so many of each class."""
    import conformal_clip_data

    root = Path(conformal_clip_data.textile_simulated_root())
    paths, labels = [], []
    for folder in sorted(one for one in root.iterdir() if one.is_dir()):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg"))
        paths += files[:each]
        labels += [folder.name] * len(files[:each])
    return tl.load_dataset(_table(["image", "label"], zip(map(str, paths), labels, strict=True)))


def _shuffled(words: int = 12, different: int = 10, texts: int = 800) -> Any:
    """First words of different articles; every other text is shuffled."""
    rng = np.random.default_rng(0)
    found = dict.fromkeys(" ".join(row["text"].split()[:words]) for row in _articles())
    heads = [head.split() for head in found if len(set(head.split())) >= different]
    chosen = [heads[place] for place in rng.permutation(len(heads))[:texts]]
    rows = [
        (" ".join(rng.permutation(head)), "shuffled") if i % 2 else (" ".join(head), "as written")
        for i, head in enumerate(chosen)
    ]
    return tl.load_dataset(_table(["text", "label"], rows))


def _articles() -> list[dict[str, str]]:
    """Reuters R8 with text and label, its training part."""
    path = ROOT.parent / "shared" / "data" / "reuters-r8-train.csv.gz"
    if not path.is_file():
        raise SystemExit(f"error: {path} is not here\nhint: the texts need the Reuters files")
    with gzip.open(path, "rt", newline="", encoding="utf-8") as source:
        return list(csv.DictReader(source))


def _reuters(words: int = WORDS) -> Any:
    texts: dict[str, dict[str, None]] = {}
    for row in _articles():
        texts.setdefault(row["label"], {})[" ".join(row["text"].split()[:words])] = None
    largest = sorted(texts, key=lambda label: -len(texts[label]))[:TEXT_CLASSES]
    return tl.load_dataset(
        _table(["text", "label"], [(text, label) for label in largest for text in list(texts[label])[:TEXTS]])
    )


def _table(header: list[str], rows: Any) -> str:
    """The path of a CSV file, which stays until the process ends."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False, newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return file.name


def _grey(backbone: Any) -> Any:
    """The same network behind a layer that takes the colour away."""
    from torch import nn

    class Grey(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Any) -> Any:
            return self.network(images.mean(dim=1, keepdim=True).expand_as(images))

    return tl.Backbone(
        Grey(backbone.module).eval(),
        preprocess=backbone.preprocess,
        modality="image",
        name="grey",
        blocks=[[f"network.{name}" for name in block] for block in backbone.blocks],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
