"""Rows that are seen through every view, and the setup that stands on them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.pictures import tiny
from tlengine.data.dataset import Dataset
from tlengine.data.resamples import make_resamples
from tlengine.errors import TlengineWarning
from tlengine.evaluation.groundwork import Untrained, embed_samples, setup_on, site_of, warn_of
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.samples import Wanted


def test_each_view_is_finished_with_the_network_that_made_it(digit_images: Dataset) -> None:
    """An untrained one is drawn with its seed; both are of the same rows, and booked by their names."""
    net, finished, ledger = tiny(), [], Ledger()
    wanted = [
        Wanted(name="tiny", backbone="tiny", source=net, asked=True),
        *(Wanted(name=f"drawn{n}", backbone="tiny", source=Untrained(net, n)) for n in (0, 1)),
    ]

    def finish(features: Any, backbone: Any) -> Any:
        finished.append((backbone.name, bool(backbone.how_drawn)))
        return features

    samples = embed_samples(digit_images, wanted, None, False, {"device": "cpu"}, ledger, finish)
    assert finished == [("tiny", False), ("tiny~random", True), ("tiny~random1", True)]
    assert list(samples.views) == ["tiny", "drawn0", "drawn1"]
    assert samples.views["tiny"].fingerprint != samples.views["drawn0"].fingerprint
    assert all(ledger.of("extract", name) is not None for name in samples.views)


def test_networks_are_run_where_rows_are_embedded_and_kept_in_the_same_cache(tmp_path: Path) -> None:
    site = site_of(tmp_path / "cache", {"device": "cpu", "max_pixels": 99, "workers": 2}, max_disk=7)
    assert (site.device, site.max_pixels, site.max_disk) == ("cpu", 99, 7)
    assert site.cache == tmp_path / "cache"
    plain = site_of(None, {"device": None})
    assert (plain.device, plain.cache, plain.max_disk) == ("cpu", None, None)


def test_a_setup_has_the_rows_of_its_samples(digit_images: Dataset, tmp_path: Path) -> None:
    view = Wanted(name="tiny", backbone="tiny", source=tiny(), asked=True)
    samples = embed_samples(digit_images, [view], None, False, {}, Ledger())
    plan = make_resamples(samples.y, seeds=1, keys=samples.keys)
    setup = setup_on(digit_images, samples, plan, {}, tmp_path / ".." / tmp_path.name, site_of(None, {}))
    assert setup.ground.codes is plan.codes
    assert (setup.ground.classes.tolist(), setup.ground.contents) == (
        list(plan.classes),
        digit_images.contents,
    )
    assert np.array_equal(setup.ground.digests, samples.keys)
    assert setup.folder is not None
    assert setup.folder.is_absolute()
    assert setup_on(digit_images, samples, plan, {}, None, site_of(None, {})).folder is None


def test_what_is_left_out_is_said_to_the_caller() -> None:
    plan = make_resamples(np.array(["a"] * 30 + ["b"] * 30 + ["rare"]), seeds=1)

    def ask() -> None:
        def inside() -> None:
            warn_of(plan)

        inside()

    with pytest.warns(
        TlengineWarning, match=r"too small to train and test are left out: 'rare' \(1\)"
    ) as said:
        ask()
    assert {warning.filename for warning in said} == {__file__}
