"""The table of kinds: every kind is listed and resolved alike, and names that are shared clash."""

import pytest

from tests.plugins.conftest import Plant, Use
from tlengine.errors import InputError, PluginWarning, UnknownNameError
from tlengine.plugins import (
    MetricSpec,
    StrategySpec,
    describe_offers,
    describe_plugins,
    hookspecs,
    records,
    registry,
)
from tlengine.plugins.offers import KINDS

MAKES = {
    "backbone": "tl.BackboneSpec(name={!r}, modality='image', embedding_dim=2, load=print, preprocess=str)",
    "probe": "tl.ProbeSpec(name={!r}, estimator=dict)",
    "head": "tl.HeadSpec(name={!r}, build=lambda dim, classes: None)",
    "strategy": "tl.StrategySpec(name={!r}, make=dict)",
    "metric": "tl.MetricSpec(name={!r}, score=max)",
    "exporter": "tl.ExporterSpec(name={!r}, suffix='.a', render=str)",
}


def offers(**names: str) -> str:
    """A plugin that yields a record of each kind under a name."""
    code = "import tlengine as tl\n"
    for noun, name in names.items():
        kind = next(kind for kind in KINDS if kind.noun == noun)
        code += f"@tl.hookimpl\ndef {kind.hook}():\n    yield {MAKES[noun].format(name)}\n"
    return code


def test_every_record_and_every_hook_that_yields_has_a_row() -> None:
    rows = {record for kind in KINDS for record in kind.records}
    specs = {value for name, value in vars(records).items() if name.endswith(("Spec", "Source"))}
    assert rows == specs
    yields = {
        name
        for name, hook in vars(hookspecs).items()
        if name.startswith("tlengine_")
        and "Iterable" in str(getattr(hook, "__annotations__", {}).get("return"))
    }
    assert {kind.hook for kind in KINDS} == yields
    assert len({word for kind in KINDS for word in (kind.noun, kind.plural)}) == 2 * len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_every_kind_is_listed_and_resolved(plant: Plant, use: Use, kind: "object") -> None:
    noun, plural = kind.noun, kind.plural  # type: ignore[attr-defined]
    use(plant("one", offers(**{noun: "mine"})), plant("two", offers(**{noun: "ours"})))
    assert list(registry.records(noun)) == list(registry.records(plural)) == ["mine", "ours"]
    assert registry.resolve(noun, "mine") is registry.records(noun)["mine"]
    assert describe_offers()[plural] == ["mine", "ours"]
    assert registry.origin("ours", noun) == "two (two 1.0)"
    with pytest.raises(UnknownNameError, match=f"no {noun} is named 'our'") as caught:
        registry.resolve(noun, "our")
    assert caught.value.context["nearest"][0] == "ours"


@pytest.mark.parametrize(("first", "second"), [("probe", "strategy"), ("strategy", "probe")])
def test_probes_and_strategies_share_their_names(plant: Plant, use: Use, first: str, second: str) -> None:
    use(plant("one", offers(**{first: "same"})), plant("two", offers(**{second: "same"})))
    says = rf"two \(two 1\.0\) is skipped: one \(one 1\.0\) has the {first} 'same' already; rename yours"
    with pytest.warns(PluginWarning, match=says):
        assert registry.resolve_strategy("same") is registry.records(first)["same"]
    assert list(registry.records(second)) == []


def test_a_plugin_that_clashes_with_itself_offers_nothing(plant: Plant, use: Use) -> None:
    use(plant("one", offers(probe="same", strategy="same", metric="fine")))
    with pytest.warns(PluginWarning, match="it has the probe 'same' already"):
        assert list(registry.metrics()) == []
    assert describe_plugins()[0]["status"] == "failed"


def test_other_kinds_do_not_share_their_names(plant: Plant, use: Use) -> None:
    use(plant("one", offers(probe="same", backbone="same", metric="same", exporter="same")))
    assert {noun: list(registry.records(noun)) for noun in ("probe", "backbone", "metric", "exporter")} == {
        "probe": ["same"],
        "backbone": ["same"],
        "metric": ["same"],
        "exporter": ["same"],
    }


@pytest.mark.parametrize("noun", ["probe", "strategy"])
@pytest.mark.parametrize("name", ["raw", "finetune"])
def test_names_of_tlengine_s_own_strategies_are_reserved(
    plant: Plant, use: Use, noun: str, name: str
) -> None:
    use(plant("one", offers(**{noun: name})))
    with pytest.warns(PluginWarning, match=f"tlengine has the {noun} '{name}' already; rename yours"):
        assert list(registry.records(noun)) == []


def test_tlengine_may_use_its_own_names(plant: Plant, use: Use) -> None:
    use(plant("tlengine", offers(strategy="finetune"), point="builtin"))
    assert list(registry.strategies()) == ["finetune"]


def test_a_name_in_a_shipped_namespace_has_an_install_line(use: Use) -> None:
    from tlengine.errors import MissingPackageError

    use()
    with pytest.raises(MissingPackageError, match=r"'minilm/large' needs the plugin tlengine-minilm"):
        registry.resolve_backbone("minilm/large")


@pytest.mark.parametrize(
    ("make", "modalities", "says"),
    [
        ({"image": dict}, ("image", "text"), "make is for image, modalities are image, text"),
        ({"image": dict, "text": 3}, ("image", "text"), "make is a int object, not a function or class"),
        (3, ("image",), "make is a int object"),
    ],
)
def test_a_strategy_can_be_made_for_each_of_its_modalities(
    make: object, modalities: tuple[str, ...], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        StrategySpec(name="mine", make=make, modalities=modalities)  # type: ignore[arg-type]


def test_only_a_control_takes_part_by_default_where_networks_are_trained() -> None:
    for good in (True, False):
        assert StrategySpec(name="mine", make=dict, default=good).default is good
    assert StrategySpec(name="mine", make=dict, role="control", default="networks").default == "networks"
    for options in ({"default": "networks"}, {"default": "always", "role": "control"}, {"default": None}):
        with pytest.raises(InputError, match="strategy 'mine': default") as caught:
            StrategySpec(name="mine", make=dict, **options)  # type: ignore[arg-type]
        assert caught.value.hint == "True or False; of a control also 'networks'"


def test_the_null_of_a_metric_is_a_function() -> None:
    with pytest.raises(InputError, match="null is a int object"):
        MetricSpec(name="mine", score=len, null=3)  # type: ignore[arg-type]
