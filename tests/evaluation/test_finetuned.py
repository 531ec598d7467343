"""``finetune`` trains on what it says, goes on where it stopped, and keeps what belongs together."""

import json

import numpy as np
import pytest

import tlengine as tl
from tests.finetuning.kept import LABELS, PICTURES, cnn, trained
from tlengine.data import load_dataset
from tlengine.errors import InputError, LabelError, SingleClassError, UnknownNameError
from tlengine.evaluation import finetune
from tlengine.finetuning.loop import Training


def split_texts(folder):
    words = {"yes": "good fine great", "no": "bad poor dull"}
    rows = [f"{words[('yes', 'no')[i % 2]]} {i},{('yes', 'no')[i % 2]},train" for i in range(12)]
    rows += [f"{text} too,{label},test" for label, text in words.items()]
    file = folder / "texts.csv"
    file.write_text("text,label,split\n" + "\n".join(rows) + "\n")
    return file


def test_without_a_split_every_row_is_trained_on_and_nothing_is_judged():
    found = trained(cnn())
    assert (found.document["rows"], found.document["test"]) == (12, None)
    assert found.document["counts"] == [6, 6]
    assert found.document["calibration"] == {"kind": "logits", "value": 1.0}


def test_of_a_split_the_training_part_is_trained_on_and_the_test_judges(tmp_path):
    found = finetune(split_texts(tmp_path), "raw", settings={"steps": 2}, cache=False, progress=False)
    assert found.document["rows"] == 12
    assert found.document["test"]["rows"] == 2
    assert found.document["test"]["accuracy"]["value"] in (0.0, 0.5, 1.0)
    assert found.document["test"]["log_loss"]["value"] > 0


def test_everything_is_in_the_folder_and_the_model_comes_back(tmp_path):
    found = trained(cnn(), out=tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.name != ".lock"} == {
        "finetune.json", "metrics.jsonl", "model",
    }  # fmt: skip
    assert json.loads((tmp_path / "finetune.json").read_text())["key"] == found.document["key"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["name"] == "loss"] == [1, 2, 3]
    again = tl.from_pretrained(tmp_path / "model", backbone=cnn())
    assert np.abs(again.logits(PICTURES) - found.model.logits(PICTURES)).max() < 1e-6


def test_the_same_call_takes_up_what_is_done_and_another_one_trains(tmp_path):
    first = trained(cnn(), out=tmp_path)
    assert not first.taken_up
    second = trained(cnn(), out=tmp_path)
    assert second.taken_up
    assert (second.model.logits(PICTURES) == first.model.logits(PICTURES)).all()
    assert not trained(cnn(), out=tmp_path, fresh=True).taken_up
    assert not trained(cnn(), out=tmp_path, seed=1).taken_up
    assert not trained(cnn(seed=1), out=tmp_path, seed=1).taken_up


def test_a_training_that_was_interrupted_goes_on_and_ends_as_if_it_was_not(tmp_path, monkeypatch):
    settings = {"steps": 6, "checkpoint_seconds": 0}
    whole = trained(cnn(), settings=settings)
    step, made = Training._step, []

    def interrupted(training, number):
        if number == 4 and 4 not in made:
            made.append(4)
            raise KeyboardInterrupt
        made.append(number)
        return step(training, number)

    monkeypatch.setattr(Training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(cnn(), settings=settings, out=tmp_path)
    assert not (tmp_path / "finetune.json").exists()
    found = trained(cnn(), settings=settings, out=tmp_path)
    assert made == [0, 1, 2, 3, 4, 4, 5]
    assert (found.model.logits(PICTURES) == whole.model.logits(PICTURES)).all()
    assert not (tmp_path / "checkpoints").exists()


def test_two_runs_do_not_share_a_folder(tmp_path):
    from tlengine.documents import lock_file

    with (tmp_path / ".lock").open("ab") as file:
        lock_file(file, "it", "--out")
        with pytest.raises(InputError, match="another run"):
            trained(cnn(), out=tmp_path)


@pytest.mark.parametrize(
    ("strategy", "error", "said"),
    [
        ("knn", InputError, "trains no network"),
        ("raw", InputError, "trains no network"),
        ("lpft", UnknownNameError, "lpft"),
        (3, InputError, "no name"),
    ],
)
def test_what_trains_no_network_is_refused(strategy, error, said):
    with pytest.raises(error, match=said):
        finetune((PICTURES, LABELS), cnn(), strategy=strategy, cache=False, progress=False)


def test_data_that_cannot_be_trained_on_are_refused(tmp_path):
    with pytest.raises(InputError, match="features"):
        finetune((np.eye(4, dtype=np.float32), list("aabb")))
    with pytest.raises(SingleClassError):
        finetune((PICTURES, ["dark"] * 12), cnn(), cache=False, progress=False)
    with pytest.raises(LabelError):
        finetune(load_dataset(PICTURES), cnn(), cache=False, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        trained(cnn(), out=tmp_path / "file")
    with pytest.raises(InputError, match=r"does not take .*step=3: no setting 'step'") as caught:
        trained(cnn(), settings={"step": 3})
    assert str(caught.value.hint).startswith("there are steps")
    with pytest.raises(InputError, match="does not tell its blocks"):
        finetune(
            (["a b", "c d"] * 6, ["x", "y"] * 6), "raw", strategy="last-block", cache=False, progress=False
        )


def test_what_compare_recommends_is_kept_as_a_network(tmp_path):
    run = tl.compare(
        (PICTURES * 2, LABELS * 2), cnn(), strategies=["lp-ft"], controls=(), budgets=["all"], seeds=1,
        settings={"lp-ft": {"steps": 2, "augment": "none"}}, cache=False, progress=False,
    )  # fmt: skip
    assert run.document["failed"] == []
    assert run.model.reads == "contents"
    assert run.model.metadata["rows"] == 24
    run.save(tmp_path)
    again = tl.from_pretrained(tmp_path / "model", backbone=cnn())
    assert np.abs(again.logits(PICTURES) - run.model.logits(PICTURES)).max() < 1e-6
    card = (tmp_path / "model" / "README.md").read_text()
    assert "`small-cnn`" in card
    assert run.verdict.answer in card
