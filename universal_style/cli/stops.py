"""What a signal that ends a command does: clean up as an error would, say so in one line, exit as shells expect."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(BaseException):
    """A signal asks the command to end; no `KeyboardInterrupt`, which the library of the command line ends by itself.

    Attributes:
        word: what happened.
        left: what is there now, and what to do; a command that knows more than the usual says it here.
        code: to exit with, 128 more than the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.word = WORDS[signal.Signals(number)]
        self.left = "every file that is there is whole"
        self.code = 128 + number

    def __str__(self) -> str:
        return f"{self.word}; {self.left}"


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped`; a thread other than the main one is told of no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in WORDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
