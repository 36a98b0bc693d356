"""Every contender through all pairs, each method in a process of its own, its results judged as they come."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from types import FrameType

from universal_style.allocator import keep_freed_memory
from universal_style.contenders import Contender
from universal_style.devices import peak_memory
from universal_style.errors import InputError, UniversalStyleError
from universal_style.evaluation.judge import Judge, Score
from universal_style.evaluation.pairs import Pair, pictures_by_name
from universal_style.evaluation.summary import Summary, summary_of
from universal_style.images import Image
from universal_style.outputs import make_folder
from universal_style.stylizer import Stylizer


def evaluate(
    contenders: Sequence[Contender], pairs: Sequence[Pair], output: Path, device: str = "auto", dtype: str = "auto"
) -> Iterator[Score | Summary]:
    """Make or read every result and judge it; after each contender comes its summary.

    Results are written to `output`/results/NAME/PAIR.png. Each method runs in a process of its own, so that its peak
    memory is its own. It begins once it is certain that each can be asked.

    Raises:
        OptionError: a contender asks for what there is not.
        CheckpointError: the file of a net cannot be used.
        InputError: a folder of results holds none of the pairs.
        OutputError: the folder of the results cannot be made.
        UniversalStyleError: a process was killed from outside.
    """
    masks = next((pair.masks for pair in pairs if pair.content_mask is not None), {})
    for contender in contenders:
        contender.check(device, dtype, **masks)
        if contender.results is not None and not _ready(contender.results, pairs):
            raise InputError(
                f"{contender.results} holds no result of the pairs; give a folder with results named like their pairs"
            )
    judge = Judge()
    for contender in contenders:
        scores: list[Score] = []
        peak: int | None = None
        for pair, path, seconds, used in _results(contender, pairs, output, device, dtype):
            content, style, result = (Image.of(file) for file in (pair.content, pair.style, path))
            score = judge.score(contender.name, pair.name, content, style, result, seconds)
            scores.append(score)
            peak = used
            yield score
        if scores:
            yield summary_of(scores, peak)


def _results(
    contender: Contender, pairs: Sequence[Pair], output: Path, device: str, dtype: str
) -> Iterator[tuple[Pair, Path, float | None, int | None]]:
    if contender.results is not None:
        for pair, path in _ready(contender.results, pairs):
            yield pair, path, None, None
        return
    place = output / "results" / contender.slug
    make_folder(place)
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (contender, device, dtype)) as pool:
        worker = pool.submit(os.getpid)
        for pair in pairs:
            path = place / f"{pair.name}.png"
            try:
                seconds, peak = pool.submit(_transfer, contender, pair, path).result()
            except BrokenProcessPool as error:
                raise UniversalStyleError(
                    f"the process that carried {pair.name} by {contender.name} was killed, as systems do whose memory "
                    "runs out; give smaller pictures"
                ) from error
            except BaseException:
                if worker.done() and worker.exception() is None:
                    with suppress(OSError):  # it may have gone by itself
                        os.kill(worker.result(), signal.SIGTERM)
                raise
            yield pair, path, seconds, peak


def _ready(folder: Path, pairs: Sequence[Pair]) -> list[tuple[Pair, Path]]:
    there = pictures_by_name(folder)
    return [(pair, there[pair.name]) for pair in pairs if pair.name in there]


_STYLIZER: list[Stylizer] = []
"""The networks of a worker process, which serves one contender."""


def _prepare(contender: Contender, device: str, dtype: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all, and the parent ends this process
    signal.signal(signal.SIGTERM, _leave)
    Thread(target=_leave_with_parent, daemon=True).start()
    keep_freed_memory()
    _STYLIZER.append(contender.stylizer(device, dtype))


def _leave(number: int, frame: FrameType | None) -> None:
    """Leave what is being done, as an error would, so that nothing is left half-written."""
    sys.exit(128 + number)


def _leave_with_parent() -> None:
    """End this process when the one that began it is gone, however it went."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _transfer(contender: Contender, pair: Pair, path: Path) -> tuple[float, int]:
    (stylizer,) = _STYLIZER
    started = time.perf_counter()
    result, _ = contender.run(stylizer, pair.content, pair.style, **pair.masks)
    seconds = time.perf_counter() - started
    result.write(path)
    peaks = peak_memory(stylizer.backend.device)
    return seconds, peaks.get("device", peaks["process"])
