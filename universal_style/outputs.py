"""The places that results go to, looked at before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from universal_style.errors import OptionError, OutputError


def check_writable(path: Path) -> None:
    """Make sure, before any work is done, that a result can be written to a path.

    Raises:
        OutputError: it cannot.
    """
    folder = path.parent
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise OutputError(f"output {path} cannot be written ({error.strerror}); choose another name") from error
    if is_folder:
        raise OutputError(f"output {path} is a folder; name a file in it, such as {path / 'result.png'}")
    if path.exists() and not path.is_file():
        raise OutputError(f"output {path} is a device or a pipe, which a file would replace; name a file")
    if not folder.is_dir():
        raise OutputError(f"output folder {folder} does not exist; create it or choose another")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"output {path} is not writable; choose another place or change its permissions")


def check_spared(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Make sure that nothing is written over what is read, and nothing twice; None is no file.

    Raises:
        OptionError: something would be.
    """
    taken = {path.resolve(): "is read, too" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        home = path.resolve()
        if home in taken:
            raise OptionError(f"output {path} {taken[home]}; choose another place")
        taken[home] = "is written twice"


def make_folder(path: Path) -> None:
    """Make a folder for results, with those above it, unless it is there.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"output folder {path} cannot be made ({error.strerror}); choose another place") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"output folder {path} is not writable; choose another place or change its permissions")
