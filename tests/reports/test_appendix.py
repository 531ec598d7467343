from tlengine.reports import render_html
from tlengine.reports.appendix import costs, details, notes


def test_what_failed_says_where(document):
    texts = [note["text"] for note in notes(document)]
    assert "net with ridge failed in the step fit at 5, 20 labels per class: out of order (mend it)" in texts
    failed = {"backbone": "stats", "strategy": None, "error": "no", "hint": None, "step": "extract"}
    document["failed"] = [{**failed, "budgets": []}]
    assert notes(document)[-1]["text"] == "stats failed in the step extract: no"
    skipped = {**failed, "backbone": None, "step": "plugin", "error": "plugin x is skipped", "hint": "y"}
    document["failed"] = [skipped]
    assert notes(document)[-1]["text"] == "In the step plugin: plugin x is skipped (y)"


def test_what_could_not_be_chosen_is_named(document):
    document["verdict"]["judged_only"] = [{"backbone": "net", "strategy": "svm"}]
    (note,) = [note for note in notes(document) if note["text"].startswith("Judged, but")]
    assert note["items"] == ["net with svm"]


def test_what_was_taken_up_is_counted(document):
    assert costs(document)["fits"] == "60 fits, 45 of them taken up from an earlier run."
    document["journal"]["taken_up"] = 0
    assert costs(document)["fits"] == "60 fits."


def test_what_reuse_saved_is_told_by_kind(document):
    assert costs(document)["saved"] == "Reused: 300 embeddings; that saved 31.5 s."
    document["costs"]["saved"].update(prefix_rows=64, fits=2, seconds=75.0, flops=2.5e12)
    found = costs(document)["saved"]
    assert found == (
        "Reused: 300 embeddings, 64 inputs of trainable parts, 2 fits; that saved 1 min 15 s and 2,500 GFLOP."
    )
    document["costs"]["saved"].update(rows=0, prefix_rows=0, fits=0)
    assert costs(document)["saved"] == ""


def test_energy_has_its_source_its_error_and_two_digits_without_a_counter(document):
    document["costs"]["totals"]["joules"] = 1234.5
    told = costs(document)["energy"].replace("\u202f", " ")
    assert told == (
        "Energy: 1,200 J, ± 30 %, a model: CPU seconds at 5 W for each core (no counter); "
        "CO₂e not known, for the grid's intensity is not."
    )
    document["costs"]["totals"].update(source="counter", co2e_grams=0.13, co2_intensity=380.0)
    told = costs(document)["energy"]
    assert "1,234 J" in told
    assert told.endswith("all that ran on it included; 0.13 g CO₂e at 380 g/kWh.")
    document["costs"]["totals"].update(joules=None, source="none")
    assert costs(document)["energy"] == "Energy: not known."


def test_what_a_sample_took(document):
    assert costs(document)["embedding"] == []
    document["costs"]["extraction"][0].update(embedded=200, cached=100, seconds=1.5)
    assert costs(document)["embedding"] == ["net: 7.50 ms"]


def test_controls_are_named_apart(document):
    rows = {row["name"]: row["text"] for row in details(document)}
    assert rows["Strategies"] == "knn, probe"
    assert rows["Controls"] == "raw, stats"
    document["configuration"]["controls"] = []
    assert {row["name"]: row["text"] for row in details(document)}["Controls"] == "none"


def test_stages_that_end_after_the_page_is_made_are_not_on_it(document):
    before = render_html(document)
    spent = document["costs"]["stages"][0]
    document["costs"]["stages"] += [{**spent, "stage": stage, "what": ""} for stage in ("report", "save")]
    document["costs"]["total_seconds"] += 24.0
    assert render_html(document) == before


def test_a_control_that_is_its_own_backbone_is_named_once(document):
    document["costs"]["stages"][0].update(stage="fit", what="raw raw")
    assert [stage["name"] for stage in costs(document)["stages"]] == ["fit raw", "judge"]
