"""A bar for the steps of a training that takes its time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tlengine.settings import hidden_bar

__all__ = ["step_bar"]


@contextmanager
def step_bar(steps: int, name: str) -> Iterator[Callable[[int, float], None]]:
    """A bar below others; it takes the steps made and the loss. Worker processes show none."""
    from tqdm import tqdm

    hidden = hidden_bar(multiprocessing.parent_process() is None)
    with tqdm(total=steps, desc=name, unit="step", leave=False, disable=hidden, delay=1.0) as bar:

        def told(step: int, loss: float) -> None:
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        yield told
