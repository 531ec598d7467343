import copy

from tlengine.reports.cells import cells_of, decisive_control, gains_of, labels_of, rows_of


def test_roles_come_from_the_records(document):
    looks = {row.name: row.look for row in rows_of(document)}
    assert looks == {"knn": "best", "probe": "other", "raw": "hardest", "stats": "control"}


def test_of_two_controls_of_one_name_the_effect_tells(document):
    first = document["verdict"]["controls"][0]
    second = {**first, "control_backbone": "other", "effect": 0.1}
    document["verdict"]["controls"].append(second)
    assert decisive_control(document["verdict"]) is first
    document["verdict"]["effect"] = 0.1
    assert decisive_control(document["verdict"]) is second


def test_names_do_not_matter(document):
    """A control may have any name, and a strategy that of its backbone."""
    renamed = {"net": "raw", "knn": "raw", "raw": "net"}

    def rename(value):
        if isinstance(value, dict):
            return {k: rename(v) for k, v in value.items()}
        if isinstance(value, list):
            return [rename(v) for v in value]
        return renamed.get(value, value) if isinstance(value, str) else value

    other = rename(copy.deepcopy(document))
    assert [row.look for row in rows_of(other)] == [row.look for row in rows_of(document)]


def test_a_control_that_is_recommended_is_the_best(document):
    document["verdict"].update(backbone="stats", strategy="stats", role="control")
    assert {row.name: row.look for row in rows_of(document)}["stats"] == "best"


def test_backbones_are_named_where_there_are_several(document):
    more = [{**r, "backbone": "other"} for r in document["summary"] if r["strategy"] == "knn"]
    document["summary"] += more
    assert [row.name for row in rows_of(document)] == [
        "net · knn", "net · probe", "other · knn", "raw", "stats",
    ]  # fmt: skip


def test_the_control_of_each_backbone_has_its_name(document):
    for view in ("net~random", "other~random"):
        document["summary"] += [
            {**r, "backbone": view, "strategy": "random"}
            for r in document["summary"]
            if r["backbone"] == "raw"
        ]
    names = [row.name for row in rows_of(document)]
    assert names[-2:] == ["net~random · random", "other~random · random"]
    assert "raw" in names


def test_the_gain_is_over_the_hardest_control(document):
    found = gains_of(document, 20)
    assert {pair: record["control"] for pair, record in found.items()} == {
        ("net", "knn"): "raw",
        ("net", "probe"): "raw",
    }


def test_labels_are_those_of_each_budget(document):
    assert labels_of(cells_of(document), [5, 20, "all", 50]) == {5: 15.0, 20: 60.0, "all": 240.0}
