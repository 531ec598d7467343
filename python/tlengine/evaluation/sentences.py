"""The answer of a run, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlengine.statistics.decisions import ALPHA

__all__ = ["FIRST", "SELECTED", "answer"]

SELECTED = "cross-validation inside the training part, resample by resample"
FIRST = "nothing: no strategy has predictions for rows that were held out, so the first is taken"

Facts = Mapping[str, Any]


def answer(facts: Facts, spoken: Mapping[str, str]) -> str:
    """A few sentences: what to use, how good it is, whether borrowing from pretraining helps, what was cut.

    Args:
        facts: the fields of a :class:`~.verdict.Verdict`.
        spoken: what to call each strategy, such as ``"a linear probe"``.
    """
    way = _way(facts["backbone"], facts["strategy"], spoken)
    score = f"{100 * facts['accuracy']:.1f} % test accuracy{_interval(facts)}"
    whose = _picked(facts)
    if facts["role"] == "control":
        name = spoken.get(facts["strategy"], facts["strategy"])
        way = f"no pretrained network, but {name}" if whose else "no pretrained network"
        whose = whose or f"{name} reaches "
    parts = [f"Use {way}: {whose}{score}", _transfer(facts, spoken), _labels(facts), *facts.get("notes", ())]
    return " ".join(f"{part}." for part in parts if part)


def _way(backbone: str, strategy: str, spoken: Mapping[str, str]) -> str:
    return f"{backbone} with {spoken.get(strategy, strategy)}"


def _interval(facts: Facts) -> str:
    if facts["accuracy_low"] is None:
        return f" (no interval: {facts['accuracy_reason']})"
    return f" (95 % interval {100 * facts['accuracy_low']:.1f} to {100 * facts['accuracy_high']:.1f})"


def _picked(facts: Facts) -> str:
    """Whose the accuracy is, where it is not that of one strategy, chosen everywhere."""
    if facts["selected_on"] == FIRST:
        return "the first that is named, as no row could be held out to choose by: "
    times, of = facts["picked"][0]["times"], facts["picked"][0]["of"]
    return "" if times == of else f"picked in {times} of {of} resamples, and what was picked has "


def _transfer(facts: Facts, spoken: Mapping[str, str]) -> str:
    """Does borrowing from pretraining help, and against what?"""
    controls: Sequence[Facts] = facts["controls"]
    if facts["transfer"] is None:
        return "Whether transfer helps is open, for no strategy has a result"
    if not controls:
        return f"Whether transfer helps is open, for {_gone(facts)}" if facts["missing"] else ""
    counted, under = _counted(facts), facts.get("under_trained", ())
    named = list(dict.fromkeys(c["control"] for c in counted))
    names = _controls(named, " trained to the end," if under else "") if named else ""
    own = facts["transfer"]
    same = all(own[name] == facts[name] for name in ("backbone", "strategy"))
    subject = "It" if same else _way(own["backbone"], own["strategy"], spoken)
    name, points = spoken.get(facts["control"], facts["control"]), 100 * facts["effect"]
    interval = "" if facts["low"] is None else f" ({100 * facts['low']:+.1f} to {100 * facts['high']:+.1f})"
    if facts["outcome"] == "positive":
        aside = _aside(under, spoken, "")
        return f"{subject} beats {names}: by {points:.1f} points{interval} against {name}{aside}"
    if facts["outcome"] == "negative":
        worse = f"{-points:.1f} points worse than {name}{interval}"
        return f"Transfer is negative: {'it' if subject == 'It' else subject} is {worse}"
    if facts["outcome"] == "none":
        against = f"Transfer makes no difference against {names if len(controls) == 1 else name}"
        rest = f"{_margin(facts)}{_gains(facts, spoken)}{_aside(under, spoken)}"
        return f"{against}: {points:+.1f} points{interval}{rest}"
    if facts["missing"]:
        found = f"{points:+.1f} points{interval} against {name}"
        return f"Whether transfer helps is open, for {_gone(facts)}: {found}"
    if not counted:
        found = f"{points:+.1f} points{interval} against {name}"
        why = f"{_controls(under)} {'was' if len(under) == 1 else 'were'} not trained to the end"
        return f"Whether transfer helps is open, for {why}: {found}"
    settle = f"; {facts['settled_by']}" if facts["settled_by"] else ""
    found = f"{points:+.1f} points{interval}{_margin(facts)}"
    return f"Whether transfer helps against {name} is open: {found}{settle}{_aside(under, spoken)}"


def _counted(facts: Facts) -> list[Facts]:
    """The controls that the outcome is about."""
    return [c for c in facts["controls"] if not (facts.get("under_trained") and c.get("under_trained"))]


def _aside(names: Sequence[str], spoken: Mapping[str, str], how: str = " trained to the end") -> str:
    """The controls that are beaten, or equalled, without a word for transfer: their training goes on."""
    if not names:
        return ""
    who = " and ".join(spoken.get(name, name) for name in names)
    return f"; {who} {'was' if len(names) == 1 else 'were'} not{how}"


def _gone(facts: Facts) -> str:
    return f"{_controls(facts['missing'])} {'has' if len(facts['missing']) == 1 else 'have'} no result"


def _margin(facts: Facts) -> str:
    """What no difference exceeds; of several controls what no loss does, as one may be beaten by more."""
    if facts["margin"] is None:
        return ""
    margin = f"{100 * facts['margin']:.1f} points"
    if len(_counted(facts)) == 1:
        return f"; any difference is below {margin}"
    return f"; it loses to no control by more than {margin}"


def _gains(facts: Facts, spoken: Mapping[str, str]) -> str:
    """The controls that are beaten nevertheless."""
    others = [
        c for c in _counted(facts) if (c["control"], c["effect"]) != (facts["control"], facts["effect"])
    ]
    beaten = [c for c in others if c["effect"] > 0 and c["p_adjusted"] < ALPHA]
    gains = [f"{100 * c['effect']:.1f} over {spoken.get(c['control'], c['control'])}" for c in beaten]
    return f", and gains {' and '.join(gains)}" if gains else ""


def _labels(facts: Facts) -> str:
    found = []
    needed, reached = facts["labels_needed"], facts["helps_up_to"]
    if needed is not None and needed != facts["budget"]:
        found.append(f"{needed} labels per class come within one point of the final balanced accuracy")
    if reached is not None and facts["outcome"] != "positive":
        found.append(f"transfer helps up to {reached} labels per class")
    text = ", and ".join(found)
    return text[:1].upper() + text[1:]


def _controls(names: Sequence[str], which: str = "") -> str:
    if len(names) == 1:
        return f"the control{which} {names[0]}"
    return f"the controls{which} {', '.join(names[:-1])} and {names[-1]}"
