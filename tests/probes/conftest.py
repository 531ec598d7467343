import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture
def task(digits):
    """Two feature sets and two targets, as a grid takes them."""
    X, y = (part[:300] for part in digits)
    return {
        "features": {"all": X, "half": X[:, ::2]},
        "targets": {"digit": y, "odd": y % 2},
        "progress": False,
    }


def objective(path, i, X, y, C, weight=None):
    """scikit-learn's objective in float64 at the i-th solution of a path."""
    W, b = path.coef_[i].astype(float), path.intercept_[i].astype(float)
    Z = X.astype(float) @ W.T + b
    codes = np.searchsorted(path.classes_, y)
    if Z.shape[1] == 1:
        loss = np.logaddexp(0, -Z[:, 0] * np.where(codes == 1, 1, -1))
    else:
        loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), codes]
    return C * (loss * (1 if weight is None else weight)).sum() + 0.5 * (W**2).sum()
