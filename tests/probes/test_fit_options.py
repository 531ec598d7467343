"""Arguments that a fit does not have are refused in our own words, with what takes them."""

import numpy as np
import pytest

from tlengine.errors import UnknownOptionError
from tlengine.probes import (
    KNeighborsProbe,
    LinearProbe,
    LinearSVMProbe,
    NearestCentroidProbe,
    PreValProbe,
    RidgeProbe,
    TfidfProbe,
)

X, Y, GROUPS = np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("probe", "why", "instead"),
    [
        (LinearProbe(), "with one C", "LinearProbeCV"),
        (LinearSVMProbe(), "with one C", "LinearSVMProbeCV"),
        (TfidfProbe(), "with one C", "LinearProbeCV"),
        (RidgeProbe(), "with one alpha", "RidgeProbeCV"),
        (KNeighborsProbe(), "chooses nothing by folds", "neighbor_votes"),
        (NearestCentroidProbe(), "chooses nothing by folds", "probe_grid"),
    ],
)
def test_groups_are_refused_with_the_reason_and_what_takes_them(probe, why, instead):
    name = type(probe).__name__
    with pytest.raises(
        UnknownOptionError, match=rf"{name}.fit\(\) has no option 'groups': .*{why}"
    ) as caught:
        probe.fit(X, Y, groups=GROUPS)
    assert isinstance(caught.value, TypeError)
    assert instead in caught.value.hint


@pytest.mark.parametrize("probe", [LinearProbe(), LinearSVMProbe(), TfidfProbe(), RidgeProbe()])
def test_a_misspelt_argument_has_the_nearest_name(probe):
    with pytest.raises(TypeError, match=r"no option 'sample_weigth'(.|\n)*sample_weight"):
        probe.fit(X, Y, sample_weigth=np.ones(4))


@pytest.mark.parametrize("probe", [KNeighborsProbe(), NearestCentroidProbe()])
def test_weights_that_a_probe_does_not_take_are_refused(probe):
    with pytest.raises(UnknownOptionError, match="no option 'sample_weight'"):
        probe.fit(X, Y, sample_weight=np.ones(4))


def test_preval_says_why_it_takes_no_weights_and_what_does():
    with pytest.raises(
        UnknownOptionError, match=r"PreValProbe.fit\(\) has no option 'sample_weight': lea"
    ) as caught:
        PreValProbe().fit(X, Y, sample_weight=np.ones(4))
    assert isinstance(caught.value, TypeError)
    assert "RidgeProbeCV" in caught.value.hint
    with pytest.raises(UnknownOptionError, match=r"no option 'group'(.|\n)*groups"):
        PreValProbe().fit(X, Y, group=GROUPS)
    with pytest.raises(UnknownOptionError, match="no option 'weigths'") as caught:
        PreValProbe().fit(X, Y, weigths=np.ones(4))
    assert "sample_weight" not in caught.value.hint
