"""The search for a temperature in plain NumPy: what the core is compared with."""

import numpy as np
import numpy.typing as npt


def fit_scale(
    moves: npt.NDArray[np.float64],
    base: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint32],
    share: npt.NDArray[np.float64],
    *,
    start: float = 1.0,
) -> tuple[float, float]:
    """The c from 1e-6 to 1e6 of least log-loss of ``softmax(base + c * moves)``, and that log-loss.

    Moves (n, K), base (K,), labels (n,), share (n,) that sums to 1; the search begins at ``start``.
    """
    own = moves[np.arange(len(moves)), labels]
    low, high = 1e-6, 1e6
    scale = min(max(start, low), high)
    for _ in range(60):
        logits = base + scale * moves
        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1)
        p /= total[:, None]
        mean = np.einsum("ik,ik->i", p, moves)
        slope = share @ (mean - own)
        low, high = (scale, high) if slope < 0 else (low, scale)
        curvature = share @ (np.einsum("ik,ik,ik->i", p, moves, moves) - mean**2)
        following = scale - slope / curvature if curvature > 0 else low
        if not low < following < high:
            following = float(np.sqrt(low * high))
        if abs(following - scale) <= 1e-9 * scale:
            break
        scale = following
    loss = share @ (np.log(total) + top[:, 0] - (base[labels] + scale * own))
    return float(scale), float(loss)
