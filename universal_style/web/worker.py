"""The one that does the work: a device, its networks, one picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from universal_style.devices import Backend
from universal_style.errors import InputError
from universal_style.images import Image, Source
from universal_style.methods import METHODS, Method
from universal_style.names import looked_up
from universal_style.report import Progress, Report
from universal_style.request import Request
from universal_style.styles import Style
from universal_style.stylizer import Stylizer
from universal_style.subjects import Loaded, StyleSource

T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """How a picture is to be given its style; see `Stylizer.transfer`.

    Attributes:
        method: a name of the methods table; no file is opened.
        alpha: strength, 0 to 1, for methods that have one.
        smooth: name of the smoothing; empty for the method's own.
        style_size: long side in pixels at which styles are seen; None for their own.
    """

    method: str = "wct"
    alpha: float = 1.0
    keep_colors: str = "none"
    smooth: str = ""
    style_size: int | None = None
    auto_regions: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """Give the options of one transfer."""
        return {
            "alpha": [self.alpha] if has_strength(named(self.method)) else None,
            "keep_colors": self.keep_colors,
            "smooth": self.smooth or None,
            "style_size": self.style_size,
            "auto_regions": self.auto_regions,
        }


def named(method: str) -> Method:
    """Look a method up among those of the table, which are all that a visitor may ask for.

    Raises:
        OptionError: none has this name.
    """
    return looked_up("method", method, METHODS)


def has_strength(method: Method) -> bool:
    """Say whether a method can do its work by halves."""
    return "alpha" in signature(method.recipe).parameters


class Bench:
    """A place where one thing is done at a time, always in the same thread.

    The C library keeps freed memory by thread: were any of a server's threads to work, each would keep what the largest
    picture needed.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def do(self, work: Callable[[], T]) -> T:
        """Wait for the bench, work, and give what comes of it."""
        return self._thread.submit(copy_context().run, work).result()  # the context tells Gradio whose progress it is


class Worker(Bench):
    """Carries pictures one after the other; methods on one device share their networks.

    Its methods are called by what it is given to `do`.

    Args:
        device: auto, cpu, cuda or mps.
        dtype: auto, float32, bfloat16 or float16.

    Raises:
        OptionError: the device is not there.
    """

    def __init__(self, device: str = "auto", dtype: str = "auto") -> None:
        super().__init__()
        self._backend = {"device": device, "dtype": dtype}
        self._loaded: dict[Backend, Loaded] = {}
        self._stylizers: dict[str, Stylizer] = {}
        self._stylizer("wct")

    def transfer(
        self,
        content: Image,
        styles: Sequence[StyleSource],
        order: Order,
        content_mask: Source | None,
        style_masks: Sequence[Source | None],
        progress: Progress,
    ) -> tuple[Image, Report]:
        """Give a picture its style.

        Raises:
            InputError: the pictures or the order cannot be used.
        """
        Request.of(named(order.method), styles=len(styles), **order.options)
        return self._stylizer(order.method).run(
            content,
            *styles,
            content_mask=content_mask,
            style_masks=style_masks,
            progress=progress,
            **order.options,
        )

    def observe(self, styles: Sequence[StyleSource], name: str, style_size: int | None, progress: Progress) -> Style:
        """Observe styles together as one.

        Raises:
            InputError: there is none.
        """
        if not styles:
            raise InputError("no style given; drop a picture or choose one from the gallery")
        return replace(self._stylizer("wct").observe(*styles, style_size=style_size, progress=progress), name=name)

    def _stylizer(self, method: str) -> Stylizer:
        if method not in self._stylizers:
            stylizer = Stylizer(method, **self._backend)
            stylizer.loaded = self._loaded.setdefault(stylizer.backend, stylizer.loaded)
            self._stylizers[method] = stylizer
        return self._stylizers[method]


def stem_of(styles: Sequence[Path]) -> str:
    """Name a preset after the first of its styles."""
    return styles[0].stem if styles else "style"
