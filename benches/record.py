"""The dated record of all ratios; `python -m benches.record` draws it again from its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from benches.ratios import Ratio
from benches.roofline import limits
from tlengine.probes import cpu_info

__all__ = ["save"]

DOCS = Path(__file__).parents[1] / "docs"
PAGE, FOLDER = DOCS / "benchmarks.md", DOCS / "benchmarks"
FILE = FOLDER / "record.json"
BEGIN, END = "<!-- record -->\n", "<!-- end of the record -->\n"
PACKAGES = ("numpy", "scikit-learn", "faiss-cpu", "torch", "lmdb")


def save(group: str, found: Sequence[Ratio], load: float) -> None:
    """Writes down the ratios of one group; ``load`` is what the machine was busy with before them."""
    info = cpu_info()
    record = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"groups": {}}
    record |= {
        "machine": {key: info[key] for key in ("model", "isa", "threads")},
        "peaks": {name: round(rate / 1e9, 1) for name, rate in asdict(limits()).items()},
        "versions": {name: version(name) for name in PACKAGES},
        "blas": _blas(),
    }
    day = datetime.now(UTC).date().isoformat()
    ratios = [asdict(ratio) for ratio in found]
    record["groups"][group] = {"date": day, "load": round(load, 1), "ratios": ratios}
    FOLDER.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    publish()


def publish() -> None:
    """Draws the plot and rewrites the tables of the page from the record."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    groups = [record["groups"][name] for name in sorted(record["groups"])]
    found = [Ratio(**ratio) for group in groups for ratio in group["ratios"]]
    draw(found, FOLDER / "ratios.png")
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    text = "\n".join([*_heading(record), *_table(found)]) + "\n"
    PAGE.write_text(before + BEGIN + text + END + rest.split(END)[1], encoding="utf-8")


def _blas() -> list[str]:
    """The builds of OpenBLAS in this process, with the kernels that they chose."""
    import threadpoolctl

    found = {
        f"{library['internal_api']} {library['version']} ({library.get('architecture')})"
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas"
    }
    return sorted(found)


def _heading(record: dict[str, Any]) -> list[str]:
    machine, peaks = record["machine"], record["peaks"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    groups = record["groups"].values()
    days = sorted({group["date"] for group in groups})
    loads = [group["load"] for group in groups]
    return [
        f"## Record of {' and '.join(days)}",
        "",
        f"{machine['model']}, {machine['threads']} threads, instruction set `{machine['isa']}`, load before "
        f"each group {min(loads)} to {max(loads)} (the benchmark's own included); {versions}; BLAS of this "
        f"process: {', '.join(record['blas'])}.",
        "",
        f"Peaks in the same run: {peaks['float32']:.0f} GF/s in float32 (a product by OpenBLAS, tuned), "
        f"{peaks['int8']:.0f} Gop/s in 8 bits (four times that), {peaks['memory']:.0f} GB/s of reads. "
        "*Roofline* is the time at these peaks over ours.",
        "",
        "![Ratios against peers, with their floors and targets](benchmarks/ratios.png)",
        "",
    ]


def _table(found: Iterable[Ratio]) -> list[str]:
    lines = ["| work | against | ratio | floor | target | ours | roofline |", "|---|---|---|---|---|---|---|"]
    for ratio in found:
        at_least = "≥ " if ratio.partial else ""
        roofline = "" if ratio.roofline is None else f"{ratio.roofline:.0%}"
        mark = "" if ratio.value >= ratio.floor else " (below its floor)"
        lines.append(
            f"| {ratio.work} | {ratio.peer} | {at_least}**{ratio.value:.3g}x**{mark} | {ratio.floor:g}x | "
            f"{ratio.target:g}x | {_amount(ratio)} | {roofline} |"
        )
    return lines


def _amount(ratio: Ratio) -> str:
    if ratio.unit == "GiB":
        return f"{1024 * ratio.ours:.0f} MiB"
    if "bytes" in ratio.work:
        return f"{ratio.ours / 1e6:.0f} MB"
    return f"{ratio.ours:.2f} s" if ratio.ours >= 1 else f"{ratio.ours * 1e3:.3g} ms"


def draw(found: Sequence[Ratio], path: Path) -> None:
    """One bar per peer on a logarithmic axis, with marks at the floor and the target."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.24 * len(found) + 1.2), layout="constrained")
    names = []
    for place, ratio in enumerate(found):
        holds = ratio.value >= ratio.floor
        axes.barh(place, ratio.value, color="#3b6ea5" if holds else "#c0392b", height=0.7)
        axes.plot([ratio.floor] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.5)
        axes.plot([ratio.target] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1, linestyle=":")
        label = f"{'≥ ' if ratio.partial else ''}{ratio.value:.3g}x"
        axes.annotate(
            label, (ratio.value, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7
        )
        names.append(f"{ratio.work}  |  {ratio.peer}")
    axes.set_yticks(range(len(found)), names, fontsize=7)
    bounds = 0
    for _, group in groupby(found, key=lambda ratio: ratio.work):
        bounds += len(list(group))
        axes.axhline(bounds - 0.5, color="#dddddd", linewidth=0.6)
    axes.set(xscale="log", xlabel="times faster than the peer (solid mark: floor, dotted: target)")
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    publish()
