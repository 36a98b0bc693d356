"""The engine of one process: the next picture is read and the last one written while one is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from universal_style.batch.bench import Bench, Outcome, Piece
from universal_style.batch.jobs import Job

AHEAD = 2
"""Pictures that are read before it is their turn …"""
BEHIND = 2
"""… and that wait for being written. Both bound what is in memory."""


class Local:
    """Does jobs in this process.

    Args:
        bench: that they are done on.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Do jobs in their order; what is begun when this is closed is written still."""
        waiting = iter(jobs)
        reading: deque[Future[Piece]] = deque()
        writing: deque[Future[Piece]] = deque()
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(BEHIND, "writer") as writer:
            while True:
                reading += [reader.submit(self.bench.read, Piece(job)) for job in islice(waiting, AHEAD - len(reading))]
                if not reading:
                    break
                piece = self.bench.restyle(reading.popleft().result())
                writing.append(writer.submit(self.bench.write, piece))
                while len(writing) > BEHIND or (writing and writing[0].done()):
                    yield writing.popleft().result().outcome()
            while writing:
                yield writing.popleft().result().outcome()
