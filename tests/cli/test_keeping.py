"""What ``probe``, ``knn`` and ``compare`` keep, ``predict`` takes; the options of the cache, everywhere."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlengine
from tlengine.features import EmbeddingCache


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """40 small pictures, dark and bright, one folder each."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for index in range(40):
        name = ("dark", "bright")[index % 2]
        pixels = rng.integers(0, 100, (12, 12, 3)) + 120 * (index % 2)
        (folder / name).mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:02}.png")
    return folder


@pytest.fixture(scope="module")
def table(photos, tmp_path_factory):
    """The same pictures by a table of paths."""
    path = tmp_path_factory.mktemp("table") / "photos.csv"
    rows = [f"{file},{file.parent.name}" for file in sorted(photos.rglob("*.png"))]
    path.write_text("\n".join(["image,label", *rows]) + "\n")
    return path


@pytest.fixture
def data(request, photos, table, texts):
    kinds = {"photos": photos, "table": table, "texts": texts, "jsonl": texts.with_suffix(".jsonl")}
    if request.param == "jsonl":
        rows = list(csv.DictReader(io.StringIO(texts.read_text())))
        kinds["jsonl"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return kinds[request.param], ["--label", "topic"] if request.param in ("texts", "jsonl") else []


def labels_of(out):
    return [row["label"] for row in csv.DictReader(io.StringIO(out))]


def truth_of(path, options):
    return [str(label) for label in tlengine.load_dataset(path, label=options[1] if options else None).y]


@pytest.mark.parametrize("command", [("probe", "--Cs", "5"), ("knn", "--k", "3,5")], ids=["probe", "knn"])
@pytest.mark.parametrize("data", ["photos", "table", "texts", "jsonl"], indirect=True)
def test_a_kept_probe_predicts_its_own_data(tl, data, command, tmp_path):
    path, options = data
    name, *settings = command
    arguments = [name, path, *options, "--backbone", "raw", *settings, "--out", tmp_path / "m", "--quiet"]
    code, document, err = tl(*arguments, "--json")
    assert code == 0, err
    assert document["model"] == str(tmp_path / "m")
    code, out, err = tl("predict", tmp_path / "m", path, "--quiet")
    assert code == 0, err
    truth = truth_of(path, options)
    assert np.mean(np.array(labels_of(out)) == truth) > 0.9
    model = tlengine.from_pretrained(tmp_path / "m")
    assert isinstance(model, tlengine.Model)
    assert model.metadata["modality"] == tlengine.load_dataset(path).modality
    assert len(model.check_rows.inputs) == 3


@pytest.mark.parametrize("data", ["photos", "texts"], indirect=True)
def test_extract_then_probe_then_predict_on_either(tl, data, tmp_path):
    path, options = data
    npz = tmp_path / "f.npz"
    assert tl("extract", path, *options, "--backbone", "raw", "--out", npz, "--quiet")[0] == 0
    assert tl("probe", npz, "--Cs", "5", "--out", tmp_path / "m", "--quiet")[0] == 0
    found = []
    for source in (npz, path):
        code, out, err = tl("predict", tmp_path / "m", source, "--quiet")
        assert code == 0, err
        found.append(labels_of(out))
    assert found[0] == found[1]
    model = tlengine.from_pretrained(tmp_path / "m")
    assert model.check_rows is not None
    assert model.for_backbone(tlengine.load_backbone("raw")) is model


def test_plain_features_stay_features(tl, features, photos, tmp_path):
    assert tl("probe", features, "--Cs", "3", "--out", tmp_path / "m", "--quiet")[0] == 0
    code, out, _ = tl("predict", tmp_path / "m", features, "--quiet")
    assert code == 0
    assert len(labels_of(out)) == 200
    code, _, err = tl("predict", tmp_path / "m", photos)
    assert code == 1
    assert "features that name no backbone" in err
    assert "hint: " in err


def test_data_of_another_modality_are_refused_before_anything_is_embedded(tl, photos, texts, tmp_path):
    assert tl("probe", photos, "--backbone", "raw", "--Cs", "3", "--out", tmp_path / "m", "--quiet")[0] == 0
    code, _, err = tl("predict", tmp_path / "m", texts)
    assert code == 1
    assert "the model takes image data" in err


COMMANDS = {
    "extract": ["extract"],
    "probe": ["probe", "--Cs", "3"],
    "knn": ["knn", "--k", "3"],
    "compare": [
        "compare",
        "--strategies",
        "centroid",
        "--controls",
        "none",
        "--budgets",
        "5",
        "--seeds",
        "1",
    ],
}


def tables(folder: Path) -> int:
    return len(EmbeddingCache(folder).tables()) if folder.exists() else 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_embeds_takes_the_options_of_the_cache(tl, command, photos, tmp_path):
    name, *settings = COMMANDS[command]
    arguments = [name, photos, *settings, "--backbone", "raw", "--quiet"]
    assert tl(*arguments, "--no-cache")[0] == 0
    assert tables(EmbeddingCache().path) == 0
    assert tl(*arguments, "--cache-dir", tmp_path / "here")[0] == 0
    assert (tables(EmbeddingCache().path), tables(tmp_path / "here")) == (0, 1)
    assert tl(*arguments)[0] == 0
    assert tables(EmbeddingCache().path) == 1
    code, _, err = tl(*arguments, "--no-cache", "--cache-dir", tmp_path)
    assert code == 2
    assert "exclude each other" in err


def test_predict_takes_them_too(tl, photos, tmp_path):
    kept = ["--cache-dir", tmp_path / "here", "--quiet"]
    assert tl("knn", photos, "--backbone", "raw", "--k", "3", "--out", tmp_path / "m", *kept)[0] == 0
    assert tl("predict", tmp_path / "m", photos, *kept)[0] == 0
    assert tl("predict", tmp_path / "m", photos, "--no-cache", "--quiet")[0] == 0
    assert tables(EmbeddingCache().path) == 0
    assert tables(tmp_path / "here") == 1


def test_compare_finds_what_extract_kept(tl, photos):
    assert tl("extract", photos, "--backbone", "raw", "--json", "--quiet")[1]["embedded"] == 40
    code, document, _ = tl(
        "compare", photos, "--backbone", "raw", *COMMANDS["compare"][1:], "--json", "--quiet"
    )
    assert code == 0
    assert (document["embedded"], document["cached"]) == (0, 40)
