"""A clip restyled frame by frame, in bounded memory, going on where it was interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av

from universal_style.drivers.steady import Steady
from universal_style.errors import InputError, OptionError, OutputError
from universal_style.keep_colors import recoloured
from universal_style.methods import Carried, Carrier, Lasting, Task
from universal_style.moments import Moments
from universal_style.report import Report
from universal_style.request import Request
from universal_style.smoothing import smoothed
from universal_style.stylizer import Stylizer
from universal_style.video.clips import Clip, Frame
from universal_style.video.targets import Target
from universal_style.video.unfinished import SEGMENT_FRAMES, Progress, Unfinished

STEADY = 0.5
"""Seconds in which the weight of a frame in the statistics falls to 1/e."""

Told = Callable[[int, int, float], None]
"""Called with (frames done, frames in all or 0 where unknown, frames per second)."""


def unheard(done: int, total: int, rate: float) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Look:
    """What every frame is given, with its styles observed.

    Attributes:
        carrier: of pixels.
        request: what was asked for.
        task: of the first frame; its regions are every frame's.
        steady: seconds over which the content's statistics are smoothed; 0 takes every frame by itself.
        base: seconds in a tick of the clip.
    """

    carrier: Carrier
    request: Request
    task: Task
    steady: float
    base: Fraction

    def carry(self, frame: Frame, done: Progress) -> tuple[Frame, Progress]:
        """Give a frame the style; give where the work stands after it."""
        self.task.steps.begin("frames in and out")
        scene, is_cut = done.scene_with(frame)
        image = frame.image if self.request.size is None else frame.image.scaled_to(self.request.size)
        in_its_place = self.request.keep_colors.carried(image)
        given = in_its_place.tensor(self.task.pixels.device)
        seen: dict[str, Sequence[Moments]] = {}
        past = {} if is_cut else done.memory
        carrier = self.carrier.wrapped(lambda fit: Steady(fit, past, self._kept(frame.at - done.last), seen))
        carried = carrier.carry(given, self.task.regions, self.task.steps)
        self.task.steps.begin("smooth")
        coloured = given if in_its_place is image else image.tensor(self.task.pixels.device)
        pixels = recoloured(self.request.keep_colors, smoothed(self.request.smoothing, carried, coloured), coloured)
        self.task.steps.begin("frames in and out")
        cuts = (*done.cuts, frame.number) if is_cut else done.cuts
        return replace(frame, image=image.with_pixels(pixels)), Progress(frame.number, cuts, frame.at, seen, scene)

    def _kept(self, ticks: int) -> float:
        """Say what weight the past has left after a time."""
        return math.exp(-float(ticks * self.base) / self.steady) if self.steady > 0 else 0.0


@dataclass(frozen=True)
class VideoReport:
    """What was done to a clip.

    Attributes:
        clip: its path.
        output: path of the result.
        frames: how many there were.
        cuts: numbers of the frames, from 1, with which a new scene began.
        steady: seconds of memory of the content's statistics.
        source_size: (height, width) of the clip upright.
        resumed: frames that an interrupted run had done before.
        seconds: for the other frames …
        rate: … and frames per second.
        stored: how the result is.
        notes: what was left out, in a line each.
        transfer: method, options, size, seconds by step since the last interruption and the rest, as of a picture.
    """

    clip: str
    output: str
    frames: int
    cuts: Sequence[int]
    steady: float
    source_size: tuple[int, int]
    resumed: int
    seconds: float
    rate: float
    stored: Mapping[str, Any]
    notes: Sequence[str]
    transfer: Report


def restyle(
    stylizer: Stylizer,
    clip: Clip,
    styles: Sequence[Path],
    target: Target,
    *,
    steady: float = STEADY,
    told: Told = unheard,
    **options: Any,
) -> VideoReport:
    """Give every frame of a clip the style, seen once.

    Args:
        steady: seconds over which the content's statistics are smoothed, 0 or more; 0 takes every frame by itself.
        told: of each frame as it is done.
        **options: those of `Request.of`, but none of regions.

    Raises:
        InputError: the clip or a style cannot be used, or an option is out of range (`OptionError`).
        OutputError: the result cannot be written, and what was done is kept and gone on from; or another run writes it.
    """
    recipe = lasting(Request.of(stylizer.method, styles=len(styles), **options), steady)
    notes = target.check(clip)
    frames = clip.frames()
    first = next(frames)
    picture, request, task = stylizer.prepare(first.image, *styles, **options)
    size = picture.height, picture.width
    stored = target.facts(clip, size)
    look = Look(recipe.ready(stylizer.loaded, task), request, task, steady, clip.timing.base)
    asked = {"content": str(clip.path), "styles": [str(p) for p in styles], "content_mask": None, "style_masks": []}
    report = stylizer.report(request, task, picture, Carried(task.pixels, look.carrier.checkpoints), asked)
    order = {
        "clip": clip.mark,
        "styles": [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in styles],
        "output": [stored, size],
        "steady": steady,
        "stylizer": report.stylizer,
        "options": report.options,
        "method": report.method,
        "checkpoints": report.checkpoints,
        "versions": {**report.versions, "av": av.__version__},
    }
    with Unfinished.beside(target.path, order) as work:
        resumed = work.progress(stylizer.loaded.home)
        clock = Clock(resumed, clip.timing.frames, told)
        try:
            done = resumed
            rest = islice(chain([first], frames), done.frames, None)
            for opening in rest:
                with target.segment(clip, size, work.segment(done.frames)) as write:
                    for frame in chain([opening], islice(rest, SEGMENT_FRAMES - 1)):
                        carried, done = look.carry(frame, done)
                        write(carried)
                        clock.tell(done)
                work.save(done)
            target.join(clip, size, work.segments(done))
        except InputError:
            work.remove()
            raise
        except (OSError, av.FFmpegError) as error:
            raise OutputError(
                f"{target.path} cannot be written ({error.strerror or error}); make room, and the same command goes on"
            ) from error
        work.remove()
    task.steps.end()
    return VideoReport(
        clip=str(clip.path),
        output=str(target.path),
        frames=done.frames,
        cuts=done.cuts,
        steady=steady,
        source_size=(first.image.height, first.image.width),
        seconds=round(clock.seconds, 3),
        rate=round(clock.rate(done), 3),
        resumed=resumed.frames,
        stored=stored,
        notes=notes,
        transfer=stylizer.report(request, task, picture, Carried(task.pixels, look.carrier.checkpoints), asked),
    )


def lasting(request: Request, steady: float) -> Lasting:
    """Make sure that a request can be carried out on a clip, and give what carries it out.

    Raises:
        OptionError: it cannot.
    """
    if not (math.isfinite(steady) and steady >= 0):
        raise OptionError(f"steady {steady:g} is out of range; it is 0 or more seconds")
    if request.auto_regions or request.semantic_regions or request.style_regions:
        raise OptionError("regions are not followed from frame to frame; leave them out for a video")
    if not isinstance(request.recipe, Lasting):
        raise OptionError(
            f"method {request.method.name} descends anew for every frame; use wct, photo-wct, wct2 or a trained net"
        )
    return request.recipe


@dataclass
class Clock:
    """How fast a work goes.

    Attributes:
        resumed: where it began.
        total: frames in all, 0 where unknown.
        told: of each frame.
    """

    resumed: Progress
    total: int
    told: Told
    _since: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Spent since it began."""
        return time.perf_counter() - self._since

    def rate(self, done: Progress) -> float:
        """Give the frames per second since it began."""
        return (done.frames - self.resumed.frames) / self.seconds

    def tell(self, done: Progress) -> None:
        """Tell of a frame."""
        self.told(done.frames, max(self.total, done.frames) if self.total else 0, self.rate(done))
