"""A crew of Ray workers, on one machine or a cluster: each is an actor that holds the networks of one stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from universal_style.allocator import keep_freed_memory
from universal_style.cluster import resources, session
from universal_style.drivers.crew import Answer, Crew, Hands, Here
from universal_style.drivers.errands import Errand
from universal_style.errors import InputError, OptionError, UniversalStyleError
from universal_style.networks.stage import Stage
from universal_style.regions import LabelMap
from universal_style.windows import Window, pixels_in

STORE_BYTES = 2**30
"""Shared memory of a session of our own, taken as it is used: the networks, maps and labels, and windows on their way.

What does not fit, such as the labels of a huge picture, goes to the disk.
"""
RETRIES = 2
"""How often a window is tried again whose worker died."""


def crew_of(workers: int | None, address: str | None) -> Crew:
    """Turn the options into a crew.

    Args:
        workers: how many; left out, this process alone, or as many as a cluster has GPUs, or else nodes.
        address: of a Ray cluster; left out, workers are processes of this machine.

    Raises:
        OptionError: the number is out of range.
        UniversalStyleError: Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"workers {workers} is out of range; it is at least 1")
    if workers in (None, 1) and address is None:
        return Here()
    if find_spec("ray") is None:
        raise UniversalStyleError(
            "workers need ray, which is not installed: pip install 'universal-style[distributed]'"
        )
    return RayCrew(workers, address)


@dataclass(frozen=True)
class RayCrew:
    """Workers of a Ray cluster, started when there are windows to share, and ended with the picture.

    Attributes:
        number: of workers; None takes one for each GPU, or for each node where there are none.
        address: of the cluster; None starts one on this machine.
    """

    number: int | None
    address: str | None

    @contextmanager
    def gathered(self) -> Iterator[Hands]:
        with ExitStack() as stack:
            yield _Gathered(self, stack)

    def as_options(self) -> dict[str, Any]:
        return {"workers": self.number, "address": self.address}


class _Worker:
    """One process of the crew.

    Args:
        threads: of the CPU.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        self.held: dict[Any, Any] = {}

    def ready(self) -> None:
        """Return once the process is there."""

    @torch.inference_mode()
    def run(self, orders: Sequence[Any], window: Window, pixels: Tensor) -> Any:
        """Run an errand over a window.

        Args:
            orders: where the stage, the errand and the labels are kept; what was fetched for the last window is not
                fetched again, which a worker that took another's place could not know.
            window: which it is.
            pixels: of the window.
        """
        import ray

        self.held = {order: self.held[order] if order in self.held else ray.get(order) for order in orders}
        stage, errand, regions = self.held.values()
        return errand(stage, pixels, regions, window)


class _Shelf:
    """One object at a time that all workers can fetch."""

    def __init__(self) -> None:
        self.thing: object = None
        self.order: Any = None

    def holding(self, thing: object) -> Any:
        """Say where to fetch it."""
        import ray

        if thing is not self.thing:
            self.thing, self.order = thing, ray.put(thing)
        return self.order


class _Gathered:
    """The workers of one picture.

    Args:
        crew: as it was asked for.
        stack: closes what is opened when the picture is done.
    """

    def __init__(self, crew: RayCrew, stack: ExitStack) -> None:
        self.crew = crew
        self.stack = stack
        self.shelves = _Shelf(), _Shelf(), _Shelf()
        self.actors: list[Any] = []

    @cached_property
    def nodes(self) -> list[dict[str, float]]:
        """What each node of the cluster has to offer; to ask is to be in touch with it."""
        cores = max(torch.get_num_threads(), self.crew.number or 1)
        self.stack.enter_context(session(self.crew.address or "", cores, STORE_BYTES))
        self.stack.callback(self._dismiss)
        return resources()

    @property
    def workers(self) -> int:
        return self.crew.number or int(sum(node.get("GPU", 0) for node in self.nodes)) or len(self.nodes)

    def answers(
        self, errand: Errand[Answer], stage: Stage, pixels: Tensor, regions: LabelMap, tiles: Sequence[Window]
    ) -> Iterator[tuple[int, Answer]]:
        """Give each worker a window, and another whenever one is done; Ray starts one that died anew."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        if not self.actors:
            self.actors = self._hired(stage.device)
        orders = [shelf.holding(thing) for shelf, thing in zip(self.shelves, (stage, errand, regions), strict=True)]
        waiting = iter(enumerate(tiles))
        busy: dict[Any, tuple[Any, int]] = {}

        def send(actor: Any) -> None:
            if following := next(waiting, None):
                number, window = following
                cut = pixels_in(pixels, window).to("cpu", copy=True)  # a view would take the whole picture along
                busy[actor.run.remote(orders, window, cut)] = actor, number

        for actor in self.actors:
            send(actor)
        while busy:
            (reference,), _ = ray.wait(list(busy), num_returns=1)
            actor, number = busy.pop(reference)
            try:
                answer = ray.get(reference)
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, UniversalStyleError) else error from None
            except RayActorError as error:
                raise InputError(
                    f"a worker died over window {number + 1} of {len(tiles)}, however often it was tried, perhaps "
                    "for want of memory; use fewer workers or a smaller tile"
                ) from error
            send(actor)
            yield number, answer

    def _hired(self, device: torch.device) -> list[Any]:
        """Start the workers: each with a GPU of its own, or with as many CPUs as all can have.

        Raises:
            InputError: the cluster has not room for so many, or they do not start.
        """
        import ray
        from ray.exceptions import RayActorError

        cpus, gpus = ([int(node.get(kind, 0)) for node in self.nodes] for kind in ("CPU", "GPU"))
        room = sum(gpus if device.type == "cuda" else cpus)
        if room < self.workers:
            kind = "GPU" if device.type == "cuda" else "CPU"
            raise InputError(f"{self.workers} workers want {self.workers} {kind}s and there is {room}; ask for fewer")
        if device.type == "cuda":
            threads, needs = 1, {"num_cpus": 0, "num_gpus": 1}
        else:
            fitting = (t for t in range(max(cpus), 0, -1) if sum(c // t for c in cpus) >= self.workers)
            threads = next(fitting)
            needs = {"num_cpus": threads, "num_gpus": 0}
        worker: Any = ray.remote(_Worker)
        actor = worker.options(**needs, max_restarts=-1, max_task_retries=RETRIES)
        actors = [actor.remote(threads) for _ in range(self.workers)]
        try:
            ray.get([actor.ready.remote() for actor in actors])
        except RayActorError as error:
            raise InputError(f"a worker did not start: {' '.join(str(error).split())}") from error
        return actors

    def _dismiss(self) -> None:
        import ray

        for actor in self.actors:
            ray.kill(actor)
