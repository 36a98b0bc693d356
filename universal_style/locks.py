"""Locks on files, on any system."""

from __future__ import annotations

import sys
from typing import IO


def claim(file: IO[str]) -> None:
    """Lock an open file until it is closed; the system lets go of it whatever ends the process.

    Raises:
        BlockingIOError: another process holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
