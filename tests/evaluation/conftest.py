"""Small data with known answers, without a backbone: digits as features, and views made by hand."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tlengine.data import load_dataset


@pytest.fixture(scope="session")
def digits():
    """400 digits of four classes, (X, y) with names as labels."""
    X, y = load_digits(n_class=4, return_X_y=True)
    names = np.array(["zero", "one", "two", "three"])[y]
    return X[:400].astype(np.float32), names[:400]


@pytest.fixture(scope="session")
def digit_images(digits):
    """120 digits as 32 x 32 images."""
    X, names = digits
    small = (X[:120].reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    large = np.kron(small, np.ones((1, 4, 4), dtype=np.uint8))
    return load_dataset((np.repeat(large[..., None], 3, axis=3), names[:120]), name="digits")
