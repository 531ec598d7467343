"""The text path on real texts: Reuters R8 through MiniLM and the cache to a probe."""

import csv
import gzip
from pathlib import Path

import pytest

import tlengine as tl
from tests.requirements import require_shared_data

TRAIN, TEST = 2_000, 1_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second or third row of both parts in one file, with a split column."""
    folder = require_shared_data()
    path = tmp_path_factory.mktemp("reuters") / "r8.csv.gz"
    with gzip.open(path, "wt", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label", "split"])
        for part, rows in (("train", TRAIN), ("test", TEST)):
            with gzip.open(folder / f"reuters-r8-{part}.csv.gz", "rt", newline="") as file:
                everything = list(csv.DictReader(file))
            step = len(everything) // rows
            chosen = everything[:: step or 1][:rows]
            writer.writerows((row["text"], row["label"], part) for row in chosen)
    return path


@pytest.mark.timeout(600)
def test_probe_on_minilm_reaches_95_percent(table: Path) -> None:
    dataset = tl.load_dataset(table)
    cache = tl.EmbeddingCache()
    features = tl.extract(dataset, "minilm", cache=cache, progress=False)
    train, test = features.split("train"), features.split("test")
    assert (len(train), len(test)) == (TRAIN, TEST)
    probe = tl.LinearProbeCV(Cs=12).fit(train.X, train.y)
    assert probe.score(test.X, test.y) >= 0.95

    again = tl.extract(dataset, "minilm", cache=cache, progress=False)
    assert again.stats is not None
    assert again.stats.embedded == 0
    assert (again.X == features.X).all()
