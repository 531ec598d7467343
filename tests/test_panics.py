"""A panic in the core is an ``InternalError``: an exception like others, after which everything goes on."""

from pathlib import Path

import numpy as np
import pytest

import tlengine as tl
from tests.cache_faults import holds, keys_of, store, table_in
from tlengine._core import panic_in_a_call
from tlengine.errors import InternalError


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_panic_is_an_exception_and_the_core_goes_on(threads: int, tmp_path: Path, capfd) -> None:
    table = table_in(tmp_path)
    store(table, keys_of(5))
    for _ in range(3):
        with pytest.raises(InternalError) as caught:
            panic_in_a_call(threads)
        assert isinstance(caught.value, Exception)
        assert caught.value.code == "internal"
    assert "was told to" in capfd.readouterr().err, "the panic did not happen"
    store(table, keys_of(5, salt=1))
    assert holds(tmp_path, np.concatenate([keys_of(5), keys_of(5, salt=1)]))
    X = np.eye(3, dtype=np.float32)
    assert tl.nearest(X, X, k=1)[0].ravel().tolist() == [0, 1, 2]
