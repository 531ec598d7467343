import numpy as np
import pytest

from tlengine.probes import LinearProbe


@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0])
def test_a_cold_start_copes_with_many_copies_of_a_column(C):
    """Copies make the diagonal of the Hessian far too hopeful: the first step overshoots by their number."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 4
    X = rng.normal(size=(120, 8)) * 9 + 12 * np.eye(8)[y]
    probe = LinearProbe(C=C, tol=1e-3).fit(np.repeat(X, 200, axis=1).astype(np.float32), y)
    assert probe.converged_
