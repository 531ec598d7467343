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
