"""``name``: each built-in strategy in turn."""

import pytest

from tests.evaluation.strategies.built_in import BUILT_IN


@pytest.fixture(params=BUILT_IN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)
