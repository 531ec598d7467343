"""The card of a model: a ``README.md`` in its folder that says what it is made of and what is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["card_of_run", "card_of_training"]

_SHOWN = 30
"""Classes that are listed; of more, the first."""


def card_of_run(document: Mapping[str, Any], metadata: Mapping[str, Any], reads: str) -> str:
    """The card of the model that a run recommends.

    Args:
        document: the run's.
        metadata: the model's.
        reads: whether the model takes ``"features"`` or ``"contents"``.
    """
    data, verdict = document["dataset"], document["verdict"]
    excluded = _left_out(document["excluded"])
    limits = [
        f"The accuracy is that of the way of choosing, {verdict['scope']}. The model itself was fitted on "
        "all rows, and no row is left to judge it by.",
        *excluded,
        *(f"{note}." for note in document["resamples"].get("notes", ())),
    ]
    outcome = [
        verdict["answer"],
        "",
        f"Accuracy {_share(verdict['accuracy'])}{_interval(verdict, 'accuracy_')} at {verdict['budget']} "
        f"labels per class, over {document['resamples']['count']} resamples.",
    ]
    if controls := verdict.get("controls"):
        outcome += ["", "| control | gain in points | interval |", "|---|---|---|", *map(_control, controls)]
    return _card(
        metadata,
        data=_data(data, document["dataset"]["classes"], data["counts"], metadata["rows"]),
        outcome=outcome,
        limits=limits,
        costs=document["costs"],
        what="the whole comparison",
        reads=reads,
    )


def card_of_training(document: Mapping[str, Any]) -> str:
    """The card of a network that ``finetune`` trained, from its document."""
    test = document["test"]
    if test is None:
        outcome = ["Not judged: every label was trained on. `tlengine compare` says what to expect."]
    else:
        names = [name for name in test if name != "rows"]
        outcome = [f"On the {test['rows']} test rows of the user's own split:", ""]
        outcome += ["| metric | value | interval |", "|---|---|---|"]
        outcome += [
            f"| {name} | {test[name]['value']:.4f} | {_interval(test[name]).strip(' ()') or '-'} |"
            for name in names
        ]
    limits = [
        *(["These numbers are of one training, for these training rows."] if test else []),
        *_left_out(document["excluded"]),
        *([] if document["converged"] else ["The training stopped at a loss that was not finite."]),
        *(f"{note}." for note in document["facts"].get("notes", ())),
    ]
    metadata = {
        "backbone": document["backbone"]["name"],
        "fingerprint": document["backbone"]["fingerprint"],
        "image_size": document["backbone"]["image_size"],
        "strategy": document["strategy"],
        "chosen": document["chosen"],
        "modality": document["dataset"]["modality"],
    }
    return _card(
        metadata,
        data=_data(document["dataset"], document["classes"], document["counts"], document["rows"]),
        outcome=outcome,
        limits=limits,
        costs=document["costs"],
        what="features and training",
        reads="contents",
        settings=document["settings"],
    )


def _card(
    metadata: Mapping[str, Any],
    *,
    data: Sequence[str],
    outcome: Sequence[str],
    limits: Sequence[str],
    costs: Mapping[str, Any],
    what: str,
    reads: str,
    settings: Mapping[str, Any] | None = None,
) -> str:
    strategy = str(metadata["strategy"])
    sections = {
        "Data": data,
        "Backbone": _backbone(metadata),
        "Training": _training(strategy, metadata["chosen"], settings),
        "Outcome": outcome,
        "Limits": [f"- {_line(limit)}" for limit in limits] or ["- None is known beside those of the data."],
        "Cost": _costs(costs, what),
        "Use": _use(metadata, reads),
    }
    text = "".join(f"\n## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections.items())
    return f"# {_line(strategy)} on {_line(metadata['backbone'])}\n\nMade by tlengine.\n{text}"


def _data(data: Mapping[str, Any], classes: Sequence[Any], counts: Sequence[int], rows: int) -> list[str]:
    named = list(zip(classes, counts, strict=True))
    found = [
        f"{_code(data['name'])}: {data['rows']:,} {data['modality']} rows; {rows:,} were trained on.",
        "",
        "| class | rows |",
        "|---|---|",
        *(f"| {_code(label)} | {count:,} |" for label, count in named[:_SHOWN]),
    ]
    return [*found, "", f"And {len(named) - _SHOWN} classes more."] if len(named) > _SHOWN else found


def _backbone(metadata: Mapping[str, Any]) -> list[str]:
    from tlengine.plugins import registry

    name = str(metadata["backbone"])
    spec = registry.backbones().get(name)
    licence = "not known: it is no registered backbone" if spec is None else spec.licence or "not told"
    paper = [] if spec is None or not spec.paper else [f"- paper: {spec.paper}"]
    size = metadata.get("image_size")
    return [
        f"- name: {_code(name)}",
        f"- licence: {licence}",
        *paper,
        *([f"- pictures: {size} x {size} pixels"] if size else []),
        f"- fingerprint: `{metadata.get('fingerprint')}`",
    ]


def _training(strategy: str, chosen: Mapping[str, Any], settings: Mapping[str, Any] | None) -> list[str]:
    from tlengine.plugins import strategies

    spec = strategies().get(strategy)
    told = f"{_code(strategy)}" + (f": {_line(spec.description)}" if spec and spec.description else "")
    lines = [told, "", f"- chosen: {_json(chosen)}"]
    return lines if settings is None else [*lines, f"- settings: {_json(settings)}"]


def _costs(costs: Mapping[str, Any], what: str) -> list[str]:
    lines = [f"- {costs['total_seconds']:,.0f} seconds for {what}"]
    totals = costs.get("totals")
    if isinstance(totals, Mapping) and totals.get("joules") is not None:
        return [*lines, f"- {totals['joules']:.2g} joules (source: {totals.get('source', 'not told')})"]
    return [*lines, "- energy: not known"]


def _use(metadata: Mapping[str, Any], reads: str) -> list[str]:
    new = '"new-photos/"' if metadata.get("modality") == "image" else '["a new text"]'
    size = f", image_size={metadata['image_size']}" if metadata.get("image_size") else ""
    by_features = [
        f'backbone = tl.load_backbone("{_line(metadata["backbone"])}"{size})',
        f"features = tl.extract(tl.load_dataset({new}), backbone)",
        "predictions = model.predict(features)",
    ]
    if metadata.get("modality") == "features":
        by_features = ["probabilities = model.predict_proba(X)  # (n, d) features of the same kind"]
    lines = [f"predictions = model.predict({new})"] if reads == "contents" else by_features
    return [
        "```sh",
        "tlengine predict model DATA",
        "```",
        "",
        "```python",
        "import tlengine as tl",
        "",
        'model = tl.from_pretrained("model")',
        *lines,
        "```",
    ]


def _left_out(excluded: Sequence[Mapping[str, Any]]) -> list[str]:
    if not excluded:
        return []
    shown = ", ".join(f"{_code(one['label'])} ({one['count']})" for one in excluded)
    return [f"Classes too small to train and test, which it does not know: {shown}."]


def _control(one: Mapping[str, Any]) -> str:
    low, high = one.get("low"), one.get("high")
    span = "-" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
    name = " with ".join(part for part in (one["control_backbone"], one["control"]) if part)
    return f"| {_code(name)} | {100 * one['effect']:+.1f} | {span} |"


def _interval(found: Mapping[str, Any], prefix: str = "") -> str:
    low, high = found.get(f"{prefix}low"), found.get(f"{prefix}high")
    return "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"


def _share(value: float) -> str:
    return f"{value:.4f}"


def _json(value: Mapping[str, Any]) -> str:
    return _code(json.dumps(dict(value), ensure_ascii=False))


def _line(text: Any) -> str:
    """On one line: a name of the user's cannot begin a heading or end a table."""
    return " ".join(str(text).split())


def _code(text: Any) -> str:
    """As it is written, whatever Markdown would make of it; in a cell of a table, too."""
    return f"`{_line(text).replace('`', chr(39)).replace('|', '/') or ' '}`"
