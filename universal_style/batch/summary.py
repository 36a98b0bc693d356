"""A batch as a whole: what is finished is skipped, the rest is done, and what became of all is told."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from universal_style.batch.bench import Outcome
from universal_style.batch.jobs import Job
from universal_style.batch.ledger import Ledger


@runtime_checkable
class Engine(Protocol):
    """What does jobs."""

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Do jobs, and give an outcome for each as it ends."""
        ...


def outcomes(jobs: Sequence[Job], ledger: Ledger, engine: Engine) -> Iterator[Outcome]:
    """Skip what is finished, then do the rest."""
    rest = []
    for job in jobs:
        if ledger.holds(job):
            yield Outcome(job, "skipped")
        else:
            rest.append(job)
    if rest:
        yield from engine.outcomes(rest)


class Summary:
    """What became of the jobs of a batch so far.

    Args:
        jobs: all, in their order.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.started = time.perf_counter()
        self._outcomes: dict[Job, Outcome] = {}
        self._found: Counter[str] = Counter()
        self._working_since = self.started

    def add(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        self._outcomes[outcome.job] = outcome
        self._found[outcome.status] += 1
        if outcome.status == "skipped":
            self._working_since = time.perf_counter()

    @property
    def ended(self) -> int:
        """Jobs that ended, whatever became of them."""
        return len(self._outcomes)

    @property
    def seconds(self) -> float:
        """Since the batch began."""
        return time.perf_counter() - self.started

    @property
    def rate(self) -> float:
        """Jobs a second since the last one was skipped."""
        worked = self._found["done"] + self._found["failed"]
        return worked / max(1e-9, time.perf_counter() - self._working_since)

    def counts(self) -> dict[str, int]:
        """Count jobs by what became of them."""
        statuses = {status: self._found[status] for status in ("done", "skipped", "failed")}
        return statuses | {"open": len(self.jobs) - self.ended}

    def as_json(self, facts: Mapping[str, Any]) -> str:
        """Write totals, rate and every job that ended.

        Args:
            facts: about the batch, to stand in front.
        """
        told = {
            **facts,
            **self.counts(),
            "seconds": round(self.seconds, 3),
            "jobs_per_second": round(self.rate, 4),
            "jobs": [
                {
                    "content": str(outcome.job.content),
                    "style": " ".join(map(str, outcome.job.look.sources)) or outcome.job.look.name,
                    "output": str(outcome.job.output),
                    "status": outcome.status,
                    "seconds": outcome.seconds,
                    "error": outcome.error,
                    "worker": outcome.worker,
                }
                for outcome in (self._outcomes[job] for job in self.jobs if job in self._outcomes)
            ],
        }
        return json.dumps(told, indent=2, default=str)
