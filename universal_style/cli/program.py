"""The program that `universal-style` starts: the command line in a process of its own."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from universal_style.cli.app import main


def program() -> NoReturn:
    """Run the command line, then end the process without taking it apart.

    Python would free every object and unload torch's libraries, of which it reads much in to do so: half a second, and
    memory that nothing foresees. What is registered for the end of a process is done all the same.
    """
    code: object = 1

    def leave() -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            return  # Python ends as it always does, and says what is wrong
        os._exit(code if isinstance(code, int) else 1)

    atexit.register(leave)  # the first that is registered is called last
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
        raise
