"""A network is taken up where all of it is there, and a folder has one owner."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tlengine.evaluation.training_folder as module
from tlengine.errors import InputError
from tlengine.evaluation.training_folder import found_in, held_folder, keep

DOCUMENT: dict[str, Any] = {"key": "k", "chosen": {"rate": 0.001}}


class Model:
    """What is saved is a word."""

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("net")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No card of a made-up document, and no network."""
    monkeypatch.setattr(module, "card_of_training", lambda document: "card")
    monkeypatch.setattr(
        module, "from_pretrained", lambda folder, backbone: (folder / "config.json").read_text()
    )


def kept(folder: Path, **chosen: Any) -> Path:
    """A training that is done, with metrics of two rates."""
    checkpoints = folder / "checkpoints" / "key"
    for rate in ("0.001", "0.01"):
        (checkpoints / f"rate-{rate}").mkdir(parents=True)
        (checkpoints / f"rate-{rate}" / "metrics.jsonl").write_text(rate)
    keep({**DOCUMENT, "chosen": chosen or DOCUMENT["chosen"]}, Model(), folder, checkpoints)  # type: ignore[arg-type]
    return folder


def test_what_is_kept_is_found_by_its_key_alone(tmp_path: Path) -> None:
    assert found_in(tmp_path, "k", "net") is None
    found = found_in(kept(tmp_path), "k", "net")
    assert found == (DOCUMENT, "net")
    assert found_in(tmp_path, "another", "net") is None
    assert (tmp_path / "model" / "README.md").read_text() == "card"
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("harm", ["{", "[]", "3", json.dumps({"chosen": {}}), None])
def test_nothing_is_taken_up_of_a_folder_that_is_not_whole(tmp_path: Path, harm: str | None) -> None:
    kept(tmp_path)
    if harm is None:
        (tmp_path / "model" / "config.json").unlink()
    else:
        (tmp_path / "finetune.json").write_text(harm)
    assert found_in(tmp_path, "k", "net") is None


def test_a_document_never_stands_beside_another_model(tmp_path: Path) -> None:
    """A save that fails leaves no document of the model before."""

    def fails(folder: Path) -> None:
        raise OSError("disk full")

    kept(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        keep(DOCUMENT, SimpleNamespace(save=fails), tmp_path, None)  # type: ignore[arg-type]
    assert found_in(tmp_path, "k", "net") is None


@pytest.mark.parametrize(("chosen", "metrics"), [({"rate": 0.01}, "0.01"), ({"steps": 3}, None)])
def test_metrics_are_those_of_the_rate_that_was_chosen(
    tmp_path: Path, chosen: dict[str, Any], metrics: str | None
) -> None:
    path = kept(tmp_path, **chosen) / "metrics.jsonl"
    assert (path.read_text() if path.exists() else None) == metrics


def test_a_folder_is_one_callers_at_a_time(tmp_path: Path) -> None:
    with held_folder(tmp_path / "new" / "out") as folder:
        assert folder == tmp_path / "new" / "out"
        with pytest.raises(InputError, match="another run is writing to"), held_folder(folder):
            pass
    with held_folder(folder) as again:
        assert again == folder
    with held_folder(None) as nothing:
        assert nothing is None


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, not a directory"), held_folder(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match="out is a int, no path"), held_folder(3):
        pass
