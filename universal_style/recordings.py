"""Work that a graphics card records once and repeats, with no commands between its parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Work = Callable[..., tuple[Tensor, ...]]


def recorded(work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
    """Record the commands of work that a graphics card has done before, to repeat them with none between its parts.

    Nothing is done but that; other threads may use the card meanwhile.

    Returns:
        What repeats it, and what the work gives: memory that every repetition writes to.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return graph, result


def repeated(work: Work, *given: Tensor) -> tuple[Tensor, ...]:
    """Do some work, on a graphics card by repeating what was recorded for tensors of the same shapes."""
    device = given[0].device
    if device.type != "cuda":
        return work(*given)
    shapes = tuple((tuple(tensor.shape), tensor.dtype) for tensor in given)
    return _recording(work, shapes, device, torch.cuda.current_stream(device).cuda_stream)(*given)


@cache
def _recording(
    work: Work, shapes: tuple[tuple[tuple[int, ...], torch.dtype], ...], device: torch.device, stream: int
) -> _Recording:
    with torch.inference_mode(False):  # what is written to later must be an ordinary tensor
        return _Recording(work, [torch.zeros(shape, dtype=dtype, device=device) for shape, dtype in shapes])


@dataclass(eq=False)
class _Recording:
    """Some work as one stream of a graphics card repeats it.

    Attributes:
        work: takes and gives tensors.
        given: memory that it reads from.
    """

    work: Work
    given: list[Tensor]
    alone: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.work(*self.given)  # loads libraries and takes their memory
            self._graph, self._found = recorded(lambda: self.work(*self.given))

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        with self.alone, torch.no_grad():
            for own, other in zip(self.given, given, strict=True):
                own.copy_(other)
            self._graph.replay()
            return tuple(found.clone() for found in self._found)
