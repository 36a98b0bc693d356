"""The engine of many processes, on one machine or a cluster: each worker is an actor with networks of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from universal_style.allocator import keep_freed_memory
from universal_style.batch.bench import Bench, Outcome, Setting
from universal_style.batch.jobs import Job
from universal_style.batch.ledger import Ledger
from universal_style.cluster import resources, session
from universal_style.errors import InputError, OptionError, UniversalStyleError

OBJECT_STORE_BYTES = 80 * 2**20
"""Of a session of our own: jobs travel as paths, so the store stays empty. Ray wants at least 75 MiB."""


class Worker:
    """One process of the many."""

    def __init__(self, setting: Setting, ledger: Ledger) -> None:
        torch.set_num_threads(setting.threads)
        keep_freed_memory()
        self.bench = Bench(setting, ledger)

    def ready(self) -> None:
        """Return once the process is there."""

    def do(self, job: Job) -> Outcome:
        """Do a job."""
        return self.bench.do(job)


class OnRay:
    """Does jobs on the workers of a Ray cluster, all of which see the same files.

    Args:
        setting: of all jobs.
        ledger: where finished jobs are recorded.
        address: of the cluster; empty starts one on this machine, which ends with the batch.
        workers: how many; 0 takes as many as fit.
        gpu_share: of a GPU for each worker, above 0 to 1, where there are GPUs.
        retries: how often a job is tried again whose worker died.

    Raises:
        OptionError: a number is out of range.
    """

    def __init__(
        self,
        setting: Setting,
        ledger: Ledger,
        address: str = "",
        workers: int = 0,
        gpu_share: float = 0.5,
        retries: int = 2,
    ) -> None:
        if workers < 0:
            raise OptionError(f"workers {workers} is out of range; it is at least 1, or 0 for as many as fit")
        if not 0 < gpu_share <= 1:
            raise OptionError(f"gpu-share {gpu_share:g} is out of range; it lies above 0 and reaches 1")
        self.setting = setting
        self.ledger = ledger
        self.address = address
        self.workers = workers
        self.gpu_share = gpu_share
        self.retries = retries

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Do jobs, each worker one at a time, in the order in which they end.

        Ray starts a worker that died anew and gives it its job again, which is done at once if it was finished. A job
        that takes its worker with it again and again is given up.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        cores = max(os.cpu_count() or 1, self.workers * self.setting.threads)
        with session(self.address, cores, OBJECT_STORE_BYTES):
            make, count = self._actor(len(jobs))
            waiting = iter(jobs)
            busy: dict[Any, tuple[Any, Job | None]] = {}
            for worker in [make() for _ in range(count)]:
                busy[worker.ready.remote()] = worker, None
            left = len(jobs)
            while left:
                (reference,), _ = ray.wait(list(busy), num_returns=1)
                worker, job = busy.pop(reference)
                try:
                    outcome = ray.get(reference)
                except RayTaskError as error:  # what a job raised is wrong with all of them
                    raise error.cause if isinstance(error.cause, UniversalStyleError) else error from None
                except RayActorError as error:
                    if job is None:
                        raise InputError(f"a worker did not start: {' '.join(str(error).split())}") from error
                    times = f"{self.retries + 1} times" if self.retries else "once"
                    outcome = Outcome(job, "failed", error=f"{job.content}: its worker died over it, {times}")
                    ray.kill(worker)  # it may be about to start anew, and takes no job while it is
                    worker = make()
                    busy[worker.ready.remote()] = worker, None
                else:
                    following = next(waiting, None)
                    if following is not None:
                        busy[worker.do.remote(following.absolute())] = worker, following
                if job is not None:
                    left -= 1
                    yield replace(outcome, job=job)  # not the one whose paths were made absolute

    def _actor(self, jobs: int) -> tuple[Callable[[], Any], int]:
        """Give what starts a worker, and how many: as asked for, as fit on the nodes, and as there are jobs at most."""
        import ray

        nodes = resources()
        gpus = [node.get("GPU", 0.0) for node in nodes] if self.setting.device in ("auto", "cuda") else []
        if any(gpus):
            needs = {"num_cpus": 0.0, "num_gpus": self.gpu_share}
            fitting = sum(int(count / self.gpu_share + 1e-6) for count in gpus)
        else:
            cpus = [node.get("CPU", 0.0) for node in nodes]
            needs = {"num_cpus": min(float(self.setting.threads), max(cpus)), "num_gpus": 0.0}
            fitting = sum(int(count / needs["num_cpus"]) for count in cpus) if needs["num_cpus"] else 0
        if not fitting:
            raise InputError("the Ray cluster has no CPU or GPU to offer; add a node")
        kind: Any = ray.remote(Worker)
        actor = kind.options(**needs, max_restarts=-1, max_task_retries=self.retries)
        return partial(actor.remote, self.setting, self.ledger), max(1, min(self.workers or fitting, fitting, jobs))
