"""Runs the jobs of a grid batch by batch; what is finished is kept at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

from tlengine.probes.grid_batches import LOSS, Costs, Pace, batches
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_journal import Journal
from tlengine.probes.grid_records import Finished, Record
from tlengine.settings import hidden_bar

__all__ = ["Jobs", "Keeper", "run_jobs"]


class Jobs(Protocol):
    """What solves the jobs.

    Attributes:
        most: jobs of a batch.
        scores_beside: whether :meth:`score` may run on another thread, while the next batch is solved.
    """

    most: int
    scores_beside: bool

    def kind(self, key: Key) -> Any:
        """What the jobs of a batch have in common."""

    def prepare(self, keys: Sequence[Key]) -> Sequence[Any]:
        """A batch, job by job; on another thread, while the last one is solved."""

    def solve(self, batch: Any) -> Any:
        """The solutions of a batch."""

    def score(self, batch: Any, found: Any) -> list[Finished]:
        """What is kept of them."""


class Keeper:
    """Puts finished jobs into the journal, then shows and tells them.

    Args:
        journal: where to.
        costs: of each job, by which the bar moves.
        keys: all jobs of the grid.
        progress: whether there is a bar.
        callback: called with each record; a true answer is one of the keeper.
    """

    def __init__(
        self,
        journal: Journal,
        costs: Costs,
        keys: Sequence[Key],
        *,
        progress: bool,
        callback: Callable[[Record], object] | None,
    ) -> None:
        from tqdm import tqdm

        self._journal, self._costs, self._callback = journal, costs, callback
        before = [key for key in keys if key in journal.records]
        self._done, self._all = len(before), len(keys)
        self._bar = tqdm(
            total=sum(map(costs.of, keys)), initial=sum(map(costs.of, before)), disable=hidden_bar(progress),
            desc="probes", bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]",
        )  # fmt: skip
        self._show()

    def _show(self) -> None:
        self._bar.set_postfix_str(f"{self._done:,} of {self._all:,} probes", refresh=False)

    def __call__(self, finished: Sequence[Finished]) -> bool:
        """Keeps jobs, each once; whether that is enough."""
        fresh = [one for one in finished if one.key not in self._journal.records]
        self._journal.add(fresh)
        self._done += len(fresh)
        self._show()
        self._bar.update(sum(self._costs.of(one.key) for one in fresh))
        if self._callback is None:
            return False
        answers = [self._callback(dict(record)) for one in fresh for record in one.records]
        return any(map(bool, answers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


class _Waiting:
    """Batches that are solved, in their order, until they are scored and kept.

    Args:
        jobs: what scores them.
        beside: where.
        keep: called with what is finished; a true answer is ``enough``.
        pace: told what a batch took.
    """

    def __init__(
        self,
        jobs: Jobs,
        beside: ThreadPoolExecutor,
        keep: Callable[[Sequence[Finished]], object],
        pace: Pace,
    ) -> None:
        self._jobs, self._beside, self._keep, self._pace = jobs, beside, keep, pace
        self._scored: deque[Callable[[], list[Finished]]] = deque()
        self.enough = False

    def add(self, batch: Sequence[Any], found: Any, cost: float, seconds: float) -> None:
        """Scores what took so long to solve."""
        count = len(batch)

        def score() -> list[Finished]:
            start = time.perf_counter()
            finished = self._jobs.score(batch, found)
            self._pace.told(cost, count, seconds + time.perf_counter() - start)
            return finished

        self._scored.append(self._beside.submit(score).result if self._jobs.scores_beside else score)

    def flush(self) -> None:
        """Keeps what is scored; waits for what is not. What Ctrl-C cuts short is left for another call."""
        while self._scored:
            try:
                self.enough |= bool(self._keep(self._scored[0]()))
            except Exception:
                self._scored.popleft()
                raise
            self._scored.popleft()


def run_jobs(
    jobs: Jobs,
    keys: Sequence[Key],
    costs: Costs,
    keep: Callable[[Sequence[Finished]], object],
    threads: int = 1,
) -> None:
    """Does all jobs, in this order, on so many threads.

    A second thread readies the next batch, and scores the last while the next is solved if that is soon
    over; else a batch is scored and kept before anything else begins. So what a kill costs is one job, or
    batches of at most :data:`~tlengine.probes.grid_batches.LONGEST` seconds or so. On ``KeyboardInterrupt``,
    on an error, and where ``keep`` has a true answer, all that is solved is kept, and nothing else begins.
    """
    pace = Pace(threads)
    rest = batches(keys, jobs.kind, costs, pace, jobs.most)
    with ThreadPoolExecutor(1) as beside:
        waiting = _Waiting(jobs, beside, keep, pace)

        def next_batch() -> Future[tuple[float, Sequence[Any]]] | None:
            batch = next(rest, None)
            if batch is None:
                return None
            return beside.submit(lambda: (sum(map(costs.of, batch)), jobs.prepare(batch)))

        ready = next_batch()
        try:
            while ready is not None:
                cost, problems = ready.result()
                ready = next_batch()
                if pace.seconds(cost, len(problems)) > LOSS:
                    waiting.flush()
                if waiting.enough:
                    break
                start = time.perf_counter()
                found = jobs.solve(problems)
                seconds = time.perf_counter() - start
                waiting.flush()
                waiting.add(problems, found, cost, seconds)
                if seconds > LOSS or not jobs.scores_beside:
                    waiting.flush()
        finally:
            waiting.flush()
